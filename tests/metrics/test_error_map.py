import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from topodl.errors import InputError
from topodl.metrics import TopologyError, betti_numbers, topology_errors

BROKEN, MERGED, MISSING, SPURIOUS = (
    TopologyError.BROKEN,
    TopologyError.MERGED,
    TopologyError.MISSING,
    TopologyError.SPURIOUS,
)


def canvas() -> tuple[torch.Tensor, torch.Tensor]:
    """A target with a ring, a bar and a dot, and the same as prediction."""
    target = torch.zeros(1, 30, 40, dtype=torch.long)
    target[:, 5:20, 5:20] = 1
    target[:, 8:17, 8:17] = 0
    target[:, 24:27, 3:37] = 1
    target[:, 10:12, 30:32] = 1
    return target.clone(), target


def found(preds: torch.Tensor, target: torch.Tensor, **options: int) -> dict[int, int]:
    values, counts = topology_errors(preds, target, **options).unique(return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_a_perfect_prediction_has_no_errors():
    preds, target = canvas()
    assert found(preds, target) == {0: 1200}


def test_a_gap_in_a_line_is_broken_there_and_nowhere_else():
    preds, target = canvas()
    preds[:, 24:27, 18:21] = 0
    errors = topology_errors(preds, target)
    assert (errors[:, 24:27, 18:21] == BROKEN).all()
    assert (errors == BROKEN).sum() == 9
    assert (errors == 0).sum() == 1200 - 9


def test_an_opened_ring_and_a_torn_hole_are_broken():
    preds, target = canvas()
    preds[:, 12, 5:8] = 0
    preds[:, 25, 10] = 0
    assert found(preds, target) == {0: 1200 - 4, BROKEN: 4}


def test_missing_and_spurious_components_are_marked_whole():
    preds, target = canvas()
    preds[:, 10:12, 30:32] = 0
    preds[:, 0:3, 33:36] = 1
    errors = topology_errors(preds, target)
    assert (errors[:, 10:12, 30:32] == MISSING).all()
    assert (errors[:, 0:3, 33:36] == SPURIOUS).all()
    assert found(preds, target) == {0: 1200 - 13, MISSING: 4, SPURIOUS: 9}


def test_a_bridge_and_a_filled_hole_are_merged():
    preds, target = canvas()
    preds[:, 20:24, 10:12] = 1
    assert found(preds, target) == {0: 1200 - 8, MERGED: 8}
    preds, target = canvas()
    preds[:, 8:17, 8:17] = 1
    errors = topology_errors(preds, target)
    assert errors[0, 12, 12] == MERGED
    assert set(errors.unique().tolist()) == {0, MERGED}


def test_thin_thick_and_displaced_predictions_are_no_topological_errors():
    _, target = canvas()
    thick = torch.nn.functional.max_pool2d(target.float(), 3, 1, 1).long()
    thin = 1 - torch.nn.functional.max_pool2d(1 - target.float(), 3, 1, 1).long()
    thin[:, 10:12, 30:32] = target[:, 10:12, 30:32]
    for preds in (thick, thin, target.roll(1, 1), target.roll(2, 2)):
        assert found(preds, target) == {0: 1200}


def test_reach_limits_the_mark():
    preds, target = canvas()
    preds[:, 24:27, 10:30] = 0
    marks = [found(preds, target, reach=reach)[BROKEN] for reach in (0, 3, 40)]
    assert marks[0] < marks[1] < marks[2] == 60


def test_connectivity_decides_about_corners():
    target = torch.zeros(1, 6, 6, dtype=torch.long)
    target[:, 0:3, 0:3] = 1
    target[:, 3:6, 2:5] = 1
    preds = target.clone()
    preds[:, 3, 2] = preds[:, 4, 2] = preds[:, 5, 2] = 0
    # What is left meets at the corner of (2, 2) and (3, 3) alone.
    assert found(preds, target, connectivity=8) == {0: 36}
    assert found(preds, target, connectivity=4)[BROKEN] > 0


@given(arrays(np.bool_, (2, 8, 9)), st.sampled_from([4, 8]))
def test_no_error_means_equal_betti_numbers(pair, connectivity):
    preds, target = torch.from_numpy(pair)[:, None]
    errors = topology_errors(preds, target, connectivity=connectivity)
    wrong = preds != target
    assert not (errors.bool() & ~wrong).any()
    if not errors.any():
        assert torch.equal(
            betti_numbers(preds, connectivity=connectivity), betti_numbers(target, connectivity=connectivity)
        )


def block() -> torch.Tensor:
    """A thick-walled box with a cavity, a ring with a tunnel and a small cube."""
    target = torch.zeros(1, 1, 9, 12, 24, dtype=torch.long)
    target[..., 1:8, 1:8, 1:8] = 1
    target[..., 3:6, 3:6, 3:6] = 0
    target[..., 3:6, 1:10, 10:19] = 1
    target[..., 3:6, 4:7, 13:16] = 0
    target[..., 1:3, 9:11, 21:23] = 1
    assert betti_numbers(target).tolist() == [[3, 1, 1]]
    return target


def test_errors_in_volumes_are_where_a_cavity_a_ring_or_a_component_is_changed():
    target = block()
    assert found(target, target) == {0: target.numel()}
    cut, opened, filled, lost = (target.clone() for _ in range(4))
    cut[0, :, 3:6, 1:4, 14] = 0
    opened[0, :, 4, 4, 1:3] = 0
    filled[0, :, 3:6, 3:6, 3:6] = 1
    lost[0, :, 1:3, 9:11, 21:23] = 0
    joined = target.clone()
    joined[0, :, 4, 4, 8:10] = 1
    for preds, error in (
        (cut, BROKEN),
        (opened, BROKEN),
        (filled, MERGED),
        (lost, MISSING),
        (joined, MERGED),
    ):
        errors = topology_errors(preds, target)
        assert set(errors.unique().tolist()) == {0, error}
        assert not (errors.bool() & (preds == target)[:, 0]).any()
    assert (topology_errors(cut, target)[:, 3:6, 1:4, 14] == BROKEN).all()
    assert found(target, lost)[SPURIOUS] == 8


def test_a_volume_drawn_thicker_thinner_or_beside_has_no_topological_errors():
    target = block()
    thin = target.clone()
    thin[0, :, 7] = 0
    thick = target.clone()
    thick[0, :, 6, 1:10, 10:19] = target[0, :, 5, 1:10, 10:19]
    for preds in (thin, thick, target.roll(1, 2)):
        assert found(preds, target) == {0: target.numel()}


@given(arrays(np.bool_, (2, 3, 4, 4)), st.sampled_from([6, 26]))
def test_no_error_in_a_volume_means_equal_betti_numbers(pair, connectivity):
    preds, target = torch.from_numpy(pair)[:, None, None]
    errors = topology_errors(preds, target, connectivity=connectivity)
    assert not (errors.bool() & (preds == target)[:, 0]).any()
    if not errors.any():
        assert torch.equal(
            betti_numbers(preds, connectivity=connectivity), betti_numbers(target, connectivity=connectivity)
        )


def test_unusable_options_are_named():
    image = torch.zeros(1, 4, 4)
    with pytest.raises(InputError, match="topology_errors: connectivity is 5; expected one of 8, 26, 4, 6"):
        topology_errors(image, image, connectivity=5)
    with pytest.raises(InputError, match="topology_errors: reach is -1"):
        topology_errors(image, image, reach=-1)
    with pytest.raises(InputError, match=r"preds has shape \(1, 4, 4, 4\)"):
        topology_errors(image.expand(4, 4, 4)[None], image.expand(4, 4, 4)[None])
