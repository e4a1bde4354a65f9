"""Time series as point clouds: delays, windows, and how long and how many of them unfold the dynamics.

Takens, "Detecting strange attractors in turbulence", 1981. Cost: linear in the clouds; the search for delay
and dimension sorts values and asks a tree for nearest points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from topodl._checks import as_real, check_dense, check_number, fail, reject_non_finite
from topodl._host import host_array
from topodl._precision import at_least_single, in_unit
from topodl.kernels.shared.pool import map_batch

__all__ = [
    "EmbeddingParameters",
    "delay_embedding",
    "embedding_parameters",
    "false_neighbours",
    "mutual_information",
    "sliding_windows",
]

Series = torch.Tensor | Sequence[torch.Tensor]
_ROUNDING = 1e-9  # of the span of values: points that a period repeats move by less
_SHAPES = "finite values of shape (B, L) or (B, L, C), or a list of (L_i,) or (L_i, C)"


class EmbeddingParameters(NamedTuple):
    """How series are embedded.

    Attributes
    ----------
    delay : int
        Steps between the coordinates of a point.
    dimension : int
        Number of times that a point is made of.

    References
    ----------
    M. B. Kennel, R. Brown, H. D. I. Abarbanel, "Determining embedding dimension for phase-space
    reconstruction using a geometrical construction", Physical Review A 45, 1992.

    Examples
    --------
    >>> from topodl.filtrations import EmbeddingParameters
    >>> EmbeddingParameters(delay=3, dimension=2).dimension
    2
    """

    delay: int
    dimension: int


def delay_embedding(x: Series, dimension: int = 2, delay: int = 1, *, stride: int = 1) -> Any:
    """Return the points (x_t, x_{t+delay}, …) of each time series.

    With a delay of 1 these are its sliding windows, as points.

    Parameters
    ----------
    x : Tensor of shape (B, L) or (B, L, C), or sequence of B tensors of shape (L_i,) or (L_i, C)
        Time series of one value or of C values at a time; gradients reach them.
    dimension : int
        Number of times that a point is made of.
    delay : int
        Steps between them.
    stride : int
        Steps from the first time of a point to that of the next.

    Returns
    -------
    Tensor of shape (B, N, dimension · C), or list of B tensors of shape (N_i, dimension · C)
        Clouds of N = (L − (dimension − 1) · delay − 1) // stride + 1 points; the C values of one time stand
        together.

    Raises
    ------
    InputError
        If a series is too short for one point, has a value that is not finite or another shape, or a number
        is below 1.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    F. Takens, "Detecting strange attractors in turbulence", Dynamical Systems and Turbulence, 1981. J. A.
    Perea, J. Harer, "Sliding windows and persistence", Foundations of Computational Mathematics 15, 2015.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import delay_embedding
    >>> delay_embedding(torch.arange(6.0)[None], dimension=3, delay=2)
    tensor([[[0., 2., 4.],
             [1., 3., 5.]]])
    """
    name = "delay_embedding"
    check_number(name, "dimension", dimension, low=1, integer=True)
    check_number(name, "delay", delay, low=1, integer=True)
    return _each(name, x, lambda series: _windows(name, series, dimension, delay, stride).flatten(2))


def sliding_windows(x: Series, size: int, stride: int = 1) -> Any:
    """Return the windows of each time series: some are then samples of their own, or clouds of C coordinates.

    Parameters
    ----------
    x : Tensor of shape (B, L) or (B, L, C), or sequence of B tensors of shape (L_i,) or (L_i, C)
        Time series of one value or of C values at a time; gradients reach them.
    size : int
        Length of a window.
    stride : int
        Steps from the start of a window to that of the next.

    Returns
    -------
    Tensor of shape (B, W, size) or (B, W, size, C), or list of B tensors without B
        W = (L − size) // stride + 1 windows. ``windows.flatten(0, 1)`` has one sample for each.

    Raises
    ------
    InputError
        If a series is shorter than a window, has a value that is not finite or another shape, or a number is
        below 1.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    J. A. Perea, J. Harer, "Sliding windows and persistence", Foundations of Computational Mathematics 15,
    2015.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import sliding_windows
    >>> sliding_windows(torch.arange(5.0)[None], size=3, stride=2)
    tensor([[[0., 1., 2.],
             [2., 3., 4.]]])
    """
    name = "sliding_windows"
    check_number(name, "size", size, low=1, integer=True)
    return _each(name, x, lambda series: _windows(name, series, size, 1, stride), as_given=True)


def mutual_information(x: Series, max_delay: int = 20, *, n_bins: int = 16) -> torch.Tensor:
    """Return how much each value of a series says of the one some steps later, for each number of steps.

    Values are put into bins of equal width, from the least to the largest of the series; of several values at
    a time it is the mean. Without gradient.

    Parameters
    ----------
    x : Tensor of shape (B, L) or (B, L, C), or sequence of B tensors of shape (L_i,) or (L_i, C)
        Time series, longer than `max_delay`.
    max_delay : int
        The largest number of steps.
    n_bins : int
        Number of bins.

    Returns
    -------
    Tensor of shape (B, max_delay), float64
        In nats, for 1, 2, … steps.

    Raises
    ------
    InputError
        If a series is too short, has a value that is not finite or another shape, or a number is too small.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    A. M. Fraser, H. L. Swinney, "Independent coordinates for strange attractors from mutual information",
    Physical Review A 33, 1986.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import mutual_information
    >>> switching = torch.tensor([[0.0, 1.0] * 8])
    >>> mutual_information(switching, 2).round(decimals=3)  # of one bit, log 2
    tensor([[0.6910, 0.6930]], dtype=torch.float64)
    """
    name = "mutual_information"
    check_number(name, "max_delay", max_delay, low=1, integer=True)
    check_number(name, "n_bins", n_bins, low=2, integer=True)
    rows = map_batch(
        lambda series: _informations(series, max_delay, n_bins), _series_on_host(name, x, max_delay + 1)
    )
    table = torch.from_numpy(np.stack(rows) if rows else np.zeros((0, max_delay)))
    return table.to(_device_of(x))


def false_neighbours(
    x: Series, delay: int = 1, max_dimension: int = 8, *, tolerance: float = 10.0
) -> torch.Tensor:
    """Return the share of points whose nearest one moves away when one more time is added, by dimension.

    Such neighbours are near because the cloud is not unfolded yet. Without gradient.

    Parameters
    ----------
    x : Tensor of shape (B, L) or (B, L, C), or sequence of B tensors of shape (L_i,) or (L_i, C)
        Time series, longer than ``max_dimension * delay + 1``.
    delay : int
        Steps between the times of a point.
    max_dimension : int
        The largest number of times.
    tolerance : float
        A neighbour is false if the added value moves it more than this multiple of its distance away.

    Returns
    -------
    Tensor of shape (B, max_dimension), float64
        For 1, 2, … times.

    Raises
    ------
    InputError
        If a series is too short, has a value that is not finite or another shape, or a number is too small.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    M. B. Kennel, R. Brown, H. D. I. Abarbanel, "Determining embedding dimension for phase-space
    reconstruction using a geometrical construction", Physical Review A 45, 1992.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import false_neighbours
    >>> wave = torch.sin(0.3 * torch.arange(200.0, dtype=torch.float64))[None]
    >>> false_neighbours(wave, delay=5, max_dimension=2)[0] > 0.1  # it rises and falls through a value
    tensor([ True, False])
    """
    name = "false_neighbours"
    check_number(name, "delay", delay, low=1, integer=True)
    check_number(name, "max_dimension", max_dimension, low=1, integer=True)
    check_number(name, "tolerance", tolerance, low=0.0)
    rows = map_batch(
        lambda series: [_false_share(series, delay, d, tolerance) for d in range(1, max_dimension + 1)],
        _series_on_host(name, x, max_dimension * delay + 2),
    )
    table = torch.tensor(rows, dtype=torch.float64, device="cpu").view(-1, max_dimension)
    return table.to(_device_of(x))


def embedding_parameters(
    x: Series,
    max_delay: int = 20,
    max_dimension: int = 8,
    *,
    delay: int | None = None,
    n_bins: int = 16,
    threshold: float = 0.05,
) -> EmbeddingParameters:
    """Return the delay and the dimension that embed a batch of series: one pair, so that clouds compare.

    The delay is the first at which the mean of `mutual_information` is least beside its neighbours, or least
    of all. The dimension is the first whose mean share of `false_neighbours` is within the threshold, or has
    the smallest share.

    Parameters
    ----------
    x : Tensor of shape (B, L) or (B, L, C), or sequence of B tensors of shape (L_i,) or (L_i, C)
        Time series, at least one, each longer than ``max_delay`` and ``max_dimension * delay + 1``.
    max_delay, max_dimension : int
        The largest ones.
    delay : int, optional
        A delay that is known; the dimension alone is searched then.
    n_bins : int
        Number of bins of `mutual_information`.
    threshold : float
        The largest share of false neighbours that counts as none.

    Returns
    -------
    EmbeddingParameters
        `delay` and `dimension`, as `delay_embedding` takes them.

    Raises
    ------
    InputError
        If there is no series, one is too short, has a value that is not finite or another shape, or a number
        is out of its range.
    TypeError
        If `x` is neither a real tensor nor a sequence of them.

    References
    ----------
    A. M. Fraser, H. L. Swinney, "Independent coordinates for strange attractors from mutual information",
    Physical Review A 33, 1986. M. B. Kennel, R. Brown, H. D. I. Abarbanel, "Determining embedding dimension
    for phase-space reconstruction using a geometrical construction", Physical Review A 45, 1992.

    Examples
    --------
    >>> import torch
    >>> from topodl.filtrations import embedding_parameters
    >>> wave = torch.sin(0.3 * torch.arange(300.0, dtype=torch.float64))[None]
    >>> embedding_parameters(wave).dimension
    2
    """
    name = "embedding_parameters"
    check_number(name, "threshold", threshold, low=0.0, high=1.0)
    if len(x) == 0:
        raise fail(name, "x", "has no series", "at least one")
    if delay is None:
        information = mutual_information(x, max_delay, n_bins=n_bins).mean(0).tolist()
        inner = range(1, max_delay - 1)
        valleys = [i for i in inner if information[i - 1] > information[i] <= information[i + 1]]
        delay = 1 + (valleys[0] if valleys else int(np.argmin(information)))
    shares = false_neighbours(x, delay, max_dimension).mean(0).tolist()
    small = [d for d, share in enumerate(shares, 1) if share <= threshold]
    return EmbeddingParameters(delay, small[0] if small else 1 + int(np.argmin(shares)))


def _each(name: str, x: Any, function: Any, as_given: bool = False) -> Any:
    """Return a function of series (b, L, C), of all of a tensor or of each of a list.

    With `as_given` what it makes of series without an axis for C values at a time has none, either.
    """
    if isinstance(x, torch.Tensor):
        found = function(_as_series(name, "x", x, 2))
        return found[..., 0] if as_given and x.ndim == 2 else found
    if not isinstance(x, Sequence):
        raise TypeError(f"{name}: x is a {type(x).__name__}; expected a torch.Tensor or a sequence of them")
    several = [function(_as_series(name, f"x[{k}]", one, 1)[None])[0] for k, one in enumerate(x)]
    if not as_given:
        return several
    return [found[..., 0] if one.ndim == 1 else found for one, found in zip(x, several, strict=True)]


def _as_series(name: str, argument: str, x: Any, least: int) -> torch.Tensor:
    """Return series with an axis for their values at a time, finite; `least` axes without it."""
    series = as_real(name, argument, x)
    if series.ndim not in (least, least + 1) or 0 in series.shape[least - 1 :]:
        raise fail(name, argument, f"has shape {tuple(series.shape)}", _SHAPES)
    reject_non_finite(name, argument, series)
    return series if series.ndim > least else series[..., None]


def _windows(name: str, series: torch.Tensor, size: int, delay: int, stride: int) -> torch.Tensor:
    """Return the values (b, N, size, C) of each point of series (b, L, C)."""
    check_number(name, "stride", stride, low=1, integer=True)
    needed = (size - 1) * delay + 1
    if series.shape[1] < needed:
        raise fail(name, "x", f"has a series of {series.shape[1]} values", f"at least {needed}")
    starts = torch.arange(0, series.shape[1] - needed + 1, stride, device=series.device)
    steps = delay * torch.arange(size, device=series.device)
    return series[:, starts[:, None] + steps]


def _series_on_host(name: str, x: Any, needed: int) -> list[NDArray[np.float64]]:
    """Return each series (L, C) as an array, long enough."""
    # A batch leaves its device once.
    x = check_dense(name, "x", x).detach().cpu() if isinstance(x, torch.Tensor) else x
    several = _each(name, x, lambda series: series)
    arrays = [host_array(name, at_least_single(series)).astype(np.float64) for series in several]
    for k, series in enumerate(arrays):
        if len(series) < needed:
            raise fail(name, f"x[{k}]", f"has {len(series)} values", f"at least {needed}")
    return arrays


def _device_of(x: Series) -> torch.device:
    return x.device if isinstance(x, torch.Tensor) else x[0].device if len(x) else torch.device("cpu")


def _informations(series: NDArray[np.float64], max_delay: int, n_bins: int) -> NDArray[np.float64]:
    """Return the mutual information (max_delay,) of a series (L, C) and its later values."""
    low, span = series.min(0), np.ptp(series, 0)
    scaled = (series - low) / np.where(span > 0, span, 1.0)
    bins = np.minimum((scaled * n_bins).astype(np.int64), n_bins - 1)
    found = np.zeros(max_delay)
    for k in range(max_delay):
        for now, later in zip(bins[: -k - 1].T, bins[k + 1 :].T, strict=True):
            joint = np.bincount(now * n_bins + later, minlength=n_bins**2).reshape(n_bins, n_bins) / len(now)
            expected = joint.sum(1, keepdims=True) * joint.sum(0)
            some = joint > 0
            found[k] += (joint[some] * np.log(joint[some] / expected[some])).sum() / bins.shape[1]
    return found


def _false_share(series: NDArray[np.float64], delay: int, dimension: int, tolerance: float) -> float:
    """Return the share of the points of a series (L, C) whose nearest one is false."""
    series, n = in_unit(series), len(series) - dimension * delay
    points = np.concatenate([series[j * delay : j * delay + n] for j in range(dimension)], axis=1)
    added = series[dimension * delay : dimension * delay + n]
    distances, nearest = cKDTree(points).query(points, 2)
    own = nearest[:, 1] == np.arange(n)  # among coinciding points it need not be the first
    other = np.where(own, nearest[:, 0], nearest[:, 1])
    moved = np.linalg.norm(added - added[other], axis=1)
    rounding = _ROUNDING * np.linalg.norm(np.ptp(series, 0))
    return float((moved > np.maximum(tolerance * distances[:, 1], rounding)).mean())
