import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import make_diagrams
from topodl import Diagrams, InputError
from topodl.distances import optimal_matching, wasserstein_distance

counts = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=3)


@given(counts, counts, st.integers(0, 1000))
@settings(max_examples=40)
def test_each_bar_is_in_one_match_whose_moves_make_up_the_distance(first, second, seed):
    n = min(len(first), len(second))
    a, b = make_diagrams(seed, first[:n]), make_diagrams(seed + 1, second[:n])
    matching = optimal_matching(a, b, 1, 1)
    distance = wasserstein_distance(a, b, 1, 1).flatten()
    assert torch.equal(distance.isinf(), matching.unequal)
    for d, bars in ((a, matching.first), (b, matching.second)):
        used = bars[bars >= 0]
        assert torch.equal(d.segments[used], matching.segments[bars >= 0])
        left_out = torch.isin(torch.arange(d.n_bars), used, invert=True)
        assert bool((d.deaths[left_out].isinf() & matching.unequal[d.segments[left_out]]).all())
        assert len(used.unique()) == len(used)
    total = torch.zeros(a.n_segments, dtype=torch.float64)
    for i, j, s in zip(
        *(x.tolist() for x in (matching.first, matching.second, matching.segments)), strict=True
    ):
        if i < 0 or j < 0:
            total[s] += a.persistence()[i] if j < 0 else b.persistence()[j]
        else:
            deaths = [float(d.deaths[k].nan_to_num(posinf=0.0)) for d, k in ((a, i), (b, j))]
            total[s] += abs(float(a.births[i] - b.births[j])) + abs(deaths[0] - deaths[1])
    torch.testing.assert_close(total[~matching.unequal], distance[~matching.unequal])


def test_other_dimensions_are_in_no_match():
    a, b = (
        make_diagrams(0, [[3, 2], [1, 4]], essential=0.0),
        make_diagrams(1, [[2, 3], [0, 1]], essential=0.0),
    )
    matching = optimal_matching(a, b, dims=1)
    assert set(a.dims[matching.first[matching.first >= 0]].tolist()) == {1}
    assert int((matching.first >= 0).sum()) == 6
    assert set(matching.segments.tolist()) == {1, 3}


def test_half_precision_and_empty_batches():
    a = make_diagrams(0, [[3, 2]], dtype=torch.float32, essential=0.0)
    assert len(optimal_matching(a.to(torch.bfloat16), a.to(torch.bfloat16)).first) == 5
    assert len(optimal_matching(a[:0], a[:0]).first) == 0


def test_bad_input_is_named():
    a = make_diagrams(0, [[3, 2]])
    with pytest.raises(InputError, match=r"optimal_matching: d2 has 0 samples; expected 1, as d1"):
        optimal_matching(a, a[:0])
    with pytest.raises(InputError, match=r"ground_norm is 0\.5"):
        optimal_matching(a, a, ground_norm=0.5)
    with pytest.raises(InputError, match="dims is 7"):
        optimal_matching(a, a, dims=7)
    with pytest.raises(TypeError, match="d2 is a list"):
        optimal_matching(a, [])


def test_a_case_by_hand():
    a = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [0.0, 9.0]]]))
    b = Diagrams.from_padded(torch.tensor([[[1.0, 9.0], [20.0, 21.0]]]))
    matching = optimal_matching(a, b)
    pairs = set(zip(matching.first.tolist(), matching.second.tolist(), strict=True))
    assert pairs == {(1, 0), (0, -1), (-1, 1)}
