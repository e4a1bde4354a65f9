"""Betti numbers of masks and their errors, of whole images and over windows.

Components by labelling, holes as components of the background, 3D loops by the Euler characteristic: linear.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from topodl._checks import as_dims, check_choice, check_connectivity, check_number, fail
from topodl.kernels.shared.pool import map_batch
from topodl.metrics._base import ImageMetric
from topodl.metrics._input import CONVENTIONS, Mask, MaskPair, MaskPairs, neighbourhoods, read_masks
from topodl.metrics._labels import device_of
from topodl.metrics._options import CommonOptions, measures_masks

__all__ = ["BettiError", "betti_error", "betti_numbers"]

Dims = int | Sequence[int] | None
Ints = NDArray[np.int64]


def betti_numbers(mask: torch.Tensor, *, connectivity: int = 8) -> torch.Tensor:
    """Return the Betti numbers of masks: components and holes; in 3D components, tunnels and cavities.

    Parameters
    ----------
    mask : Tensor
        (B, H, W) or (B, 1, H, W), volumes (B, 1, D, H, W); bool, or 0 and 1.
    connectivity : {8, 4} or {26, 6}
        Of the foreground; the background has the other one; 8 stands for 26 in volumes.

    Returns
    -------
    Tensor
        int64 (B, 2) or (B, 3). An empty mask has zeros. Background that reaches the image's edge is no hole.

    Raises
    ------
    InputError
        If `mask` has another shape, a NaN or values other than 0 and 1, or `connectivity` is none of these.

    References
    ----------
    H. Edelsbrunner, J. Harer. Computational topology: an introduction. American Mathematical Society, 2010.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import betti_numbers
    >>> ring = torch.tensor([[[0, 1, 1], [1, 0, 1], [1, 1, 1]]])
    >>> betti_numbers(ring).tolist(), betti_numbers(ring, connectivity=4).tolist()
    ([[1, 1]], [[1, 0]])
    """
    corners = check_connectivity("betti_numbers", connectivity)
    masks, ndim = read_masks("betti_numbers", "mask", mask)
    numbers = map_batch(lambda one: _betti(one, corners), masks)
    table = np.array(numbers, dtype=np.int64).reshape(len(masks), ndim)
    return torch.from_numpy(table).to(device_of(mask))


@measures_masks
def betti_error(
    preds: torch.Tensor,
    target: torch.Tensor,
    *,
    dims: Dims = None,
    window: int | None = None,
    connectivity: int = 8,
    convention: str = "standard",
    **common: Unpack[CommonOptions],
) -> torch.Tensor:
    """Return the absolute differences of the Betti numbers of every image.

    Parameters
    ----------
    dims : int, sequence of ints or None
        Homology dimensions to compare: 0 and 1, in 3D also 2. None takes all.
    window : int or None
        Side of the windows for the local error, the mean over windows that do not overlap (those at the far
        edges may be smaller). TopoMortar's study uses 128. None compares the whole image.
    convention : {"standard", "topomortar"}
        ``"standard"``: an empty mask has no component. ``"topomortar"``: it has one, as in that study, so
        that an empty prediction of a connected target has no error in dimension 0.

    Returns
    -------
    Tensor
        float64 (B, len(dims)), or (B, K, len(dims)) for K > 1 classes in the foreground, or regions.

    References
    ----------
    X. Hu, L. Fuxin, D. Samaras, C. Chen. Topology-preserving deep image segmentation. NeurIPS 2019.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import betti_error
    >>> target = torch.tensor([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]])
    >>> betti_error(torch.zeros_like(target), target).tolist()
    [[1.0, 1.0]]
    >>> betti_error(torch.zeros_like(target), target, convention="topomortar").tolist()
    [[0.0, 1.0]]
    """
    function = "betti_error"
    check_choice(function, "convention", convention, CONVENTIONS)
    if window is not None:
        check_number(function, "window", window, low=1, integer=True)
    masks = MaskPairs.read(function, preds, target, **common)
    chosen = _chosen_dims(function, dims, masks.ndim)
    corners = check_connectivity(function, connectivity)
    least = np.zeros(masks.ndim, dtype=np.int64)
    least[0] = convention == "topomortar"

    def numbers(mask: Mask) -> Ints:
        counted: Ints = np.maximum(_betti(mask, corners), least)
        return counted[chosen]

    def measure(pair: MaskPair) -> NDArray[np.float64]:
        p, t, counted = pair
        windows = [w for w in _windows(p.shape, window) if counted is None or counted[w].any()]
        if not windows:
            return np.zeros(len(chosen))
        errors = [np.abs(numbers(p[w]) - numbers(t[w])) for w in windows]
        return np.mean(errors, axis=0)

    return masks.measure(measure, (len(chosen),))


def _chosen_dims(function: str, dims: Dims, ndim: int) -> list[int]:
    known = list(range(ndim))
    if dims is None:
        return known
    chosen = list(as_dims(dims))
    if not chosen or len(set(chosen)) != len(chosen) or any(d not in known for d in chosen):
        raise fail(function, "dims", f"is {dims!r}", f"some of {known}, each once, for images of {ndim} axes")
    return chosen


def _windows(shape: tuple[int, ...], window: int | None) -> list[tuple[slice, ...]]:
    if window is None:
        return [tuple(slice(None) for _ in shape)]
    starts = [range(0, n, window) for n in shape]
    return [tuple(slice(s, s + window) for s in corner) for corner in itertools.product(*starts)]


def _betti(mask: Mask, corners: bool) -> Ints:
    """Return (b0, b1) or (b0, b1, b2)."""
    inside, outside = neighbourhoods(mask.ndim, corners)
    _, components = ndimage.label(mask, inside)
    enclosed = _enclosed_background(mask, outside)
    if mask.ndim == 2:
        return np.array([components, enclosed], dtype=np.int64)
    loops = components + enclosed - _euler_characteristic(mask, corners)
    return np.array([components, loops, enclosed], dtype=np.int64)


def _enclosed_background(mask: Mask, structure: Mask) -> int:
    """Return how many components of the background do not reach the image's edge."""
    pieces, n = ndimage.label(~mask, structure)
    at_edge = np.zeros(n + 1, dtype=bool)
    for axis in range(mask.ndim):
        at_edge[np.take(pieces, (0, -1), axis=axis)] = True
    return n - int(np.count_nonzero(at_edge[1:]))


