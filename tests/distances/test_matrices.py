import gudhi.representations as peers
import numpy as np
import persim
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import topodl
from tests.naive.distances import landscape_distance_by_corners, sliced_by_definition
from tests.strategies import make_diagrams
from topodl import Diagrams, InputError
from topodl.distances import bottleneck_distance, distance_matrix, kernel_matrix, wasserstein_distance

counts = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=3)
METRICS = ("wasserstein", "bottleneck", "sliced_wasserstein", "persistence_fisher", "landscape", "heat")
KERNELS = ("scale_space", "weighted_gaussian", "sliced_wasserstein", "persistence_fisher")


def finite(seed, counts):
    return make_diagrams(seed, counts, essential=0.0)


def arrays(d, k=0):
    return d.dim(k).to_gudhi(k)


def one_sample(bars, dtype=torch.float64):
    return Diagrams.from_padded(torch.tensor(bars, dtype=dtype).reshape(1, -1, 2))


@given(counts, counts, st.integers(0, 1000), st.sampled_from([(2, 2), (1, np.inf), (3, 1.5)]))
@settings(max_examples=30)
def test_matchings_are_those_of_pairs(first, second, seed, norms):
    a, b = make_diagrams(seed, first), make_diagrams(seed + 1, second)
    order, norm = norms
    wasserstein = distance_matrix(a, b, order=order, ground_norm=norm)
    bottleneck = distance_matrix(a, b, "bottleneck")
    assert wasserstein.shape == bottleneck.shape == (2, len(a), len(b))
    for i in range(len(a)):
        for j in range(len(b)):
            torch.testing.assert_close(wasserstein[:, i, j], wasserstein_distance(a[i], b[j], order, norm)[0])
            torch.testing.assert_close(bottleneck[:, i, j], bottleneck_distance(a[i], b[j])[0])


@given(counts, st.integers(0, 1000), st.integers(1, 7))
@settings(max_examples=30)
def test_sliced_distances_are_those_of_the_definition(first, seed, n):
    d = make_diagrams(seed, first)
    table = distance_matrix(d, metric="sliced_wasserstein", n_directions=n)
    for k in (0, 1):
        bars = arrays(d.finite(), k)
        expected = [[sliced_by_definition(x, y, n) for y in bars] for x in bars]
        np.testing.assert_allclose(table[k], expected, atol=1e-12)


@given(counts, st.integers(0, 1000), st.sampled_from([1, 2, np.inf]), st.booleans())
@settings(max_examples=50)
def test_landscape_distances_are_exact(first, seed, order, superlevel):
    d = make_diagrams(seed, first, essential=0.0, superlevel=superlevel)
    table = distance_matrix(d, metric="landscape", order=order, n_layers=3)
    for k in (0, 1):
        bars = arrays(d, k)
        expected = [[landscape_distance_by_corners(x, y, 3, order) for y in bars] for x in bars]
        np.testing.assert_allclose(table[k], expected, atol=1e-12)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=7), min_size=2, max_size=2)
)
@settings(max_examples=100)
def test_landscapes_of_bars_that_share_ends_are_exact(sides):
    x, y = (np.array([(b, b + n) for b, n in bars], dtype=float).reshape(-1, 2) for bars in sides)
    for order in (1, 2, np.inf):
        distance = distance_matrix(one_sample(x), one_sample(y), "landscape", order=order, n_layers=4)
        np.testing.assert_allclose(distance.item(), landscape_distance_by_corners(x, y, 4, order), atol=1e-12)


@pytest.mark.parametrize("change", [1e-3, 1e-6, 1e-9])
def test_landscapes_that_are_nearly_equal_or_of_other_scales_are_exact(change):
    rng = np.random.default_rng(0)
    births = rng.random(40)
    bars = np.stack([births, births + rng.exponential(0.15, 40)], 1)
    moved = bars + change * rng.random(bars.shape)
    sides = [bars, moved, change * bars, change * moved, bars[:0]]
    table = distance_matrix(Diagrams.from_gudhi(sides), metric="landscape", n_layers=4)[0]
    expected = [[landscape_distance_by_corners(x, y, 4, 2) for y in sides] for x in sides]
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=0)
    many = Diagrams.from_gudhi(sides * 20)  # several rows at a time
    np.testing.assert_allclose(
        distance_matrix(many, metric="landscape", n_layers=4)[0], np.tile(table, (20, 20))
    )
    half = distance_matrix(many[:30], many[30:], "landscape", n_layers=4)[0]
    np.testing.assert_allclose(half, np.tile(table, (6, 14)))


