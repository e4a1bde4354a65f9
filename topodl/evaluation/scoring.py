"""Measures a network on test or validation images: one row of TopoMortar's metrics per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._submodules import evaluation_mode
from topodl.evaluation.data import Images, standardised
from topodl.evaluation.run_folder import METRIC_COLUMNS
from topodl.metrics import betti_error, cldice_score, dice_score, hausdorff_distance_95

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["foreground_probabilities", "measure_masks", "predict_and_measure"]

_NO_DEPTH = 1e-5  # as the published study has it
_CHUNK = 8  # images whose metrics are computed side by side


def measure_masks(predictions: torch.Tensor, labels: torch.Tensor) -> NDArray[np.float64]:
    """Return the metrics of masks (B, 1, H, W), one row an image, in the order of `METRIC_COLUMNS`.

    The local Betti errors are means over 4 × 4 windows, as TopoMortar's 128 of 512 pixels. clDice is 0 where
    a prediction is empty; everything else follows TopoMortar's conventions.
    """
    window = max(1, max(labels.shape[-2:]) // 4)
    whole = betti_error(predictions, labels, convention="topomortar")
    local = betti_error(predictions, labels, window=window, convention="topomortar")
    columns = {
        "Betti0ErrorLocal_mortar": local[:, 0],
        "Betti0Error_mortar": whole[:, 0],
        "Betti1ErrorLocal_mortar": local[:, 1],
        "Betti1Error_mortar": whole[:, 1],
        "Dice_mortar": dice_score(predictions, labels, convention="topomortar"),
        "HD95_mortar": hausdorff_distance_95(predictions, labels, convention="topomortar"),
        "clDice_mortar": cldice_score(predictions, labels, skeleton="scikit-image"),
    }
    return torch.stack([columns[name] for name in METRIC_COLUMNS], 1).numpy()


def foreground_probabilities(fabric: Fabric, network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the foreground's probability (B, 1, H, W) on the CPU for images of bytes; no gradient.

    Of a network that regresses a depth it is 1 where the depth is positive.
    """
    with torch.no_grad():
        logits = network(standardised(images.to(fabric.device)))
    if logits.shape[1] == 1:
        return (logits > _NO_DEPTH).float().cpu()
    return torch.softmax(logits.float(), 1)[:, 1:].cpu()


def predict_and_measure(
    fabric: Fabric,
    network: torch.nn.Module,
    data: Images,
    keep: Callable[[str, torch.Tensor], None] | None = None,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Return the metrics of every image of `data`, one row an image; the processes share the work.

    `keep` gets id and mask (H, W) of each image, in the process that predicted it; `advance` the number of
    images that were just measured.
    """
    mine = range(fabric.global_rank, len(data), fabric.world_size)
    rows = np.zeros((len(data), len(METRIC_COLUMNS)))
    for start in range(0, len(mine), _CHUNK):
        chosen = list(mine[start : start + _CHUNK])
        with evaluation_mode(network):
            parts = [foreground_probabilities(fabric, network, data.images[i : i + 1]) for i in chosen]
        masks = torch.cat(parts) > 0.5
        rows[chosen] = measure_masks(masks, data.labels[chosen])
        for i, mask in zip(chosen, masks, strict=True):
            if keep is not None:
                keep(data.ids[i], mask[0])
        if advance is not None:
            advance(len(chosen))
    if fabric.world_size > 1:
        # Every row is zero but in the process that measured it.
        gathered = fabric.all_reduce(torch.from_numpy(rows).to(fabric.device), reduce_op="sum")
        rows = gathered.cpu().numpy()
    return rows
