"""Cross-entropy with more weight on the regions of the prediction that break its topology, plus soft Dice.

Which regions these are is found in the current prediction, by `topodl.metrics.topology_errors`, or in the
manner of the warping loss or of Topograph. Cost: that of `warping_loss`.
"""

from __future__ import annotations

from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_choice, check_connectivity, check_number
from topodl._docs import shares_documentation
from topodl._error_classes import classify_errors
from topodl._host import host_array
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import Activation, CommonOptions, SegmentationBatch, loss_function
from topodl.losses.topograph import topograph_pixels
from topodl.losses.warping import critical_pixels

__all__ = ["CriticalCEDiceLoss", "critical_ce_dice_loss", "critical_region_map", "critical_region_weights"]

Method = Literal["errors", "warping", "topograph"]
Normalise = Literal["constant", "count"]


def critical_region_map(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    method: Method = "errors",
    reach: int = 3,
    connectivity: int = 8,
    include_background: bool = False,
    activation: Activation = "auto",
    ignore_index: int | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return which wrong pixels break the topology of a prediction, for pictures or for weights.

    A gap, a bridge, a missing or spurious hole or component is critical; a line that is too thin, too thick
    or a little beside is not, as flips of simple pixels mend it.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    method : {"errors", "warping", "topograph"}, default="errors"
        "errors": those of `topodl.metrics.topology_errors`, missing and spurious components whole; "warping":
        errors that no flips of simple pixels remove, see `warping_loss`; "topograph": whole regions whose
        flip changes the topology, see `topograph_loss`, in 2D.
    reach : int, default=3
        How far the mark extends around these pixels within the wrong region; "topograph" has whole ones.
    connectivity : {8, 4}, default=8
        Which pixels of a class are neighbours; 26 and 6 in a volume.
    include_background : bool, default=False
        Whether class 0 counts as a foreground of its own.
    activation : {"auto", "softmax", "sigmoid", "none"}, default="auto"
        What turns `logits` into probabilities, as in the losses.
    ignore_index : int, optional
        Label of pixels that are never critical.
    mask : Tensor of shape (B, 1, *S) or (B, *S), optional
        Nonzero where pixels count.

    Returns
    -------
    Tensor of shape (B, K, *S), bool
        One map for each of the K classes that count.

    Raises
    ------
    InputError
        If shapes do not fit, a logit is not finite, a label is out of range, or an option is unusable.

    References
    ----------
    X. Hu. Structure-aware image segmentation with homotopy warping. NeurIPS 2022. Lux, Berger et al.,
    "Topograph", ICLR 2025, arXiv:2411.03228.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import critical_region_map
    >>> target = torch.zeros(1, 1, 9, 9, dtype=torch.long)
    >>> target[..., 3:6, :] = 1
    >>> logits = 8.0 * target - 4.0
    >>> logits[..., 4] = -4.0  # a gap
    >>> logits[..., 3, 7] = -4.0  # a notch
    >>> critical_region_map(logits, target)[0, 0, 2:7].int()
    tensor([[0, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.int32)
    """
    name = "critical_region_map"
    batch = SegmentationBatch.read(
        name,
        logits,
        target,
        dims=_dims_of(method),
        activation=activation,
        ignore_index=ignore_index,
        mask=mask,
    )
    return _map(name, batch, method, reach, connectivity, include_background)


@shares_documentation(critical_region_map, sections=["Raises", "References"])
def critical_region_weights(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    method: Method = "errors",
    reach: int = 3,
    gamma: float = 10.0,
    normalise: Normalise = "constant",
    connectivity: int = 8,
    include_background: bool = False,
    activation: Activation = "auto",
    ignore_index: int | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return weights of pixels for ``pixel_weights=``: 1, and more in the critical regions of a prediction.

    Parameters
    ----------
    gamma : float, default=10
        What the weight of critical pixels is more than 1.
    normalise : {"constant", "count"}, default="constant"
        "constant": each critical pixel weighs 1 + `gamma`. "count": those of a sample share `gamma` times the
        weight that all its pixels have, however few they are; smaller values, as 0.1, suit it.

    Returns
    -------
    Tensor of shape (B, *S)
        In the dtype of the logits, or float32 for half precision; without gradient.

    See Also
    --------
    critical_ce_dice_loss : the loss with such weights, by default shared out by their number.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import CEDiceLoss, critical_region_weights
    >>> target = torch.zeros(1, 1, 9, 9, dtype=torch.long)
    >>> target[..., 3:6, :] = 1
    >>> logits = 8.0 * target - 4.0
    >>> logits[..., 4] = -4.0  # a gap
    >>> weights = critical_region_weights(logits, target)
    >>> weights[0, 4]
    tensor([ 1.,  1.,  1.,  1., 11.,  1.,  1.,  1.,  1.])
    >>> bool(CEDiceLoss()(logits, target, pixel_weights=weights) > CEDiceLoss()(logits, target))
    True
    """
    name = "critical_region_weights"
    batch = SegmentationBatch.read(
        name,
        logits,
        target,
        dims=_dims_of(method),
        activation=activation,
        ignore_index=ignore_index,
        mask=mask,
    )
    return _weights(name, batch, method, reach, gamma, normalise, connectivity, include_background)


@loss_function
def critical_ce_dice_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: float = 0.1,
    method: Method = "errors",
    reach: int = 3,
    normalise: Normalise = "count",
    ce_weight: float = 1.0,
    dice_weight: float = 1.0,
    include_background: bool = True,
    connectivity: int = 8,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return CE + Dice, the cross-entropy with more weight on critical regions of the current prediction.

    .. math:: L = w_{CE} \frac{\sum_i w_i\, CE_i}{\sum_i w_i} - w_D \text{Dice}, \quad w_i = 1 + \gamma\,
              \frac{n}{|K|}\,[i \in K]

    K are the critical ones of the n pixels of a sample. Together they weigh `gamma` times as much as all
    pixels do, many as they are at first and few as they become. The weights are constants: the gradient flows
    through the probabilities alone. The background is no class of its own where regions are looked for.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W) or (B, C, D, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, *S) or (B, *S), integers
        Labels in [0, C), in {0, 1} for one channel.
    gamma : float, default=0.1
        What critical pixels weigh more than others, in units of `normalise`; larger values trade Dice for
        topology.
    method : {"errors", "warping", "topograph"}, default="errors"
        How critical pixels are found, see `critical_region_map`.
    reach : int, default=3
        How far they extend within the wrong region.
    normalise : {"count", "constant"}, default="count"
        See `critical_region_weights`. By "constant" a critical pixel weighs 1 + `gamma`, and 10 suits it.
    ce_weight, dice_weight : float, default=1
        Weights of the two terms.
    include_background : bool, default=True
        Whether class 0 counts in the Dice score.
    connectivity : {8, 4}, default=8
        Which pixels of a class are neighbours; 26 and 6 in a volume.
    **common
        `activation`, `class_weights`, `reduction`, `ignore_index`, `mask`: see `CommonOptions`. Given
        `pixel_weights` are multiplied by those of the regions.

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
    "TubeMLLM", arXiv:2603.09217 (more weight on critical regions; its formula is not published, this one is
    ours). X. Hu. Structure-aware image segmentation with homotopy warping. NeurIPS 2022 (the regions).

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 9, 9, dtype=torch.long)
    >>> target[:, 3:6] = 1
    >>> broken = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> broken[..., 4] = -4.0
    >>> plain, weighted = (critical_ce_dice_loss(broken, target, gamma=g) for g in (0.0, 0.1))
    >>> bool(weighted > plain)
    True
    """
    name = "critical_ce_dice_loss"
    batch = SegmentationBatch.read(name, logits, target, dims=_dims_of(method), **common)
    if ce_weight:
        weights = _weights(name, batch, method, reach, gamma, normalise, connectivity, False)
        batch.pixel_weights = weights if batch.pixel_weights is None else batch.pixel_weights * weights
    return batch.reduce(ce_dice(batch, ce_weight, dice_weight, include_background))


def _dims_of(method: str) -> tuple[int, ...]:
    return (2,) if method == "topograph" else (2, 3)


def _weights(
    name: str,
    batch: SegmentationBatch,
    method: Method,
    reach: int,
    gamma: float,
    normalise: Normalise,
    connectivity: int,
    include_background: bool,
) -> torch.Tensor:
    check_number(name, "gamma", gamma, low=0.0)
    check_choice(name, "normalise", normalise, ("constant", "count"))
    critical = _map(name, batch, method, reach, connectivity, include_background).any(1)
    more: Any = gamma
    if normalise == "count":
        counts = critical.flatten(1).sum(1).clamp_min(1).to(batch.logits.dtype)
        more = (gamma * critical[0].numel() / counts).view(-1, *[1] * (critical.ndim - 1))
    return 1 + more * critical.to(batch.logits.dtype)


def _map(
    name: str,
    batch: SegmentationBatch,
    method: Method,
    reach: int,
    connectivity: int,
    include_background: bool,
) -> torch.Tensor:
    """Return the critical pixels of each class that counts, (B, K, *S)."""
    check_choice(name, "method", method, ("errors", "warping", "topograph"))
    check_number(name, "reach", reach, low=0, integer=True)
    corner = check_connectivity(name, connectivity)
    channels = batch.channels(include_background)
    if method == "topograph":
        return topograph_pixels(batch, channels, corner)
    seeds = None
    if method == "warping":
        seeds = host_array(batch.function, critical_pixels(batch, channels, corner))
    winners = host_array(batch.function, batch.winners)
    labels = host_array(batch.function, batch.labels.to(torch.int16))

    def around(job: tuple[int, int]) -> NDArray[np.bool_]:
        b, c = job
        label = batch.label_of(channels[c])
        truth = labels[b] == label
        predicted = np.where(labels[b] < 0, truth, winners[b] == label)
        if seeds is None:
            return np.asarray(classify_errors(predicted, truth, corner, reach) > 0)
        if not reach or not seeds[b, c].any():
            return np.asarray(seeds[b, c])
        return _spread(seeds[b, c], predicted, truth, reach)

    jobs = [(b, c) for b in range(len(labels)) for c in range(len(channels))]
    found = np.stack(map_batch(around, jobs)).reshape(len(labels), len(channels), *labels.shape[1:])
    return torch.from_numpy(found).to(batch.logits.device)


def _spread(
    seeds: NDArray[np.bool_], predicted: NDArray[np.bool_], truth: NDArray[np.bool_], reach: int
) -> NDArray[np.bool_]:
    """Return the pixels that lie within `reach` of a seed in the same wrong region."""
    cube, out = np.ones((3,) * seeds.ndim, dtype=bool), seeds.copy()
    for wrong in (truth & ~predicted, predicted & ~truth):
        if (seeds & wrong).any():
            out |= ndimage.binary_dilation(seeds & wrong, cube, iterations=reach, mask=wrong)
    return out


class CriticalCEDiceLoss(SegmentationLoss, name="critical_ce_dice", function=critical_ce_dice_loss):
    """CE + Dice with weights on critical regions, as a module; options are those of `critical_ce_dice_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = CriticalCEDiceLoss(gamma=0.3)
    >>> loss(torch.randn(2, 2, 16, 16), torch.randint(2, (2, 1, 16, 16))).shape
    torch.Size([])
    """
