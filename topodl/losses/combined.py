"""Several losses as one: their weighted sum, and one that fades into another during the training.

Cost: that of the losses whose weight is not 0 at the moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from topodl._checks import check_number, fail
from topodl._overflow import one_warning
from topodl.losses._base import SegmentationLoss, faded_in
from topodl.losses._in_graph import number_of_new
from topodl.losses._targets import TargetParts

__all__ = ["FadingLoss", "WeightedSumLoss"]

_Parts = TargetParts | Sequence[TargetParts] | None
_SHARED = ("activation", "reduction", "ignore_index")


class _CombinedLoss(SegmentationLoss):
    """Losses of the same logits and labels; a subclass says what each of them weighs at the moment."""

    def __init__(self, losses: Sequence[SegmentationLoss]) -> None:
        torch.nn.Module.__init__(self)
        name = type(self).__name__
        for i, loss in enumerate(losses):
            if not isinstance(loss, SegmentationLoss):
                raise TypeError(
                    f"{name}: losses[{i}] is a {type(loss).__name__}; expected a SegmentationLoss"
                )
        self._number = number_of_new(self)
        self._progress = 0.0
        self.losses = torch.nn.ModuleList(losses)
        self.options = _shared_options(name, losses)

    def _weights(self) -> Sequence[float]:
        raise NotImplementedError

    @property
    def _parts(self) -> list[SegmentationLoss]:
        return [loss for loss in self.losses if isinstance(loss, SegmentationLoss)]

    def _evaluate(
        self,
        logits: torch.Tensor,
        target: torch.Tensor | None,
        mask: torch.Tensor | None,
        precomputed: _Parts,
        topology: bool,
        **others: Any,
    ) -> torch.Tensor:
        values = []
        with one_warning():
            for i, (weight, loss) in enumerate(zip(self._weights(), self._parts, strict=True)):
                if weight != 0.0:
                    parts = _parts_of(i, precomputed)
                    values.append(weight * loss._evaluate(logits, target, mask, parts, topology, **others))
        return torch.stack(values).sum(0)

    def precompute(
        self, target: torch.Tensor, *, mask: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return what all the losses need of the label alone, the number of the loss before each name."""
        return {
            f"{i}.{key}": part
            for i, loss in enumerate(self._parts)
            for key, part in loss.precompute(target, mask=mask).items()
        }

    def set_progress(self, fraction: float) -> None:
        """Say to this loss and to all of its losses which share of the training is done."""
        super().set_progress(fraction)
        for loss in self._parts:
            loss.set_progress(fraction)

    @property
    def topology_scale(self) -> float:
        """The largest scale of the losses' topology terms."""
        return max(loss.topology_scale for loss in self._parts)

    def extra_repr(self) -> str:
        """Return what the losses weigh at the moment."""
        return f"weights={list(self._weights())}"


class WeightedSumLoss(_CombinedLoss):
    """The weighted sum of several losses.

    Parameters
    ----------
    losses : sequence of SegmentationLoss
        At least one, with the same `activation`, `reduction` and `ignore_index`.
    weights : sequence of float, optional
        One a loss, not all of them 0; by default equal ones that sum to 1, which makes a mean.

    Raises
    ------
    TypeError
        If one of them is no `SegmentationLoss`.
    InputError
        If there is no loss, the weights do not fit, or the losses do not agree.

    References
    ----------
    J. M. Valverde et al., "SCNP: Same-Class Neighbor Penalization", CVPR 2026 (a loss on the worst logits,
    which may stand beside the same one on all of them).

    Examples
    --------
    Half CE + Dice, half the same on the worst logits nearby:

    >>> import torch
    >>> from topodl.losses import SCNP, CEDiceLoss
    >>> loss = WeightedSumLoss([CEDiceLoss(), SCNP(CEDiceLoss(), plain_weight=0.0)])
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """

    def __init__(self, losses: Sequence[SegmentationLoss], weights: Sequence[float] | None = None) -> None:
        name = type(self).__name__
        if not losses:
            raise fail(name, "losses", "is empty", "at least one loss")
        super().__init__(losses)
        given = [1.0 / len(losses)] * len(losses) if weights is None else list(weights)
        if len(given) != len(losses):
            raise fail(name, "weights", f"has {len(given)}", f"{len(losses)}, one a loss")
        for i, weight in enumerate(given):
            check_number(name, f"weights[{i}]", weight, low=0.0)
        if not any(given):
            raise fail(name, "weights", "is 0 for all losses", "one above 0")
        self.weights = [float(weight) for weight in given]

    def _weights(self) -> Sequence[float]:
        return self.weights


class FadingLoss(_CombinedLoss):
    """One loss at the beginning of the training, another one at its end.

    A warm start by CE + Dice for a loss that is lost with an untrained network, or SCNP faded in, or out.

    Parameters
    ----------
    first, second : SegmentationLoss
        With the same `activation`, `reduction` and `ignore_index`.
    active_from : float, default=0.5
        Share of the training after which the second loss comes in; `set_progress` tells the share.
    ramp : float, default=0
        Share of the training over which the weight then moves linearly from the first to the second.

    Raises
    ------
    TypeError
        If one of them is no `SegmentationLoss`.
    InputError
        If `active_from` or `ramp` is not in [0, 1], or the losses do not agree.

    References
    ----------
    Hu et al., "Topology-Preserving Deep Image Segmentation", NeurIPS 2019, arXiv:1906.05404 (topology
    late, on a network that is trained already).

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import SCNP, CEDiceLoss
    >>> loss = FadingLoss(CEDiceLoss(), SCNP(CEDiceLoss(), plain_weight=0.0), active_from=0.5, ramp=0.2)
    >>> logits, target = torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))
    >>> bool(torch.isclose(loss(logits, target), CEDiceLoss()(logits, target)))
    True
    >>> loss.set_progress(0.6)
    >>> loss
    FadingLoss(
      weights=[0.5, 0.5]
    ...
    """

    def __init__(
        self,
        first: SegmentationLoss,
        second: SegmentationLoss,
        *,
        active_from: float = 0.5,
        ramp: float = 0.0,
    ) -> None:
        super().__init__([first, second])
        name = type(self).__name__
        check_number(name, "active_from", active_from, low=0.0, high=1.0)
        check_number(name, "ramp", ramp, low=0.0, high=1.0)
        self.active_from, self.ramp = float(active_from), float(ramp)

    def _weights(self) -> Sequence[float]:
        share = round(faded_in(self._progress, self.active_from, self.ramp), 12)
        return (1.0 - share, share)


def _shared_options(name: str, losses: Sequence[SegmentationLoss]) -> dict[str, Any]:
    """Return the options that all losses have to have alike."""
    shared: dict[str, Any] = {}
    for option in _SHARED:
        values = [loss.options[option] for loss in losses if option in loss.options]
        if any(value != values[0] for value in values):
            raise fail(name, "losses", f"have {option} {' and '.join(map(repr, values))}", "one for all")
        if values:
            shared[option] = values[0]
    return shared


def _parts_of(i: int, precomputed: _Parts) -> _Parts:
    """Return what was computed of the label for the loss of that number."""
    if precomputed is None:
        return None
    if not isinstance(precomputed, Mapping):
        return [_chosen(i, region) for region in precomputed]
    return _chosen(i, precomputed)


def _chosen(i: int, parts: TargetParts) -> TargetParts:
    return {key.removeprefix(f"{i}."): part for key, part in parts.items() if key.startswith(f"{i}.")}
