"""Windowed TOPO: pixels that join or cut regions of the background, by windows (Oner et al., TPAMI 2021).

Cost: two maximum spanning trees of the pixel grid, on the CPU; the label's regions are cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import check_choice, check_number, fail
from topodl._host import host_array
from topodl.kernels.masks.region_separation import separation_weights
from topodl.kernels.shared.pool import map_batch
from topodl.losses._base import SegmentationLoss
from topodl.losses._base_terms import ce_dice
from topodl.losses._input import CommonOptions, SegmentationBatch, loss_function
from topodl.losses._reading import sides_in_pixels
from topodl.losses._targets import TargetCache, TargetParts

__all__ = ["WindowedTopoLoss", "windowed_topo_loss"]

_FAR = 20.0  # distances are clipped here
_GROWTH = 5  # dilations of the foreground before the regions are told apart
_Floats = NDArray[np.float64]


@loss_function
def windowed_topo_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    window: int = 64,
    positive_weight: float = 0.1,
    base_weight: float = 1.0,
    topology_weight: float = 0.1,
    include_background: bool = False,
    spacing: float | Sequence[float] | None = None,
    variant: Literal["paper", "topomortar"] = "paper",
    precomputed: TargetParts | TargetCache | None = None,
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    r"""Return ``base_weight`` times (cross-entropy + Dice) plus ``topology_weight`` times region separation.

    .. math:: L = \frac1W \sum_i w^-_i (1 - p_i)^2 + \beta\, w^+_i\, p_i^2

    In each of W windows a maximum spanning tree of the pixels joins those of least foreground probability
    first. :math:`w^-` is the share of pixel pairs from different labelled regions that are joined by way of
    pixel i beside the foreground: a gap. :math:`w^+` is the share of pairs of one region that are joined
    last by way of pixel i far from the foreground: a false wall. The weights are constants. The paper
    regresses the distance to the foreground; here the label's distance times 1 - p takes its place.

    Images only: in a volume a gap in a line separates nothing from anything.

    Parameters
    ----------
    logits : Tensor of shape (B, C, H, W)
        One channel for the foreground alone (sigmoid), or one a class (softmax).
    target : Tensor of shape (B, 1, H, W) or (B, H, W), integers
        Labels in [0, C), in {0, 1} for one channel.
    window : int, default=64
        Side of the windows in pixels; those at the right and lower border may be smaller.
    positive_weight : float, default=0.1
        The β above.
    base_weight : float, default=1
        Weight of cross-entropy plus Dice.
    topology_weight : float, default=0.1
        Weight of the separation term.
    include_background : bool, default=False
        Whether class 0 counts, in the Dice score and as a network of its own.
    spacing : float or sequence of float, optional
        Size of a pixel along each axis, for the distances; 1 by default. Near (10) and far (20) are multiples
        of the smallest of them.
    variant : {"paper", "topomortar"}, default="paper"
        "topomortar" reproduces the code of that study: one channel that regresses the depth inside the
        foreground, squared error summed with weight 0.001, thresholds meant for distances compared with
        labels, so that false walls never count; the default weight stands for its 1. See the guide.
    precomputed : mapping of str to Tensor of shape (B, …), optional
        What ``WindowedTopoLoss.precompute`` returned for `target`.
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
    Oner et al., "Promoting Connectivity of Network-Like Structures by Enforcing Region Separation",
    TPAMI 2021, arXiv:2009.07011.

    Examples
    --------
    >>> import torch
    >>> target = torch.zeros(1, 40, 40, dtype=torch.long)
    >>> target[:, 18:21] = 1
    >>> whole = torch.where(target == 1, 4.0, -4.0)[:, None]
    >>> broken = whole.clone()
    >>> broken[..., 20:22] = -4.0
    >>> small, large = (windowed_topo_loss(z, target, base_weight=0.0) for z in (whole, broken))
    >>> bool(large > 10 * small)
    True
    """
    name = "windowed_topo_loss"
    check_choice(name, "variant", variant, ("paper", "topomortar"))
    check_number(name, "window", window, low=2, integer=True)
    check_number(name, "positive_weight", positive_weight, low=0.0)
    batch = SegmentationBatch.read(name, logits, target, dims=(2,), **common)

    def prepare(labels: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
        return label_regions(labels, window, include_background, spacing, variant)

    if variant == "topomortar":
        parts = batch.target_parts(precomputed, prepare)
        return batch.reduce(_study_loss(batch, parts, window, 10 * topology_weight))
    total = base_weight * ce_dice(batch, 1.0, 1.0, include_background)
    if topology_weight == 0:
        return batch.reduce(total)
    parts = batch.target_parts(precomputed, prepare)
    channels = batch.channels(include_background)
    p = batch.probabilities[:, channels.start : channels.stop]
    negative, positive = _weights(batch, parts, p, channels, window).unbind(2)
    n_windows = len(range(0, p.shape[2], window)) * len(range(0, p.shape[3], window))
    if spacing is None:  # no pixel has both, as labelled distances of neighbours differ by one at most
        weights = negative.add(positive, alpha=positive_weight)
        terms = weights * (p - (negative > 0).to(p.dtype)).square()
    else:
        terms = negative * (1 - p).square() + positive_weight * positive * p.square()
    separation = terms.flatten(2).sum(2) / n_windows
    return batch.reduce(total + topology_weight * batch.weigh_classes(separation, channels))


def label_regions(
    labels: NDArray[np.int16],
    window: int = 64,
    include_background: bool = False,
    spacing: float | Sequence[float] | None = None,
    variant: str = "paper",
) -> dict[str, NDArray[Any]]:
    """Return, for each class of one label, distances to the class and the regions that it separates.

    A region is a 4-connected piece, within a window, of what is left when the class is dilated.
    """
    size = sides_in_pixels("windowed_topo_loss", spacing, labels.ndim)
    if variant == "topomortar":
        depth = np.minimum(_depth(labels == 1, size), _FAR).astype(np.float32)
        return {"distance": depth[None], "regions": _regions(labels != 1, window)[None]}
    first = 0 if include_background else 1
    classes = range(first, max(int(labels.max()), 1) + 1)
    # the dilation and the windows treat pixels beside the ignored ones as their neighbours are labelled
    far = np.full(labels.shape, _FAR)
    outside = [_depth(labels != c, size) if (labels == c).any() else far for c in classes]
    distance = np.stack([np.minimum(d, _FAR) for d in outside]).astype(np.float32)
    return {"distance": distance, "regions": np.stack([_regions(labels == c, window) for c in classes])}


def _depth(mask: NDArray[np.bool_], spacing: tuple[float, ...] | None) -> _Floats:
    if mask.all():
        return np.full(mask.shape, _FAR)
    depth: _Floats = ndimage.distance_transform_edt(mask, sampling=spacing)
    return depth


def _regions(foreground: NDArray[np.bool_], window: int) -> NDArray[np.int16]:
    """Return the pieces of the dilated foreground's complement, numbered from 1 on in each window."""
    regions = np.zeros(foreground.shape, np.int16)
    height, width = foreground.shape
    for top in range(0, height, window):
        for left in range(0, width, window):
            part = np.s_[top : top + window, left : left + window]
            regions[part] = ndimage.label(~ndimage.binary_dilation(foreground[part], iterations=_GROWTH))[0]
    return regions


