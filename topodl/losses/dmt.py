"""The DMT loss: cross-entropy on the ridges of the prediction that discrete Morse theory finds.

Hu et al., "Topology-Aware Segmentation Using Discrete Morse Theory", ICLR 2021, arXiv:2103.09992. Cost: one
pairing of the loops of each image and class, one sort and union-find over the borders of basins, on the CPU.
"""

from __future__ import annotations

import itertools
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from topodl._checks import check_connectivity, check_number
from topodl._host import host_array, untransformed
from topodl.kernels.images.separatrices import mark_separatrices
from topodl.kernels.shared.pool import map_batch
from topodl.losses._bars import foreground_maps
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.persistence.cubical import cubical_persistence

__all__ = ["DMTLoss", "dmt_loss", "morse_ridges"]


@loss_function
def dmt_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float = 1.0,
    min_persistence: float = 0.1,
    window: int | None = None,
    connectivity: int = 8,
    include_background: bool = False,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return CE + Dice plus the weighted cross-entropy on the ridges of each class's probability.

    .. math:: L_{dmt} = -\frac1C \sum_c \frac1n \sum_{i \in M_c} \log p_{y_i, i}

    M_c are the 1-stable manifolds of the probability of class c, a terrain: from each saddle the steepest
    ways up to the maxima on its sides. Saddles and maxima are cancelled beforehand by persistence. Ridges run
    over gaps of a line and over weak bridges alike, the label says which is which. They are constants: the
    gradient flows through the probabilities alone. n is the number of pixels that count, so that a pixel on
    the ridge of a single foreground class weighs ``1 + topology_weight`` times what others weigh in the
    cross-entropy.

    The paper's 2-stable manifolds of volumes (surfaces, for membranes) are left out: in a volume the ridges
    are lines, too. Their neighbours are those of `connectivity`. Where several loops close at one pixel and
    one of them persists, the ways of all are taken.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight : float, default=1
        Weight of CE + Dice, whose Dice leaves the background out.
    topology_weight : float, default=1
        Weight of the cross-entropy on the ridges.
    min_persistence : float, default=0.1
        Differences of probability up to this are noise: a saddle whose maximum, or whose loop, persists no
        longer is cancelled.
    window : int, optional
        Side of the windows that the ridges are found in, each on its own; the whole image by default.
    connectivity : {8, 4}, default=8
        Which pixels are neighbours on a ridge; 26 and 6 in a volume.
    include_background : bool, default=False
        Whether the ridges of class 0 count too.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`.

    Returns
    -------
    Tensor
        A scalar, or (B,) with reduction="none".

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, a label is out of range, or an option is unusable.

    References
    ----------
    Hu et al., "Topology-Aware Segmentation Using Discrete Morse Theory", ICLR 2021; Dey, Wang, Wang, "Graph
    Reconstruction by Discrete Morse Theory", SoCG 2018, arXiv:1803.05093.

    Examples
    --------
    A line with a dim pixel: the ridge runs over it, the rest of the image counts no more than before.

    >>> import torch
    >>> target = torch.zeros(1, 5, 7, dtype=torch.long)
    >>> target[:, 2] = 1
    >>> p = torch.full((1, 1, 5, 7), 0.01)
    >>> p[:, :, 2] = torch.tensor([0.7, 0.8, 0.9, 0.2, 0.9, 0.8, 0.7])
    >>> p.requires_grad_()  # doctest: +ELLIPSIS
    tensor(...
    >>> dmt_loss(p, target, base_weight=0.0, activation="none").backward()
    >>> (p.grad[0, 0, 2] != 0).tolist()
    [False, False, True, True, True, False, False]
    """
    name = "dmt_loss"
    eight = check_connectivity(name, connectivity)
    check_number(name, "min_persistence", min_persistence, low=0.0)
    if window is not None:
        check_number(name, "window", window, low=2, integer=True)
    batch = SegmentationBatch.read(name, logits, target, **common)
    loss = base_weight * ce_dice(batch, 1.0, 1.0, include_background=False) if base_weight else batch.zeros()
    if topology_weight:
        channels = batch.channels(include_background)
        ridges = morse_ridges(foreground_maps(batch, channels), min_persistence, eight, window)
        ridges = ridges.view(len(batch.labels), len(channels), *batch.labels.shape[1:])
        loss = loss + topology_weight * _ridge_cross_entropy(batch, ridges, channels)
    return batch.reduce(loss)


def morse_ridges(
    maps: torch.Tensor, min_persistence: float, eight: bool, window: int | None = None
) -> torch.Tensor:
    """Return which pixels of `maps` (N, *S) lie on a 1-stable manifold that persists, booleans (N, *S).

    Pixels are ordered by (falling value, index), edges by their later pixel and then the earlier one.
    """
    values = host_array("dmt_loss", maps)
    found = np.zeros(values.shape, bool)
    sides = [window or side for side in values.shape[1:]]
    starts = [range(0, size, side) for size, side in zip(values.shape[1:], sides, strict=True)]
    with untransformed():
        for corner in itertools.product(*starts):
            crop = (slice(None), *(slice(s, s + side) for s, side in zip(corner, sides, strict=True)))
            found[crop] = _ridges_of_whole(np.ascontiguousarray(values[crop]), min_persistence, eight)
    return torch.from_numpy(found).to(maps.device)


def _ridges_of_whole(values: NDArray[Any], min_persistence: float, eight: bool) -> NDArray[np.bool_]:
    maps = torch.from_numpy(values)
    loops = cubical_persistence(maps, dims=1, superlevel=True, construction="cell" if eight else "vertex")
    lasts = loops.births.double() - loops.deaths.double() > min_persistence
    closes = np.zeros((len(values), values[0].size), bool)
    assert loops.birth_cells is not None
    closes[loops.samples[lasts].numpy(), loops.birth_cells[lasts, 0].numpy()] = True
    places, steps = _grid(tuple(maps.shape[1:]), eight)
    negated = np.negative(values).reshape(len(values), -1)
    bits = negated.view(f"i{negated.itemsize}")

    def ridges(i: int) -> NDArray[np.bool_]:
        marked: NDArray[np.bool_] = mark_separatrices(
            negated[i], bits[i], closes[i], places, steps, float(min_persistence)
        )
        return marked

    return np.stack(map_batch(ridges, range(len(values)))).reshape(values.shape)


def _grid(size: tuple[int, ...], eight: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the places of the pixels in an array with a border, and the steps to their neighbours."""
    padded = np.array([side + 2 for side in size])
    strides = np.append(np.cumprod(padded[:0:-1])[::-1], 1)
    places = np.arange(padded.prod()).reshape(padded)[(slice(1, -1),) * len(size)].ravel()
    offsets = np.array(list(itertools.product((-1, 0, 1), repeat=len(size))))
    distance = np.abs(offsets).sum(1)
    offsets = offsets[(distance > 0) & (eight | (distance == 1))]
    return places, np.column_stack([offsets @ strides, offsets])


def _ridge_cross_entropy(batch: SegmentationBatch, ridges: torch.Tensor, channels: range) -> torch.Tensor:
    """Return the sum of -log p of the label on each class's ridges, over all pixels, weighted, (B,)."""
    if batch.valid is not None:
        ridges = ridges & batch.valid[:, None]
    sample, channel, pixel = ridges.flatten(2).nonzero(as_tuple=True)
    labels = batch.labels.flatten(1)[sample, pixel]
    if batch.logits.shape[1] > 1:
        log_p = batch.log_probabilities.flatten(2)[sample, labels, pixel]
    elif batch.activation == "none":
        p = batch.logits.flatten(1)[sample, pixel]
        log_p = torch.where(labels == 1, p, 1 - p).clamp_min(1e-12).log()
    else:
        scores = batch.logits.flatten(1)[sample, pixel]
        log_p = torch.nn.functional.logsigmoid(torch.where(labels == 1, scores, -scores))
    sums = log_p.new_zeros(ridges.shape[:2]).index_put((sample, channel), -log_p, accumulate=True)
    if batch.valid is None:
        return batch.weigh_classes(sums / batch.labels[0].numel(), channels)
    return batch.weigh_classes(sums / batch.valid.flatten(1).sum(1).clamp_min(1)[:, None], channels)


class DMTLoss(SegmentationLoss, name="dmt", function=dmt_loss):
    """CE + Dice plus the DMT loss, as a module; the options are those of `dmt_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = DMTLoss(min_persistence=0.2, window=64)
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """
