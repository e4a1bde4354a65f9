import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import topodl
from tests.naive.multiparameter import betti_number
from topodl import (
    InputError,
    alpha_persistence,
    alpha_signed_measure,
    degree_rips_signed_measure,
    rips_persistence,
    rips_signed_measure,
)


@st.composite
def clouds(draw, max_points=7):
    """Points of the plane and a function, of few values (ties) or many."""
    n = draw(st.integers(1, max_points))
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    if draw(st.booleans()):
        return torch.randint(0, 3, (n, 2), generator=g).double(), torch.randint(
            0, 3, (n,), generator=g
        ).double()
    return torch.rand(n, 2, generator=g).double(), torch.rand(n, generator=g).double()


def cliques(near, k):
    """Return the cliques of up to k + 2 points, by who is near whom; the diagonal says who is there."""
    found = [[(v,) for v in range(len(near)) if near[v, v]]]
    for _ in range(k + 1):
        found.append(
            [
                (*s, v)
                for s in found[-1]
                for v in range(s[-1] + 1, len(near))
                if near[v, v] and all(near[u, v] for u in s)
            ]
        )
    return [s for several in found for s in several]


def distances_of(x):
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def between(values):
    """Return values between and around those that there are, where rounding decides nothing."""
    steps = np.unique(np.round(np.asarray(values), 9))
    return torch.from_numpy(np.concatenate([(steps[:-1] + steps[1:]) / 2, steps[-1:] + 1]))


def check_surface(m, radii, heights, there):
    """Compare with the ranks of every complex: `there(s, t)` is who is near whom."""
    found = m.surface(radii, heights)[0]
    for at, k in enumerate(m.homology_dims):
        for i, s in enumerate(radii):
            for j, t in enumerate(heights):
                assert found[at, i, j] == betti_number(cliques(there(s, t), k), k)


@given(clouds(6))
def test_function_rips_equals_ranks_of_every_complex(cloud):
    x, function = cloud
    distances = distances_of(x)
    m = rips_signed_measure(x[None], function[None], (0, 1))

    def there(s, t):
        near, present = distances <= s, function <= t
        return (near & present & present[:, None]).numpy()

    check_surface(m, between(distances.flatten()), between(function), there)
    same = rips_signed_measure(distances[None], function[None], (0, 1), metric="precomputed").merged()
    merged = m.merged()
    assert torch.equal(same.weights, merged.weights)
    torch.testing.assert_close(same.points, merged.points)


@given(clouds(6))
def test_degree_rips_equals_ranks_of_every_complex(cloud):
    x, _ = cloud
    distances = distances_of(x)
    m = degree_rips_signed_measure(x[None], (0, 1))

    def there(s, t):
        near = distances <= s
        present = near.sum(1) - 1 >= -t
        return (near & present & present[:, None]).numpy()

    heights = torch.arange(-len(x) + 1, 1) + 0.5
    check_surface(m, between(distances.flatten()), heights.double(), there)


@given(clouds(8), st.booleans())
def test_function_delaunay_equals_alpha_complexes_of_every_level(cloud, in_space):
    x, function = cloud
    if in_space:
        x = torch.cat((x, x[:, :1] * 0.3 + function[:, None] ** 2), 1)
    m = alpha_signed_measure(x[None], function[None], dims=(0, 1, 2) if in_space else (0, 1))
    levels = between(function)
    below = [x[function <= t] for t in levels]
    d = alpha_persistence([each for each in below if len(each)], dims=m.homology_dims)
    radii = torch.linspace(0.0, 2.0, 9, dtype=torch.float64) + 0.0123
    found = m.surface(radii, levels[[len(each) > 0 for each in below]])[0]
    for at, k in enumerate(m.homology_dims):
        for j, one in enumerate(d.dim(k)):
            alive = (one.births[:, None] <= radii) & (one.deaths[:, None] > radii)
            assert torch.equal(found[at, :, j], alive.sum(0).double())


