"""Predicts whole images and measures them: one row of metrics of every class per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._submodules import evaluation_mode
from topodl.evaluation.case_types import IGNORE
from topodl.evaluation.data import Images, StudyData
from topodl.evaluation.patches import predict_in_windows
from topodl.evaluation.soft_labels import with_background
from topodl.metrics import betti_error, cldice_score, dice_score, hausdorff_distance_95

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "Predictor",
    "mean_by_metric",
    "measure_masks",
    "metric_columns",
    "metric_names",
    "predict_and_measure",
]

_NO_DEPTH = 1e-5  # as the published study has it
_CHUNK = 8  # images whose metrics are computed side by side

Rows = NDArray[np.float64]


def metric_names(spatial_dims: int) -> tuple[str, ...]:
    """Return what is measured of each class: in the plane what TopoMortar's results have, in its order."""
    betti = [f"Betti{k}Error{kind}" for k in range(spatial_dims) for kind in ("Local", "")]
    return (*betti, "Dice", "HD95", "clDice")


def metric_columns(data: StudyData) -> tuple[str, ...]:
    """Return the columns of the measurements, class after class."""
    return tuple(f"{name}_{of}" for of in data.foreground for name in metric_names(data.spatial_dims))


def measure_masks(
    predictions: torch.Tensor,
    labels: torch.Tensor,
    *,
    convention: str = "topomortar",
    spacing: float | Sequence[float] = 1.0,
) -> Rows:
    """Return the metrics of masks (B, 1, *S), one row an image, in the order of `metric_names`.

    The local Betti errors are means over windows of a quarter of the longest side, as TopoMortar's 128 of 512
    pixels. With the convention "topomortar", clDice is 0 where a prediction is empty, and everything else
    follows that study. With "standard", Dice, HD95 and clDice are NaN where both masks are empty.
    """
    window = max(1, max(labels.shape[2:]) // 4)
    whole = betti_error(predictions, labels, convention=convention)
    local = betti_error(predictions, labels, window=window, convention=convention)
    # Of that study's clDice only the skeleton is taken: it has no value for an empty prediction.
    skeleton = "scikit-image" if convention == "topomortar" else "thinned"
    others = torch.stack(
        [
            dice_score(predictions, labels, convention=convention),
            hausdorff_distance_95(predictions, labels, convention=convention, spacing=spacing),
            cldice_score(predictions, labels, skeleton=skeleton),
        ],
        1,
    )
    if convention == "standard":
        absent = ~(predictions.bool() | labels.bool()).flatten(1).any(1)
        others[absent] = torch.nan
    betti = torch.stack([local, whole], 2).flatten(1)
    return torch.cat([betti, others], 1).numpy()


class Predictor:
    """Predicts whole images, in windows where the network was trained with pieces of them.

    Parameters
    ----------
    device : torch.device
        Of the network.
    network : Module
        Takes scaled images (B, C, *S).
    data : StudyData
        Says how images are scaled, and what the network's channels mean.
    depth : bool
        Whether the network gives a depth, which is positive in the foreground.
    """

    def __init__(
        self, device: torch.device, network: torch.nn.Module, data: StudyData, *, depth: bool = False
    ) -> None:
        self.device, self.network, self.data, self.depth = device, network, data, depth

    def probabilities(self, image: torch.Tensor) -> torch.Tensor:
        """Return probabilities of the classes but the background, or the regions, (K, *S) on the CPU.

        Of a network that regresses a depth it is 1 where the depth is positive.
        """
        scaled = self.data.intensities(image)[None]
        size = self.data.patch_size
        with torch.no_grad():
            if size is None:
                logits = self._logits(scaled.to(self.device))
            else:
                logits = predict_in_windows(self._logits, scaled, size, self.device)
        if self.depth:
            return (logits > _NO_DEPTH).float().cpu()[0]
        if self.data.regions:
            return logits.sigmoid().cpu()[0]
        return torch.softmax(logits, 1)[0, 1:].cpu()

    def label(self, image: torch.Tensor) -> torch.Tensor:
        """Return what is predicted, as labels are stored: classes (1, *S) or regions (R, *S) as bytes."""
        probabilities = self.probabilities(image)
        if self.data.regions:
            return (probabilities > 0.5).to(torch.uint8)
        return with_background(probabilities[None]).argmax(1).to(torch.uint8)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        output = self.network(images)
        return (output if isinstance(output, torch.Tensor) else output[0]).float()


def predict_and_measure(
    fabric: Fabric,
    predictor: Predictor,
    images: Images,
    keep: Callable[[str, torch.Tensor], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Rows:
    """Return the metrics of all images, one row an image with `metric_columns`; processes share the work.

    `keep` gets id and prediction of each image, in the process that predicted it; `advance` the number of
    images that were just measured.
    """
    data = predictor.data
    mine = range(fabric.global_rank, len(images), fabric.world_size)
    rows = np.zeros((len(images), len(metric_columns(data))))
    for start in range(0, len(mine), _CHUNK):
        chosen = list(mine[start : start + _CHUNK])
        with evaluation_mode(predictor.network):
            predictions = [predictor.label(images.images[i]) for i in chosen]
        rows[chosen] = _measure(predictions, [images.labels[i] for i in chosen],
                                [images.spacings[i] for i in chosen], data)  # fmt: skip
        for i, prediction in zip(chosen, predictions, strict=True):
            if keep is not None:
                keep(images.ids[i], prediction)
        if advance is not None:
            advance(len(chosen))
    if fabric.world_size > 1:
        # Every row is zero but in the process that measured it.
        gathered = fabric.all_reduce(torch.from_numpy(rows).to(fabric.device), reduce_op="sum")
        rows = gathered.cpu().numpy()
    return rows


def _measure(
    predictions: Sequence[torch.Tensor],
    labels: Sequence[torch.Tensor],
    spacings: Sequence[tuple[float, ...]],
    data: StudyData,
) -> Rows:
    """Return the metrics of all classes; images of one size are measured side by side."""
    rows: dict[int, Rows] = {}
    kinds = [(label.shape, spacing) for label, spacing in zip(labels, spacings, strict=True)]
    for kind in dict.fromkeys(kinds):
        members = [i for i, other in enumerate(kinds) if other == kind]
        several = torch.stack([predictions[i] for i in members]), torch.stack([labels[i] for i in members])
        per_class = [
            measure_masks(*_masks_of(*several, k, data.regions), convention=data.convention, spacing=kind[1])
            for k in range(len(data.foreground))
        ]
        rows |= dict(zip(members, np.concatenate(per_class, 1), strict=True))
    return np.stack([rows[i] for i in range(len(labels))])


def _masks_of(
    predictions: torch.Tensor, labels: torch.Tensor, k: int, regions: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the masks (B, 1, *S) of the k-th class or region, both empty where nothing counts."""
    if regions:
        predictions, labels = predictions[:, k : k + 1], labels[:, k : k + 1]
    value = 1 if regions else k + 1
    return (predictions == value) & (labels != IGNORE), labels == value


def mean_by_metric(rows: Rows, data: StudyData) -> dict[str, float]:
    """Return the mean of each metric over all images and classes that it is defined for, else NaN."""
    names = metric_names(data.spatial_dims)
    table = rows.reshape(len(rows) * len(data.foreground), len(names))
    defined = ~np.isnan(table)
    sums, counts = np.where(defined, table, 0.0).sum(0), defined.sum(0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return dict(zip(names, means.tolist(), strict=True))
