"""One loss over the heads of a deeply supervised network, the target's part computed once for all of them.

Cost: the loss times the number of heads; skeletons, distances and diagrams of the label once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from topodl._checks import check_choice, check_dense, check_number, fail
from topodl._overflow import one_warning
from topodl._precision import at_least_single
from topodl.losses._base import SegmentationLoss
from topodl.losses._reading import check_pixel_weights
from topodl.losses._shrinking import SHRINKING, Shrinking, mean_pixels, shrink_labels
from topodl.losses._targets import TargetParts

__all__ = ["DeepSupervisionLoss", "topomortar_head_weights"]

Masks = torch.Tensor | Sequence[torch.Tensor]
Parts = TargetParts | Sequence[TargetParts]
_Job = tuple[torch.Tensor, torch.Tensor | None, Parts | None]  # labels, mask and what was computed of them


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
    shrink : {"nearest", "max", "skeleton"}, default="nearest"
        What a head smaller than the target is compared with: the nearest pixels, as in nnU-Net, in which thin
        lines fall to pieces; the greatest label in each pixel, which keeps them whole and widens everything;
        or the nearest pixels, and the skeletons of the classes over them, which keeps lines and widths.

    Raises
    ------
    InputError
        If a weight is negative, or `topology_heads` or `shrink` is none of these.

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
        shrink: Shrinking = "nearest",
    ) -> None:
        super().__init__()
        check_choice("DeepSupervisionLoss", "topology_heads", topology_heads, ("all", "first"))
        check_choice("DeepSupervisionLoss", "shrink", shrink, SHRINKING)
        for i, weight in enumerate(weights or ()):
            check_number("DeepSupervisionLoss", f"weights[{i}]", weight, low=0.0)
        self.loss = loss
        self.weights = None if weights is None else [float(w) for w in weights]
        self.topology_heads = topology_heads
        self.shrink: Shrinking = shrink

    def forward(
        self,
        heads: torch.Tensor | Sequence[torch.Tensor],
        target: torch.Tensor | Sequence[torch.Tensor],
        *,
        mask: Masks | None = None,
        pixel_weights: Masks | None = None,
        precomputed: Parts | None = None,
    ) -> torch.Tensor:
        """Return the weighted sum of the losses of all heads.

        Parameters
        ----------
        heads : Tensor of shape (B, heads, C, *S), or sequence of Tensor (B, C, *S_i)
            The outputs, the finest first.
        target : Tensor of shape (B, 1, *S) or (B, *S), integers, or sequence of Tensor (B, 1, *S_i)
            Labels, as for the loss itself: one, which is shrunk for smaller heads, or one a head.
        mask : Tensor of shape (B, 1, *S) or (B, *S), or sequence of Tensor, optional
            Nonzero where pixels count; one a head where the targets are.
        pixel_weights : Tensor of shape (B, 1, *S) or (B, *S), or sequence of Tensor, optional
            Weights of pixels in the cross-entropy, of which smaller heads get the means; one a head where the
            targets are.
        precomputed : mapping of str to Tensor of shape (B, …), or sequence of them, optional
            What the loss's ``precompute`` returned for `target`; one a head where the targets are.

        Returns
        -------
        Tensor
            A scalar, or (B,) with reduction="none".

        Raises
        ------
        InputError
            If there is no weight or target for a head, a head is larger than the target, or the loss refuses
            a head.
        """
        outputs = _split_heads(heads)
        weights = self._weights_of(len(outputs))
        if isinstance(target, torch.Tensor):
            job_of = self._shared_target(outputs, target, mask, precomputed)
            weights_of = _shared_weights(outputs, target, pixel_weights)
        else:
            job_of = _listed_targets(outputs, target, mask, precomputed)
            weights_of = _listed_weights(len(outputs), pixel_weights)
        total: torch.Tensor | None = None
        with one_warning():
            for i, weight in enumerate(weights):
                if weight == 0:
                    continue
                labels, counted, parts = job_of(i)
                topology = i == 0 or self.topology_heads == "all"
                others = {} if pixel_weights is None else {"pixel_weights": weights_of(i)}
                value = self.loss(
                    outputs[i], labels, mask=counted, precomputed=parts, topology=topology, **others
                )
                total = weight * value if total is None else total + weight * value
        return outputs[0].sum() * 0 if total is None else total

    def _shared_target(
        self,
        outputs: list[torch.Tensor],
        target: torch.Tensor,
        mask: Masks | None,
        precomputed: Parts | None,
    ) -> Callable[[int], _Job]:
        """Return what gives for each head the one target, shrunk to its size."""
        name, options = "DeepSupervisionLoss", getattr(self.loss, "options", {})
        activation, ignore_index = options.get("activation", "auto"), options.get("ignore_index")
        labels = _with_channel(
            "target", target, outputs[0], 1 if activation == "auto" else outputs[0].shape[1]
        )
        counted = None if mask is None else _of_target("mask", mask, outputs[0], labels)
        size = labels.shape[2:]
        _check_sizes(outputs, tuple(size))
        several = labels.shape[1] > 1
        if self.shrink != "nearest" and several and activation == "softmax":
            expected = f"labels (B, 1, *S) with shrink={self.shrink!r}"
            raise fail(name, "target", "has a channel for each class", expected)
        shared: list[Parts | None] = [precomputed]

        def job_of(i: int) -> _Job:
            if outputs[i].shape[2:] != size:
                small = outputs[i].shape[2:]
                return *shrink_labels(name, labels, counted, small, self.shrink, ignore_index), None
            plain = not several and not labels.is_floating_point()
            if shared[0] is None and plain and isinstance(self.loss, SegmentationLoss):
                shared[0] = self.loss.precompute(labels, mask=counted)
            return labels, counted, shared[0]

        return job_of

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
    return [check_dense("DeepSupervisionLoss", f"heads[{i}]", head) for i, head in enumerate(heads)]


def _with_channel(argument: str, values: object, output: torch.Tensor, n_channels: int) -> torch.Tensor:
    """Return labels (B, *S) as (B, 1, *S); for volumes of one layer, only the heads tell which they are."""
    values = check_dense("DeepSupervisionLoss", argument, values)
    with_channel = values[:, None] if values.ndim == output.ndim - 1 else values
    if with_channel.ndim != output.ndim or with_channel.shape[1] not in (1, n_channels):
        raise fail(
            "DeepSupervisionLoss",
            argument,
            f"has shape {tuple(values.shape)}",
            f"shape (B, 1, *S) or (B, *S) for heads of shape {tuple(output.shape)}",
        )
    return with_channel


def _of_target(argument: str, values: Any, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return values (B, *S) or (B, 1, *S) of the pixels of `target` as (B, 1, *S)."""
    values = _with_channel(argument, values, output, 1)
    whole = (len(target), 1, *target.shape[2 - output.ndim :])
    if values.shape != whole:
        expected = f"{whole}, as the target"
        raise fail("DeepSupervisionLoss", argument, f"has shape {tuple(values.shape)}", expected)
    return values


