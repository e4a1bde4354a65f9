"""Matrices of distances and of kernels between the diagrams of two batches, each with each."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._checks import as_dims, check_choice, check_number, fail, unknown_option
from topodl.diagrams import Diagrams
from topodl.distances._input import Array, SortedBars, check_norms, chosen, directions_of, same_dims
from topodl.distances._landscapes import landscape_distances_of_pairs
from topodl.distances._pairs import (
    InfiniteBars,
    Pairs,
    both_sides,
    bottleneck_of_pairs,
    over_pairs,
    wasserstein_of_pairs,
)

__all__ = ["distance_matrix", "kernel_matrix"]


class _Many(NamedTuple):
    """Diagrams of one homology dimension, and what messages call their function."""

    name: str
    bars: SortedBars
    infinite: InfiniteBars | None


def distance_matrix(
    d1: Diagrams, d2: Diagrams | None = None, metric: str = "wasserstein", *, dims: Any = None, **options: Any
) -> torch.Tensor:
    """Compute the distances between each diagram of one batch and each of another.

    Parameters
    ----------
    d1 : Diagrams
        Batch of B samples.
    d2 : Diagrams, optional
        Batch of C samples with the same homology dimensions. None: `d1` itself, in half of the time.
    metric : {"wasserstein", "bottleneck", "sliced_wasserstein", "persistence_fisher", "landscape", "heat"}
        The first two are exact, and match essential bars to their like; the others leave these out.
        "landscape" is the norm of order `order` between persistence landscapes, without a grid, "heat" the
        L2 norm between sums of Gaussians that are 0 on the diagonal, the metric of the scale space kernel.
    dims : int or sequence of int, optional
        Homology dimensions. None: all.
    **options
        "wasserstein": `order` = 2 and `ground_norm` = 2, as in `wasserstein_distance`.
        "sliced_wasserstein": `n_directions` = 50.
        "persistence_fisher" and "heat": `bandwidth` = 1, the standard deviation of the Gaussians, in the unit
        of the diagrams.
        "landscape": `order` = 2, that may be 1, 2 or inf, and `n_layers` = 5, the number of landscapes.

    Returns
    -------
    Tensor of shape (K, B, C)
        Distances in each of K dimensions, without gradient, in the dtype and on the device of `d1`; computed
        in double precision on the CPU.

    Raises
    ------
    InputError
        If the batches differ in their dimensions, an option is out of range, or a distance is too large for
        its dtype.
    TypeError
        If the metric has no such option.

    References
    ----------
    D. Cohen-Steiner, H. Edelsbrunner, J. Harer. Stability of persistence diagrams. Discrete & Computational
    Geometry 37, 2007. M. Carrière, M. Cuturi, S. Oudot. Sliced Wasserstein kernel for persistence diagrams.
    ICML 2017. T. Le, M. Yamada. Persistence Fisher kernel. NeurIPS 2018. P. Bubenik. Statistical topological
    data analysis using persistence landscapes. JMLR 16, 2015. J. Reininghaus et al. A stable multi-scale
    kernel for topological machine learning. CVPR 2015.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.distances import distance_matrix
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0]], [[0.0, 3.0]], [[0.0, 6.0]]]))
    >>> distance_matrix(d, metric="bottleneck")
    tensor([[[0., 1., 3.],
             [1., 0., 3.],
             [3., 3., 0.]]])
    """
    return _matrix("distance_matrix", "metric", metric, _METRICS, d1, d2, dims, options)


def kernel_matrix(
    d1: Diagrams, d2: Diagrams | None = None, kernel: str = "scale_space", *, dims: Any = None, **options: Any
) -> torch.Tensor:
    """Compute a positive definite kernel between each diagram of one batch and each of another.

    Parameters
    ----------
    d1 : Diagrams
        Batch of B samples; essential bars are left out.
    d2 : Diagrams, optional
        Batch of C samples with the same homology dimensions. None: `d1` itself, in half of the time.
    kernel : {"scale_space", "weighted_gaussian", "sliced_wasserstein", "persistence_fisher"}
        With the bandwidth b: the inner product of sums of Gaussians of standard deviation b that are 0 on the
        diagonal; Σ w(p) w(q) exp(−‖p − q‖² / 2b²) with weights arctan(factor · length^power); and
        exp(−distance / b), with the sliced Wasserstein or the persistence Fisher distance.
    dims : int or sequence of int, optional
        Homology dimensions. None: all.
    **options
        All: `bandwidth` = 1, positive, in the unit of the diagrams ("persistence_fisher": of an angle).
        "weighted_gaussian": `factor` = 1 and `power` = 1. "sliced_wasserstein": `n_directions` = 50.
        "persistence_fisher": `fisher_bandwidth` = 1, that of the distance, in the unit of the diagrams.

    Returns
    -------
    Tensor of shape (K, B, C)
        Values in each of K dimensions, without gradient, in the dtype and on the device of `d1`; computed
        in double precision on the CPU. Sums and products over K are kernels, too.

    Raises
    ------
    InputError
        If the batches differ in their dimensions, an option is out of range, or a value is too large for its
        dtype.
    TypeError
        If the kernel has no such option.

    References
    ----------
    "A stable multi-scale kernel for topological machine learning", J. Reininghaus et al., CVPR 2015;
    "Persistence weighted Gaussian kernel for topological data analysis", G. Kusano, K. Fukumizu, Y. Hiraoka,
    ICML 2016; "Sliced Wasserstein kernel for persistence diagrams", M. Carrière, M. Cuturi, S. Oudot, ICML
    2017; "Persistence Fisher kernel", T. Le, M. Yamada, NeurIPS 2018.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.distances import kernel_matrix
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0]], [[0.0, 3.0]]]))
    >>> kernel_matrix(d, kernel="sliced_wasserstein", bandwidth=2.0).diagonal(dim1=1, dim2=2)
    tensor([[1., 1.]])
    """
    return _matrix("kernel_matrix", "kernel", kernel, _KERNELS, d1, d2, dims, options)


def _matrix(
    name: str,
    argument: str,
    choice: str,
    functions: Mapping[str, Callable[..., Array]],
    d1: Diagrams,
    d2: Diagrams | None,
    dims: Any,
    options: dict[str, Any],
) -> torch.Tensor:
    """Return (K, B, C) values of the function of that name."""
    check_choice(name, argument, choice, tuple(functions))
    known = [key for key, value in inspect.signature(functions[choice]).parameters.items() if value.kind == 3]
    for option in options:
        if option not in known:
            words = ", ".join(known) if known else "none"
            raise unknown_option(name, option, f"those of {argument}={choice!r} are {words}", {})
    same_dims(name, d1, d1 if d2 is None else d2)
    chosen(name, d1, dims)
    wanted = d1.homology_dims if dims is None else tuple(sorted(set(as_dims(dims))))
    sides = [d.detach().at_least_single() for d in ((d1,) if d2 is None else (d1, d2))]
    layers = [_one_dimension(name, functions[choice], [d.dim(k) for d in sides], options) for k in wanted]
    shape = (len(wanted), len(sides[0]), len(sides[-1]))
    table = np.stack(layers) if layers else np.zeros(shape)
    _reject_overflow(name, table, d1)
    return torch.from_numpy(table).to(d1.device, d1.dtype)


def _one_dimension(
    name: str, function: Callable[..., Array], sides: list[Diagrams], options: dict[str, Any]
) -> Array:
    many = _Many(name, *both_sides(name, sides[0], sides[1] if len(sides) == 2 else None))
    n, m = len(sides[0]), len(sides[-1])
    if len(sides) == 2:
        rows, columns = (side.ravel() for side in np.indices((n, m)))
        return function(many, (rows, columns + n), **options).reshape(n, m)
    pairs = np.triu_indices(n)
    table = np.empty((n, n))
    table[pairs] = table.T[pairs] = function(many, pairs, **options)
    return table


def _reject_overflow(name: str, table: Array, d: Diagrams) -> None:
    """Raise if a value is NaN, or finite and too large; those of unequal essential bars are infinite."""
    too_large = np.isnan(table) | (np.isfinite(table) & (np.abs(table) > torch.finfo(d.dtype).max))
    if too_large.any():
        i, j = np.argwhere(too_large)[0, 1:].tolist()
        came = f"have a value that is too large for {d.dtype} between samples {i} and {j}"
        raise fail(name, "d1, d2", came, "a smaller unit, or float64")


def _check_positive(name: str, argument: str, value: Any) -> None:
    check_number(name, argument, value, low=np.finfo(np.float64).tiny)


def _wasserstein(many: _Many, pairs: Pairs, *, order: float = 2, ground_norm: float = 2) -> Array:
    check_norms(many.name, order, ground_norm)
    return wasserstein_of_pairs(many.bars, many.infinite, pairs, float(order), float(ground_norm))


def _bottleneck(many: _Many, pairs: Pairs) -> Array:
    return bottleneck_of_pairs(many.bars, many.infinite, pairs)


def _sliced_wasserstein(many: _Many, pairs: Pairs, *, n_directions: int = 50) -> Array:
    from topodl.kernels.vectors.sliced_gaps import sliced_distances

    check_number(many.name, "n_directions", n_directions, low=1, integer=True)
    bars, offsets, *_ = many.bars
    middles = (bars[:, :1] / 2 + bars[:, 1:] / 2).repeat(2, 1)
    starts = 2 * offsets + np.arange(len(offsets))  # two places a bar, and a last one for each diagram
    places, levels = np.full((n_directions, starts[-1]), np.inf), np.zeros((n_directions, starts[-1]))
    directions = directions_of(n_directions).numpy()
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused
        for s in range(len(offsets) - 1):
            own = slice(offsets[s], offsets[s + 1])
            n = own.stop - own.start
            values = directions @ np.concatenate([bars[own], middles[own]]).T
            order = values.argsort(1)
            places[:, starts[s] : starts[s] + 2 * n] = np.take_along_axis(values, order, 1)
            levels[:, starts[s] + 1 : starts[s] + 2 * n + 1] = np.where(order < n, 1.0, -1.0).cumsum(1)
    return over_pairs(lambda i, j: sliced_distances(places, levels, starts, i, j), pairs)


def _persistence_fisher(many: _Many, pairs: Pairs, *, bandwidth: float = 1.0) -> Array:
    from topodl.kernels.vectors.gaussian_sums import fisher_distances, own_sums

    _check_positive(many.name, "bandwidth", bandwidth)
    bars = many.bars.bars / (math.sqrt(2) * bandwidth)
    middles = (bars[:, :1] / 2 + bars[:, 1:] / 2).repeat(2, 1)
    places = np.stack([bars, middles], 1).reshape(-1, 2)
    offsets = many.bars.offsets
    own = own_sums(places, offsets)
    return over_pairs(lambda i, j: fisher_distances(places, own, offsets, i, j), pairs)


def _landscape(many: _Many, pairs: Pairs, *, order: float = 2, n_layers: int = 5) -> Array:
    check_choice(many.name, "order", order, (1, 2, math.inf))
    check_number(many.name, "n_layers", n_layers, low=1, integer=True)
    return landscape_distances_of_pairs(many.bars, pairs, order, n_layers)


def _heat(many: _Many, pairs: Pairs, *, bandwidth: float = 1.0) -> Array:
    own = np.arange(len(many.bars.units))
    products, squares = (_scale_space(many, each, bandwidth=bandwidth) for each in (pairs, (own, own)))
    distances: Array = np.sqrt(np.maximum(squares[pairs[0]] + squares[pairs[1]] - 2 * products, 0.0))
    return distances


def _scale_space(many: _Many, pairs: Pairs, *, bandwidth: float = 1.0) -> Array:
    _check_positive(many.name, "bandwidth", bandwidth)
    sums = _gaussian_sums(many, pairs, 1 / (2 * bandwidth), np.ones(len(many.bars.bars)), True)
    return sums / (4 * math.pi) / bandwidth / bandwidth


def _weighted_gaussian(
    many: _Many, pairs: Pairs, *, bandwidth: float = 1.0, factor: float = 1.0, power: float = 1.0
) -> Array:
    _check_positive(many.name, "bandwidth", bandwidth)
    _check_positive(many.name, "factor", factor)
    check_number(many.name, "power", power, low=0.0)
    lengths = np.abs(many.bars.bars[:, 1] - many.bars.bars[:, 0])
    weights = np.arctan(factor * lengths**power)
    return _gaussian_sums(many, pairs, 1 / (math.sqrt(2) * bandwidth), weights, False)


def _gaussian_sums(many: _Many, pairs: Pairs, scale: float, weights: Array, mirrored: bool) -> Array:
    """Return Σ w(p) w(q) exp(−‖scale (p − q)‖²)."""
    from topodl.kernels.vectors.gaussian_sums import gaussian_sums

    bars, offsets = many.bars.bars * scale, many.bars.offsets
    return over_pairs(lambda i, j: gaussian_sums(bars, weights, offsets, i, j, mirrored), pairs)


def _sliced_kernel(many: _Many, pairs: Pairs, *, bandwidth: float = 1.0, n_directions: int = 50) -> Array:
    _check_positive(many.name, "bandwidth", bandwidth)
    kernel: Array = np.exp(-_sliced_wasserstein(many, pairs, n_directions=n_directions) / bandwidth)
    return kernel


def _fisher_kernel(
    many: _Many, pairs: Pairs, *, bandwidth: float = 1.0, fisher_bandwidth: float = 1.0
) -> Array:
    _check_positive(many.name, "bandwidth", bandwidth)
    _check_positive(many.name, "fisher_bandwidth", fisher_bandwidth)
    kernel: Array = np.exp(-_persistence_fisher(many, pairs, bandwidth=fisher_bandwidth) / bandwidth)
    return kernel


_METRICS: dict[str, Callable[..., Array]] = {
    "wasserstein": _wasserstein,
    "bottleneck": _bottleneck,
    "sliced_wasserstein": _sliced_wasserstein,
    "persistence_fisher": _persistence_fisher,
    "landscape": _landscape,
    "heat": _heat,
}
_KERNELS: dict[str, Callable[..., Array]] = {
    "scale_space": _scale_space,
    "weighted_gaussian": _weighted_gaussian,
    "sliced_wasserstein": _sliced_kernel,
    "persistence_fisher": _fisher_kernel,
}
