"""Betti curves, landscapes, silhouettes: functions of a diagram, sampled on a grid.

Bubenik, JMLR 2015 (landscapes); Chazal et al., SoCG 2014 (silhouettes). Cost: bars + grid, not their product.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from topodl._checks import check_number
from topodl._host import host_arrays, is_traced
from topodl._power import power
from topodl._precision import in_double
from topodl._segments import position_in_segment, segment_scale, segment_sum
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._grids import CurveLayer, alive, first_at_least, oriented

__all__ = ["BettiCurve", "PersistenceLandscape", "Silhouette"]


class BettiCurve(CurveLayer):
    """Number of bars that are alive at each grid value: birth ≤ t < death (superlevel: death < t ≤ birth).

    Parameters
    ----------
    width : float, optional
        None counts exactly: piecewise constant, so no gradient. A number smooths each end of a bar to a
        sigmoid of that width, which is differentiable.
    essential : {"keep", "drop", "clamp"}
        Kept essential bars count from their birth on. See `Diagrams.with_essential`.

    See Also
    --------
    EulerCurve : the alternating sum of the Betti curves.

    References
    ----------
    Y. Umeda, "Time series classification via topological data analysis", Transactions of the Japanese Society
    for Artificial Intelligence 32, 2017.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import BettiCurve
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, torch.inf]]]))
    >>> BettiCurve(resolution=4, value_range=(0, 3))(d).round(decimals=4)
    tensor([[[1., 2., 1., 1.]]])
    """

    _policies = ("keep", "drop", "clamp")

    def __init__(
        self,
        resolution: int = 100,
        value_range: Any = None,
        width: float | None = None,
        dims: Any = None,
        essential: EssentialPolicy = "keep",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.value_range = value_range
        self.width = width
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _curve(self, d: Diagrams, grid: torch.Tensor) -> torch.Tensor:
        if self.width is None:
            return alive(d, grid, torch.ones_like(d.samples)).to(d.dtype)
        check_number("BettiCurve", "width", self.width, low=torch.finfo(d.dtype).tiny)
        low, high = oriented(d)
        rising = torch.sigmoid((grid - low[:, None]) / self.width)
        falling = torch.sigmoid((grid - high[:, None]) / self.width)
        return segment_sum(rising - falling, d.samples, d.n_samples)


class PersistenceLandscape(CurveLayer):
    """The k largest values at each grid value t of the tents max(0, min(t − birth, death − t)) over the bars.

    Parameters
    ----------
    n_layers : int
        Number of landscapes, the largest first.
    scale : float
        Factor on all values. √2 is GUDHI's convention, the height of a tent in the rotated diagram; 1.0 gives
        Bubenik's landscapes.
    essential : {"drop", "keep", "clamp"}
        A kept essential bar is a tent that only rises. See `Diagrams.with_essential`.

    References
    ----------
    P. Bubenik. Statistical topological data analysis using persistence landscapes. JMLR 16, 2015.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import PersistenceLandscape
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 4.0], [1.0, 3.0]]]))
    >>> PersistenceLandscape(n_layers=2, resolution=5, value_range=(0, 4), scale=1.0)(d).round(decimals=4)
    tensor([[[[0., 1., 2., 1., 0.],
              [0., 0., 1., 0., 0.]]]])
    """

    _policies = ("keep", "drop", "clamp")

    def __init__(
        self,
        n_layers: int = 5,
        resolution: int = 100,
        value_range: Any = None,
        scale: float = math.sqrt(2),
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.resolution = resolution
        self.value_range = value_range
        self.scale = scale
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _curve(self, d: Diagrams, grid: torch.Tensor) -> torch.Tensor:
        check_number("PersistenceLandscape", "n_layers", self.n_layers, low=1, integer=True)
        check_number("PersistenceLandscape", "scale", self.scale)
        low, high = oriented(d)
        highest = _highest_tents(d, grid, int(self.n_layers))
        # A last bar that is nowhere above 0 stands in where there are fewer bars than layers.
        low, high = torch.cat([low, low.new_zeros(1)]), torch.cat([high, high.new_zeros(1)])
        tents = torch.minimum(grid - low[highest], high[highest] - grid)
        return self.scale * tents.masked_fill(highest == d.n_bars, 0.0)

    def _columns(self) -> list[str]:
        return [f"{layer}_{i}" for layer in range(self.n_layers) for i in range(self.resolution)]


class Silhouette(CurveLayer):
    """Average of the tents max(0, min(t − birth, death − t)), weighted by a power of the persistence.

    Parameters
    ----------
    power : float
        Exponent of the weights |death − birth|^power; 0 weighs all bars alike.
    scale : float
        Factor on all values. √2 is GUDHI's convention, the height of a tent in the rotated diagram; 1.0 gives
        the tents above.

    References
    ----------
    F. Chazal et al. Stochastic convergence of persistence landscapes and silhouettes. SoCG 2014.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import Silhouette
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 4.0], [1.0, 3.0]]]))
    >>> Silhouette(resolution=5, value_range=(0, 4), scale=1.0)(d)
    tensor([[[0.0000, 0.6667, 1.6667, 0.6667, 0.0000]]])
    """

    def __init__(
        self,
        resolution: int = 100,
        value_range: Any = None,
        power: float = 1.0,
        scale: float = math.sqrt(2),
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.value_range = value_range
        self.power = power
        self.scale = scale
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _curve(self, d: Diagrams, grid: torch.Tensor) -> torch.Tensor:
        check_number("Silhouette", "power", self.power, low=0.0)
        check_number("Silhouette", "scale", self.scale)
        weights = self._weights(d)
        total = segment_sum(weights, d.samples, d.n_samples)
        shares = weights / torch.where(total > 0, total, 1.0).index_select(0, d.samples)
        shares = shares.to(d.births.dtype)  # products with few bits are exact, and vanish behind a tent
        return self.scale * _sum_of_tents(*oriented(d), shares, d.samples, d.n_samples, grid)

    def _weights(self, d: Diagrams) -> torch.Tensor:
        """Return (P,) lengths to the power, of which only their ratios within a diagram count."""
        lengths = in_double(d.persistence())  # of which sums neither vanish nor overflow
        if self.power == 1:
            return lengths
        unit = segment_scale(lengths, d.samples, d.n_samples, d.sample_offsets)
        relative = lengths / unit.index_select(0, d.samples)
        return power(relative, self.power) if self.power else torch.ones_like(lengths)


def _sum_of_tents(
    low: torch.Tensor,
    high: torch.Tensor,
    weights: torch.Tensor,
    samples: torch.Tensor,
    n_samples: int,
    grid: torch.Tensor,
) -> torch.Tensor:
    """Return (B, len(grid)) weighted sums of tents, as w (t − low)₊ − 2w (t − middle)₊ + w (t − high)₊ each.

    Every term is linear in t from its kink on, so two running sums over the grid hold them all. They run in
    float64, as a tent has to vanish behind its end.
    """
    low, high, weights, ticks = in_double(low), in_double(high), in_double(weights), in_double(grid)
    n = len(grid) + 1
    slopes = ticks.new_zeros(n_samples * n)
    moments = ticks.new_zeros(n_samples * n)
    for kink, factor in ((low, 1.0), ((low + high) / 2, -2.0), (high, 1.0)):
        index = samples * n + first_at_least(ticks, kink)
        slopes = slopes.index_add(0, index, factor * weights)
        moments = moments.index_add(0, index, factor * weights * kink)
    slopes, moments = (sums.view(n_samples, n)[:, :-1].cumsum(1) for sums in (slopes, moments))
    return (ticks * slopes - moments).to(grid.dtype)


def _highest_tents(d: Diagrams, grid: torch.Tensor, k: int) -> torch.Tensor:
    """Return (B, k, len(grid)) the bars with the k highest tents at each grid value; else P."""
    from topodl.kernels.vectors.landscape import highest_tents

    low, high = (end.detach() for end in oriented(d))
    if is_traced(low):
        return _highest_by_tensors(low, high, d, grid, k)
    arrays = host_arrays("PersistenceLandscape", (low, high, grid, d.sample_offsets))
    lows, highs, values, starts = arrays
    return torch.from_numpy(highest_tents(lows, highs, values, starts, k)).to(low.device)


def _highest_by_tensors(
    low: torch.Tensor, high: torch.Tensor, d: Diagrams, grid: torch.Tensor, k: int
) -> torch.Tensor:
    """Return what `_highest_tents` does, in the memory of bars · grid."""
    heights = torch.minimum(grid - low[:, None], high[:, None] - grid)
    rank = heights.argsort(dim=0, descending=True).argsort(dim=0)
    order = (d.samples[:, None] * d.n_bars + rank).argsort(dim=0)
    bars = order.masked_fill(heights.gather(0, order) <= 0, d.n_bars)
    # The last place is for all that are not among the highest.
    place = position_in_segment(d.samples, d.sample_offsets).clamp(max=k)
    out = torch.full((d.n_samples * (k + 1), grid.shape[0]), d.n_bars, device=low.device)
    out = out.scatter(0, (d.samples * (k + 1) + place)[:, None].expand_as(bars), bars)
    return out.view(d.n_samples, k + 1, -1)[:, :k]
