import gudhi
import gudhi.wasserstein
import numpy as np
import persim
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.naive.distances import bottleneck_by_matchings, sliced_by_definition
from tests.strategies import make_diagrams
from topodl import Diagrams, InputError, SignedMeasures
from topodl.distances import bottleneck_distance, sliced_wasserstein_distance, wasserstein_distance

NORMS = [(1, np.inf), (2, 2), (1, 2), (2, 1), (3, 1.5)]
counts = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=3)


@pytest.mark.filterwarnings("ignore:Cardinality")
@given(counts, counts, st.integers(0, 1000), st.sampled_from(NORMS), st.booleans())
def test_wasserstein_agrees_with_gudhi(first, second, seed, norms, superlevel):
    n = min(len(first), len(second))
    a = make_diagrams(seed, first[:n], superlevel=superlevel)
    b = make_diagrams(seed + 1, second[:n], superlevel=superlevel)
    ours = wasserstein_distance(a, b, *norms)
    for i in range(n):
        for k in (0, 1):
            x, y = a[i].to_gudhi(k)[0], b[i].to_gudhi(k)[0]
            x, y = (-z if superlevel else z for z in (x, y))
            expected = gudhi.wasserstein.wasserstein_distance(
                x, y, order=norms[0], internal_p=norms[1], keep_essential_parts=True
            )
            np.testing.assert_allclose(ours[i, k], expected, rtol=1e-9, atol=1e-9)


@given(counts, st.integers(0, 1000))
@settings(max_examples=20)
def test_bottleneck_and_persim(first, seed):
    a, b = make_diagrams(seed, first, essential=0.0), make_diagrams(seed + 1, first[::-1], essential=0.0)
    bottleneck, wasserstein = bottleneck_distance(a, b), wasserstein_distance(a, b, 1, 2)
    for i in range(len(a)):
        for k in (0, 1):
            x, y = a[i].to_gudhi(k)[0], b[i].to_gudhi(k)[0]
            np.testing.assert_allclose(bottleneck[i, k], bottleneck_by_matchings(x, y), atol=1e-12)
            if len(x) and len(y):
                np.testing.assert_allclose(wasserstein[i, k], persim.wasserstein(x, y), atol=1e-9)
                np.testing.assert_allclose(bottleneck[i, k], persim.bottleneck(x, y), atol=1e-9)


@given(counts, st.integers(0, 1000))
@settings(max_examples=20)
def test_sliced_wasserstein_by_definition(first, seed):
    a, b = make_diagrams(seed, first), make_diagrams(seed + 1, first[::-1])
    ours = sliced_wasserstein_distance(a, b, 7)
    for i in range(len(a)):
        for k in (0, 1):
            x, y = a.finite()[i].to_gudhi(k)[0], b.finite()[i].to_gudhi(k)[0]
            np.testing.assert_allclose(ours[i, k], sliced_by_definition(x, y, 7), atol=1e-12)


@pytest.mark.parametrize("norms", NORMS)
def test_gradients(norms):
    a, b = make_diagrams(0, [[4, 1], [0, 3]]), make_diagrams(1, [[3, 1], [2, 0]])
    a, b = a.finite(), b.finite()
    ends = [x.clone().requires_grad_() for x in (a.births, a.deaths, b.births, b.deaths)]

    def both(b1, d1, b2, d2):
        left, right = a._with(births=b1, deaths=d1), b._with(births=b2, deaths=d2)
        return wasserstein_distance(left, right, *norms), sliced_wasserstein_distance(left, right, 5)

    assert torch.autograd.gradcheck(both, ends)


def test_gradient_is_zero_at_identical_diagrams():
    a = make_diagrams(0, [[4, 3]])
    births = a.births.clone().requires_grad_()
    moved = a._with(births=births)
    for order, norm in NORMS:
        distance = wasserstein_distance(moved, a, order, norm)
        assert (distance == 0).all()
        (grad,) = torch.autograd.grad(distance.sum(), births)
        assert (grad == 0).all()
    assert (sliced_wasserstein_distance(moved, a) == 0).all()
    assert (bottleneck_distance(moved, a) == 0).all()


def test_unequal_numbers_of_essential_bars_are_infinitely_far():
    a = Diagrams.from_padded(torch.tensor([[[0.0, torch.inf], [0.0, 1.0]]]))
    b = Diagrams.from_padded(torch.tensor([[[0.5, torch.inf]]]))
    c = b.dim(0).select(torch.tensor([False]))
    births = a.births.clone().requires_grad_()
    distance = wasserstein_distance(a._with(births=births), b, 1, np.inf)
    assert distance.item() == 1.0
    distance.sum().backward()
    assert births.grad.tolist() == [-1.0, -0.5]
    assert wasserstein_distance(a, c).item() == np.inf
    assert bottleneck_distance(a, c).item() == np.inf