def test_the_persistence_fisher_distance_of_gudhi():
    d = finite(0, [[5, 0], [3, 0], [8, 0], [1, 0]])
    table = distance_matrix(d, metric="persistence_fisher", bandwidth=0.3, dims=0)[0]
    expected = peers.PersistenceFisherDistance(bandwidth=0.3).fit_transform(arrays(d))
    np.testing.assert_allclose(table, expected, atol=1e-7)
    kernel = kernel_matrix(d, kernel="persistence_fisher", fisher_bandwidth=0.3, bandwidth=0.5, dims=0)[0]
    gudhi = peers.PersistenceFisherKernel(bandwidth_fisher=0.3, bandwidth=0.5).fit_transform(arrays(d))
    np.testing.assert_allclose(kernel, gudhi, atol=1e-6)


def test_the_kernels_of_gudhi_up_to_their_factors():
    d = finite(1, [[5, 0], [3, 0], [8, 0], [1, 0]])
    bars, b = arrays(d), 0.4
    ours = kernel_matrix(d, kernel="scale_space", bandwidth=b, dims=0)[0]
    theirs = peers.PersistenceScaleSpaceKernel(bandwidth=b * 2**0.5).fit_transform(bars)
    np.testing.assert_allclose(
        ours, theirs * (np.sqrt(2 * np.pi) * b * 2**0.5) / (4 * np.pi * b**2), rtol=1e-12
    )
    ours = kernel_matrix(d, kernel="weighted_gaussian", bandwidth=b, factor=2.0, power=1.5, dims=0)[0]
    weigh = {"weight": lambda p: np.arctan(2 * (p[1] - p[0]) ** 1.5)}
    theirs = peers.PersistenceWeightedGaussianKernel(bandwidth=b, **weigh).fit_transform(bars)
    np.testing.assert_allclose(ours, theirs * np.sqrt(2 * np.pi) * b, rtol=1e-12)
    ours = kernel_matrix(d, kernel="sliced_wasserstein", bandwidth=b, n_directions=9, dims=0)[0]
    expected = [[np.exp(-sliced_by_definition(x, y, 9) / b) for y in bars] for x in bars]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_the_heat_distance_of_persim():
    d = finite(2, [[5, 0], [3, 0]])
    bandwidth, (x, y) = 0.3, arrays(d)
    ours = distance_matrix(d, metric="heat", bandwidth=bandwidth, dims=0)[0, 0, 1]
    np.testing.assert_allclose(ours, persim.heat(x, y, sigma=bandwidth**2 / 2), rtol=1e-9)


def test_the_heat_distance_is_that_of_functions_in_the_plane():
    b, grid = 0.5, np.linspace(-4, 6, 400)
    x, y = np.meshgrid(grid, grid, indexing="ij")

    def spread(p, q):
        gaussians = [np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * b**2)) for u, v in ((p, q), (q, p))]
        return (gaussians[0] - gaussians[1]) / (2 * np.pi * b**2)

    gap = (spread(0, 2) - spread(0.5, 1.5))[y > x]
    distance = distance_matrix(one_sample([[0, 2]]), one_sample([[0.5, 1.5]]), "heat", bandwidth=b)
    assert distance.item() == pytest.approx(np.sqrt((gap**2).sum()) * (grid[1] - grid[0]), rel=1e-2)


