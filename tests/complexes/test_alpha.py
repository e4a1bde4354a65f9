"""Alpha complexes against GUDHI's cells and values, and against the bars of `alpha_persistence`."""

import math

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import topodl
from topodl import InputError, alpha_persistence, complex_persistence
from topodl.complexes import CellComplexes, _alpha_filtration, alpha_complexes


@st.composite
def clouds(draw):
    """Points on a small grid (cospherical, coplanar, duplicates), or anywhere in a box."""
    shape = draw(st.integers(1, 20)), draw(st.sampled_from([2, 3]))
    grid = st.integers(0, 3).map(float)
    anywhere = st.integers(0, 10**6).map(lambda k: k / 10**5)
    return draw(hnp.arrays(float, shape, elements=draw(st.sampled_from([grid, anywhere]))))


def cells_of(complexes):
    """The value of each simplex of one complex by its vertices."""
    cells = {}
    for k in range(complexes.dim + 1):
        rows = map(tuple, complexes.vertices(k).table().tolist())
        cells |= dict(zip(rows, complexes.values(k).tolist(), strict=True))
    return cells


def joins_copies(cell, points):
    return len(cell) == 2 and (points[cell[0]] == points[cell[1]]).all()


def random_cloud(n, n_dims, seed=0):
    return torch.rand(n, n_dims, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def check_against_gudhi(points):
    complexes = alpha_complexes(torch.from_numpy(points)[None])
    tree = gudhi.AlphaComplex(points=points).create_simplex_tree()
    theirs = {tuple(simplex): math.sqrt(value) for simplex, value in tree.get_simplices()}
    ours = cells_of(complexes)
    left_out = {(i,) for i in range(len(points))} - theirs.keys()
    copies = {cell for cell in ours.keys() - theirs.keys() if joins_copies(cell, points)}
    assert len(copies) == len(left_out)
    assert all(ours.pop(cell) == 0.0 for cell in left_out | copies)
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    return complexes


def check_tables(complexes):
    """The same as what the constructor makes of the vertices alone."""
    tables = [complexes.vertices(k).table() for k in range(1, complexes.dim + 1)]
    checked = CellComplexes(complexes.offsets(0).diff(), tables)
    for k in range(1, complexes.dim + 1):
        assert torch.equal(complexes.vertices(k).table(), checked.vertices(k).table())
        assert torch.equal(complexes.faces(k).table(), checked.faces(k).table())
        assert torch.equal(complexes.offsets(k), checked.offsets(k))


@given(clouds())
def test_cells_and_values_are_those_of_gudhi(points):
    check_tables(check_against_gudhi(points))


@pytest.mark.parametrize("n_dims", [2, 3])
def test_a_cloud_of_real_size(n_dims):
    check_tables(check_against_gudhi(np.random.default_rng(0).normal(size=(300, n_dims))))


def test_an_obtuse_triangle_by_hand():
    x = torch.tensor([[[0.0, 0.0], [4.0, 0.0], [2.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    complexes = alpha_complexes(x)
    # the apex is in the circle of the long side, which waits for the triangle: R = abc / 4 area = 20 / 8
    assert complexes.values(1).tolist() == pytest.approx([2.5, math.sqrt(5) / 2, math.sqrt(5) / 2])
    assert complexes.values(2).tolist() == pytest.approx([2.5])
    # R = ((w / 2)² + h²) / 2h for the height h = 1 over a side of w = 4
    (gradient,) = torch.autograd.grad(complexes.values(1)[0], x)
    assert gradient[0, 2].tolist() == pytest.approx([0.0, 0.5 - 2.0])


@given(clouds())
def test_bars_are_those_of_alpha_persistence(points):
    x = torch.from_numpy(points)[None]
    complexes = alpha_complexes(x)
    d, expected = complex_persistence(complexes), alpha_persistence(x, range(points.shape[1]))
    for k in range(points.shape[1]):
        bars = []
        for part in (d.dim(k), expected.dim(k)):
            # what rounding makes of cospherical points has no length to speak of
            long = (part.deaths - part.births) > 1e-5 * part.deaths.nan_to_num(posinf=1.0)
            ends = zip(part.births[long].tolist(), part.deaths[long].tolist(), strict=True)
            bars.append(sorted((float(f"{a:.6g}"), float(f"{b:.6g}")) for a, b in ends))
        np.testing.assert_allclose(
            np.reshape(bars[0], (-1, 2)), np.reshape(bars[1], (-1, 2)), rtol=1e-5, atol=1e-9
        )


@given(clouds(), st.sampled_from([torch.float16, torch.float32, torch.float64]))
def test_no_cell_enters_before_its_faces_and_no_gradient_is_nan(points, dtype):
    x = torch.from_numpy(points)[None].to(dtype).requires_grad_()
    complexes = alpha_complexes(x)
    for k in range(1, complexes.dim + 1):
        assert complexes.values(k).dtype == dtype
        below = complexes.values(k - 1)[complexes.faces(k).table()]
        assert (below.amax(1) <= complexes.values(k)).all()
    values = torch.cat([complexes.values(k) for k in range(complexes.dim + 1)])
    values[torch.isfinite(values)].sum().backward()
    assert not x.grad.isnan().any()  # slopes may be too large for a half type


def test_values_are_the_same_with_and_without_gradient():
    x = random_cloud(60, 3)[None]
    with_gradient, without = alpha_complexes(x.clone().requires_grad_()), alpha_complexes(x)
    assert with_gradient.requires_grad
    assert not without.requires_grad
    for k in range(4):
        assert torch.equal(with_gradient.values(k), without.values(k))


@pytest.mark.parametrize("n_dims", [2, 3])
def test_gradients_of_first_and_second_order(n_dims):
    # a cell between almost cospherical points has a steep value
    x = random_cloud(9, n_dims, seed=3)[None]

    def values(points):
        complexes = alpha_complexes(points)
        return torch.cat([complexes.values(k) for k in range(n_dims + 1)]).clamp(max=1.0)

    torch.autograd.gradcheck(values, x.requires_grad_())
    torch.autograd.gradgradcheck(values, x)
    (direct,) = torch.autograd.grad(values(x).sum(), x)
    torch.testing.assert_close(torch.func.grad(lambda points: values(points).sum())(x.detach()), direct)


def test_a_list_is_each_cloud_alone_and_threads_change_nothing():
    batch = [random_cloud(n, 3, seed=n) for n in (30, 1, 2, 60, 5)]
    batch[3][7] = batch[3][50]
    before, results = topodl.get_num_threads(), []
    try:
        for n in (1, 8):
            topodl.set_num_threads(n)
            results.append(alpha_complexes(batch))
    finally:
        topodl.set_num_threads(before)
    alone = CellComplexes.cat([alpha_complexes(cloud[None]) for cloud in batch])
    for other in (results[1], alone):
        for k in range(4):
            assert torch.equal(results[0].vertices(k).table(), other.vertices(k).table())
            assert torch.equal(results[0].offsets(k), other.offsets(k))
            assert torch.equal(results[0].values(k), other.values(k))
            if k:
                assert torch.equal(results[0].faces(k).table(), other.faces(k).table())
    assert len(alpha_complexes([])) == len(alpha_complexes(torch.zeros(0, 4, 2))) == 0


def test_copies_of_a_point_are_joined_to_it():
    x = torch.tensor([[0.0, 0.0], [0, 0], [1, 0], [0, 1], [-0.0, 0.0]], requires_grad=True)
    complexes = alpha_complexes(x[None])
    values = cells_of(complexes)
    assert len(complexes.vertices(0)) == 5
    assert sorted(values[cell] for cell in values if joins_copies(cell, x)) == [0.0, 0.0]
    assert complexes.betti_numbers().tolist() == [[1, 0, 0]]
    sum(complexes.values(k).sum() for k in (1, 2)).backward()
    assert torch.isfinite(x.grad).all()
    used = x.grad.abs().sum(1) > 0
    assert used[[2, 3]].all()
    assert int(used[[0, 1, 4]].sum()) == 1
    same = alpha_complexes(torch.ones(1, 3, 3))
    assert same.counts.tolist() == [[3, 2, 0, 0]]


@pytest.mark.parametrize("n", [4, 60])
def test_points_in_a_tilted_plane_have_no_gradient_that_is_not_finite(n):
    flat = torch.cat((random_cloud(n, 2), torch.zeros(n, 1, dtype=torch.float64)), 1)
    rotation, _ = torch.linalg.qr(random_cloud(3, 3, seed=1))
    x = (flat @ rotation)[None].requires_grad_()
    complexes = alpha_complexes(x)
    d = complex_persistence(complexes)
    lasting = d.deaths - d.births > 1e-3
    within = lasting & (d.deaths < 1.0)
    expected = alpha_persistence(x, (0, 1, 2)).finite()
    torch.testing.assert_close(
        d.deaths[within].sort().values,
        expected.deaths[expected.deaths - expected.births > 1e-3].sort().values,
    )
    d.deaths[within].sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("exponent", [-1000, -500, 300, 1000])
def test_values_scale_with_the_unit_of_the_points(exponent):
    x, factor = (random_cloud(30, 3)[None] * 2**20).round() / 2**20, 2.0**exponent
    near, far = alpha_complexes(x), alpha_complexes(x * factor)
    for k in range(4):
        assert torch.equal(near.vertices(k).table(), far.vertices(k).table())
        assert torch.equal(near.values(k) * factor, far.values(k))


def test_an_unknown_form_of_the_serialised_tree_is_read_simplex_by_simplex(monkeypatch):
    points = np.random.default_rng(3).random((40, 3))
    expected = _alpha_filtration._delaunay(points)
    monkeypatch.setattr(_alpha_filtration, "read_simplices", lambda *_: (np.empty((0, 4)), -1))
    for level, other in zip(_alpha_filtration._delaunay(points), expected, strict=True):
        np.testing.assert_array_equal(level, other)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 3, 4), "x has points in 4 dimensions"),
        (torch.zeros(1, 0, 2), r"x has shape \(1, 0, 2\)"),
        (torch.zeros(3, 2), r"x has shape \(3, 2\)"),
        ([torch.zeros(1, 2), torch.full((1, 2), math.nan)], r"x\[1\] has NaN at \(0, 0\)"),
    ],
)
def test_bad_input_is_named(x, message):
    with pytest.raises(InputError, match=f"alpha_complexes: {message}"):
        alpha_complexes(x)
