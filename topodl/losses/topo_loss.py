"""TopoLoss: the squared Wasserstein distance between the diagrams of the probabilities and of the label.

Hu et al., "Topology-preserving deep image segmentation", NeurIPS 2019, arXiv:1906.05404. Cost: one pairing an
image and class. The bars of a label are all (1, 0), so the optimal matching is a sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Unpack

import torch

from topodl._checks import check_choice, check_connectivity, check_number, fail
from topodl.losses._bars import (
    BORDERS,
    Bars,
    Border,
    Essential,
    foreground_maps,
    label_betti,
    probability_bars,
    read_dimension_weights,
    split_windows,
    surround,
    take_betti,
)
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice, cross_entropy
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.losses._targets import Prepare, TargetCache, TargetParts
from topodl.losses._topo_loss_study import study_term

__all__ = ["TopoLoss", "topo_loss"]

Variant = Literal["paper", "topomortar"]

_WEIGHTS = {"paper": 0.001, "topomortar": 100.0}


@loss_function
def topo_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    base_weight: float = 1.0,
    topology_weight: float | None = None,
    dimension_weights: Sequence[float] | None = None,
    window: int | None = None,
    essential: Essential = "clamp",
    border: Border = "open",
    connectivity: int = 8,
    include_background: bool = False,
    variant: Variant = "paper",
    precomputed: TargetParts | TargetCache | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return CE + Dice plus the weighted squared 2-Wasserstein distance of the superlevel diagrams.

    As many bars of the prediction as the label has components and holes are drawn to (1, 0), each other one
    to the diagonal; which ones is decided by the optimal matching.

    .. math:: L = w_b (CE - Dice) + w_t \frac1C \sum_c w_c \Bigl[ \sum_{\text{matched}} (1 - b)^2 + d^2
              + \sum_{\text{unmatched}} \tfrac12 (b - d)^2 + \tfrac12 n_{\text{unmatched}'} \Bigr]

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    base_weight : float, default=1
        Weight of CE + Dice, whose Dice leaves the background out; in the variant "topomortar" of the
        cross-entropy alone.
    topology_weight : float, optional
        Weight of the distance, a sum over bars: 0.001 by default, and 100 for "topomortar". The paper has
        0.005 for patches of 65 x 65 pixels.
    dimension_weights : sequence of float, optional
        Weights of components and holes, in volumes of components, tunnels and cavities, of the foreground; by
        default 1 for all. The variant "topomortar" has none.
    window : int, optional
        Compares windows of this side, which do not overlap, instead of whole images, and sums over them;
        those at the far edges are smaller. The default is the whole image, for "topomortar" 50.
    essential : {"clamp", "drop"}, default="clamp"
        Whether the component that never dies is a bar that ends at 0, or does not count.
    border : {"open", "background", "foreground"}, default="open"
        Frames each window with background or foreground; with "foreground", holes cut by its edge count.
    connectivity : {8, 4} or {26, 6}, default=8
        Of a class against the rest, which has the other one; 8 stands for 26 in volumes.
    include_background : bool, default=False
        Whether class 0 counts, as a foreground of its own.
    variant : {"paper", "topomortar"}, default="paper"
        "topomortar" computes what the code of the TopoMortar study does (two classes, 2D): softmax twice,
        components of the background instead of the foreground, no holes, and a gradient that lowers the peaks
        it means to raise. The study switched it on after 70 % of the training: ``active_from=0.7``.
    precomputed : mapping of str to Tensor of shape (B, …), optional
        What ``TopoLoss.precompute`` returned for `target`.
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
    Hu et al., "Topology-Preserving Deep Image Segmentation", NeurIPS 2019, arXiv:1906.05404.

    Examples
    --------
    A spurious blob of height 0.6 costs half the square of its length:

    >>> import torch
    >>> p, target = torch.zeros(1, 1, 5, 9), torch.zeros(1, 5, 9, dtype=torch.long)
    >>> target[:, 2, :4] = p[:, :, 2, :4] = 1
    >>> p[..., 2, 7] = 0.6
    >>> round(float(topo_loss(p, target, activation="none", base_weight=0, topology_weight=1)), 4)
    0.18
    """
    name = "topo_loss"
    check_choice(name, "variant", variant, ("paper", "topomortar"))
    check_choice(name, "essential", essential, ("clamp", "drop"))
    check_choice(name, "border", border, BORDERS)
    eight = check_connectivity(name, connectivity)
    if window is not None:
        check_number(name, "window", window, low=2, integer=True)
    weight = _WEIGHTS[variant] if topology_weight is None else topology_weight
    if variant == "topomortar":
        if dimension_weights is not None:
            came = f"is {dimension_weights!r} with variant='topomortar'"
            raise fail(name, "dimension_weights", came, "None, as it has no holes")
        batch = SegmentationBatch.read(name, logits, target, dims=(2,), **common)
        return batch.reduce(base_weight * cross_entropy(batch) + weight * study_term(batch, window or 50))
    batch = SegmentationBatch.read(name, logits, target, **common)
    channels = batch.channels(include_background)

    loss = base_weight * ce_dice(batch, 1.0, 1.0, include_background=False) if base_weight else batch.zeros()
    if weight:
        parts = batch.target_parts(precomputed, _prepare(connectivity, window, border))
        betti = take_betti(batch, parts, channels)
        maps = split_windows(foreground_maps(batch, channels), window)
        weights = read_dimension_weights(name, dimension_weights, batch.labels.ndim - 1)
        distances = _distances(maps, betti, eight, essential, border, weights)
        loss = loss + weight * batch.weigh_classes(distances.view(-1, len(channels)), channels)
    return batch.reduce(loss)