@given(clouds(7), st.integers(1, 5))
def test_levels_sample_the_exact_measures(cloud, n_levels):
    x, function = cloud
    exact = rips_signed_measure(x[None], function[None], 1)
    some = rips_signed_measure(x[None], function[None], 1, levels=n_levels)
    values = function.sort().values
    ranks = [-(-len(values) * k // n_levels) for k in range(1, n_levels + 1)]
    levels = torch.unique(values[[rank - 1 for rank in ranks]])
    given_levels = rips_signed_measure(x[None], function[None], 1, levels=levels)
    radii = between(distances_of(x).flatten())
    at_levels = exact.surface(radii, levels)
    assert torch.equal(some.surface(radii, levels), at_levels)
    assert torch.equal(given_levels.surface(radii, levels), at_levels)
    assert given_levels.cells[:, 1].eq(-1).all()
    assert (some.cells[:, 1, 0] >= 0).all()


@pytest.mark.parametrize("name", ["circle", "plane", "ties"])
def test_golden_function_rips(shared, name):
    with np.load(shared / "golden" / "multiparameter" / f"rips_{name}.npz") as golden:
        arrays = {key: torch.from_numpy(golden[key]) for key in golden.files}
    x, function = arrays["points"][None].requires_grad_(), arrays["function"][None].requires_grad_()
    m = rips_signed_measure(x, function, (0, 1))
    for k in (0, 1):
        merged = m.dim(k).merged()
        torch.testing.assert_close(merged.points.detach(), arrays[f"hilbert{k}_points"], atol=1e-9, rtol=0)
        assert torch.equal(merged.weights, arrays[f"hilbert{k}_weights"])
    if arrays["grad_points"].numel():
        zero = m.dim(0)
        functional = (zero.weights * (zero.points[:, 0] ** 2 + 2 * zero.points[:, 1] ** 2)).sum()
        functional.backward()
        assert functional.item() == pytest.approx(arrays["functional"].item(), abs=1e-10)
        torch.testing.assert_close(x.grad[0], arrays["grad_points"], atol=1e-10, rtol=0)
        torch.testing.assert_close(function.grad[0], arrays["grad_function"], atol=1e-10, rtol=0)


def test_golden_function_delaunay_and_degree_rips(shared):
    with np.load(shared / "golden" / "multiparameter" / "delaunay_b.npz") as golden:
        arrays = {key: torch.from_numpy(golden[key]) for key in golden.files}
    m = alpha_signed_measure(arrays["points"][None], arrays["function"][None])
    with np.load(shared / "golden" / "multiparameter" / "degree_rips_b.npz") as golden:
        degrees = {key: torch.from_numpy(golden[key]) for key in golden.files}
    of_degrees = degree_rips_signed_measure(degrees["points"][None])
    for found, expected, dims in ((m, arrays, (0, 1)), (of_degrees, degrees, (0,))):
        for k in dims:
            merged = found.dim(k).merged()
            torch.testing.assert_close(merged.points, expected[f"hilbert{k}_points"], atol=1e-7, rtol=0)
            assert torch.equal(merged.weights, expected[f"hilbert{k}_weights"])
    found = of_degrees.surface(degrees["radii"] + 1e-9, degrees["minus_degree"].double())
    assert torch.equal(found[0, 0].long(), degrees["hilbert0"])


def test_a_line_by_hand_with_its_cells():
    line, function = torch.tensor([[[0.0], [2.0], [1.0]]]), torch.tensor([[0.0, 0.0, 5.0]])
    m = rips_signed_measure(line, function)
    rows = sorted(zip(m.points.tolist(), m.weights.tolist(), m.cells.tolist(), strict=True))
    assert rows == [
        ([0.0, 0.0], 1, [[0, -1], [0, -1]]),
        ([0.0, 0.0], 1, [[1, -1], [1, -1]]),
        ([0.0, 5.0], 1, [[2, -1], [2, -1]]),
        ([1.0, 5.0], -1, [[0, 2], [2, -1]]),
        ([1.0, 5.0], -1, [[1, 2], [2, -1]]),
        ([2.0, 0.0], -1, [[0, 1], [1, -1]]),
        ([2.0, 5.0], 1, [[0, 1], [2, -1]]),
    ]


@pytest.mark.parametrize("measure", [rips_signed_measure, alpha_signed_measure, degree_rips_signed_measure])
def test_a_list_is_each_cloud_alone_whatever_the_threads(measure):
    g = torch.Generator().manual_seed(0)
    points = [torch.rand(n, 2, generator=g) for n in (6, 1, 9)]
    functions = [torch.rand(len(x), generator=g) for x in points]

    def of(points, functions):
        more = () if measure is degree_rips_signed_measure else (functions,)
        return measure(points, *more, dims=(0, 1))

    before, results = topodl.get_num_threads(), []
    try:
        for n in (1, 8):
            topodl.set_num_threads(n)
            results.append(of(points, functions))
    finally:
        topodl.set_num_threads(before)
    assert torch.equal(results[0].points, results[1].points)
    for i, one in enumerate(results[0]):
        alone = of(points[i][None], functions[i][None])
        if measure is not degree_rips_signed_measure:
            assert torch.equal(one.points, alone.points)
            assert torch.equal(one.weights, alone.weights)
            assert torch.equal(one.cells, alone.cells)
        grid = torch.linspace(-9, 2, 23)
        assert torch.equal(one.surface(grid, grid), alone.surface(grid, grid))


@given(clouds(7))
def test_a_constant_function_leaves_ordinary_persistence(cloud):
    x, _ = cloud
    m, d = rips_signed_measure(x[None], torch.zeros(1, len(x)), (0, 1)), rips_persistence(x[None])
    for k in (0, 1):
        merged, bars = m.dim(k).merged(), d.dim(k)
        ends = torch.cat((bars.births, bars.deaths[bars.deaths < math.inf]))
        ends = torch.cat((ends, ends.new_zeros(0)))
        signs = torch.cat((torch.ones(bars.n_bars), -torch.ones(len(ends) - bars.n_bars)))
        grid = between(distances_of(x).flatten())
        expected = ((ends[:, None] <= grid) * signs[:, None]).sum(0)
        if k == 0:  # bars of length 0 are none, and add up to none
            assert m.dim(0).total_mass().item() == 1
        found = merged.surface(grid, torch.zeros(1, dtype=grid.dtype))[0, 0, :, 0]
        torch.testing.assert_close(found, expected, check_dtype=False)


@pytest.mark.parametrize("case", ["rips", "levels", "matrix", "alpha", "degree"])
def test_gradients_of_first_and_second_order(case):
    g = torch.Generator().manual_seed(4)
    x = torch.rand(1, 8, 2, dtype=torch.float64, generator=g).requires_grad_()
    function = torch.rand(1, 8, dtype=torch.float64, generator=g).requires_grad_()
    levels = torch.tensor([0.3, 0.8], dtype=torch.float64).requires_grad_()

    def functional(x, function, levels):
        m = {
            "rips": lambda: rips_signed_measure(x, function, (0, 1)),
            "levels": lambda: rips_signed_measure(x, function, (0, 1), levels=levels),
            "matrix": lambda: rips_signed_measure(
                (x[:, :, None] - x[:, None]).square().sum(3).add(1e-30).sqrt() * (1 - torch.eye(8)),
                function,
                metric="precomputed",
            ),
            "alpha": lambda: alpha_signed_measure(x, function),
            "degree": lambda: degree_rips_signed_measure(x, (0, 1)),
        }[case]()
        return (m.weights[:, None] * m.points**3).sum(0) + 0 * (function.sum() + levels.sum())

    torch.autograd.gradcheck(functional, (x, function, levels))
    torch.autograd.gradgradcheck(functional, (x, function, levels))


def test_what_is_infinite_is_never_there():
    x = torch.tensor([[[0.0], [1.0], [5.0]]])
    m = rips_signed_measure(x, torch.tensor([[0.0, math.inf, 1.0]])).merged()
    assert m.points.tolist() == [[0.0, 0.0], [0.0, 1.0], [5.0, 1.0]]
    matrix = distances_of(x)
    matrix[0, 0, 2] = matrix[0, 2, 0] = math.inf
    matrix[0, 1, 2] = matrix[0, 2, 1] = math.inf
    m = rips_signed_measure(matrix, torch.zeros(1, 3), (0, 1), metric="precomputed")
    assert m.total_mass().tolist() == [[2, 0]]
    nothing = rips_signed_measure(x.requires_grad_(), torch.full((1, 3), math.inf), (0, 1))
    assert nothing.n_points == 0
    nothing.convolve(torch.zeros(1), torch.zeros(1), 1.0).sum().backward()
    degrees = degree_rips_signed_measure(matrix, degrees=[1], metric="precomputed").merged()
    assert (degrees.points.tolist(), degrees.weights.tolist()) == ([[1.0, -1.0]], [1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_come_back(dtype):
    g = torch.Generator().manual_seed(3)
    x, function = torch.rand(2, 6, 2, generator=g).to(dtype), torch.rand(2, 6, generator=g).to(dtype)
    for m, single in (
        (rips_signed_measure(x, function), rips_signed_measure(x.float(), function.float())),
        (alpha_signed_measure(x, function), alpha_signed_measure(x.float(), function.float())),
        (degree_rips_signed_measure(x), degree_rips_signed_measure(x.float())),
    ):
        assert m.dtype == dtype
        assert torch.equal(m.weights, single.weights)
        assert torch.equal(m.points, single.points.to(dtype))


def test_dimensions_above_and_no_clouds_are_values():
    x, function = torch.rand(2, 4, 2), torch.rand(2, 4)
    m = rips_signed_measure(x, function, (1, 4))
    assert m.counts[:, 1].tolist() == [0, 0]
    assert len(rips_signed_measure(x[:0], function[:0], (0, 1))) == 0
    assert len(alpha_signed_measure(x[:0], function[:0])) == 0
    assert len(degree_rips_signed_measure(x[:0])) == 0


POINTS, VALUES = torch.rand(1, 5, 2), torch.rand(1, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rips_signed_measure(POINTS, VALUES[:, :4]),
            r"rips_signed_measure: function has shape \(1, 4\)",
        ),
        (lambda: rips_signed_measure([POINTS[0]], [VALUES[0, :3]]), r"function has shapes \[\(3,\)\]"),
        (lambda: rips_signed_measure(POINTS, VALUES * math.nan), r"function\[0\] has NaN"),
        (lambda: rips_signed_measure(POINTS, VALUES - math.inf), r"function\[0\] has -inf"),
        (lambda: rips_signed_measure(POINTS * math.nan, VALUES), r"x\[0\] has NaN at \(0, 0\)"),
        (lambda: rips_signed_measure(POINTS[0], VALUES), r"x has shape \(5, 2\)"),
        (lambda: rips_signed_measure(POINTS, VALUES, levels=0), "levels is 0"),
        (lambda: rips_signed_measure(POINTS, VALUES, levels=[1.0, 0.0]), "levels are .* expected rising"),
        (lambda: rips_signed_measure(POINTS, VALUES, levels=[math.nan]), "levels are"),
        (lambda: rips_signed_measure(POINTS, VALUES, -1), "dims has -1"),
        (lambda: rips_signed_measure(POINTS, VALUES, metric="cosine"), "metric is 'cosine'"),
        (
            lambda: rips_signed_measure(-torch.ones(1, 5, 5), VALUES, metric="precomputed"),
            r"rips_signed_measure: x\[0\] has -1.0",
        ),
        (
            lambda: alpha_signed_measure(torch.rand(1, 5, 4), VALUES),
            "alpha_signed_measure: x has points in 4",
        ),
        (lambda: alpha_signed_measure(POINTS, VALUES, 2), "dims has 2"),
        (lambda: degree_rips_signed_measure(POINTS, degrees=[]), "degrees is empty"),
        (lambda: degree_rips_signed_measure(POINTS, degrees=[-1]), "degrees is -1"),
        (lambda: degree_rips_signed_measure(POINTS, degrees=[0.5]), "degrees is 0.5"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
