"""Numbers that sum up a diagram: persistence entropy, and statistics of births, deaths and lengths.

Atienza et al., Pattern Recognition 2020 (entropy and its summary function). Cost: one sort of the bars.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from topodl._checks import check_choice
from topodl._host import on_host
from topodl._power import power
from topodl._precision import is_ordinary, unit_of
from topodl._segments import contiguous_sum, segment_amax, segment_amin, segment_scale, segment_sum
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._grids import CurveLayer, alive

__all__ = ["PersistenceEntropy", "PersistenceStatistics"]


class PersistenceEntropy(CurveLayer):
    """Shannon entropy of the lengths of the bars, −Σ p log p with p = length / total length.

    As a module: `Diagrams` to a tensor (B, K), or (B, K, resolution) with `mode="vector"`. A diagram without
    bars has entropy 0.

    Parameters
    ----------
    mode : {"scalar", "vector"}
        "vector" is the entropy summary function: the sum at t runs over the bars that are alive at t.
    normalize : bool
        Divide the scalar by the logarithm of the number of bars (0 for fewer than two), the vector by the sum
        of its absolute values.

    References
    ----------
    N. Atienza, R. Gonzalez-Diaz, M. Soriano-Trigueros. On the stability of persistent entropy and new summary
    functions for topological data analysis. Pattern Recognition 107, 2020.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import PersistenceEntropy
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]))
    >>> PersistenceEntropy()(d)
    tensor([[0.6931]])
    """

    def __init__(
        self,
        mode: str = "scalar",
        normalize: bool = False,
        resolution: int = 100,
        value_range: Any = None,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.normalize = normalize
        self.resolution = resolution
        self.value_range = value_range
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def _uses_grid(self) -> bool:  # type: ignore[override]
        return self.mode == "vector"

    def _check_settings(self) -> None:
        check_choice("PersistenceEntropy", "mode", self.mode, ("scalar", "vector"))
        super()._check_settings()

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        if self.mode == "scalar":
            return _entropy(d, self.normalize)
        d = d.filter(0.0)
        share = _shares(d)
        curve = alive(d, grid, -share * share.log())
        if not self.normalize:
            return curve
        size = curve.abs().sum(1, keepdim=True)
        return curve / torch.where(size > 0, size, 1.0)

    def _columns(self) -> list[str]:
        return super()._columns() if self.mode == "vector" else ["entropy"]


class PersistenceStatistics(CurveLayer):
    """Statistics of births, deaths, midpoints and lengths, the number of bars, and the entropy.

    As a module: `Diagrams` to a tensor (B, K, 46). Each of the four quantities has its mean, standard
    deviation (of the population), least and largest value, sum, median, the quantiles 0.1, 0.25, 0.75 and
    0.9, and the interquartile range. A diagram without bars has only zeros.

    Parameters
    ----------
    interpolation : {"linear", "midpoint"}
        What a quantile is between two values: as far from the one to the other as it lies, or their mean.

    References
    ----------
    D. Ali et al. A survey of vectorization methods in topological data analysis. IEEE TPAMI 45, 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import PersistenceStatistics
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [2.0, 5.0]]]))
    >>> layer = PersistenceStatistics().fit(d)
    >>> names = layer.get_feature_names_out()
    >>> layer.transform(d)[:, names == "persistencestatistics_h0_length_mean"]
    array([[2.]], dtype=float32)
    """

    _uses_grid = False
    _quantities = ("birth", "death", "midpoint", "length")
    _statistics = ("mean", "std", "min", "q10", "q25", "median", "q75", "q90", "max", "iqr", "sum")

    def __init__(
        self,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        interpolation: str = "linear",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.essential = essential
        self.interpolation = interpolation
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        choices = ("linear", "midpoint")
        check_choice("PersistenceStatistics", "interpolation", self.interpolation, choices)
        super()._check_settings()

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        values = torch.stack([d.births, d.deaths, (d.births + d.deaths) / 2, d.persistence()], 1)
        count = d.sample_offsets.diff().to(values.dtype)
        at_least_one = count.clamp(min=1)[:, None]
        total = segment_sum(values, d.samples, d.n_samples)
        mean = total / at_least_one
        deviations = values - mean[d.samples]
        unit = segment_scale(deviations, d.samples, d.n_samples, d.sample_offsets)
        squares = (deviations / unit[d.samples]).square()
        std = power(segment_sum(squares, d.samples, d.n_samples) / at_least_one, 0.5) * unit
        low = segment_amin(values, d.samples, d.n_samples)
        high = segment_amax(values, d.samples, d.n_samples)
        levels, to_middle = (0.1, 0.25, 0.5, 0.75, 0.9), self.interpolation == "midpoint"
        q10, q25, median, q75, q90 = _quantiles(values, d, levels, to_middle)
        columns = [mean, std, low, q10, q25, median, q75, q90, high, q75 - q25, total]
        statistics = torch.stack(columns, 2).flatten(1)
        entropy = _entropy(d, normalize=False)
        return torch.cat([statistics, count[:, None], entropy[:, None]], 1)

    def _columns(self) -> list[str]:
        pairs = [f"{quantity}_{name}" for quantity in self._quantities for name in self._statistics]
        return [*pairs, "count", "entropy"]


def _entropy(d: Diagrams, normalize: bool) -> torch.Tensor:
    """Return (B,) entropies −Σ p log p with p = length / total: log total − Σ length log length / total."""
    lengths, total = _in_unit_of_total(d)
    total = total + (total == 0)  # an infinite one makes NaN, which is refused
    logs = lengths.clamp(min=torch.finfo(lengths.dtype).tiny).log()
    entropy = total.log() - contiguous_sum(lengths * logs, d.sample_offsets) / total
    entropy = entropy.clamp(min=0.0)  # a single bar has 0, up to rounding
    if not normalize:
        return entropy
    count = contiguous_sum((lengths.detach() > 0).to(entropy.dtype), d.sample_offsets)
    return entropy / torch.where(count > 1, count.clamp(min=2).log(), 1.0)


def _in_unit_of_total(d: Diagrams) -> tuple[torch.Tensor, torch.Tensor]:
    """Return lengths (P,) and their totals (B,) in units in which products of totals are numbers, too.

    What depends on quotients of them alone has the right gradient with units that are constants.
    """
    lengths = d.persistence()
    total = contiguous_sum(lengths, d.sample_offsets)
    if on_host(total) and total.numel() and is_ordinary(*torch.stack(total.detach().aminmax()).tolist()):
        return lengths, total
    unit = unit_of(total.detach())
    return lengths / unit.index_select(0, d.samples), total / unit


def _shares(d: Diagrams) -> torch.Tensor:
    """Return (P,) the share of each bar in the total length of its diagram."""
    lengths, total = _in_unit_of_total(d)
    # an infinite total becomes NaN, as shares of 0 would be silent, and one of 0 becomes 1
    total = total * (total < math.inf) + (total == 0)
    return lengths / total.index_select(0, d.samples)


def _quantiles(
    values: torch.Tensor, d: Diagrams, levels: tuple[float, ...], to_middle: bool
) -> list[torch.Tensor]:
    """Return for each level the (B, 4) quantiles of the columns, between two values or in their middle."""
    order = values.detach().T.contiguous().sort(dim=1).indices
    regroup = d.samples[order].sort(dim=1, stable=True).indices
    ordered = values.gather(0, order.gather(1, regroup).T)
    ordered = torch.cat([ordered, ordered.new_zeros(1, values.shape[1])])  # what an empty diagram reads
    count = d.sample_offsets.diff()
    start = torch.where(count > 0, d.sample_offsets[:-1], d.n_bars)
    quantiles = []
    for level in levels:
        place = level * (count - 1).clamp(min=0)
        below = place.floor().long()
        above = torch.minimum(below + 1, (count - 1).clamp(min=0))
        share = (place - below).to(values.dtype)[:, None]
        share = torch.where(share > 0, 0.5, share) if to_middle else share
        quantiles.append(torch.lerp(ordered[start + below], ordered[start + above], share))
    return quantiles
