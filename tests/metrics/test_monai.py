"""The metrics of surfaces and overlap beside MONAI's, class by class and with anisotropic pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from topodl.metrics import (
    AverageSurfaceDistance,
    Dice,
    average_surface_distance,
    dice_score,
    hausdorff_distance_95,
    surface_dice,
)

monai = pytest.importorskip("monai.metrics")
utils = pytest.importorskip("monai.metrics.utils")

IMAGES = st.tuples(arrays(np.bool_, (2, 2, 1, 7, 8)), st.sampled_from([(1.0, 1.0), (0.5, 2.0), (3.0, 0.7)]))
VOLUMES = st.tuples(
    arrays(np.bool_, (2, 2, 1, 4, 4, 5)), st.sampled_from([(1.0, 1.0, 1.0), (2.5, 0.5, 0.8), (0.3, 0.3, 4.0)])
)


def filled(pair: np.ndarray) -> torch.Tensor:
    """Return both masks with at least one pixel each: MONAI has other values where one is empty."""
    masks = torch.from_numpy(pair).clone()
    masks.flatten(3)[..., 0] = True
    return masks


@settings(max_examples=25, deadline=None)
@given(IMAGES | VOLUMES, st.sampled_from([0.4, 1.1, 2.2]))
def test_surfaces_are_those_of_monai(drawn, tolerance):
    (preds, target), spacing = filled(drawn[0]), drawn[1]
    options = {"include_background": True, "spacing": spacing}
    expected = monai.compute_surface_dice(preds, target, [tolerance], **options)[:, 0]
    found = surface_dice(preds, target, spacing=spacing, tolerance=tolerance)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    expected = monai.compute_average_surface_distance(preds, target, symmetric=True, **options)[:, 0]
    np.testing.assert_allclose(
        average_surface_distance(preds, target, spacing=spacing), expected, rtol=1e-5, atol=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(IMAGES | VOLUMES)
def test_hd95_pools_the_distances_of_which_monai_takes_the_larger_percentile(drawn):
    (preds, target), spacing = filled(drawn[0]), drawn[1]
    found = hausdorff_distance_95(preds, target, spacing=spacing)
    largest = monai.compute_hausdorff_distance(preds, target, include_background=True, spacing=spacing)[:, 0]
    assert (found <= largest * (1 + 1e-5)).all()
    for p, t, value in zip(preds[:, 0], target[:, 0], found.tolist(), strict=True):
        _, distances, _ = utils.get_edge_surface_distance(p, t, spacing=spacing, symmetric=True)
        pooled = np.concatenate([d.numpy() for d in distances])
        assert value == pytest.approx(np.percentile(pooled, 95), rel=1e-5)


def test_hd95_of_parallel_lines_is_that_of_monai():
    preds, target = torch.zeros(2, 1, 1, 9, 12)
    preds[..., 1, :], target[..., 6, :] = 1, 1
    for spacing in ((1.0, 1.0), (0.5, 3.0)):
        expected = monai.compute_hausdorff_distance(
            preds, target, include_background=True, percentile=95, spacing=spacing
        )
        assert hausdorff_distance_95(preds, target, spacing=spacing).item() == pytest.approx(expected.item())


@settings(max_examples=25, deadline=None)
@given(arrays(np.int64, (2, 3, 4, 5), elements=st.integers(0, 3)))
def test_classes_are_left_out_as_in_monai(labels):
    preds, target = (torch.nn.functional.one_hot(torch.from_numpy(x), 4).movedim(-1, 1) for x in labels)
    for ignore_empty, ours in ((True, "target"), (False, "never")):
        options = {"num_classes": 4, "input_format": "one-hot", "ignore_empty": ours}
        theirs = monai.DiceMetric(
            include_background=False, reduction="mean", get_not_nans=True, ignore_empty=ignore_empty
        )
        theirs(preds, target)
        expected, not_nans = theirs.aggregate()
        metric = Dice(**options)
        metric.update(preds, target)
        assert metric.counts() == not_nans
        if not_nans:  # MONAI has 0 where nothing is left, and not NaN
            assert metric.compute().item() == pytest.approx(expected.item(), rel=1e-5)
        each = monai.compute_dice(preds, target, include_background=False, ignore_empty=ignore_empty)
        np.testing.assert_allclose(dice_score(preds, target, **options), each, rtol=1e-5, equal_nan=True)


def test_decollated_meta_tensors_are_read():
    generator = torch.Generator().manual_seed(0)
    preds, target = torch.randint(0, 2, (2, 3, 2, 9, 9), generator=generator)
    meta = [[pytest.importorskip("monai.data").MetaTensor(x) for x in batch] for batch in (preds, target)]
    metric = AverageSurfaceDistance(num_classes=2, input_format="regions", reduction="none")
    assert torch.equal(metric(*meta), metric(preds, target))
