import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ripser
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import topodl
from tests.naive.rips import pairs as naive_pairs
from topodl import InputError, MemoryLimitError, _memory, rips_persistence
from topodl.persistence import _rips_pairing


@st.composite
def matrices(draw, max_points=9):
    """Symmetric matrices of few distinct values: ties, zeros, no triangle inequality, missing edges."""
    n = draw(st.integers(1, max_points))
    values = draw(
        st.sampled_from([[0.0, 1.0, 2.0], [0.5, 1.0, 1.5, 2.0, np.inf], list(np.linspace(0.1, 3, 50))])
    )
    entries = draw(hnp.arrays(float, n * (n - 1) // 2, elements=st.sampled_from(values)))
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = entries
    return matrix + matrix.T


@st.composite
def clouds(draw, max_points=14):
    """Points on a small grid (ties, duplicates), or anywhere."""
    shape = draw(st.integers(1, max_points)), draw(st.integers(1, 5))
    grid = st.integers(-2, 2).map(float)
    return draw(hnp.arrays(float, shape, elements=draw(st.sampled_from([grid, st.floats(-10, 10)]))))


def distances_of(points):
    return np.array([[math.dist(p, q) for q in points.tolist()] for p in points.tolist()])  # of any size


def cells_of(diagrams):
    rows = zip(
        diagrams.dims.tolist(), diagrams.birth_cells.tolist(), diagrams.death_cells.tolist(), strict=True
    )
    return sorted(((k, tuple(b), None if d[0] < 0 else tuple(d)) for k, b, d in rows), key=str)


def bars_of(diagrams, dim):
    part = diagrams.dim(dim)
    return sorted(zip(part.births.tolist(), part.deaths.tolist(), strict=True))


def assert_same_bars(ours, theirs, atol=1e-9):
    theirs = sorted((b, d) for b, d in theirs if d - b > 1e-7)
    ours = [(b, d) for b, d in ours if d - b > 1e-7]
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(np.array(ours).reshape(-1, 2), np.array(theirs).reshape(-1, 2), atol=atol)


@given(
    matrices(), st.sampled_from([(0,), (0, 1), (1,), (0, 1, 2), (3,)]), st.sampled_from([math.inf, 1.0, 0.0])
)
def test_critical_edges_are_those_of_the_reduced_boundary_matrix(matrix, dims, longest):
    matrix = matrix[:7, :7] if max(dims) > 1 else matrix
    d = rips_persistence(torch.tensor(matrix)[None], dims, metric="precomputed", max_edge_length=longest)
    assert cells_of(d) == [p for p in naive_pairs(matrix, max(dims), longest) if p[0] in dims]


@given(clouds(), st.sampled_from([math.inf, 2.0]))
def test_bars_of_points_are_those_of_ripser_and_values_are_lengths_of_cells(points, longest):
    d = rips_persistence(torch.tensor(points)[None], dims=(0, 1, 2), max_edge_length=longest)
    matrix = distances_of(points)
    theirs = ripser.ripser(matrix, maxdim=2, distance_matrix=True, thresh=min(longest, 1e9))["dgms"]
    for dim in range(3):
        assert_same_bars(bars_of(d, dim), theirs[dim], atol=1e-5)  # ripser computes in float32
    for ends, cells in ((d.births, d.birth_cells), (d.deaths, d.death_cells)):
        edge = (cells >= 0).all(1)
        i, j = cells[edge].T.numpy()
        assert (i < j).all()
        np.testing.assert_allclose(ends[edge].numpy(), matrix[i, j], rtol=1e-12)
    assert (d.births[d.dims == 0] == 0).all()
    assert torch.isinf(d.deaths[d.death_cells[:, 0] < 0]).all()


@given(clouds(max_points=12), st.sampled_from([torch.float32, torch.float64]))
def test_dimension_0_alone_is_the_part_of_dimension_0(points, dtype):
    x = torch.tensor(points, dtype=dtype)[None]
    alone, together = rips_persistence(x, dims=0), rips_persistence(x, dims=(0, 1))
    matrix = torch.tensor(distances_of(points))[None]
    assert cells_of(alone) == cells_of(together.dim(0))
    assert bars_of(alone, 0) == bars_of(together, 0)
    precomputed = [rips_persistence(matrix, dims=k, metric="precomputed") for k in (0, (0, 1))]
    assert cells_of(precomputed[0]) == cells_of(precomputed[1].dim(0))


@st.composite
def grids(draw, max_points=12):
    """Points whose differences are exact, and no smaller than a millionth of the largest possible one."""
    shape = draw(st.integers(1, max_points)), draw(st.sampled_from([1, 2, 3, 25]))
    return draw(hnp.arrays(int, shape, elements=st.integers(-(2**20), 2**20))) / 2.0**17


def assert_scaled(found, diagrams, factor):
    assert cells_of(found) == cells_of(diagrams)
    assert torch.equal(found.births, diagrams.births * factor)
    assert torch.equal(found.deaths, diagrams.deaths * factor)


@given(grids(), st.sampled_from([0, (0, 1), (0, 1, 2)]), st.data())
@settings(max_examples=40)
def test_diagrams_scale_with_the_unit_of_the_points(points, dims, data):
    for dtype, largest in ((torch.float64, 996), (torch.float32, 100)):
        x = torch.tensor(points, dtype=dtype)[None]
        d = rips_persistence(x, dims)
        factor = 2.0 ** data.draw(st.integers(-largest, largest), label="exponent")
        with np.errstate(over="ignore"):  # of squares that are taken again in another unit
            assert_scaled(rips_persistence(x * factor, dims), d, factor)
    factor = data.draw(st.floats(1e-300, 1e300), label="factor")
    x = torch.tensor(points)[None]
    with np.errstate(over="ignore"):
        d, found = rips_persistence(x, 0), rips_persistence(x * factor, 0)
    torch.testing.assert_close(found.deaths.sort().values / factor, d.deaths.sort().values)


@pytest.mark.parametrize("exponent", [-1000, -600, 0, 600, 1000])
def test_gradients_do_not_hang_on_the_unit_of_the_points(exponent):
    x = torch.randn(1, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gradients = []
    for factor in (1.0, 2.0**exponent):
        y = (x * factor).requires_grad_()
        ends = rips_persistence(y).finite().persistence()
        first = torch.autograd.grad(ends.sum(), y, create_graph=True)[0]
        alone = torch.autograd.grad(rips_persistence(y).finite().persistence().sum(), y)[0]
        torch.testing.assert_close(alone, first.detach())
        gradients.append(alone)
    torch.testing.assert_close(*gradients)


def test_short_bars_beside_long_ones_are_kept():
    x = torch.tensor([[[0.0], [1e-170], [3e-170], [1.0]]], dtype=torch.float64)
    for dims in (0, (0, 1)):
        deaths = rips_persistence(x, dims).deaths
        assert deaths.tolist() == [1e-170, pytest.approx(2e-170, rel=1e-9, abs=0), 1.0, math.inf]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_points_are_refused_only_where_their_distances_do_not_fit(dtype):
    half = torch.finfo(dtype).max / 2
    x = torch.tensor([[[0.0, 0.0], [-half, 0.0], [half, 0.0]]], dtype=dtype)
    for dims in (0, (0, 1)):
        assert rips_persistence(x, dims).deaths.tolist() == [half, half, math.inf]
    with pytest.raises(InputError, match=r"x\[1\] has a bounding box whose diagonal overflows"):
        rips_persistence(torch.cat((x, 1.5 * x)))


@pytest.mark.parametrize("dims", [(0,), (0, 1), (0, 1, 2)])
def test_bars_equal_gudhi_on_a_real_sized_cloud(dims):
    import gudhi

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40 if 2 in dims else 90, 3, generator=generator, dtype=torch.float64)
    d = rips_persistence(x[None], dims)
    tree = gudhi.RipsComplex(distance_matrix=distances_of(x.numpy())).create_simplex_tree(max(dims) + 1)
    tree.compute_persistence(homology_coeff_field=2)
    for dim in dims:
        assert_same_bars(bars_of(d, dim), tree.persistence_intervals_in_dimension(dim))


@pytest.mark.parametrize("levels", [12, 2000])
def test_holes_of_more_points_than_a_word_has_bits_equal_gudhi_with_and_without_ties(levels):
    import gudhi

    random = np.random.default_rng(levels)
    matrix = np.triu(random.integers(1, levels, (72, 72)), 1).astype(float)
    matrix += matrix.T
    longest = levels / 2
    d = rips_persistence(torch.tensor(matrix)[None], 2, max_edge_length=longest, metric="precomputed")
    tree = gudhi.RipsComplex(distance_matrix=matrix, max_edge_length=longest).create_simplex_tree(3)
    tree.compute_persistence(homology_coeff_field=2)
    assert_same_bars(bars_of(d, 2), tree.persistence_intervals_in_dimension(2))


def test_a_list_of_clouds_is_each_cloud_alone_and_threads_change_nothing():
    generator = torch.Generator().manual_seed(1)
    clouds = [torch.randn(n, 3, generator=generator) for n in (5, 1, 30, 2, 17)]
    before = topodl.get_num_threads()
    try:
        topodl.set_num_threads(1)
        serial = rips_persistence(clouds, dims=(0, 1, 2))
        topodl.set_num_threads(8)
        threaded = rips_persistence(clouds, dims=(0, 1, 2))
    finally:
        topodl.set_num_threads(before)
    for name in ("births", "deaths", "dims", "samples", "birth_cells", "death_cells"):
        assert torch.equal(getattr(serial, name), getattr(threaded, name))
    for k, cloud in enumerate(clouds):
        alone = rips_persistence(cloud[None], dims=(0, 1, 2))
        assert torch.equal(serial[k].births, alone.births)
        assert torch.equal(serial[k].deaths, alone.deaths)
        assert torch.equal(serial[k].death_cells, alone.death_cells)


def test_a_dense_batch_of_matrices_is_each_matrix_alone():
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(3, 12, 12, generator=generator)
    x = x + x.transpose(1, 2)
    together = rips_persistence(x, metric="precomputed")
    for k in range(3):
        alone = rips_persistence([x[k]], metric="precomputed")
        assert torch.equal(together[k].births, alone.births)
        assert torch.equal(together[k].deaths, alone.deaths)


@pytest.mark.parametrize("dims", [(0,), (0, 1), (1, 2)])
def test_gradients_of_first_and_second_order(dims):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 9, 3, dtype=torch.float64, generator=generator, requires_grad=True)

    def ends(points):
        d = rips_persistence(points, dims).finite()
        return torch.cat((d.births, d.deaths))

    torch.autograd.gradcheck(ends, x)
    torch.autograd.gradgradcheck(ends, x)


@pytest.mark.parametrize("dims", [(0,), (0, 1), (1, 2)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_gradient_on_the_host_is_that_of_tensor_operations(dims, dtype):
    generator = torch.Generator().manual_seed(9)
    x = [torch.randn(n, 5, generator=generator).to(dtype).requires_grad_() for n in (20, 30)]
    d = rips_persistence(x, dims)
    outputs = d.births, d.deaths, d.total_persistence()
    gradients = [torch.randn(output.shape, generator=generator).to(dtype) for output in outputs]
    alone = torch.autograd.grad(outputs, x, gradients, retain_graph=True)
    differentiable = torch.autograd.grad(outputs, x, gradients, create_graph=True)
    # Half types: one sum is in float32, the other one rounds at each step.
    rounding = {"rtol": 0.02, "atol": 0.05} if dtype.itemsize == 2 else {}
    for expected, value in zip(differentiable, alone, strict=True):
        torch.testing.assert_close(value, expected.detach(), **rounding)


@pytest.mark.parametrize("longest", [math.inf, 1.6])
@pytest.mark.parametrize("dims", [(0,), (0, 1), (1, 2)])
def test_total_persistence_comes_with_the_diagrams(dims, longest):
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(3, 9, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    d = rips_persistence(x, dims, max_edge_length=longest)
    assert longest == math.inf or 1 in d.essential().dims or 1 not in dims
    from_ends = d._with(births=d.births * 1, deaths=d.deaths * 1)
    totals = d.total_persistence(), from_ends.total_persistence()
    torch.testing.assert_close(*totals)
    weights = torch.arange(1.0, totals[0].numel() + 1).view_as(totals[0]).double()
    torch.testing.assert_close(*(torch.autograd.grad(t, x, weights, retain_graph=True) for t in totals))
    assert d.finite().total_persistence() is d.total_persistence()
    torch.autograd.gradcheck(lambda y: rips_persistence(y, dims).total_persistence(), x)
    torch.autograd.gradgradcheck(lambda y: rips_persistence(y, dims).total_persistence(), x)


def test_total_persistence_is_that_of_the_bars_that_are_there():
    d = rips_persistence(torch.rand(2, 9, 3, generator=torch.Generator().manual_seed(11)), (0, 1))
    longer = d.filter(0.3)
    torch.testing.assert_close(longer.total_persistence().sum(), longer.finite().persistence().sum())
    d.deaths = 2 * d.deaths
    torch.testing.assert_close(d.total_persistence().sum(), d.finite().persistence().sum())


def test_total_persistence_follows_changes_in_place_and_the_mode_of_gradients():
    x = torch.rand(2, 9, 3, generator=torch.Generator().manual_seed(12))
    d = rips_persistence(x, (0, 1))
    total = d.total_persistence().clone()
    d.total_persistence().mul_(5.0)
    torch.testing.assert_close(d.total_persistence(), total)
    d.deaths.mul_(2.0)
    torch.testing.assert_close(d.total_persistence().sum(), d.finite().persistence().sum())
    d = rips_persistence(x.requires_grad_(), 0)
    with torch.no_grad():
        assert not d.total_persistence().requires_grad
    assert d.total_persistence().requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(rips_persistence(x, (0, 1)).total_persistence(), total)


def test_gradient_of_a_matrix_stands_at_the_critical_entries():
    x = torch.tensor(distances_of(np.random.default_rng(4).normal(size=(10, 2))))[None].requires_grad_()
    d = rips_persistence(x, metric="precomputed")
    d.finite().deaths.sum().backward()
    expected = torch.zeros_like(x)
    for i, j in d.finite().death_cells.tolist():
        expected[0, i, j] += 1
    assert torch.equal(x.grad, expected)


def test_duplicate_points_have_gradient_zero_not_nan():
    x = torch.zeros(1, 6, 2, dtype=torch.float64, requires_grad=True)
    d = rips_persistence(x, dims=(0, 1))
    assert d.n_bars == 1
    (d.births.sum() + d.finite().deaths.sum()).backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    y = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [3.0, 0.0]]], requires_grad=True)
    rips_persistence(y).finite().deaths.sum().backward()
    assert torch.isfinite(y.grad).all()
    assert y.grad[0, 3, 0] == 1


def test_a_far_away_cloud_is_paired_as_at_the_origin():
    x = torch.randn(1, 60, 64, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x = torch.round(x * 2**20) / 2**20  # so that the shift is exact
    near, far = rips_persistence(x), rips_persistence(x + 1024.0)
    assert torch.equal(near.death_cells, far.death_cells)
    assert torch.equal(near.deaths, far.deaths)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_result_has_the_dtype_of_the_input(dtype):
    x = torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(6)).to(dtype)
    d = rips_persistence(x)
    assert d.births.dtype == d.deaths.dtype == dtype
    exact = rips_persistence(x.float())
    assert torch.equal(d.death_cells, exact.death_cells)


def test_classes_alive_at_max_edge_length_are_essential():
    angles = torch.arange(8, dtype=torch.float64) * math.pi / 4
    circle = torch.stack((angles.cos(), angles.sin()), 1)[None]
    d = rips_persistence(circle, max_edge_length=1.0)
    assert bars_of(d, 1) == [(pytest.approx(2 * math.sin(math.pi / 8)), math.inf)]
    assert d.dim(1).death_cells.tolist() == [[-1, -1]]
    assert rips_persistence(circle, max_edge_length=0.5).dim(0).essential().n_bars == 8


def test_one_point_and_an_empty_batch_are_values():
    one = rips_persistence(torch.zeros(1, 1, 3), dims=(0, 1, 2))
    assert (one.births.tolist(), one.deaths.tolist(), one.birth_cells.tolist()) == (
        [0.0],
        [math.inf],
        [[0, -1]],
    )
    assert rips_persistence(torch.zeros(1, 1, 1), metric="precomputed").n_bars == 1
    assert len(rips_persistence(torch.zeros(0, 4, 3))) == 0
    assert len(rips_persistence([])) == 0


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([torch.zeros(2, 3), torch.zeros(0, 3)], {}, r"x\[1\] has shape \(0, 3\)"),
        (torch.zeros(2, 0, 3), {}, r"x has shape \(2, 0, 3\)"),
        (torch.zeros(4, 3), {}, r"x has shape \(4, 3\)"),
        (
            [torch.zeros(2, 3), torch.tensor([[0.0, 0, 0], [0, math.nan, 0]])],
            {},
            r"x\[1\] has NaN at \(1, 1\)",
        ),
        (torch.full((1, 2, 2), math.inf), {}, r"x\[0\] has inf at \(0, 0\)"),
        ([torch.zeros(2, 3), torch.zeros(2, 2)], {}, r"x\[1\] has shape \(2, 2\)"),
        (torch.zeros(1, 2, 3), {"metric": "precomputed"}, r"x has shape \(1, 2, 3\)"),
        (torch.tensor([[[0.0, -1], [-1, 0]]]), {"metric": "precomputed"}, r"x\[0\] has -1.0 at \(0, 1\)"),
        (
            torch.tensor([[[0.0, 1], [2, 0]]]),
            {"metric": "precomputed"},
            r"x\[0\] has 1.0 at \(0, 1\) and 2.0",
        ),
        (torch.full((1, 2, 2), math.nan), {"metric": "precomputed"}, r"x\[0\] has NaN"),
        (torch.zeros(1, 2, 2), {"metric": "cosine"}, "metric is 'cosine'"),
        (torch.zeros(1, 2, 2), {"dims": (0, -1)}, "dims has -1"),
        (torch.zeros(1, 2, 2), {"dims": ()}, "dims is empty"),
        (torch.zeros(1, 2, 2), {"max_edge_length": math.nan}, "max_edge_length is nan"),
        (torch.zeros(1, 2, 2), {"max_edge_length": -1.0}, "max_edge_length is -1.0"),
    ],
)
def test_bad_input_is_named(x, options, message):
    with pytest.raises(InputError, match=message):
        rips_persistence(x, **options)


