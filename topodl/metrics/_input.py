"""Label maps for the metrics: checked once, then split into one NumPy mask per image and class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_number, check_tensor, fail, reject_nan
from topodl.kernels.shared.pool import map_batch

__all__ = [
    "CONVENTIONS",
    "SKELETONS",
    "Mask",
    "MaskArguments",
    "measure_pairs",
    "neighbourhoods",
    "read_label_maps",
    "read_pair",
]

CONVENTIONS = ("standard", "topomortar")
SKELETONS = ("thinned", "scikit-image")
_SHAPES = "(B, H, W), (B, D, H, W), or these with one channel: (B, 1, H, W), (B, 1, D, H, W)"

Mask = NDArray[np.bool_]


class MaskArguments:
    """What the functions of two batches of masks have in common.

    Parameters
    ----------
    preds, target : Tensor of shape (B, *S) or (B, 1, *S)
        Masks or label maps in 2D or 3D: bool, integers, or floats such as 1.0.
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one; 8 stands for 26 in volumes.
    num_classes : int
        Classes with the background, which is not measured.

    Returns
    -------
    Tensor
        float64 (B,), or (B, num_classes - 1) for more than two classes.

    Raises
    ------
    InputError
        If a tensor has another shape than the other, a NaN, or values that are no labels, or if an option
        has an unusable value.
    """


def read_label_maps(function: str, argument: str, value: Any, num_classes: int = 2) -> NDArray[np.int64]:
    """Return masks or label maps as (B, H, W) or (B, D, H, W); anything else raises and is named."""
    check_number(function, "num_classes", num_classes, low=2, integer=True)
    labels = check_tensor(function, argument, value).detach()
    shape = tuple(labels.shape)
    if labels.ndim not in (3, 4, 5) or (labels.ndim == 5 and shape[1] != 1) or 0 in shape[1:]:
        raise fail(function, argument, f"has shape {shape}", f"shape {_SHAPES}")
    if labels.ndim == 4 and shape[1] == num_classes:
        # One channel per class, or a volume that is as deep as there are classes: nobody can tell.
        came = f"has shape {shape}, whose second axis may be classes"
        raise fail(function, argument, came, "a label map (argmax(1) of scores), volumes as (B, 1, D, H, W)")
    if labels.dtype in (torch.uint16, torch.uint32, torch.uint64):  # PyTorch cannot compare them
        labels = labels.to(torch.int64)
    _reject_other_values(function, argument, labels, num_classes)
    if labels.ndim == 5 or (labels.ndim == 4 and shape[1] == 1):
        labels = labels[:, 0]
    return labels.to(device="cpu", dtype=torch.int64).numpy()


def _reject_other_values(function: str, argument: str, labels: torch.Tensor, num_classes: int) -> None:
    """Raise unless every value is an integer in [0, num_classes)."""
    if labels.dtype == torch.bool or labels.numel() == 0:
        return
    if labels.is_complex():
        raise fail(function, argument, f"has dtype {labels.dtype}", "bool, integers, or floats 0.0 and 1.0")
    expected = f"labels in 0…{num_classes - 1} (argmax or a threshold makes them of scores)"
    reject_nan(function, argument, labels, expected)
    wrong = (labels < 0) | (labels >= num_classes)
    if labels.is_floating_point():
        wrong |= labels != labels.floor()
    if bool(wrong.any()):
        sample, *position = wrong.nonzero()[0].tolist()
        came = f"has the value {labels[(sample, *position)].item():g} at ({', '.join(map(str, position))})"
        raise fail(function, f"{argument}[{sample}]", came, expected)


def read_pair(
    function: str, preds: Any, target: Any, num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both label maps; they must be of one shape."""
    predicted = read_label_maps(function, "preds", preds, num_classes)
    true = read_label_maps(function, "target", target, num_classes)
    if predicted.shape != true.shape:
        expected = f"that of preds, {tuple(preds.shape)} (a channel axis of length 1 may be left out)"
        raise fail(function, "target", f"has shape {tuple(target.shape)}", expected)
    return predicted, true


def measure_pairs(
    function: str,
    preds: Any,
    target: Any,
    num_classes: int,
    measure: Callable[[Mask, Mask], Any],
    value_shape: tuple[int, ...] = (),
) -> torch.Tensor:
    """Return `measure(prediction, truth)` per image: (B, …), or (B, K, …) for K > 1 foreground classes."""
    predicted, true = read_pair(function, preds, target, num_classes)
    classes = range(1, num_classes)
    masks = [(p == c, t == c) for p, t in zip(predicted, true, strict=True) for c in classes]
    values = map_batch(lambda pair: measure(*pair), masks)
    per_class = (len(classes),) if num_classes > 2 else ()
    table = np.array(values, dtype=np.float64).reshape(len(predicted), *per_class, *value_shape)
    return torch.from_numpy(table).to(preds.device)


def neighbourhoods(ndim: int, corners: bool) -> tuple[Mask, Mask]:
    """Return which of the pixels around one are its neighbours, in the foreground and in the background.

    With `corners` those of the foreground may share a corner alone, else those of the background.
    """
    faces, every = (ndimage.generate_binary_structure(ndim, rank) for rank in (1, ndim))
    return (every, faces) if corners else (faces, every)