@pytest.mark.parametrize("metric", METRICS)
def test_a_matrix_is_symmetric_zero_on_the_diagonal_and_that_of_two_batches(metric):
    d = finite(3, [[5, 2], [0, 0], [0, 3], [7, 1]])
    table = distance_matrix(d, metric=metric)
    assert torch.equal(table, table.mT)
    assert (table.diagonal(dim1=1, dim2=2) == 0).all()
    torch.testing.assert_close(distance_matrix(d, d, metric), table, atol=1e-7, rtol=1e-12)
    torch.testing.assert_close(distance_matrix(d, d[1:3], metric), table[:, :, 1:3], atol=1e-7, rtol=1e-12)
    torch.testing.assert_close(distance_matrix(d, metric=metric, dims=1), table[1:], atol=0, rtol=0)
    assert distance_matrix(d[:0], d, metric).shape == (2, 0, 4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_positive_definite(kernel):
    d = finite(4, [[5, 2], [0, 0], [0, 3], [7, 1], [2, 2]])
    options = {"fisher_bandwidth": 0.2} if kernel == "persistence_fisher" else {}
    table = kernel_matrix(d, kernel=kernel, bandwidth=0.3, **options)
    assert torch.equal(table, table.mT)
    assert (torch.linalg.eigvalsh(table) > -1e-12).all()
    torch.testing.assert_close(kernel_matrix(d, d, kernel, bandwidth=0.3, **options), table)


def test_threads_change_nothing():
    d = make_diagrams(5, [[6, 4]] * 40)
    before = topodl.get_num_threads()
    try:
        topodl.set_num_threads(1)
        alone = [distance_matrix(d, metric=metric) for metric in METRICS]
        topodl.set_num_threads(3)
        assert all(torch.equal(distance_matrix(d, metric=m), t) for m, t in zip(METRICS, alone, strict=True))
    finally:
        topodl.set_num_threads(before)


@pytest.mark.parametrize("metric", ["wasserstein", "bottleneck"])
def test_bars_with_an_infinite_end_go_to_those_with_the_same_one(metric):
    inf = np.inf
    sets = [[(0, inf)], [(3, inf)], [(-inf, 4)], [(0, inf), (9, inf)], [(5, 1e3), (9, inf), (1, inf)], []]
    d = Diagrams.cat([one_sample(bars) for bars in sets])
    table = distance_matrix(d, metric=metric)[0]
    assert table[0, 1] == 3
    assert table[5, 5] == 0
    assert table[0, 2] == table[0, 3] == table[2, 5] == inf
    expected = {"wasserstein": np.sqrt(1 + 995**2 / 2), "bottleneck": 497.5}[metric]
    assert table[3, 4].item() == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("exponent", [-30, 30])
def test_distances_scale_with_the_unit_of_the_data(metric, exponent):
    bars, unit = np.array([[0, 2], [1, 4.5], [3, 4]]), float(np.float32(10.0**exponent))
    bandwidth = {"bandwidth": 0.5} if metric in ("heat", "persistence_fisher") else {}
    in_unit = {"bandwidth": 0.5 * unit} if bandwidth else {}
    power = {"landscape": 1.5, "heat": -1, "persistence_fisher": 0}.get(metric, 1)
    expected = distance_matrix(one_sample(bars), one_sample(bars[:2] + 0.25), metric, **bandwidth)
    ours = distance_matrix(one_sample(bars * unit), one_sample((bars[:2] + 0.25) * unit), metric, **in_unit)
    torch.testing.assert_close(ours, expected * unit**power, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes_are_rounded_once(dtype):
    a, b = one_sample([[0, 1]] * 300, dtype), one_sample([[0, 3]], dtype)
    for metric in METRICS:
        wide = distance_matrix(a.to(torch.float64), b.to(torch.float64), metric).to(dtype)
        torch.testing.assert_close(distance_matrix(a, b, metric), wide)


def test_what_is_too_large_says_so():
    a = one_sample([[-3e38, 3e38]] * 4, torch.float32)
    with pytest.raises(InputError, match=r"too large for torch\.float32 between samples 0 and 0"):
        distance_matrix(a, one_sample([], torch.float32))


def test_bad_input_is_named():
    d = finite(0, [[2, 1]])
    with pytest.raises(InputError, match="metric is 'hausdorff'"):
        distance_matrix(d, metric="hausdorff")
    with pytest.raises(TypeError, match="has no option 'bandwidth'; those of metric='bottleneck' are none"):
        distance_matrix(d, metric="bottleneck", bandwidth=1.0)
    with pytest.raises(TypeError, match="are bandwidth, factor, power"):
        kernel_matrix(d, kernel="weighted_gaussian", order=1.0)
    for options in ({"order": 0.5}, {"ground_norm": 0}):
        with pytest.raises(InputError, match="expected a number of at least 1"):
            distance_matrix(d, **options)
    with pytest.raises(InputError, match=r"order is 3; expected one of 1, 2, inf"):
        distance_matrix(d, metric="landscape", order=3)
    with pytest.raises(InputError, match="bandwidth is 0"):
        distance_matrix(d, metric="heat", bandwidth=0)
    with pytest.raises(InputError, match="d2 has dimensions"):
        distance_matrix(d, d.dim(0))
    with pytest.raises(InputError, match="dims is 5"):
        kernel_matrix(d, dims=5)
    with pytest.raises(TypeError, match="d1 is a list"):
        kernel_matrix([])