def test_a_matrix_of_distances_that_is_read_as_points_is_hinted_at():
    x = torch.tensor(distances_of(np.random.default_rng(0).normal(size=(5, 2))))
    for clouds in (x[None], [x, x[:2]]):
        with pytest.warns(UserWarning, match=r"read as 5 points in 5 dimensions; metric='precomputed'"):
            rips_persistence(clouds)
    points = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    rounded = torch.cdist(points, points) + 1e-4 * torch.rand(30, 30)  # as matrix products leave it
    with pytest.warns(UserWarning, match=r"read as 30 points in 30 dimensions; metric='precomputed'"):
        rips_persistence(rounded[None])
    crooked = x.clone()
    crooked[0, 1] += 1e-3
    for clouds in (crooked, x - 1, x + torch.eye(5), x[:, :4], 0 * x, x[:2, :2]):
        rips_persistence(clouds[None])  # warnings are errors in tests
    rips_persistence(x[None], metric="precomputed")


def test_what_is_no_tensor_is_a_type_error():
    with pytest.raises(TypeError, match="x is a ndarray"):
        rips_persistence(np.zeros((1, 2, 2)))
    with pytest.raises(TypeError, match=r"x\[0\] is a list"):
        rips_persistence([[0.0, 1.0]])
    with pytest.raises(TypeError, match="complex"):
        rips_persistence(torch.zeros(1, 2, 2, dtype=torch.complex64))