def test_the_hand_computed_case():
    a = Diagrams.from_padded(torch.tensor([[[0.0, 2.0]]]))
    nothing = a.select(torch.tensor([False]))
    assert wasserstein_distance(a, nothing, 2, 2).item() == pytest.approx(2**0.5)
    assert wasserstein_distance(a, nothing, 2, np.inf).item() == 1.0
    assert wasserstein_distance(nothing, nothing).item() == 0.0


def test_batch_is_a_loop_and_dims_select():
    a, b = (
        make_diagrams(0, [[4, 3], [5, 0], [0, 0]], essential=0.0),
        make_diagrams(1, [[2, 2], [0, 3], [1, 1]], essential=0.0),
    )
    for distance in (wasserstein_distance, bottleneck_distance, sliced_wasserstein_distance):
        every = distance(a, b)
        torch.testing.assert_close(every, torch.cat([distance(a[i], b[i]) for i in range(3)]))
        torch.testing.assert_close(distance(a, b, dims=1), every[:, 1:])
        assert distance(a.to(torch.float32), b.to(torch.float32)).dtype == torch.float32
        assert distance(a[:0], b[:0]).shape == (0, 2)


def test_bad_input_is_named():
    a, b = make_diagrams(0, [[4, 3]]), make_diagrams(1, [[2, 2], [0, 3]])
    with pytest.raises(InputError, match=r"d2 has 2 samples; expected 1, as d1"):
        wasserstein_distance(a, b)
    with pytest.raises(InputError, match="d2 has dimensions"):
        bottleneck_distance(a, a.dim(0))
    with pytest.raises(InputError, match=r"order is 0\.5"):
        wasserstein_distance(a, a, order=0.5)
    with pytest.raises(InputError, match="dims is 3"):
        wasserstein_distance(a, a, dims=3)
    with pytest.raises(TypeError, match="d1 is a list"):
        sliced_wasserstein_distance([], a)


grid_points = st.tuples(st.integers(0, 12), st.integers(1, 6)).map(lambda bar: (bar[0], bar[0] + bar[1]))
small_diagrams = st.lists(grid_points, max_size=6)
DISTANCES = [
    wasserstein_distance,
    lambda a, b: wasserstein_distance(a, b, order=1, ground_norm=np.inf),
    lambda a, b: wasserstein_distance(a, b, order=3, ground_norm=1.5),
    bottleneck_distance,
    sliced_wasserstein_distance,
]


def one_sample(bars, dtype=torch.float64):
    return Diagrams.from_padded(torch.tensor(bars, dtype=dtype).reshape(1, -1, 2))


@given(small_diagrams, small_diagrams)
@settings(max_examples=300)
def test_bottleneck_is_exact_among_ties(first, second):
    distance = bottleneck_distance(one_sample(first), one_sample(second))
    assert distance.item() == pytest.approx(bottleneck_by_matchings(first, second), rel=1e-12)


def test_the_bottleneck_distance_that_gudhi_gets_wrong():
    a, b = one_sample([[2, 3], [5, 9], [5, 12], [7, 11]]), one_sample([[6, 11], [3, 6]])
    assert bottleneck_distance(a, b).item() == pytest.approx(2.0)


def test_bars_with_an_infinite_end_go_to_those_with_the_same_one():
    inf = np.inf
    cases = [
        ([(-inf, 1)], [(-inf, 2)], 1.0),
        ([(-inf, 1), (-inf, 5)], [(-inf, 6), (-inf, 2)], 1.0),
        ([(1, -inf)], [(4, -inf)], 3.0),
        ([(-inf, inf)], [(-inf, inf)], 0.0),
        ([(-inf, 1)], [(1, inf)], inf),
        ([(-inf, inf)], [(0, inf)], inf),
        ([(-inf, 1)], [], inf),
    ]
    for first, second, expected in cases:
        a, b = one_sample(first), one_sample(second)
        assert bottleneck_distance(a, b).item() == pytest.approx(expected)
        for order, norm in NORMS:
            n = len(first) if expected else 1
            assert wasserstein_distance(a, b, order, norm).item() == pytest.approx(
                expected * n ** (1 / order)
            )


@pytest.mark.parametrize("distance", DISTANCES)
@given(small_diagrams, small_diagrams, st.integers(-30, 30))
@settings(max_examples=30)
def test_distances_scale_with_the_unit_of_the_data(distance, first, second, exponent):
    unit = float(np.float32(10.0**exponent))
    expected = distance(one_sample(first), one_sample(second)) * unit
    for dtype in (torch.float32, torch.float64):
        a, b = (one_sample(np.array(bars, dtype=np.float64) * unit, dtype) for bars in (first, second))
        torch.testing.assert_close(distance(a, b).double(), expected, rtol=1e-5, atol=1e-5 * unit)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(distance, dtype):
    many, none = one_sample([[0, 1]] * 600, dtype), one_sample([], dtype)
    expected = distance(many.to(torch.float64), none.to(torch.float64)).to(dtype)
    torch.testing.assert_close(distance(many, none), expected)
    a, b = one_sample([[0, 300], [0, 1000]], dtype), one_sample([[0, 900]], dtype)
    torch.testing.assert_close(distance(a, b), distance(a.to(torch.float64), b.to(torch.float64)).to(dtype))


