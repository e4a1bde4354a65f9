import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.losses import golden
from topodl.kernels.masks.region_separation import separation_weights
from topodl.losses import WindowedTopoLoss, windowed_topo_loss
from topodl.losses.windowed_topo import _regions


def weigh(distance, label_distance, regions, window):
    weights = np.full((2, *distance.shape), np.nan, np.float32)
    separation_weights(distance, label_distance, regions.astype(np.int16), window, weights)
    return weights


def test_equals_its_authors_code(shared):
    inputs = golden.load(shared, "oner_inputs")
    distance = torch.from_numpy(inputs["pred"]).double().requires_grad_()
    label = inputs["target"][0, 0]
    joining, cutting = weigh(inputs["pred"][0, 0], label, _regions(label == 0, 32), 32)
    value = (torch.from_numpy(joining) * distance.square()).sum()
    value = value + 0.1 * (torch.from_numpy(cutting) * (20 - distance).square()).sum()
    golden.check(shared, "oner_topo_B", value, distance)


def test_equals_the_code_of_the_study(shared):
    logits, labels = golden.case(shared, "B")
    one_channel = logits.detach()[:, 1:2].clone().requires_grad_()
    value = WindowedTopoLoss(variant="topomortar")(one_channel, labels)
    golden.check(shared, "tm_msetopowin_B", value, one_channel)


def naive_weights(distance, label_distance, regions, same):
    """Add edges from the costliest on, and count pairs by going through all members of both sides."""
    height, width = regions.shape
    sides = {(y, x): [(y, x)] for y in range(height) for x in range(width)}
    edges = [((y, x), (y, x + 1)) for y in range(height) for x in range(width - 1)]
    edges += [((y, x), (y + 1, x)) for y in range(height - 1) for x in range(width)]
    labelled = {e: label_distance[e[0]] + label_distance[e[1]] for e in edges}
    costs = {e: distance[e[0]] + distance[e[1]] for e in edges}
    if same:
        edges = [e for e in edges if labelled[e] >= 10]
    else:
        costs = {e: 20 if labelled[e] > 20 else c for e, c in costs.items()}
    edges.sort(key=lambda e: (-costs[e], e))
    weights = np.zeros((height, width))
    for ends in edges:
        a, b = sides[ends[0]], sides[ends[1]]
        if a is b:
            continue
        pairs = [(regions[p], regions[q]) for p in a for q in b]
        n = sum(r > 0 and s > 0 and (r == s) == same for r, s in pairs)
        if (labelled[ends] >= 20) if same else (labelled[ends] < 10):
            for end in ends:
                weights[end] += n
        a.extend(b)
        for p in b:
            sides[p] = a
    members = [r for r in regions.ravel() if r > 0]
    total = sum((r == s) == same for i, r in enumerate(members) for s in members[:i])
    return weights / total if total else weights


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([3, 10, 25]), st.sampled_from([1, 2, 5]))
def test_weights_equal_the_slow_twin(seed, ties, largest, n_regions):
    rng = np.random.default_rng(seed)
    size = (5, 6)
    distance = rng.integers(0, largest, size) if ties else largest * rng.random(size)
    distance = distance.astype(np.float32) * (rng.random(size) < 0.8)
    label_distance = np.float32(rng.integers(0, 21, size))
    regions = rng.integers(0, n_regions + 1, size) * (rng.random(size) < rng.choice([0.4, 1.0]))
    whole = weigh(distance, label_distance, regions, 9)
    for found, same in zip(whole, (False, True), strict=True):
        expected = naive_weights(distance, label_distance, regions, same)
        np.testing.assert_allclose(found, expected, atol=1e-7)
    # windows do not know of each other
    parts = weigh(distance, label_distance, regions, 3)
    corner = np.s_[:3, 3:]
    for found, same in zip(parts, (False, True), strict=True):
        expected = naive_weights(distance[corner], label_distance[corner], regions[corner], same)
        np.testing.assert_allclose(found[corner], expected, atol=1e-7)


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
