"""Persistent homology of batches of images and volumes, differentiable, with the critical pixels.

Pixels are ordered by (value, flat index); the pairing is `topodl.kernels.images.cubical2d` and `cubical3d`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from topodl._checks import as_real, check_choice, check_number, fail, reject_colours_last, reject_nan
from topodl._host import is_traced, on_host
from topodl.diagrams import Diagrams
from topodl.kernels.images.cubical2d import pair_pixels
from topodl.kernels.images.cubical3d import pair_voxels
from topodl.kernels.images.cubical_ends import gather_ends, scatter_ends
from topodl.kernels.shared.pool import map_batch
from topodl.persistence._batch import (
    assemble,
    fake_bars,
    homology_dims_of,
    pairing_op,
    to_device,
    to_host,
)
from topodl.persistence._periodic import pair_periodic

__all__ = ["cubical_persistence", "periodic_axes"]

_NAME = "cubical_persistence"
_PIXELS_AT_ONCE = 4096
_SHAPES = {
    False: "shape (B, H, W) or (B, D, H, W), or signals (B, L)",
    True: "shape (B, C, H, W) or (B, C, D, H, W)",
}


def cubical_persistence(
    x: torch.Tensor,
    dims: int | Iterable[int] | None = None,
    superlevel: bool = False,
    construction: Literal["vertex", "cell"] = "vertex",
    min_persistence: float = 0.0,
    channels: bool = False,
    *,
    periodic: bool | Sequence[bool] = False,
) -> Diagrams:
    """Compute the persistent homology of each image or volume of a batch, filtered by its values.

    Births and deaths are gathered from `x`, so gradients of any order reach the critical pixels. Pixels of
    equal value are ordered by their flat index: the result is the same on every device, thread count and
    batch position.

    Parameters
    ----------
    x : Tensor of shape (B, H, W) or (B, D, H, W), or (B, L)
        Images or volumes; with `channels`, (B, C, H, W) or (B, C, D, H, W), and every channel is a sample of
        its own, sample ``b * C + c``. Signals (B, L) are images of one row: the first axis is that of the
        batch here too, so that one image of shape (H, W) needs an axis more, ``x[None]``. ±inf is allowed,
        NaN is not. Half types are ordered in float32; integers and booleans are cast to the default dtype.
    dims : int or iterable of int, optional
        Homology dimensions: 0 components, 1 loops (in 2D: holes), 2 cavities. All that exist by default.
    superlevel : bool
        Grow the set of pixels from the largest values down: births ≥ deaths, essential deaths −inf.
    construction : {"vertex", "cell"}
        "vertex": pixels are vertices, joined to 4 (2D) or 6 (3D) neighbours. "cell": pixels are
        top-dimensional cells, joined to 8 or 26 neighbours.
    min_persistence : float
        Only bars strictly longer than this are kept; essential bars always are.
    channels : bool
        Whether the second axis of `x` is one of channels.
    periodic : bool or sequence of bool
        Whether an image goes on at its other end, along all axes of more than one pixel, or as said one by
        one: on a cylinder, or a torus, which has loops that never die and its own dimension among `dims`.

    Returns
    -------
    Diagrams
        B samples (B·C with `channels`). `birth_cells` and `death_cells` of shape (P, 1) are flat (C-order)
        indices of pixels in their sample, −1 for deaths of essential classes.

    Raises
    ------
    InputError
        If `x` has NaN (the message names sample and position), no pixels or another shape, colours of bytes
        as last axis, or an option is none of those above.
    TypeError
        If `x` is no real tensor.

    References
    ----------
    Wagner, Chen, Vuçini, "Efficient computation of persistent homology for cubical data", 2012. Robins,
    Wood, Sheppard, "Theory and algorithms for constructing discrete Morse complexes from grayscale digital
    images", IEEE TPAMI 2011. Garin, Heiss, Maggs, Bleile, Robins, "Duality in persistent homology of images",
    2020 (both constructions).

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> ring = torch.tensor([[[0.0, 0.1, 0.2], [0.7, 0.9, 0.3], [0.6, 0.5, 0.4]]])
    >>> d = topodl.cubical_persistence(ring)
    >>> d.dim(1).births, d.dim(1).deaths, d.dim(1).death_cells
    (tensor([0.7000]), tensor([0.9000]), tensor([[4]]))
    >>> topodl.cubical_persistence(ring, periodic=True)
    Diagrams(1 sample; H0: 1 bar, 1 essential; H1: 2 bars, 2 essential; H2: 1 bar, 1 essential; float32, cpu)
    """
    check_choice(_NAME, "construction", construction, ("vertex", "cell"))
    check_number(_NAME, "min_persistence", min_persistence, low=0.0)
    of_bytes = isinstance(x, torch.Tensor) and x.dtype == torch.uint8
    x = as_real(_NAME, "x", x)
    reject_colours_last(_NAME, "x", x.shape, of_bytes)
    n_spatial = x.ndim - (2 if channels else 1)
    if n_spatial not in ((2, 3) if channels else (1, 2, 3)) or 0 in x.shape[-n_spatial:]:
        raise fail(_NAME, "x", f"has shape {tuple(x.shape)}", f"{_SHAPES[channels]} with at least one pixel")
    around = periodic_axes(periodic, x.shape[-n_spatial:])
    if n_spatial == 1:
        x, n_spatial, around = x.unsqueeze(-2), 2, (False, *around)
    top = n_spatial if all(around) else n_spatial - 1
    homology_dims = homology_dims_of(_NAME, range(top + 1) if dims is None else dims, top)
    by_cells = construction == "cell"
    options = (n_spatial, homology_dims, superlevel, by_cells, float(min_persistence))
    if any(around):
        bars = _periodic_bars(x.detach(), list(around), *options)
    else:
        bars = _cubical_bars(x.detach(), *options)
    ends = _ends
    if on_host(x):
        ends = _EndsOnHost.apply if x.requires_grad and torch.is_grad_enabled() else _gather_on_host
    n_pixels, never = math.prod(x.shape[-n_spatial:]), -math.inf if superlevel else math.inf
    births, deaths = ends(x.reshape(-1), bars, n_pixels, never)
    n_samples = math.prod(x.shape[:-n_spatial])
    return assemble(bars, births, deaths, n_samples, homology_dims, in_order=True)


def periodic_axes(periodic: Any, shape: Sequence[int]) -> tuple[bool, ...]:
    """Return for each axis of images whether it is periodic."""
    if isinstance(periodic, bool | np.bool_):
        return tuple(bool(periodic) and n > 1 for n in shape)
    each = tuple(periodic) if isinstance(periodic, Iterable) else ()
    if len(each) != len(shape) or any(axis not in (True, False) for axis in each):
        expected = f"a boolean, or one for each of {len(shape)} axes"
        raise fail(_NAME, "periodic", f"is {periodic!r}", expected)
    if any(n < 2 and around for n, around in zip(shape, each, strict=True)):
        raise fail(_NAME, "x", f"has images of shape {tuple(shape)}", "2 pixels or more along periodic axes")
    return tuple(map(bool, each))


def _ends(
    flat: torch.Tensor, bars: torch.Tensor, n_pixels: int, never: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return births and deaths: the values at the cells of `bars`, `never` for those that never die."""
    births, deaths = flat.index_select(0, _positions(bars, n_pixels)).view(2, -1)
    return births, deaths.masked_fill(bars[3] < 0, never)


def _positions(bars: torch.Tensor, n_pixels: int) -> torch.Tensor:
    """Return where the births and then the deaths stand in the whole batch; any place for infinite deaths."""
    return (bars[2:].clamp(min=0) + bars[0] * n_pixels).reshape(-1)


def _gather_on_host(
    flat: torch.Tensor, bars: torch.Tensor, n_pixels: int, never: float
) -> tuple[torch.Tensor, torch.Tensor]:
    host = to_host(flat)
    births, deaths = host.new_empty(bars.shape[1]), host.new_empty(bars.shape[1])
    gather_ends(host.numpy(), bars.numpy(), n_pixels, never, births.numpy(), deaths.numpy())
    return births.to(flat.dtype), deaths.to(flat.dtype)


class _EndsOnHost(torch.autograd.Function):
    """`_ends` on the CPU: a third of the time, most of which PyTorch takes per operation."""

    @staticmethod
    def forward(ctx: Any, flat: torch.Tensor, bars: torch.Tensor, n_pixels: int, never: float) -> Any:
        ctx.save_for_backward(bars)
        ctx.n_values, ctx.n_pixels = flat.shape[0], n_pixels
        return _gather_on_host(flat, bars, n_pixels, never)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (bars,) = ctx.saved_tensors
        if torch.is_grad_enabled() or is_traced(*gradients):
            on_deaths = gradients[1].masked_fill(bars[3] < 0, 0.0)
            start = gradients[0].new_zeros(ctx.n_values)
            pull = start.index_add(0, _positions(bars, ctx.n_pixels), torch.cat((gradients[0], on_deaths)))
            return pull, None, None, None
        on_births, on_deaths = map(to_host, gradients)
        pull = on_births.new_zeros(ctx.n_values)
        scatter_ends(bars.numpy(), ctx.n_pixels, on_births.numpy(), on_deaths.numpy(), pull.numpy())
        return pull.to(gradients[0].dtype), None, None, None