def _listed_targets(
    outputs: list[torch.Tensor],
    targets: Sequence[torch.Tensor],
    masks: Masks | None,
    precomputed: Parts | None,
) -> Callable[[int], _Job]:
    """Return what gives for each head the target that was made for it."""
    n_heads = len(outputs)
    labels = _one_a_head("target", targets, n_heads)
    counted = [None] * n_heads if masks is None else _one_a_head("mask", masks, n_heads)
    parts = [None] * n_heads if precomputed is None else _one_a_head("precomputed", precomputed, n_heads)
    for i, (label, output) in enumerate(zip(labels, outputs, strict=True)):
        check_dense("DeepSupervisionLoss", f"target[{i}]", label)
        size, batch = tuple(output.shape[2:]), len(output)
        if tuple(label.shape) not in ((batch, *size), (batch, 1, *size), tuple(output.shape)):
            expected = f"shape {(batch, 1, *size)} or {(batch, *size)}, that of its head"
            raise fail("DeepSupervisionLoss", f"target[{i}]", f"has shape {tuple(label.shape)}", expected)
    return lambda i: (labels[i], counted[i], parts[i])


def _shared_weights(
    outputs: list[torch.Tensor], target: torch.Tensor, pixel_weights: Any
) -> Callable[[int], torch.Tensor | None]:
    """Return what gives for each head the weights of pixels, their means where it is smaller."""
    if pixel_weights is None:
        return lambda i: None
    weights = _of_target("pixel_weights", pixel_weights, outputs[0], target)
    weights = check_pixel_weights("DeepSupervisionLoss", weights.to(at_least_single(outputs[0]).dtype))

    def weights_of(i: int) -> torch.Tensor:
        size = outputs[i].shape[2:]
        return weights if weights.shape[2:] == size else mean_pixels(weights, size)

    return weights_of


def _listed_weights(n_heads: int, pixel_weights: Any) -> Callable[[int], torch.Tensor | None]:
    """Return what gives for each head the weights that were made for it."""
    if pixel_weights is None:
        return lambda i: None
    weights = _one_a_head("pixel_weights", pixel_weights, n_heads)
    return lambda i: weights[i]


def _one_a_head(argument: str, values: object, n_heads: int) -> Sequence[Any]:
    if not isinstance(values, Sequence) or len(values) != n_heads:
        came = f"has {len(values)}" if isinstance(values, Sequence) else f"is a {type(values).__name__}"
        raise fail("DeepSupervisionLoss", argument, came, f"a sequence of {n_heads}, one a head")
    return values


def _check_sizes(outputs: list[torch.Tensor], size: tuple[int, ...]) -> None:
    for i, output in enumerate(outputs):
        sides = tuple(output.shape[2:])
        if len(sides) != len(size) or not all(
            0 < side <= whole for side, whole in zip(sides, size, strict=True)
        ):
            raise fail(
                "DeepSupervisionLoss",
                f"heads[{i}]",
                f"has shape {tuple(output.shape)}",
                f"shape (B, C, *S), S from 1 to the target's {size}",
            )
