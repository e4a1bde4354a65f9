"""Looks through stored predictions for those that are nearly constant: empty, or foreground everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topodl.evaluation.pictures import IGNORED, Masks, check_same_size, find_stored, read_masks
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.statistics import FloatArray

__all__ = ["EMPTY", "FULL", "constant_kind", "constant_predictions"]

EMPTY, FULL = -1.0, 1.0
_NEARLY = 0.01  # a prediction with less than a hundredth of what its label has, has nothing
_LOOKED_AT = 24  # images of each training: a collapse shows in all of them
_LEAST_OF_GROUP = 4


def constant_kind(prediction: Masks, label: Masks) -> float:
    """Return how a mask is nearly constant where its label is not.

    Parameters
    ----------
    prediction, label : uint8 array of one shape
        0, 1, or 255 where the label is ignored.

    Returns
    -------
    float
        `EMPTY` if it has less than a hundredth of the label's foreground, `FULL` if it has less than a
        hundredth of its background, 0 if neither; NaN where the label itself lacks one of the two.

    Examples
    --------
    >>> label = np.array([0, 1, 1, 0], dtype=np.uint8)
    >>> constant_kind(np.zeros_like(label), label), constant_kind(np.ones_like(label), label)
    (-1.0, 1.0)
    """
    counted = (label != IGNORED) & (prediction != IGNORED)
    foreground, background = (int((counted & (label == value)).sum()) for value in (1, 0))
    if not foreground or not background:
        return float("nan")
    if (counted & (prediction == 1)).sum() < _NEARLY * foreground:
        return EMPTY
    return FULL if (counted & (prediction == 0)).sum() < _NEARLY * background else 0.0


def constant_predictions(
    folder: RunFolder,
    trainings: Sequence[tuple[str, int]],
    image_ids: Sequence[str],
    groups: Sequence[str],
    n_classes: int,
    spatial_dims: int,
) -> FloatArray:
    """Return `constant_kind` of the stored predictions of trainings, shape (trainings, images, classes).

    Parameters
    ----------
    folder : RunFolder
        Where labels and predictions lie.
    trainings : sequence of (str, int)
        Folder name of the loss, and seed.
    image_ids, groups : sequence of str
        The test images and their groups.
    n_classes : int
        Number of classes beside the background.
    spatial_dims : int
        2 for pictures, 3 for volumes.

    Returns
    -------
    array
        NaN where nothing is stored and for images that were not looked at: there are at most about two dozen,
        spread evenly over each group.
    """
    kinds = np.full((len(trainings), len(image_ids), n_classes), np.nan)
    for row in _rows_to_look_at(groups):
        label_file = find_stored(folder.label_image(image_ids[row]))
        if label_file is None:
            continue
        label = read_masks(label_file, n_classes, spatial_dims)
        for number, (loss, seed) in enumerate(trainings):
            stored = find_stored(folder.prediction(loss, seed, image_ids[row]))
            if stored is not None:
                prediction = read_masks(stored, n_classes, spatial_dims)
                check_same_size(stored, prediction.shape[1:], label.shape[1:])
                kinds[number, row] = [constant_kind(*pair) for pair in zip(prediction, label, strict=True)]
    return kinds


def _rows_to_look_at(groups: Sequence[str]) -> list[int]:
    labels = np.asarray(groups)
    kinds = list(dict.fromkeys(groups))
    count = max(_LOOKED_AT // len(kinds), _LEAST_OF_GROUP)
    rows: list[int] = []
    for group in kinds:
        members = np.flatnonzero(labels == group)
        steps = np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int)
        rows += members[steps].tolist()
    return rows
