"""TopoLoss as the code of the TopoMortar study computes it, so that its published tables can be compared.

It differs from the paper: softmax is applied twice, the label is the background's, only components count,
kept peaks are pulled to 0 and their saddles to 1, and the saddles of removed components are written to the
place in the first window that they have in their own. Windows that are not square are read transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import fail
from topodl._host import host_array
from topodl.losses._bars import split_windows
from topodl.losses._input import SegmentationBatch
from topodl.persistence.cubical import cubical_persistence

__all__ = ["study_term"]

_SHORTEST, _PERFECT = 0.03, 0.99


def study_term(batch: SegmentationBatch, window: int) -> torch.Tensor:
    """Return the topology term of each sample, (B,), for two classes in 2D."""
    if batch.logits.shape[1] != 2:
        came = f"has {batch.logits.shape[1]} channels"
        raise fail(batch.function, "logits", came, "2 channels for variant='topomortar'")
    q = batch.probabilities.softmax(1)[:, 1]
    weight, reference = _critical_maps(q.detach(), batch.labels == 0, window)
    return (q * weight - reference).square().flatten(1).mean(1)


def _critical_maps(
    q: torch.Tensor, background: torch.Tensor, window: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1 at the critical pixels, and what they are pulled to, (B, H, W) each."""
    pixels = torch.arange(q.numel(), device=q.device).view(q.shape)
    groups = [split_windows(x, window) for x in (q, background.to(q.dtype), pixels)]
    writes = [_writes(w, b, p, q.shape[1:]) for w, b, p in zip(*groups, strict=True)]
    target, value, turn = (np.concatenate(parts) for parts in zip(*writes, strict=True))
    order = np.argsort(turn, kind="stable")  # later windows overwrite what earlier ones wrote
    weight, reference = np.zeros(q.numel()), np.zeros(q.numel())
    weight[target[order]] = 1.0
    reference[target[order]] = value[order]
    return tuple(torch.from_numpy(m).to(q).view(q.shape) for m in (weight, reference))  # type: ignore[return-value]


def _writes(
    q: torch.Tensor, background: torch.Tensor, pixels: torch.Tensor, image: torch.Size
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return (pixel, value, first pixel of the window) of all that windows (B, W, h, w) of one size write."""
    per_image, side = q.shape[1], q.shape[3]
    n_kept = np.bincount(_finite_components(background)[0], minlength=q.shape[0] * per_image)
    sample, births, deaths, birth_cells, death_cells = _finite_components(q)
    rank = np.arange(len(sample)) - np.searchsorted(sample, sample)
    kept = n_kept[sample]
    fix = np.flatnonzero((rank < kept) & (births - deaths <= _PERFECT))
    remove = np.flatnonzero((kept > 0) & (rank >= kept) & (births - deaths > _SHORTEST))
    remove = remove[::-1]  # of bars that end in one saddle, the longest writes last
    flat = host_array("topo_loss", pixels.flatten(0, 1).flatten(1))
    misplaced = sample // per_image * image.numel() + death_cells // side * image[1] + death_cells % side
    parts = [
        (flat[sample, birth_cells][fix], np.zeros(len(fix)), sample[fix]),
        (flat[sample, death_cells][fix], np.ones(len(fix)), sample[fix]),
        (flat[sample, birth_cells][remove], deaths[remove], sample[remove]),
        (misplaced[remove], births[remove], sample[remove]),
    ]
    target, value, window = (np.concatenate(p) for p in zip(*parts, strict=True))
    return target, value, flat[window, 0]


def _finite_components(windows: torch.Tensor) -> tuple[NDArray[Any], ...]:
    """Return (window, birth, death, birth pixel, death pixel) of the bars, longest first in each window."""
    n_images, per_image, height, side = windows.shape
    transposed = windows.reshape(n_images * per_image, side, height)
    bars = cubical_persistence(transposed, dims=0, superlevel=True, construction="cell").finite()
    assert bars.birth_cells is not None
    assert bars.death_cells is not None
    columns = (bars.samples, bars.births, bars.deaths, bars.birth_cells[:, 0], bars.death_cells[:, 0])
    arrays = tuple(host_array("topo_loss", column) for column in columns)
    order = np.lexsort((arrays[2] - arrays[1], arrays[0]))
    return tuple(array[order] for array in arrays)
