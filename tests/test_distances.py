import gudhi
import gudhi.wasserstein
import numpy as np
import persim
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import make_diagrams
from topodl import Diagrams, InputError
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
            np.testing.assert_allclose(bottleneck[i, k], gudhi.bottleneck_distance(x, y), atol=1e-12)
            if len(x) and len(y):
                np.testing.assert_allclose(wasserstein[i, k], persim.wasserstein(x, y), atol=1e-9)
                np.testing.assert_allclose(bottleneck[i, k], persim.bottleneck(x, y), atol=1e-9)


def sliced_by_definition(x, y, n):
    total = 0.0
    for angle in np.linspace(-np.pi / 2, np.pi / 2, n, endpoint=False):
        line = np.array([np.cos(angle), np.sin(angle)])
        on_diagonal = [z.mean(1, keepdims=True).repeat(2, 1) @ line for z in (x, y)]
        left, right = np.sort(np.r_[x @ line, on_diagonal[1]]), np.sort(np.r_[y @ line, on_diagonal[0]])
        total += np.abs(left - right).sum()
    return total / n


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
