"""SCNP: any loss, on the worst logits of the same class nearby (Valverde et al., CVPR 2026).

Cost: one windowed minimum and maximum of the logits a class, and the loss a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from topodl._checks import check_choice, check_dense, check_number, fail, plain_tensor
from topodl._host import host_array
from topodl._precision import full_precision
from topodl.kernels.masks.masked_extrema import UNCOUNTED, least_neighbour
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._channel_targets import are_regions, naming_region
from topodl.losses._in_graph import number_of_new
from topodl.losses._input import Activation, SegmentationBatch
from topodl.losses._overflow import NonFiniteLogitsError, check_finite
from topodl.losses._targets import TargetParts
from topodl.losses.ce_dice import CEDiceLoss

__all__ = ["SCNP", "scnp_logits"]


def scnp_logits(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    neighbourhood: int = 3,
    activation: Activation = "auto",
    ignore_index: int | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return, for each pixel and class, the worst logit of the pixels nearby that agree on that class.

    In a pixel of class c the logit of c becomes the lowest among the neighbours of class c; in any other
    pixel it becomes the highest among the neighbours that are not of class c.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone, or one a class.
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel; (B, C, *S) are regions, with activation="sigmoid".
    neighbourhood : int, default=3
        Side of the window, odd; 5 for thick structures.
    activation : {"auto", "softmax", "sigmoid"}, default="auto"
        What will turn the result into probabilities; "sigmoid" vouches for small logits of one channel.
    ignore_index : int, optional
        Label of pixels that keep their logits and are nobody's neighbour.
    mask : Tensor of shape (B, 1, *S) or (B, *S), optional
        Nonzero where pixels count.

    Returns
    -------
    Tensor of shape (B, C, *S)
        Logits; the gradient goes to the worst neighbour.

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, a label is out of range, or the window is not odd.

    References
    ----------
    Valverde et al., "SCNP: Same-Class Neighbor Penalization", CVPR 2026.

    Examples
    --------
    >>> import torch
    >>> target = torch.tensor([[[0, 1, 1, 1]]])
    >>> scnp_logits(torch.tensor([[[[-5.0, 3.0, 1.0, 2.0]]]]), target)
    tensor([[[[-5.,  1.,  1.,  1.]]]])
    """
    name = "scnp_logits"
    check_number(name, "neighbourhood", neighbourhood, low=1, integer=True)
    if neighbourhood % 2 == 0:
        raise fail(name, "neighbourhood", f"is {neighbourhood}", "an odd integer")
    check_choice(name, "activation", activation, ("auto", "softmax", "sigmoid"))
    logits, target = plain_tensor(logits), plain_tensor(target)
    if are_regions(logits, target, activation):
        check_finite(name, logits)
        options: dict[str, Any] = {"neighbourhood": neighbourhood, "activation": activation}
        options |= {"ignore_index": ignore_index, "mask": mask}
        return torch.cat(
            [_of_region(logits, target, region, options) for region in range(logits.shape[1])], 1
        )
    batch = SegmentationBatch.read(
        name, logits, target, activation=activation, ignore_index=ignore_index, mask=mask
    )
    with full_precision(batch.logits):
        if batch.logits.device.type == "cpu":
            return _gather_worst(batch, neighbourhood // 2)
        return _pool_worst(batch, neighbourhood)


def _of_region(
    logits: torch.Tensor, target: torch.Tensor, region: int, options: dict[str, Any]
) -> torch.Tensor:
    with naming_region(region):
        return scnp_logits(logits[:, region : region + 1], target[:, region], **options)


def _gather_worst(batch: SegmentationBatch, reach: int) -> torch.Tensor:
    z = batch.logits
    n_channels = z.shape[1]
    values, labels = (host_array(batch.function, x) for x in (z, batch.labels))
    shape = (1, *labels.shape[1:]) if labels.ndim == 3 else labels.shape[1:]

    def worst(job: tuple[int, int]) -> Any:
        sample, channel = job
        kinds = np.where(labels[sample] < 0, UNCOUNTED, labels[sample] == batch.label_of(channel))
        return least_neighbour(
            values[sample, channel].reshape(shape), kinds.astype(np.uint8).reshape(shape), reach
        )

    jobs = [(b, c) for b in range(len(z)) for c in range(n_channels)]
    index = torch.from_numpy(np.stack(map_batch(worst, jobs))).long().view(len(z), n_channels, -1)
    return z.flatten(2).gather(2, index).view_as(z)


def _pool_worst(batch: SegmentationBatch, side: int) -> torch.Tensor:
    """Return the same by max-pooling, on any device."""
    z = batch.logits
    inside = batch.one_hot(batch.channels(True)).bool()
    counted = (batch.labels >= 0)[:, None]
    pool = F.max_pool2d if z.ndim == 4 else F.max_pool3d
    lowest = torch.finfo(z.dtype).min
    outside = (~inside & counted).expand_as(z)
    highest = pool(z.masked_fill(~outside, lowest), side, 1, side // 2)
    deepest = -pool((-z).masked_fill(~inside, lowest), side, 1, side // 2)
    return torch.where(inside, deepest, torch.where(outside, highest, z))


class SCNP(SegmentationLoss, name="scnp_ce_dice"):
    """A loss on the worst logits of the same class nearby, see `scnp_logits`, and on the logits themselves.

    The paper takes the worst logits alone, ``plain_weight=0``. Where little is labelled that can end in
    background everywhere: the worst logit of a thin line is wrong for long, whatever its other pixels do.

    Parameters
    ----------
    loss : SegmentationLoss, optional
        Takes the new logits; by default `CEDiceLoss` with ``include_background=False``: the Dice score of the
        background is content with background everywhere, where the worst logits of thin lines lead at first.
    neighbourhood : int, default=3
        Side of the window, odd; 5 for thick structures.
    plain_weight : float, default=0.5
        In [0, 1]: weight of the loss on the logits as they are; that on the worst logits has the rest.
    **options
        Of `CEDiceLoss`, where no `loss` is given.

    Raises
    ------
    TypeError
        For options beside a `loss`, which has its own.
    InputError
        If the window is not odd, `plain_weight` is out of range, or `loss` takes probabilities.

    References
    ----------
    Valverde et al., "SCNP: Same-Class Neighbor Penalization", CVPR 2026.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import ClDiceLoss
    >>> loss = SCNP(ClDiceLoss(iterations=3))
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """

    def __init__(
        self,
        loss: SegmentationLoss | None = None,
        *,
        neighbourhood: int = 3,
        plain_weight: float = 0.5,
        **options: Any,
    ) -> None:
        torch.nn.Module.__init__(self)
        self._number = number_of_new(self)
        if loss is not None and options:
            raise TypeError(f"SCNP: give the option {min(options)!r} to the loss that it wraps")
        self.loss = CEDiceLoss(**{"include_background": False} | options) if loss is None else loss
        if self.loss.options.get("activation") == "none":
            raise fail("SCNP", "loss", "takes probabilities", "a loss that takes logits")
        check_number("SCNP", "neighbourhood", neighbourhood, low=1, integer=True)
        check_number("SCNP", "plain_weight", plain_weight, low=0.0, high=1.0)
        self.neighbourhood, self.plain_weight = neighbourhood, float(plain_weight)
        self.options = self.loss.options

    def _evaluate(
        self,
        logits: torch.Tensor,
        target: torch.Tensor | None,
        mask: torch.Tensor | None,
        precomputed: TargetParts | Sequence[TargetParts] | None,
        topology: bool,
        **others: Any,
    ) -> torch.Tensor:
        target = check_dense("SCNP", "target", target)
        activation: Activation = others.get("activation", self.options.get("activation", "auto"))
        options: dict[str, Any] = {
            "neighbourhood": self.neighbourhood,
            "activation": activation,
            "ignore_index": self.options.get("ignore_index"),
            "mask": mask,
        }
        plain = logits
        try:
            worst = scnp_logits(logits, target, **options)
        except NonFiniteLogitsError as error:  # of which the wrapped loss says what it is told to, once
            plain = logits.index_fill(0, error.samples, 0.0)
            worst = scnp_logits(plain, target, **options)
            worst = worst.index_copy(0, error.samples, logits[error.samples].to(worst.dtype))
        if activation == "auto":  # the worst logits of one channel may all lie in [0, 1]
            activation = "sigmoid" if logits.shape[1] == 1 else "softmax"
        others["activation"] = activation
        value = self.loss._evaluate(worst, target, mask, precomputed, topology, **others)
        if not self.plain_weight:
            return value
        beside = self.loss._evaluate(plain, target, mask, precomputed, topology, **others)
        return self.plain_weight * beside + (1 - self.plain_weight) * value

    def precompute(
        self, target: torch.Tensor, *, mask: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return what the wrapped loss needs of the label alone."""
        return self.loss.precompute(target, mask=mask)

    def set_progress(self, fraction: float) -> None:
        """Tell the wrapped loss which share of the training is done."""
        self.loss.set_progress(fraction)

    @property
    def topology_scale(self) -> float:
        """The wrapped loss's scale."""
        return self.loss.topology_scale

    def get_extra_state(self) -> dict[str, float]:
        """Return nothing: the wrapped loss stores its own progress."""
        return {}

    def set_extra_state(self, state: Any) -> None:
        """Take nothing: the wrapped loss stores its own progress."""

    def extra_repr(self) -> str:
        """Return the side of the window and the share of the plain logits."""
        return f"neighbourhood={self.neighbourhood}, plain_weight={self.plain_weight}"
