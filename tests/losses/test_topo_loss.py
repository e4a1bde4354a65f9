"""TopoLoss: the published values of both variants, the optimal matching, gradients, windows."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import topodl
from tests.losses import golden
from topodl.losses.topo_loss import TopoLoss, topo_loss

TOPOLOGY_ONLY = {"base_weight": 0.0, "topology_weight": 1.0}


def test_equals_topolosses(shared):
    logits, target = golden.case(shared, "A")
    value = topo_loss(logits, target, essential="drop", connectivity=4, **TOPOLOGY_ONLY)
    golden.check(shared, "tl_hutopo", value, logits)


@pytest.mark.parametrize(("case", "name"), [("A", "tm_topoloss"), ("B", "tm_topoloss_B")])
def test_equals_the_code_of_the_study(shared, case, name):
    logits, target = golden.case(shared, case)
    golden.check(shared, name, TopoLoss(variant="topomortar")(logits, target), logits)


def _distance_by_assignment(p, mask):
    """Return the squared Wasserstein distance by the Hungarian method on the padded cost matrix."""
    total = 0.0
    for dim in (0, 1):
        ours, theirs = (
            topodl.cubical_persistence(x[None], dims=dim, superlevel=True, construction="cell")
            .with_essential("clamp", 0.0)
            .filter()
            for x in (p, mask.double())
        )
        a = torch.stack([ours.births, ours.deaths], 1).numpy()
        b = torch.stack([theirs.births, theirs.deaths], 1).numpy()
        cost = np.zeros((len(a) + len(b),) * 2)
        cost[: len(a), : len(b)] = ((a[:, None] - b[None]) ** 2).sum(2)
        cost[: len(a), len(b) :] = ((a[:, 0] - a[:, 1]) ** 2 / 2)[:, None]
        cost[len(a) :, : len(b)] = ((b[:, 0] - b[:, 1]) ** 2 / 2)[None]
        total += cost[linear_sum_assignment(cost)].sum()
    return total


@pytest.mark.parametrize("seed", range(10))
def test_the_matching_is_optimal(seed):
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(12, 13, dtype=torch.float64, generator=generator)
    mask = torch.rand(12, 13, generator=generator) > 0.6
    value = topo_loss(p[None, None], mask[None].long(), activation="none", **TOPOLOGY_ONLY)
    assert value.item() == pytest.approx(_distance_by_assignment(p, mask))


@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (1, 3, 4, 5), (1, 1, 3, 4, 3)])
@pytest.mark.parametrize("options", [{}, {"window": 3}, {"border": "background", "essential": "drop"}])
def test_gradient(shape, options):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
    target = torch.randint(max(shape[1], 2), (shape[0], *shape[2:]), generator=generator)
    assert torch.autograd.gradcheck(
        lambda z: topo_loss(z, target, base_weight=0.5, topology_weight=2.0, **options), logits
    )


def test_windows_are_the_sum_over_crops():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 11, 9, generator=generator)
    target = (torch.rand(2, 11, 9, generator=generator) > 0.5).long()
    whole = topo_loss(logits, target, window=4, **TOPOLOGY_ONLY)
    crops = sum(
        topo_loss(logits[..., y : y + 4, x : x + 4], target[..., y : y + 4, x : x + 4], **TOPOLOGY_ONLY)
        for y in range(0, 11, 4)
        for x in range(0, 9, 4)
    )
    torch.testing.assert_close(whole, crops)


def test_a_hole_cut_by_the_border_counts_in_a_frame_of_foreground():
    target = torch.zeros(1, 5, 5, dtype=torch.long)
    target[0, :3, 1:4] = 1
    target[0, :2, 2] = 0  # a U that opens at the edge of the image
    p = target[:, None].double()
    p[0, 0, 1, 2] = p[0, 0, 0, 2] = 0.4
    options = {"activation": "none", **TOPOLOGY_ONLY}
    # the outside of the U is a hole as well; it is as wide as it should be
    assert topo_loss(p, target, border="foreground", **options).item() == pytest.approx(0.4**2)
    assert topo_loss(p, target, border="open", **options).item() == 0


def test_the_cached_label_gives_the_same():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 9, 8, generator=generator)
    target = torch.randint(3, (2, 9, 8), generator=generator)
    loss = TopoLoss(window=5)
    value = loss(logits, target)
    torch.testing.assert_close(loss(logits, target, precomputed=loss.precompute(target)), value)
    torch.testing.assert_close(loss(logits, target), value)
    torch.testing.assert_close(topo_loss(logits, target, window=5), value)


def test_the_study_variant_takes_two_classes():
    with pytest.raises(
        ValueError, match="logits has 3 channels; expected 2 channels for variant='topomortar'"
    ):
        topo_loss(torch.randn(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.long), variant="topomortar")
