"""Predictions without small components and holes; the validation images say how small.

Cost: fifteen measurements of the validation images a training, and a labelling of each mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import fail
from topodl._submodules import evaluation_mode
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.data import StudyData
from topodl.evaluation.run_folder import RunFolder, write_rows
from topodl.evaluation.scoring import Predictor
from topodl.evaluation.search import validation_score
from topodl.metrics import betti_error, dice_score

__all__ = [
    "SIZES",
    "CleanedPredictor",
    "SmallestParts",
    "check_removal",
    "choose_sizes",
    "without_small_parts",
    "write_sizes",
]

SIZES = (0, 2, 4, 8, 16, 32, 64, 128)
"""Numbers of pixels, or voxels, that are tried."""

Mask = NDArray[np.bool_]


class SmallestParts(NamedTuple):
    """How many pixels or voxels a component, and a hole, has at least; 0 or 1 keeps all.

    Attributes
    ----------
    component, hole : int
        Below it a part is removed, or filled.
    """

    component: int
    hole: int


def without_small_parts(mask: Mask, smallest: SmallestParts) -> Mask:
    """Return a mask without its small components, and then without its small holes.

    Components connect along corners, holes do not, and have no pixel at the edge of the image. In volumes
    holes are cavities: tunnels stay.

    Parameters
    ----------
    mask : bool array of shape (H, W) or (D, H, W)
        A prediction.
    smallest : SmallestParts
        What stays.

    Examples
    --------
    >>> mask = np.array([[1, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 0, 1, 0, 1], [0, 0, 1, 1, 1]], dtype=bool)
    >>> without_small_parts(mask, SmallestParts(component=2, hole=2)).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 0, 1, 1, 1],
           [0, 0, 1, 1, 1],
           [0, 0, 1, 1, 1]])
    """
    corners = np.ones((3,) * mask.ndim, dtype=bool)
    kept = mask & ~_small(mask, smallest.component, corners)
    sides = ndimage.generate_binary_structure(mask.ndim, 1)
    return kept | _small(~kept, smallest.hole, sides, but_at_the_edge=True)


def _small(mask: Mask, size: int, structure: Mask, *, but_at_the_edge: bool = False) -> Mask:
    """Return the pixels of components that have less than `size` pixels."""
    places, n = ndimage.label(np.pad(mask, 1, constant_values=but_at_the_edge), structure)
    is_small = np.bincount(places.ravel(), minlength=n + 1) < size
    is_small[[0, places[(0,) * mask.ndim]]] = False  # the frame joins what is at the edge
    small: Mask = is_small[places[(slice(1, -1),) * mask.ndim]]
    return small


def choose_sizes(
    predictions: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], convention: str
) -> SmallestParts:
    """Return the sizes that suit the validation images, by the score that a search for settings has.

    First that of components, then that of holes; the smaller one where two are as good.

    Parameters
    ----------
    predictions, labels : sequence of Tensor of shape (1, *S)
        One an image, in any sizes; 1 is the foreground.
    convention : {"standard", "topomortar"}
        Of the metrics.
    """
    pairs = [(p[0].numpy() == 1, t[0].numpy()) for p, t in zip(predictions, labels, strict=True)]

    def measured(smallest: SmallestParts) -> list[float]:
        cleaned = [(without_small_parts(p, smallest) & (t != IGNORE), t == 1) for p, t in pairs]
        rows = [_measured(p, t, convention) for p, t in cleaned]
        return [float(mean) for mean in np.nanmean(rows, axis=0)]

    *_, reference = measured(SmallestParts(0, 0))

    def score(smallest: SmallestParts) -> float:
        *errors, dice = measured(smallest)
        return validation_score(errors, dice, reference)

    component = min(SIZES, key=lambda size: score(SmallestParts(size, 0)))
    return SmallestParts(component, min(SIZES, key=lambda size: score(SmallestParts(component, size))))


def _measured(prediction: Mask, label: Mask, convention: str) -> list[float]:
    """Return the errors of the Betti numbers, and Dice."""
    p, t = (torch.from_numpy(mask)[None, None] for mask in (prediction, label))
    errors = betti_error(p, t, convention=convention)[0].tolist()
    return [*errors, float(dice_score(p, t, convention=convention))]


def check_removal(data: StudyData) -> None:
    """Raise where small parts cannot be removed: of several classes, or without validation images."""
    if len(data.foreground) != 1:
        came = f"is True for the {len(data.foreground)} classes {', '.join(data.foreground)}"
        raise fail("topodl evaluate", "remove_small", came, "one class in the foreground, or False")
    if not len(data.val):
        came = "is True for data without validation images"
        raise fail("topodl evaluate", "remove_small", came, "some, to choose sizes by, or False")


class CleanedPredictor(Predictor):
    """Predicts as another one does, and removes small parts from the mask.

    Parameters
    ----------
    predictor : Predictor
        What predicts.
    smallest : SmallestParts
        What stays.
    """

    def __init__(self, predictor: Predictor, smallest: SmallestParts) -> None:
        super().__init__(predictor.device, predictor.network, predictor.data, depth=predictor.depth)
        self.smallest = smallest

    @classmethod
    def by_validation(cls, predictor: Predictor) -> CleanedPredictor:
        """Return one whose sizes suit the validation images."""
        data = predictor.data
        with evaluation_mode(predictor.network):
            predictions = [predictor.label(image) for image in data.val.images]
        return cls(predictor, choose_sizes(predictions, data.val.labels, data.convention))

    def label(self, image: torch.Tensor) -> torch.Tensor:
        """Return the cleaned prediction, (1, *S) as bytes."""
        mask = super().label(image)[0].numpy() == 1
        return torch.from_numpy(without_small_parts(mask, self.smallest))[None].to(torch.uint8)


def write_sizes(folder: RunFolder, loss: str, seed: int, fold: int | None, smallest: SmallestParts) -> None:
    """Write down what one training's predictions were cleaned with."""
    write_rows(folder.sizes_csv(loss, seed, fold), SmallestParts._fields, [smallest._asdict()])