def test_a_complex_too_large_for_memory_is_refused_before_it_starts():
    x = torch.randn(1, 700, 3, generator=torch.Generator().manual_seed(7))
    with pytest.raises(MemoryLimitError, match="max_edge_length") as error:
        rips_persistence(x, dims=(0, 4))
    assert isinstance(error.value, MemoryError)
    assert rips_persistence(x, dims=(0, 4), max_edge_length=0.05).n_samples == 1


_MEASURE = """
import math
import numpy as np
from pathlib import Path
from topodl.persistence import _rips_pairing

def peak():
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status["VmHWM"].split()[0])

n, generator = 800, np.random.default_rng(0)
for dtype, longest in ((float, math.inf), (np.float32, math.inf), (float, 0.5), (np.float32, 0.05)):
    points = generator.random((n, 3)).astype(dtype)
    _rips_pairing.pair_cloud(points[:9], (0, 1), False, longest)  # compiled
    asked = []
    _rips_pairing.free_memory = lambda: 0
    _rips_pairing.reject_too_large = lambda n, estimate, *_: asked.append(estimate)
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    _rips_pairing.pair_cloud(points, (0, 1), False, longest)
    print(asked[0], 4 * n * (n - 1) + asked[1], peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux measures peaks")
def test_the_guard_asks_for_the_memory_that_is_taken():
    # a fixed threshold: what is freed goes back to the system, so that peaks do not hang on what ran before
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", _MEASURE]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        first, whole, taken = map(int, line.split())
        assert first <= whole
        assert taken <= whole <= 1.5 * taken + _rips_pairing._FIXED_BYTES


def test_small_clouds_run_where_nothing_is_free_and_large_ones_say_so(monkeypatch):
    monkeypatch.setattr("topodl.persistence._rips_pairing.free_memory", lambda: 0)
    assert rips_persistence(torch.rand(1, 50, 2)).n_samples == 1
    with pytest.raises(MemoryLimitError, match="a sample of 500 points"):
        rips_persistence(torch.rand(1, 500, 2))


def test_memory_that_the_file_cache_holds_counts_as_free(monkeypatch, tmp_path):
    told = tmp_path / "proc" / "meminfo"
    told.parent.mkdir()
    told.write_text("MemTotal: 8000 kB\nMemFree: 10 kB\nMemAvailable: 4000 kB\n", encoding="ascii")
    monkeypatch.setattr(_memory, "_ROOT", tmp_path)
    monkeypatch.setattr("topodl.persistence._rips_pairing._SMALL_BYTES", 0)
    x = torch.randn(1, 200, 3, generator=torch.Generator().manual_seed(7))
    assert rips_persistence(x).n_samples == 1
    with pytest.raises(MemoryLimitError, match=r"expected at most 0\.0 GiB"):
        rips_persistence(x, dims=(0, 1, 2))
    told.write_text("MemAvailable: 700 kB\n", encoding="ascii")
    with pytest.raises(MemoryLimitError, match=r"200 points, which .* \(points have a matrix of dist"):
        rips_persistence(x)
    told.write_text("MemAvailable: 1450 kB\n", encoding="ascii")
    with pytest.raises(MemoryLimitError, match=r"edges are sorted and paired.*a max_edge_length, fewer"):
        rips_persistence(x)
    assert rips_persistence(x, max_edge_length=0.1).n_samples == 1
    told.unlink()
    assert rips_persistence(x[:, :20], dims=(0, 1, 2)).n_samples == 1


def test_the_guard_looks_at_every_dimension_up_to_the_highest():
    # no point has 59 neighbours at this length, but subsets of 20 neighbours are far too many
    x = torch.rand(1, 120, 3, generator=torch.Generator().manual_seed(0))
    assert int((torch.cdist(x, x) <= 0.45).sum(2).max()) < 59
    with pytest.raises(MemoryLimitError, match="simplices of dimension"):
        rips_persistence(x, dims=(0, 59), max_edge_length=0.45)
    assert rips_persistence(x[:, :8], dims=(0, 59)).dim(59).n_bars == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_by_matrix_products_are_symmetric_enough(dtype):
    x = torch.randn(1, 150, 3, generator=torch.Generator().manual_seed(1), dtype=dtype) + 10.0
    matrix = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist")
    noise = 1e-4 if dtype == torch.float32 else 1e-9  # whatever this machine's matrix product is like
    matrix = matrix + noise * torch.rand(matrix.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    matrix.diagonal(dim1=1, dim2=2).fill_(5.0)
    upper = matrix.triu(1)
    for dims in ((0,), (0, 1)):
        d = rips_persistence(matrix, dims, metric="precomputed")
        exact = rips_persistence(upper + upper.mT, dims, metric="precomputed")
        assert torch.equal(d.deaths, exact.deaths)
        assert torch.equal(d.death_cells, exact.death_cells)


@pytest.mark.parametrize("dims", [(0,), (0, 1), (2,)])
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((3, 1), math.inf, r"x\[1\] has 2.0 at \(1, 3\) and inf at \(3, 1\)"),
        ((1, 3), math.inf, r"x\[1\] has inf at \(1, 3\) and 2.0 at \(3, 1\)"),
        ((3, 1), 2.01, r"x\[1\] has 2.0 at \(1, 3\) and 2.00999"),
        ((2, 2), math.nan, r"x\[1\] has NaN at \(2, 2\)"),
    ],
)
def test_one_sided_entries_and_nan_on_the_diagonal_are_named(dims, place, value, message):
    x = torch.full((2, 5, 5), 2.0)
    x[1, *place] = value
    with pytest.raises(InputError, match=message):
        rips_persistence(x, dims, metric="precomputed")


@pytest.mark.usefixtures("dynamic_shapes")
def test_the_operator_traces_as_one_graph_and_does_not_recompile():
    from topodl.persistence.rips import _rips_bars

    x = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(8))
    for sparse in (0.0, 0.5):
        options = ([12, 12], [0, 1], False, math.inf, sparse)
        torch.library.opcheck(_rips_bars.op, (x.reshape(24, 3), *options))
    calls = []

    def backend(graph, _inputs):
        calls.append(graph)
        return graph.forward

    @torch.compile(fullgraph=True, backend=backend)
    def total(points):
        d = rips_persistence(points)
        finite = torch.isfinite(d.deaths)
        return torch.where(finite, d.deaths - d.births, 0.0).sum()

    for seed in range(3):
        y = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(seed), requires_grad=True)
        total(y).backward()
        z = y.detach().clone().requires_grad_()
        rips_persistence(z).finite().persistence().sum().backward()
        torch.testing.assert_close(y.grad, z.grad)
    assert len(calls) == 1


@given(st.integers(1, 7), st.integers(0, 2**31 - 1))
@settings(max_examples=20)
def test_dimensions_without_room_for_a_cycle_are_empty(n, dim):
    x = torch.rand(1, n, 3, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    d = rips_persistence(x, dims=(0, dim) if dim > 2 else dim)
    assert d.homology_dims == ((0, dim) if dim > 2 else (dim,))
    assert dim < 3 or d.n_bars == n == int(d.dims.eq(0).sum())


def test_eight_points_hold_a_cavity_of_dimension_3_and_seven_none():
    axes = torch.cat((torch.eye(4, dtype=torch.float64), -torch.eye(4, dtype=torch.float64)))
    d = rips_persistence([axes, axes[:7]], dims=3)
    torch.testing.assert_close(d.births, torch.tensor([2**0.5], dtype=torch.float64))
    torch.testing.assert_close(d.deaths, torch.tensor([2.0], dtype=torch.float64))
    assert d.samples.tolist() == [0]


def test_dimensions_are_refused_where_no_integer_holds_them():
    with pytest.raises(InputError, match="dims has 1180591620717411303424; expected integers from 0 to"):
        rips_persistence(torch.rand(1, 3, 2), dims=(2**70,))