def _prepare(connectivity: int, window: int | None, border: Border) -> Prepare:
    return partial(label_betti, connectivity=connectivity, window=window, border=border)


def _distances(
    maps: list[torch.Tensor],
    betti: torch.Tensor,
    eight: bool,
    essential: Essential,
    border: Border,
    weights: Sequence[float],
) -> torch.Tensor:
    """Return the squared distance of the diagrams of each image, (N,), summed over windows and dimensions.

    `weights` are those of the dimensions.
    """
    of_dims = maps[0].new_tensor(weights)
    total, first = maps[0].new_zeros(len(maps[0])), 0
    for windows in maps:
        wanted = betti.flatten(0, 1)[:, first : first + windows.shape[1]]
        first += windows.shape[1]
        bars = probability_bars(surround(windows.flatten(0, 1), border), eight, essential, _gain)
        wanted = wanted.clone()
        if essential == "drop":
            wanted[..., 0] = (wanted[..., 0] - 1).clamp_min(0)
        distances = _distance(bars, wanted.flatten()).view(-1, len(weights)) * of_dims
        total = total + distances.view(len(windows), -1).sum(1)
    return total


def _gain(births: torch.Tensor, deaths: torch.Tensor) -> torch.Tensor:
    """Return what is saved by drawing a bar and a bar of the label to each other and not to the diagonal."""
    return 0.5 + (births - deaths).square() / 2 - (1 - births).square() - deaths.square()


def _distance(bars: Bars, wanted: torch.Tensor) -> torch.Tensor:
    """Return the distance of each diagram to one of `wanted` (n_diagrams,) bars (1, 0)."""
    matched = (bars.rank < wanted[bars.diagram]) & (_gain(bars.births, bars.deaths) > 0)
    near = (1 - bars.births).square() + bars.deaths.square()
    cost = torch.where(matched, near, (bars.births - bars.deaths).square() / 2)
    left = wanted - bars.sums(matched.to(wanted.dtype))
    return bars.sums(cost) + left.to(cost.dtype) / 2


class TopoLoss(SegmentationLoss, name="topo_loss", function=topo_loss, prepare=label_betti):
    """TopoLoss as a module; the options are those of `topo_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = TopoLoss(window=16, topology_weight=0.01)
    >>> loss(torch.randn(2, 3, 40, 40), torch.randint(3, (2, 40, 40))).shape
    torch.Size([])
    """

    def __init__(
        self, *, variant: str = "paper", topology_weight: float | None = None, **options: Any
    ) -> None:
        if topology_weight is None:
            topology_weight = _WEIGHTS.get(variant, 0.0)
        super().__init__(variant=variant, topology_weight=topology_weight, **options)