def _read_parts(batch: SegmentationBatch, parts: TargetParts) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return distances and regions as (B, K, H, W); K classes occur in the batch at most."""
    shape = tuple(batch.labels.shape)
    out = []
    for key in ("distance", "regions"):
        if key not in parts or parts[key].numel() % batch.labels.numel():
            raise fail(batch.function, "precomputed", f"has no fitting {key!r}", "what precompute returned")
        out.append(host_array(batch.function, parts[key].reshape(shape[0], -1, *shape[1:])))
    return out[0], out[1]


def _weights(
    batch: SegmentationBatch, parts: TargetParts, p: torch.Tensor, channels: range, window: int
) -> torch.Tensor:
    """Return the weights (B, K, 2, H, W) of pixels that let regions flow together, and that cut one."""
    distances, regions = _read_parts(batch, parts)
    shape = distances.shape[2:]
    outside = (1 - p.detach()).float()
    if batch.valid is not None:
        outside = outside * batch.valid[:, None]
    values = host_array(batch.function, outside)
    out = np.empty((*p.shape[:2], 2, *shape), np.float32)

    def weigh(job: tuple[int, int]) -> None:
        sample, k = job
        if k < distances.shape[1] and distances[sample, k, 0, 0] >= 0:
            far, region = distances[sample, k], regions[sample, k]
        else:
            far, region = np.full(shape, np.float32(_FAR)), np.ones(shape, np.int16)
        # no larger than the label's, so that regions are whole before they meet beside the foreground
        separation_weights(values[sample, k] * np.maximum(far, 1), far, region, window, out[sample, k])

    map_batch(weigh, [(b, k) for b in range(len(p)) for k in range(len(channels))])
    weights = torch.from_numpy(out).to(p)
    return weights if batch.valid is None else weights * batch.valid[:, None, None]


def _study_loss(
    batch: SegmentationBatch, parts: TargetParts, window: int, topology_weight: float
) -> torch.Tensor:
    """Return the loss of the study's code, (B,); windows past the last whole one are left out."""
    if batch.logits.shape[1] != 1:
        raise fail(
            batch.function, "logits", f"has {batch.logits.shape[1]} channels", "one: a regressed depth"
        )
    value = batch.logits[:, 0].relu()
    depth, regions = _read_parts(batch, parts)
    height, width = (n - n % window for n in value.shape[1:])
    weights = np.zeros((len(value), 2, *value.shape[1:]), np.float32)
    near = np.zeros((height, width), np.float32)  # the thresholds never apply
    for sample, image in enumerate(host_array(batch.function, value.float())):
        whole = np.ascontiguousarray(image[:height, :width])
        region = np.ascontiguousarray(regions[sample, 0, :height, :width])
        out = np.zeros((2, height, width), np.float32)
        separation_weights(whole, near, region, window, out)
        weights[sample, :, :height, :width] = out
    error = (value - torch.from_numpy(depth[:, 0]).to(value)).square()
    terms = 1e-3 * error + topology_weight * torch.from_numpy(weights[:, 0]).to(value) * value.square()
    return terms.flatten(1).sum(1)


class WindowedTopoLoss(
    SegmentationLoss, name="windowed_topo", function=windowed_topo_loss, prepare=label_regions
):
    """Cross-entropy, Dice and region separation, as a module; the options are those of `windowed_topo_loss`.

    Examples
    --------
    >>> import torch
    >>> loss = WindowedTopoLoss(window=32)
    >>> loss(torch.randn(2, 2, 64, 64), torch.randint(2, (2, 1, 64, 64))).shape
    torch.Size([])
    """

    spatial_dims = (2,)