def _euler_characteristic(mask: Mask, corners: bool) -> int:
    """Return the alternating sum of cells: voxels as closed cubes if `corners`, else as vertices.

    A cell belongs if any of the voxels around it does (closed cubes), or if all of its vertices do.
    """
    combine = np.logical_or if corners else np.logical_and
    padded = np.pad(mask, 1)
    total = 0
    for axes in itertools.product((False, True), repeat=mask.ndim):
        cells = padded
        for axis, merged in enumerate(axes):
            if merged:
                before = [slice(None)] * mask.ndim
                after = list(before)
                before[axis], after[axis] = slice(None, -1), slice(1, None)
                cells = combine(cells[tuple(before)], cells[tuple(after)])
        # Merging k axes of cubes leaves cells of dimension ndim - k; of vertices, cells of dimension k.
        dimension = mask.ndim - sum(axes) if corners else sum(axes)
        total += (-1) ** dimension * int(np.count_nonzero(cells))
    return total


class BettiError(ImageMetric, function=betti_error):
    """Absolute differences of the Betti numbers of label maps, per image and dimension; see `betti_error`.

    Examples
    --------
    >>> import torch
    >>> from topodl.metrics import BettiError
    >>> target = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    >>> target[..., 10, :] = True
    >>> preds = target.clone()
    >>> preds[..., 16:18] = False
    >>> metric = BettiError()
    >>> metric(preds, target).round(decimals=4)
    tensor([1., 0.], dtype=torch.float64)
    """

    higher_is_better = False
    plot_lower_bound = 0.0
    dims: Dims

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.dims is not None:
            _chosen_dims(type(self).__name__, self.dims, 3)

    def _value_names(self) -> tuple[str, ...]:
        return tuple(f"b{k}" for k in (range(3) if self.dims is None else as_dims(self.dims)))
