import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.losses import golden
from topodl.kernels.region_separation import pair_weights
from topodl.losses import WindowedTopoLoss, windowed_topo_loss
from topodl.losses.windowed_topo import _regions, separation_weights


def test_equals_its_authors_code(shared):
    inputs = golden.load(shared, "oner_inputs")
    distance = torch.from_numpy(inputs["pred"]).double().requires_grad_()
    label = inputs["target"][0, 0]
    joining, cutting = separation_weights(inputs["pred"][0, 0], label, _regions(label == 0, 32), 32)
    value = (torch.from_numpy(joining) * distance.square()).sum()
    value = value + 0.1 * (torch.from_numpy(cutting) * (20 - distance).square()).sum()
    golden.check(shared, "oner_topo_B", value, distance)


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "B")
    one_channel = logits.detach()[:, 1:2].clone().requires_grad_()
    value = WindowedTopoLoss(variant="topomortar")(one_channel, labels)
    golden.check(shared, "tm_msetopowin_B", value, one_channel)


def naive_weights(costs, segments, same):
    """Add edges from the costliest on, and count pairs by going through all members of both sides."""
    height, width = segments.shape
    sides = {(y, x): [(y, x)] for y in range(height) for x in range(width)}
    edges = [(0, y, x) for y in range(height) for x in range(width - 1)]
    edges += [(1, y, x) for y in range(height - 1) for x in range(width)]
    edges.sort(key=lambda e: (-costs[e], e[1], e[2], e[0]))
    weights = np.zeros((height, width))
    for axis, y, x in edges:
        ends = (y, x), (y + axis, x + 1 - axis)
        a, b = sides[ends[0]], sides[ends[1]]
        if a is b:
            continue
        n = sum(
            segments[p] > 0 and segments[q] > 0 and (segments[p] == segments[q]) == same for p in a for q in b
        )
        for end in ends:
            weights[end] += n
        a.extend(b)
        for p in b:
            sides[p] = a
    total = weights.sum() / 2
    return weights / total if total else weights


@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_pairs_equal_the_slow_twin(seed, same, ties):
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 4, (2, 5, 6)).astype(np.float32) if ties else rng.random((2, 5, 6), np.float32)
    segments = rng.integers(0, 4, (5, 6))
    counted = np.ones((2, 5, 6), bool)
    whole = pair_weights(costs, segments, counted, 6, same)
    np.testing.assert_allclose(whole, naive_weights(costs, segments, same), atol=1e-12)
    # windows do not know of each other
    parts = pair_weights(costs, segments, counted, 3, same)
    corner = naive_weights(costs[:, :3, 3:], segments[:3, 3:], same)
    np.testing.assert_allclose(parts[:3, 3:], corner, atol=1e-12)


def wall(gap=False, bar=False):
    """Two regions beside a wall; a gap joins them, a bar cuts one of them."""
    label = torch.zeros(1, 48, 48, dtype=torch.long)
    label[:, :, 10:13] = 1
    drawn = label.clone()
    if gap:
        drawn[:, 20:23] = 0
    if bar:
        drawn[:, 20:22, 13:] = 1
    return torch.where(drawn == 1, 3.0, -3.0)[:, None].double().requires_grad_(), label


def test_a_gap_is_pushed_to_the_foreground_where_it_is():
    logits, label = wall(gap=True)
    windowed_topo_loss(logits, label, base_weight=0.0).backward()
    push = -logits.grad[0, 0]
    strongest = divmod(int(push.argmax()), push.shape[1])
    assert strongest[0] in (20, 21, 22)
    assert strongest[1] in (10, 11, 12)


def test_a_false_wall_is_pushed_away_far_from_the_foreground():
    logits, label = wall(bar=True)
    windowed_topo_loss(logits, label, base_weight=0.0).backward()
    push = logits.grad[0, 0]
    strongest = divmod(int(push.argmax()), push.shape[1])
    assert strongest[0] in (20, 21)
    assert strongest[1] >= 13


def test_gradcheck():
    torch.manual_seed(0)
    # far from ties, so that small steps keep the trees
    logits = torch.randn(1, 3, 20, 18, dtype=torch.float64)[:, :, :6, :6].requires_grad_()
    labels = torch.randint(3, (1, 6, 6))
    assert torch.autograd.gradcheck(lambda z: windowed_topo_loss(z, labels, reduction="none"), logits)
