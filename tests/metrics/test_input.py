import numpy as np
import pytest
import torch

import topodl
from topodl.errors import InputError
from topodl.metrics import (
    betti_error,
    betti_numbers,
    cldice_score,
    dice_score,
    hausdorff_distance_95,
    topology_errors,
)

FUNCTIONS = [dice_score, cldice_score, hausdorff_distance_95, betti_error, topology_errors]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("preds", "message"),
    [
        (torch.zeros(4, 4), r"preds has shape \(4, 4\); expected shape \(B, H, W\)"),
        (torch.zeros(1, 3, 2, 4, 4), r"preds has shape \(1, 3, 2, 4, 4\)"),
        (torch.zeros(1, 0, 4), r"preds has shape \(1, 0, 4\)"),
        (torch.zeros(1, 2, 4, 4), r"has shape \(1, 2, 4, 4\), whose second axis may be channels or depth"),
        (torch.zeros(1, 3, 4, 4), r"\(B, 1, D, H, W\) for volumes; channels with input_format=\"one-hot\""),
        (torch.full((1, 4, 4), 0.3), r"preds\[0\] has the value 0.3 at \(0, 0\); expected labels in 0…1"),
        (torch.tensor([[[0, 1], [0, 2]]]), r"preds\[0\] has the value 2 at \(1, 1\)"),
        (torch.tensor([[[0, -1]]]), r"preds\[0\] has the value -1 at \(0, 1\)"),
        (torch.tensor([[[0, torch.inf]]]), "has the value inf"),
        (torch.zeros(1, 4, 4, dtype=torch.complex64), "preds has dtype torch.complex64"),
    ],
)
def test_other_input_than_labels_is_named(function, preds, message):
    with pytest.raises(InputError, match=f"{function.__name__}: .*{message}"):
        function(preds, torch.zeros(preds.shape))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nan_wrong_types_and_other_shapes_are_named(function):
    target = torch.zeros(2, 1, 4, 4)
    bad = target.clone()
    bad[1, 0, 2, 3] = torch.nan
    with pytest.raises(InputError, match=rf"{function.__name__}: target\[1\] has NaN at \(2, 3\)"):
        function(target, bad)
    with pytest.raises(TypeError, match=f"{function.__name__}: preds is a str; expected a tensor, an array"):
        function("mask", target)
    with pytest.raises(TypeError, match=r"preds\[0\] is a list; expected a tensor"):
        function([[0, 1]], target)
    with pytest.raises(TypeError, match="preds is an array of dtype object; expected bool, integers"):
        function(np.array([[["a"]]], dtype=object), target)
    with pytest.raises(InputError, match=r"target has shape \(2, 1, 4, 4\); expected that of preds"):
        function(torch.zeros(2, 4, 5), target)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32])
def test_every_dtype_with_and_without_channel_axis_is_the_same(function, dtype):
    preds, target = torch.randint(0, 2, (2, 3, 9, 9), generator=torch.Generator().manual_seed(0))
    expected = function(preds, target)
    assert torch.equal(function(preds.to(dtype)[:, None], target.to(dtype)), expected)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_mask_of_weights_is_an_error(function):
    preds, target = torch.randint(0, 2, (2, 3, 9, 9), generator=torch.Generator().manual_seed(0))
    kept = torch.ones(3, 9, 9)
    assert torch.equal(function(preds, target, mask=kept), function(preds, target))
    with pytest.raises(InputError, match="mask has floats other than 0 and 1; expected nonzero where pixels"):
        function(preds, target, mask=0.5 * kept)


def test_betti_numbers_names_its_own_argument():
    with pytest.raises(InputError, match="betti_numbers: mask has shape"):
        betti_numbers(torch.zeros(4))


def test_metrics_load_with_the_package():
    assert topodl.metrics.Dice is topodl.metrics.overlap.Dice
