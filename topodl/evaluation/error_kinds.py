"""What kinds of errors in topology the predictions of a study have: of components and of holes, by group.

Each place is one of `topology_errors`; what it is an error of follows from what its correction alone changes:
components that it touches become one, and the Euler characteristic, a sum over 2 × 2 pixels, says the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from topodl._error_classes import TopologyError, classify_errors
from topodl.evaluation.loading import Study
from topodl.evaluation.pictures import IGNORED, Masks, find_stored, read_masks
from topodl.evaluation.run_folder import RunFolder, read_numbers, read_rows, write_rows
from topodl.evaluation.statistics import FloatArray

__all__ = ["FEATURES", "KINDS", "KIND_COLUMNS", "count_kinds", "load_kinds", "write_kinds"]

KINDS = ("broken", "merged", "missing", "spurious")
FEATURES = ("components", "holes")
KIND_COLUMNS = tuple(f"{feature}_{kind}" for feature in FEATURES for kind in KINDS)

Mask = NDArray[np.bool_]
_AROUND, _BESIDE = np.ones((3, 3), dtype=bool), ndimage.generate_binary_structure(2, 1)


def count_kinds(prediction: Masks, label: Masks) -> NDArray[np.int64]:
    """Return the number of errors of each of `KIND_COLUMNS`, summed over classes.

    "Broken" and "missing" lack foreground, "merged" and "spurious" have too much of it. So a gap in a closed
    loop, whose hole then runs into another one, counts as "holes_broken", and a bridge that closes a loop as
    "holes_merged".

    Parameters
    ----------
    prediction, label : uint8 array of shape (classes, H, W)
        Masks of the classes; where the label is ignored (255), nothing is wrong.

    Returns
    -------
    array of shape (8,)
        Numbers of components, and then of holes, that would be put right.

    Examples
    --------
    A line with a gap: one component is broken.

    >>> label = np.zeros((1, 5, 9), dtype=np.uint8)
    >>> label[:, 2, 1:8] = 1
    >>> prediction = label.copy()
    >>> prediction[:, 2, 4] = 0
    >>> dict(zip(KIND_COLUMNS, count_kinds(prediction, label).tolist()))["components_broken"]
    1
    """
    counted = label != IGNORED
    counts = np.zeros((len(FEATURES), len(KINDS)), dtype=np.int64)
    for p, t in zip((prediction == 1) & counted, label == 1, strict=True):
        errors = classify_errors(p, t, corners=True, reach=0)
        for kind in TopologyError:
            if kind != TopologyError.NONE and (errors == kind).any():
                adds = kind in (TopologyError.BROKEN, TopologyError.MISSING)
                counts[:, kind - 1] += _changes(p, errors == kind, adds)
    return counts.ravel()


def _changes(mask: Mask, wrong: Mask, adds: bool) -> NDArray[np.int64]:
    """Return how many components and holes the corrections of all places of one kind change, each alone."""
    own, joined = (_AROUND, mask) if adds else (_BESIDE, ~mask)
    places, _ = ndimage.label(wrong, own)
    # Outside of the image is background, which the background at its edge belongs to.
    sides, _ = ndimage.label(np.pad(joined, 1, constant_values=not adds), own)
    framed, numbers = np.pad(mask, 1), np.pad(places, 1)
    total = np.zeros(2, dtype=np.int64)
    for number, found in enumerate(ndimage.find_objects(numbers), start=1):
        around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in found)
        here = numbers[around] == number
        touched = np.unique(sides[around][ndimage.binary_dilation(here, own) & ~here])
        of_joined = 1 - np.count_nonzero(touched)
        before = framed[around]
        euler = _euler(before | here if adds else before & ~here) - _euler(before)
        # The Euler characteristic is the number of components minus that of holes.
        components, holes = (of_joined, of_joined - euler) if adds else (euler + of_joined, of_joined)
        total += (abs(components), abs(holes))
    return total


def _euler(mask: Mask) -> int:
    """Return the Euler characteristic of a mask that is connected along corners, by Gray's 2 × 2 pixels."""
    m = np.pad(mask, 1).astype(np.int64)
    a, b, c, d = m[:-1, :-1], m[:-1, 1:], m[1:, :-1], m[1:, 1:]
    n = a + b + c + d
    diagonal = (n == 2) & (a == d)
    return int((n == 1).sum() - (n == 3).sum() - 2 * diagonal.sum()) // 4


def write_kinds(
    folder: RunFolder, loss: str, seed: int, fold: int | None, image_ids: Sequence[str], n_classes: int
) -> None:
    """Count the kinds of errors of one training's stored predictions, and write them down."""
    rows = []
    for image_id in image_ids:
        paths = (
            find_stored(folder.prediction(loss, seed, image_id)),
            find_stored(folder.label_image(image_id)),
        )
        masks = [read_masks(path, n_classes, 2) for path in paths if path is not None]
        counts = count_kinds(*masks).tolist()
        rows.append({"ID": image_id, **dict(zip(KIND_COLUMNS, counts, strict=True))})
    write_rows(folder.kinds_csv(loss, seed, fold), ("ID", *KIND_COLUMNS), rows)


def load_kinds(study: Study) -> dict[str, FloatArray]:
    """Return the mean number of errors over seeds by loss, (images, 8); without losses that were not counted.

    NaN where an image was not counted.
    """
    place = {image_id: n for n, image_id in enumerate(study.setting.image_ids)}
    found: dict[str, FloatArray] = {}
    for loss in study.setting.losses:
        folder = study.folder_of[loss.name]
        total, count = np.zeros((len(place), len(KIND_COLUMNS))), np.zeros(len(place))
        for seed in loss.seeds:
            for path in folder.kinds_of(loss.folder_name, seed):
                rows = [row for row in read_rows(path, ("ID", *KIND_COLUMNS)) if row["ID"] in place]
                where = [place[row["ID"]] for row in rows]
                columns = [read_numbers(path, rows, name, finite=True) for name in KIND_COLUMNS]
                total[where] += np.stack(columns, axis=1)
                count[where] += 1
        if count.any():
            found[loss.name] = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)
    return found
