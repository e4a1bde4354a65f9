"""TopoGrad: bars of the probabilities are driven towards prescribed Betti numbers, with or without a label.

Clough et al., IPMI 2019, arXiv:1901.10244, and TPAMI 2020, arXiv:1910.01877; Byrne et al., arXiv:2107.12689.
Cost: one pairing an image and class.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Unpack

import torch

from topodl._checks import as_tensor, check_choice, check_connectivity, check_dense, fail
from topodl.losses._bars import (
    BORDERS,
    Border,
    Essential,
    foreground_maps,
    label_betti,
    probability_bars,
    read_dimension_weights,
    surround,
    take_betti,
)
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.losses._targets import TargetCache, TargetParts

__all__ = ["TopoGradLoss", "topo_grad_loss"]

BettiNumbers = torch.Tensor | Sequence[int] | Sequence[Sequence[int]] | Sequence[Sequence[Sequence[int]]]


@loss_function
def topo_grad_loss(
    logits: torch.Tensor,
    target: torch.Tensor | None = None,
    *,
    betti_numbers: BettiNumbers | None = None,
    base_weight: float = 1.0,
    topology_weight: float = 0.002,
    dimension_weights: Sequence[float] | None = None,
    power: Literal[1, 2] = 2,
    essential: Essential = "clamp",
    border: Border = "open",
    connectivity: int = 8,
    include_background: bool = False,
    precomputed: TargetParts | TargetCache | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return CE + Dice plus the weighted distance of the bars from what the Betti numbers ask for.

    The :math:`\beta_k` longest superlevel bars of dimension k are drawn to length 1, all others to 0. A
    missing bar has length 0.

    .. math:: L = w_b (CE - Dice) + w_t \frac1C \sum_c w_c \sum_k \Bigl[
              \sum_{l \le \beta_k} \bigl(1 - (b_l - d_l)^2\bigr) + \sum_{l > \beta_k} (b_l - d_l)^2 \Bigr]

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers, optional
        Labels in [0, C), in {0, 1} for one channel; not needed with `betti_numbers` and ``base_weight=0``.
    betti_numbers : ints of shape (D,), (K, D), (B, K, D) or (B, 1, D), optional
        Components and holes (D = 2); in volumes components, tunnels and cavities (D = 3). One row for all
        of the K classes that count, one for each, or such for each sample. By default those of the label.
    base_weight : float, default=1
        Of CE + Dice, whose Dice leaves the background out.
    topology_weight : float, default=0.002
        Of the bars.
    dimension_weights : sequence of float, optional
        Weights of components and holes, in volumes of components, tunnels and cavities, of the foreground; by
        default 1 for all.
    power : {2, 1}, default=2
        Of the lengths in the sums.
    essential : {"clamp", "drop"}, default="clamp"
        Whether the component that never dies is a bar that ends at 0, or does not count.
    border : {"open", "background", "foreground"}, default="open"
        Frames each image with background or foreground; with "foreground", holes cut by its edge count.
    connectivity : {8, 4} or {26, 6}, default=8
        Of a class against the rest, which has the other one; 8 stands for 26 in volumes.
    include_background : bool, default=False
        Whether class 0 counts, as a foreground of its own.
    precomputed : mapping of str to Tensor of shape (B, …), optional
        What ``TopoGradLoss.precompute`` returned for `target`.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`.

    Returns
    -------
    Tensor
        A scalar, or (B,) with reduction="none".

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, a label is out of range or missing, or an option is
        unusable.

    References
    ----------
    Clough et al., "A Topological Loss Function for Deep-Learning Based Image Segmentation Using Persistent
    Homology", TPAMI 2020, arXiv:1910.01877. Byrne et al., "A Persistent Homology-Based
    Topological Loss for CNN-Based Multiclass Segmentation of CMR", TMI 2022, arXiv:2107.12689.

    Examples
    --------
    One component of height 1 was asked for; a second one of height 0.6 is too many:

    >>> import torch
    >>> p, target = torch.zeros(1, 1, 5, 9), torch.zeros(1, 5, 9, dtype=torch.long)
    >>> p[..., 2, :4], p[..., 2, 7] = 1.0, 0.6
    >>> options = {"activation": "none", "base_weight": 0, "topology_weight": 1}
    >>> round(float(topo_grad_loss(p, target, betti_numbers=(1, 0), **options)), 4)
    0.36
    """
    name = "topo_grad_loss"
    check_choice(name, "power", power, (1, 2))
    check_choice(name, "essential", essential, ("clamp", "drop"))
    check_choice(name, "border", border, BORDERS)
    eight = check_connectivity(name, connectivity)
    if target is None:
        if base_weight or betti_numbers is None:
            raise fail(name, "target", "is None", "labels, or betti_numbers and base_weight=0")
        shape = check_dense(name, "logits", logits).shape
        target = torch.zeros(shape[:1] + shape[2:], dtype=torch.uint8, device=logits.device)
    batch = SegmentationBatch.read(name, logits, target, **common)
    channels = batch.channels(include_background)
    weights = read_dimension_weights(name, dimension_weights, batch.labels.ndim - 1)
    loss = base_weight * ce_dice(batch, 1.0, 1.0, include_background=False) if base_weight else batch.zeros()
    if topology_weight:
        if betti_numbers is None:
            prepare = partial(label_betti, connectivity=connectivity, border=border)
            wanted = take_betti(batch, batch.target_parts(precomputed, prepare), channels)[:, :, 0].clone()
        else:
            wanted = _read_betti(batch, betti_numbers, channels)
        if essential == "drop":
            wanted[..., 0] = (wanted[..., 0] - 1).clamp_min(0)
        bars = probability_bars(surround(foreground_maps(batch, channels), border), eight, essential)
        length = (bars.births - bars.deaths) ** power
        kept = bars.rank < wanted.flatten()[bars.diagram]
        missing = wanted - bars.sums(kept.to(wanted.dtype)).view(wanted.shape)
        errors = missing + bars.sums(torch.where(kept, 1 - length, length)).view(wanted.shape)
        loss = loss + topology_weight * batch.weigh_classes(
            (errors * errors.new_tensor(weights)).sum(2), channels
        )
    return batch.reduce(loss)


