import math

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import topodl
from topodl import InputError, alpha_persistence, datasets


@st.composite
def clouds(draw):
    """Points on a small grid (cospherical, coplanar, duplicates), or anywhere in a box."""
    shape = draw(st.integers(1, 20)), draw(st.sampled_from([2, 3]))
    grid = st.integers(0, 3).map(float)
    anywhere = st.integers(0, 10**6).map(lambda k: k / 10**5)
    return draw(hnp.arrays(float, shape, elements=draw(st.sampled_from([grid, anywhere]))))


def bars_of(d, dim):
    part = d.dim(dim)
    return in_order(zip(part.births.tolist(), part.deaths.tolist(), strict=True))


def in_order(bars):
    """Sorted by birth and death, births that differ by rounding alone being one."""
    return sorted(bars, key=lambda bar: (float(f"{bar[0]:.6g}"), bar[1]))


def gudhi_bars(points, dim):
    tree = gudhi.AlphaComplex(points=points).create_simplex_tree()
    tree.compute_persistence(homology_coeff_field=2)
    bars = np.sqrt(tree.persistence_intervals_in_dimension(dim))
    return in_order((b, d) for b, d in bars.tolist() if d - b > 1e-6 * d)


def radius(points):
    """The radius of the smallest sphere through the points, by least squares."""
    rows = points[1:] - points[0]
    return np.linalg.norm(np.linalg.lstsq(2 * rows, (rows**2).sum(1), rcond=None)[0]) if len(rows) else 0.0


def check_against_gudhi(points):
    dims = range(points.shape[1])
    d = alpha_persistence(torch.tensor(points)[None], dims)
    for dim in dims:
        long = [(b, e) for b, e in bars_of(d, dim) if e - b > 1e-6 * e]
        theirs = gudhi_bars(points, dim)
        assert len(long) == len(theirs)
        np.testing.assert_allclose(np.reshape(long, (-1, 2)), np.reshape(theirs, (-1, 2)), rtol=1e-6)
    for ends, cells in ((d.births, d.birth_cells), (d.deaths, d.death_cells)):
        for value, cell in zip(ends.tolist(), cells.tolist(), strict=True):
            corners = [v for v in cell if v >= 0]
            assert value == (pytest.approx(radius(points[corners]), rel=1e-6) if corners else math.inf)


@given(clouds())
def test_bars_equal_gudhi_and_values_are_radii_of_cells(points):
    check_against_gudhi(points)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_a_cloud_of_real_size(n_dims):
    check_against_gudhi(np.random.default_rng(0).normal(size=(400, n_dims)))


@pytest.mark.parametrize(("n", "radius", "seed"), [(300, 25.0, 1), (500, 3.0, 0)])
def test_points_of_a_sphere_enclose_one_cavity(n, radius, seed):
    # all tetrahedra have the same sphere; flat ones know its radius badly
    points = datasets.make_sphere(n, 2, radius=radius, random_state=seed).points
    check_against_gudhi(points)
    cavities = alpha_persistence(torch.from_numpy(points)[None], (2,))
    assert int((cavities.deaths > 0.99 * radius).sum()) == 1


def _tilted(family, n=60):
    """Points in a plane, on a line, on faces of a cube or on a grid, up to the rounding of a rotation."""
    generator = np.random.default_rng(5)
    points = generator.random((n, 3))
    if family == "plane":
        points[:, 2] = 0.0
    elif family == "line":
        points[:, 1:] = 0.0
    elif family == "circle":
        angles = 2 * np.pi * points[:, 0]
        points = np.stack((np.cos(angles), np.sin(angles), 0 * angles), 1)
    elif family == "cube":
        points[np.arange(n), generator.integers(0, 3, n)] = generator.integers(0, 2, n)
    else:
        points = np.stack(np.meshgrid(*[np.arange(k) for k in (8, 8, 1 if family == "grid" else 3)]), -1)
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    return points.reshape(-1, 3) @ rotation.T


@pytest.mark.parametrize("family", ["plane", "line", "circle", "cube", "grid", "lattice"])
def test_flat_tetrahedra_of_rounded_coordinates_are_no_bars(family):
    points = _tilted(family)
    check_against_gudhi(points)
    x = torch.from_numpy(points)[None].requires_grad_()
    d = alpha_persistence(x, (0, 1, 2)).finite()
    (d.births.sum() + d.deaths.sum()).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("n_dims", [2, 3])
