import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.naive import mask_metrics as naive
from topodl.errors import InputError
from topodl.metrics import HausdorffDistance95, hausdorff_distance_95

spacings = st.sampled_from([(1.0, 1.0), (0.5, 2.0), (3.0, 0.25)])


@given(arrays(np.bool_, (2, 6, 9)), spacings)
def test_equals_all_pairs_of_border_pixels(pair, spacing):
    assume(pair[0].any() and pair[1].any())
    preds, target = torch.from_numpy(pair)[:, None]
    value = hausdorff_distance_95(preds, target, spacing=spacing).item()
    assert value == pytest.approx(naive.hausdorff_distance_95(*pair, spacing), abs=1e-12)


@given(arrays(np.bool_, (2, 3, 4, 5)), st.sampled_from([(1.0, 1.0, 1.0), (2.0, 0.5, 1.5)]))
def test_equals_all_pairs_in_volumes(pair, spacing):
    assume(pair[0].any() and pair[1].any())
    preds, target = torch.from_numpy(pair)[:, None, None]
    value = hausdorff_distance_95(preds, target, spacing=spacing).item()
    assert value == pytest.approx(naive.hausdorff_distance_95(*pair, spacing), abs=1e-12)


def test_transposed_and_distant_masks():
    preds, target = torch.zeros(2, 1, 40, 90)
    preds[:, 3:5, 2:4], target[:, 30:39, 80:83] = 1, 1
    expected = naive.hausdorff_distance_95(preds[0].numpy() > 0, target[0].numpy() > 0, (2.0, 0.1))
    for p, t in ((preds, target), (preds.mT.contiguous().mT, target.mT.contiguous().mT)):
        assert hausdorff_distance_95(p, t, spacing=(2.0, 0.1)).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("convention", ["standard", "topomortar"])
def test_one_empty_mask_gives_the_diagonal(convention):
    empty, full = torch.zeros(1, 512, 512), torch.ones(1, 512, 512)
    for preds, target in ((empty, full), (full, empty)):
        value = hausdorff_distance_95(preds, target, convention=convention).item()
        assert value == 722.6631303726516
        scaled = hausdorff_distance_95(preds, target, convention=convention, spacing=(2, 1)).item()
        assert scaled == math.hypot(1022, 511)


def test_two_empty_masks():
    empty = torch.zeros(1, 5, 5)
    assert hausdorff_distance_95(empty, empty).item() == 0
    assert hausdorff_distance_95(empty, empty, convention="topomortar").item() == math.hypot(4, 4)


def test_one_number_is_the_spacing_of_every_axis():
    preds, target = torch.zeros(2, 1, 1, 5, 5, 5)
    preds[..., 0, 0, 0] = target[..., 3, 0, 4] = 1
    assert hausdorff_distance_95(preds, target, spacing=2).item() == 10


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), 0.0, (1.0, -1.0), math.nan, (1.0, math.inf)])
def test_unusable_spacing_is_named(spacing):
    image = torch.ones(1, 4, 4)
    with pytest.raises(InputError, match="hausdorff_distance_95: spacing is"):
        hausdorff_distance_95(image, image, spacing=spacing)


def test_unusable_spacing_of_the_metric_is_named_at_once():
    with pytest.raises(InputError, match="HausdorffDistance95: spacing is"):
        HausdorffDistance95(spacing=(1.0, 0.0))


def test_the_metric_uses_its_spacing():
    preds, target = torch.zeros(2, 1, 5, 5)
    preds[:, 0, 0] = target[:, 3, 4] = 1
    metric = HausdorffDistance95(spacing=(2.0, 0.5))
    metric.update(preds, target)
    assert metric.compute().item() == math.hypot(6, 2)