def _read_betti(batch: SegmentationBatch, betti_numbers: BettiNumbers, channels: range) -> torch.Tensor:
    """Return the prescribed numbers as (B, C, dimensions)."""
    n_samples, n_classes, n_dims = len(batch.labels), len(channels), batch.logits.ndim - 2
    expected = (
        f"{n_dims} integers of at least 0, or so many for each of {n_classes} classes, or such for each of "
        f"{n_samples} samples, ({n_samples}, {n_classes}, {n_dims})"
    )
    try:
        table = as_tensor(betti_numbers).cpu()
    except (TypeError, ValueError) as error:
        raise fail(batch.function, "betti_numbers", f"is {betti_numbers!r}", expected) from error
    shapes = [(n_dims,), (n_classes, n_dims), (n_samples, n_classes, n_dims), (n_samples, 1, n_dims)]
    whole = not table.is_floating_point() and table.dtype != torch.bool
    if not whole or tuple(table.shape) not in shapes or bool((table.long() < 0).any()):
        raise fail(batch.function, "betti_numbers", f"is {table.tolist()}", expected)
    table = table.long().expand(n_samples, n_classes, n_dims)
    return table.to(batch.logits.device, copy=True)


class TopoGradLoss(SegmentationLoss, name="topo_grad", function=topo_grad_loss, prepare=label_betti):
    """TopoGrad as a module; the options are those of `topo_grad_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = TopoGradLoss(betti_numbers=[(1, 0), (2, 1)])
    >>> loss(torch.randn(2, 3, 16, 16), torch.randint(3, (2, 16, 16))).shape
    torch.Size([])

    Without a label, where it is known how many there are in each image:

    >>> loss = TopoGradLoss(base_weight=0.0)
    >>> loss(torch.randn(2, 1, 16, 16), betti_numbers=[[(1, 0)], [(3, 2)]]).shape
    torch.Size([])
    """

    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor | None = None,
        *,
        betti_numbers: BettiNumbers | None = None,
        mask: torch.Tensor | None = None,
        pixel_weights: torch.Tensor | None = None,
        precomputed: TargetParts | Sequence[TargetParts] | None = None,
        topology: bool = True,
    ) -> torch.Tensor:
        """Return the loss.

        Parameters
        ----------
        logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
            One channel for the foreground alone, or one a class; probabilities with activation="none".
        target : Tensor of shape (B, 1, *S) or (B, *S), integers, optional
            Labels in [0, C), in {0, 1} for one channel; none with Betti numbers and ``base_weight=0``.
        betti_numbers : ints of shape (D,), (K, D), (B, K, D) or (B, 1, D), optional
            Those of this batch, in place of the option's.
        mask : Tensor of shape (B, 1, *S) or (B, *S), optional
            Nonzero where pixels count.
        pixel_weights : Tensor of shape (B, 1, *S) or (B, *S), optional
            Weight of each pixel in the cross-entropy.
        precomputed : mapping of str to Tensor of shape (B, …), optional
            What `precompute` returned for this target; else it is computed or taken from the cache.
        topology : bool, default=True
            False leaves the topology term out (for the lower heads of deep supervision).

        Returns
        -------
        Tensor
            A scalar, or (B,) with reduction="none"; float64 for float64 logits, else float32.
        """
        if betti_numbers is None:
            return self._evaluate_anywhere(logits, target, mask, pixel_weights, precomputed, topology)
        others: dict[str, Any] = {"betti_numbers": betti_numbers}
        if pixel_weights is not None:
            others["pixel_weights"] = pixel_weights
        return self._evaluate(logits, target, mask, precomputed, topology, **others)