def test_flat_simplices_keep_their_precision(n_dims):
    points = np.random.default_rng(6).normal(size=(80, n_dims)) * [1.0, 1e3, 1e-3][:n_dims]
    check_against_gudhi(points)


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("exponent", [-1000, -500, 300, 1022])
def test_diagrams_scale_with_the_unit_of_the_points(n_dims, exponent):
    x = torch.rand(1, 30, n_dims, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    x, factor = (x * 2**20).round() / 2**20, 2.0**exponent
    near, far = (alpha_persistence(points, range(n_dims)) for points in (x, x * factor))
    assert torch.equal(near.death_cells, far.death_cells)
    assert torch.equal(near.births * factor, far.births)
    assert torch.equal(near.deaths * factor, far.deaths)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_points_whose_distances_do_not_fit_are_refused(dtype):
    x = torch.tensor([[[-1.0, 0.0], [1.0, 0.0], [0.0, 0.1]]], dtype=dtype)
    with pytest.raises(InputError, match=r"x\[1\] has a bounding box whose diagonal overflows"):
        alpha_persistence(torch.cat((x, x * (0.6 * torch.finfo(dtype).max))))


@pytest.mark.parametrize("n_dims", [2, 3])
def test_gradients_of_first_and_second_order(n_dims):
    x = torch.rand(2, 12, n_dims, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def ends(points):
        d = alpha_persistence(points, range(n_dims)).finite()
        return torch.cat((d.births, d.deaths))

    torch.autograd.gradcheck(ends, x.requires_grad_())
    torch.autograd.gradgradcheck(ends, x)


def test_duplicates_have_finite_gradients():
    x = torch.tensor([[0.0, 0.0], [0, 0], [1, 0], [0, 1], [1, 1], [1, 1]], requires_grad=True)
    d = alpha_persistence(x[None])
    assert bars_of(d, 1) == [(0.5, pytest.approx(math.sqrt(0.5)))]
    (d.births.sum() + d.finite().deaths.sum()).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_few_points(n, n_dims):
    d = alpha_persistence(torch.eye(4)[None, :n, :n_dims], range(n_dims))
    assert d.dim(0).essential().n_bars == 1
    assert d.dim(0).n_bars == len({tuple(p) for p in torch.eye(4)[:n, :n_dims].tolist()})
    assert torch.isfinite(d.finite().deaths).all()


def test_a_list_is_each_cloud_alone_and_threads_change_nothing():
    generator = torch.Generator().manual_seed(2)
    batch = [torch.rand(n, 3, generator=generator) for n in (30, 1, 60, 5)]
    before, results = topodl.get_num_threads(), []
    try:
        for n in (1, 8):
            topodl.set_num_threads(n)
            results.append(alpha_persistence(batch, (0, 1, 2)))
    finally:
        topodl.set_num_threads(before)
    for name in ("births", "deaths", "samples", "birth_cells", "death_cells"):
        assert torch.equal(getattr(results[0], name), getattr(results[1], name))
    for k, cloud in enumerate(batch):
        alone = alpha_persistence(cloud[None], (0, 1, 2))
        torch.testing.assert_close(results[0][k].deaths, alone.deaths)
        assert torch.equal(results[0][k].death_cells, alone.death_cells)
    assert len(alpha_persistence([])) == len(alpha_persistence(torch.zeros(0, 4, 2))) == 0


@pytest.mark.parametrize(
    ("x", "dims", "message"),
    [
        (torch.zeros(1, 3, 4), 0, "x has points in 4 dimensions"),
        (torch.zeros(1, 0, 2), 0, r"x has shape \(1, 0, 2\)"),
        ([torch.zeros(1, 2), torch.full((1, 2), math.nan)], 0, r"x\[1\] has NaN at \(0, 0\)"),
        (torch.zeros(1, 3, 2), 2, "dims has 2"),
    ],
)
def test_bad_input_is_named(x, dims, message):
    with pytest.raises(InputError, match=message):
        alpha_persistence(x, dims)


@pytest.mark.usefixtures("dynamic_shapes")
def test_the_operator_traces_as_one_graph():
    from topodl.persistence.alpha import _alpha_bars

    x = torch.rand(2, 10, 2, generator=torch.Generator().manual_seed(4))
    torch.library.opcheck(_alpha_bars.op, (x.reshape(20, 2), [10, 10], [0, 1]))

    @torch.compile(fullgraph=True, backend="eager")
    def total(points):
        d = alpha_persistence(points)
        return torch.where(torch.isfinite(d.deaths), d.deaths - d.births, 0.0).sum()

    total(x.requires_grad_()).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("n_samples", [0, 1])
def test_points_in_four_dimensions_are_refused_also_where_there_are_none(n_samples):
    with pytest.raises(InputError, match="x has points in 4 dimensions"):
        alpha_persistence(torch.zeros(n_samples, 5, 4))