def _fake_cubical_bars(
    x: torch.Tensor,
    n_spatial: int,
    dims: Sequence[int],
    superlevel: bool,
    by_cells: bool,
    min_persistence: float,
) -> torch.Tensor:
    return fake_bars(x, cell_size=1)


@pairing_op(
    "cubical_bars",
    "(Tensor x, int n_spatial, int[] dims, bool superlevel, bool by_cells, float min_persistence) -> Tensor",
    _fake_cubical_bars,
)
def _cubical_bars(
    x: torch.Tensor,
    n_spatial: int,
    dims: Sequence[int],
    superlevel: bool,
    by_cells: bool,
    min_persistence: float,
) -> torch.Tensor:
    """Return the bars of all samples as `pack_bars` does."""
    host = to_host(x)
    shape = tuple(x.shape[-n_spatial:])
    images = host.numpy().reshape(-1, math.prod(shape))
    # Calls would take longer than the pairing of a small image; volumes are paired one by one.
    at_once = max(1, _PIXELS_AT_ONCE // images.shape[1]) if n_spatial == 2 else 1
    if n_spatial == 3:
        reject_nan(_NAME, "x", host, "no NaN")

    def bars_from(first: int) -> Any:
        values = images[first : first + at_once]
        values = np.negative(values) if superlevel else values
        bits = values.view(np.int32 if values.itemsize == 4 else np.int64)
        if n_spatial == 2:
            height, width = shape
            bars, has_nan = pair_pixels(values, bits, height, width, by_cells, 0 in dims, 1 in dims, first)
            if has_nan:
                reject_nan(_NAME, "x", host, "no NaN")
        else:
            bars = _volume_bars(bits[0], shape, dims, by_cells, first)
        return _longer(values, bars, min_persistence, first)

    tables = map_batch(bars_from, range(0, len(images), at_once))
    joined = tables[0] if len(tables) == 1 else np.concatenate([np.empty((4, 0), np.int64), *tables], axis=1)
    return to_device(joined, x.device)


def _fake_periodic_bars(x: torch.Tensor, *options: Any) -> torch.Tensor:
    return fake_bars(x, cell_size=1)


@pairing_op(
    "periodic_bars",
    "(Tensor x, bool[] around, int n_spatial, int[] dims, bool superlevel, bool by_cells,"
    " float min_persistence) -> Tensor",
    _fake_periodic_bars,
)
def _periodic_bars(
    x: torch.Tensor,
    around: Sequence[bool],
    n_spatial: int,
    dims: Sequence[int],
    superlevel: bool,
    by_cells: bool,
    min_persistence: float,
) -> torch.Tensor:
    """Return the bars of all samples, on grids that go on at their other ends, as `pack_bars` does."""
    host = to_host(x)
    reject_nan(_NAME, "x", host, "no NaN")
    images = host.numpy().reshape(-1, *x.shape[-n_spatial:])
    rising = np.negative(images) if superlevel else images
    bars = pair_periodic(rising, tuple(around), dims, by_cells)
    flat, starts = rising.reshape(-1), bars[0] * math.prod(images.shape[1:])
    ends = flat[starts + bars[2]], flat[starts + np.maximum(bars[3], 0)]
    with np.errstate(over="ignore", invalid="ignore"):
        longer = (ends[0] != ends[1]) & (ends[1] - ends[0] > min_persistence)
    return to_device(bars.compress(longer | (bars[3] < 0), axis=1), x.device)


def _volume_bars(bits: Any, shape: Sequence[int], dims: Sequence[int], by_cells: bool, sample: int) -> Any:
    """Pair in the vertex construction; cells are its dual, dimension k being 2 − k of the reversed order."""
    depth, height, width = shape
    wanted = [2 - k if by_cells else k for k in dims]
    pairs = pair_voxels(bits, depth, height, width, by_cells, (0 in wanted, 1 in wanted, 2 in wanted))
    tables = []
    for k, j in zip(dims, wanted, strict=True):
        births, deaths = pairs[j]
        if by_cells:  # the shell is −1: it kills the essential class, and else only its own classes
            births, deaths = deaths, births
            births, deaths = births[births >= 0], deaths[births >= 0]
        tables.append(np.stack(np.broadcast_arrays(sample, k, births, deaths)))
    return np.concatenate(tables, axis=1, dtype=np.int64)


def _longer(values: Any, bars: Any, min_persistence: float, first: int) -> Any:
    """Return the pairs that live strictly longer, the essential ones among them, in samples from `first`."""
    if min_persistence == 0.0:
        return bars  # the kernels return no pair of equal values
    samples, births, deaths = bars[0] - first, bars[2], bars[3]
    with np.errstate(over="ignore", invalid="ignore"):  # what never dies stays, whatever its difference is
        lengths = values[samples, deaths] - values[samples, births]
    return bars.compress((deaths < 0) | (lengths > min_persistence), axis=1)
