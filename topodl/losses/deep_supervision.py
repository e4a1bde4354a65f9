"""One loss over the heads of a deeply supervised network, the target's part computed once for all of them.

Cost: the loss times the number of heads; skeletons, distances and diagrams of the label once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from topodl._checks import check_choice, check_number, check_tensor, fail
from topodl.losses._base import SegmentationLoss

__all__ = ["DeepSupervisionLoss", "topomortar_head_weights"]


def topomortar_head_weights(n_heads: int = 7) -> list[float]:
    """Return the weights of the TopoMortar study: 1 for head 0, halving from 0.252 on, over `n_heads`.

    Parameters
    ----------
    n_heads : int, default=7
        Number of heads.

    Returns
    -------
    list of float
        One weight a head.

    Raises
    ------
    InputError
        If `n_heads` is below 1.

    References
    ----------
    J. M. Valverde, M. Koga, N. Otsuka, A. B. Dahl, "TopoMortar: a dataset to evaluate image segmentation
    methods focused on topology accuracy", BMVC 2025 (its code).

    Examples
    --------
    >>> [round(7 * w, 4) for w in topomortar_head_weights(7)]
    [1.0, 0.252, 0.126, 0.063, 0.0315, 0.0157, 0.0079]
    """
    check_number("topomortar_head_weights", "n_heads", n_heads, low=1, integer=True)
    return [share / n_heads for share in (1.0, *_halving(n_heads)[1:])]


def _halving(n: int) -> list[float]:
    """Return `n` weights that halve from one to the next and sum to 1."""
    halves = [2.0**-i for i in range(n)]
    return [half / sum(halves) for half in halves]


class DeepSupervisionLoss(torch.nn.Module):
    """The weighted sum of a loss over the heads of a network.

    Parameters
    ----------
    loss : SegmentationLoss
        Applied to every head.
    weights : sequence of float, optional
        One a head; by default they halve from head to head and sum to 1, as in nnU-Net.
    topology_heads : {"all", "first"}, default="all"
        Which heads get the topology term; "first" saves its cost on the others.

    Raises
    ------
    InputError
        If a weight is negative, or `topology_heads` is none of these.

    References
    ----------
    C.-Y. Lee, S. Xie, P. Gallagher, Z. Zhang, Z. Tu, "Deeply-supervised nets", AISTATS 2015. F. Isensee et
    al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", Nature
    Methods 18, 2021 (the weights).

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import ClDiceLoss
    >>> loss = DeepSupervisionLoss(ClDiceLoss(iterations=3), topomortar_head_weights(7))
    >>> loss(torch.randn(2, 7, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """

    def __init__(
        self,
        loss: SegmentationLoss,
        weights: Sequence[float] | None = None,
        topology_heads: Literal["all", "first"] = "all",
    ) -> None:
        super().__init__()
        check_choice("DeepSupervisionLoss", "topology_heads", topology_heads, ("all", "first"))
        for i, weight in enumerate(weights or ()):
            check_number("DeepSupervisionLoss", f"weights[{i}]", weight, low=0.0)
        self.loss = loss
        self.weights = None if weights is None else [float(w) for w in weights]
        self.topology_heads = topology_heads

    def forward(
        self,
        heads: torch.Tensor | Sequence[torch.Tensor],
        target: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        precomputed: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the weighted sum of the losses of all heads.

        Parameters
        ----------
        heads : Tensor of shape (B, heads, C, *S), or sequence of Tensor (B, C, *S_i)
            A head that is smaller than the target gets the target's nearest pixels.
        target : Tensor of shape (B, 1, *S) or (B, *S), integers
            Labels, as for the loss itself.
        mask : Tensor of shape (B, 1, *S) or (B, *S), optional
            Nonzero where pixels count.
        precomputed : mapping of str to Tensor of shape (B, …), optional
            What the loss's ``precompute`` returned for `target`.

        Returns
        -------
        Tensor
            A scalar, or (B,) with reduction="none".

        Raises
        ------
        InputError
            If there is no weight for a head, a head is larger than the target, or the loss refuses a head.
        """
        outputs = _split_heads(heads)
        weights = self._weights_of(len(outputs))
        target = _with_channel("target", target, outputs[0])
        mask = None if mask is None else _with_channel("mask", mask, outputs[0])
        size = tuple(target.shape[2:])
        _check_sizes(outputs, size)
        total: torch.Tensor | None = None
        for i, (weight, output) in enumerate(zip(weights, outputs, strict=True)):
            if weight == 0:
                continue
            same = tuple(output.shape[2:]) == size
            if same and precomputed is None and isinstance(self.loss, SegmentationLoss):
                precomputed = self.loss.precompute(target, mask=mask)
            value = weight * self.loss(
                output,
                target if same else _shrink(target, output),
                mask=mask if same or mask is None else _shrink(mask, output),
                precomputed=precomputed if same else None,
                topology=i == 0 or self.topology_heads == "all",
            )
            total = value if total is None else total + value
        return outputs[0].sum() * 0 if total is None else total

    def _weights_of(self, n_heads: int) -> list[float]:
        if self.weights is None:
            return _halving(n_heads)
        if len(self.weights) != n_heads:
            raise fail(
                "DeepSupervisionLoss", "heads", f"has {n_heads} heads", f"{len(self.weights)}, one a weight"
            )
        return self.weights


def _split_heads(heads: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    if isinstance(heads, torch.Tensor):
        if heads.ndim not in (5, 6):
            raise fail(
                "DeepSupervisionLoss",
                "heads",
                f"has shape {tuple(heads.shape)}",
                "shape (B, heads, C, *S), or a sequence of (B, C, *S)",
            )
        return list(heads.unbind(1))
    if not isinstance(heads, Sequence):
        raise TypeError(f"DeepSupervisionLoss: heads is a {type(heads).__name__}; expected tensors")
    if len(heads) == 0:
        raise fail("DeepSupervisionLoss", "heads", "is empty", "at least one head")
    return [check_tensor("DeepSupervisionLoss", f"heads[{i}]", head) for i, head in enumerate(heads)]


def _with_channel(argument: str, values: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Return labels (B, *S) as (B, 1, *S); for volumes of one layer, only the heads tell which they are."""
    check_tensor("DeepSupervisionLoss", argument, values)
    with_channel = values[:, None] if values.ndim == output.ndim - 1 else values
    if with_channel.ndim != output.ndim or with_channel.shape[1] != 1:
        raise fail(
            "DeepSupervisionLoss",
            argument,
            f"has shape {tuple(values.shape)}",
            f"shape (B, 1, *S) or (B, *S) for heads of shape {tuple(output.shape)}",
        )
    return with_channel


def _check_sizes(outputs: list[torch.Tensor], size: tuple[int, ...]) -> None:
    for i, output in enumerate(outputs):
        sides = tuple(output.shape[2:])
        if len(sides) != len(size) or any(side > whole for side, whole in zip(sides, size, strict=True)):
            raise fail(
                "DeepSupervisionLoss",
                f"heads[{i}]",
                f"has shape {tuple(output.shape)}",
                f"shape (B, C, *S), S at most the target's {size}",
            )


def _shrink(values: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Return the pixels of `values` nearest to those of `output`, (B, 1, *S_i)."""
    size = output.shape[2:]
    return F.interpolate(values.to(torch.float64), size=size, mode="nearest-exact").to(values.dtype)