def test_a_distance_out_of_reach_says_so():
    a = one_sample([[-3e38, 3e38]] * 4, torch.float32)
    for distance in (wasserstein_distance, sliced_wasserstein_distance):
        with pytest.raises(InputError, match=r"too large for torch\.float32"):
            distance(a, one_sample([], torch.float32))
    half = one_sample([[-60000, 60000]] * 3, torch.float16)
    for distance in (wasserstein_distance, sliced_wasserstein_distance):
        with pytest.raises(InputError, match=r"d has values up to 60000, .* too large for torch\.float16"):
            distance(half, one_sample([], torch.float16))
    low, high = (one_sample([[x, np.inf]], torch.float16) for x in (-60000, 60000))
    with pytest.raises(
        InputError, match=r"bottleneck_distance: d has values .* too large for torch\.float16"
    ):
        bottleneck_distance(low, high)


@pytest.mark.parametrize("distance", DISTANCES)
def test_two_dtypes_give_the_wider(distance):
    single, double = one_sample([[0, 1]], torch.float32), one_sample([[0, 3e200], [1, 2]], torch.float64)
    expected = distance(single.to(torch.float64), double)
    assert torch.isfinite(expected).all()
    for a, b in ((single, double), (double, single)):
        torch.testing.assert_close(distance(a, b), expected)


@pytest.mark.parametrize("distance", [wasserstein_distance, sliced_wasserstein_distance])
def test_empty_diagrams_keep_the_graph(distance):
    births = torch.zeros(1, requires_grad=True)
    d = Diagrams.from_padded(torch.tensor([[[0.0, torch.inf]]]))
    value = distance(d._with(births=births), d)
    value.sum().backward()
    assert value.item() == 0.0
    assert births.grad.tolist() == [0.0]


def signed(points, weights, n_samples=1, samples=None):
    n = len(weights)
    samples = torch.zeros(n, dtype=torch.int64) if samples is None else samples
    return SignedMeasures(
        points, weights, torch.zeros(n, dtype=torch.int64), samples, n_samples=n_samples, homology_dims=[0]
    )


def test_golden_distances_of_signed_measures(shared):
    with np.load(shared / "golden" / "multiparameter" / "measures_a.npz") as golden:
        points, weights = torch.from_numpy(golden["points"]), torch.from_numpy(golden["weights"])
        directions, expected = golden["directions"], torch.from_numpy(golden["sliced_wasserstein"])
    angles = np.arctan2(directions[1], directions[0]) % np.pi
    n, evenly = len(expected), np.arange(directions.shape[1]) * np.pi / directions.shape[1]
    m = signed(
        points.flatten(0, 1), weights.flatten(), n, torch.arange(n).repeat_interleave(weights.shape[1])
    )
    for i in range(n):
        for j in range(n):
            found = sliced_by_hand(points[i], weights[i], points[j], weights[j], angles)
            assert found == pytest.approx(expected[i, j].item(), abs=1e-9)
            ours = sliced_wasserstein_distance(m[i], m[j], n_directions=len(evenly)).item()
            by_hand = sliced_by_hand(points[i], weights[i], points[j], weights[j], evenly)
            assert ours == pytest.approx(by_hand, abs=1e-9)


def sliced_by_hand(x, w, y, v, angles):
    total = 0.0
    for angle in angles:
        line = np.array([np.cos(angle), np.sin(angle)])
        sides = [[], []]
        for points, weights, turn in ((x, w, 0), (y, v, 1)):
            for point, weight in zip(points.numpy(), weights.tolist(), strict=True):
                sides[turn if weight > 0 else 1 - turn] += [point @ line] * abs(weight)
        total += sum(abs(a - b) for a, b in zip(*map(sorted, sides), strict=True))
    return total / len(angles)


def test_distances_of_signed_measures_have_gradients_and_need_equal_masses():
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(5, 2, dtype=torch.float64, generator=g).requires_grad_() for _ in range(2))
    w = torch.tensor([2, -1, 1, -1, 1])

    torch.autograd.gradcheck(
        lambda x, y: sliced_wasserstein_distance(signed(x, w), signed(y, w.flip(0)), 7), (x, y)
    )
    with pytest.raises(InputError, match="d2 has mass -2 in sample 0, dimension 0; expected 2, as d1"):
        sliced_wasserstein_distance(signed(x, w), signed(y, -w))
    clipped = [signed(x, w).clipped((2.0, 2.0)), signed(y, -w).clipped((2.0, 2.0))]
    assert sliced_wasserstein_distance(*clipped).item() > 0
    assert sliced_wasserstein_distance(clipped[0], clipped[0]).item() == 0
    nothing = signed(x[:0], w[:0])
    sliced_wasserstein_distance(nothing, nothing).sum().backward()
    with pytest.raises(TypeError, match="d2 is a Diagrams; expected SignedMeasures"):
        sliced_wasserstein_distance(signed(x, w), make_diagrams(0, [[1, 1]]))
