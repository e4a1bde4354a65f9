"""Diagrams to diagrams, in front of what vectorises them: select bars, clamp them, scale them; or as a table.

Cost: one pass over the bars, and a sort where the longest are chosen.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from topodl._checks import check_choice, check_number, fail
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers import _inputs
from topodl.layers._base import DiagramLayer, PersistenceLayer
from topodl.layers._grids import CurveLayer
from topodl.layers.amplitudes import Amplitude

__all__ = ["BarClamper", "BarSelector", "DiagramScaler", "PaddedBars"]


_NAMES = {
    "birth_death": ("birth", "death"),
    "birth_persistence": ("birth", "persistence"),
    "rotated": ("along", "across"),
}


class _DiagramMap(PersistenceLayer, DiagramLayer):
    """A layer from `Diagrams` to `Diagrams`.

    Parameters
    ----------
    dims : int or sequence of int, optional
        Homology dimensions of the result. None: all of the diagrams.
    """

    def _homology_dims(self) -> tuple[int, ...]:
        return self._dims_out()

    def forward(self, d: Any) -> Diagrams:
        """Return the diagrams after the change, with gradient.

        Parameters
        ----------
        d : Diagrams, or a list of arrays (n, 2)
            Batch of B samples.

        Returns
        -------
        Diagrams
            Of the B samples; `birth_cells` and `death_cells` stay with their bars.

        Raises
        ------
        NotFittedError
            If something is to be learnt from data and `fit` was not called.
        InputError
            If a setting is unusable, or the diagrams lack a dimension that `fit` did not see.
        """
        self._check_settings()
        return self._changed(self._chosen(d))

    def _chosen(self, X: Any) -> Diagrams:
        """Return diagrams of any form with the homology dimensions of the result."""
        name = type(self).__name__
        d = X if isinstance(X, Diagrams) else _inputs.as_diagrams(name, X)  # which has no gradient
        d = self._with_fitted_dims(d)
        return d._of_dims(name, self._dims(d))

    def _check_settings(self) -> None:
        raise NotImplementedError

    def _changed(self, d: Diagrams) -> Diagrams:
        raise NotImplementedError

    def _fit(self, d: Diagrams) -> None:
        self._check_settings()


class BarSelector(_DiagramMap):
    """Keep some of the bars: of some dimensions, finite or essential ones, long ones, the longest.

    Parameters
    ----------
    n_bars : int, optional
        Number of bars that count as the longest of each sample and dimension. None: all.
    keep : {"longest", "rest"}
        Which bars stay: the `n_bars` longest, or all others.
    min_persistence, max_persistence : float
        Bars have to be strictly longer than the one and not longer than the other; the `n_bars` are among
        these. Essential bars are infinitely long.
    kind : {"all", "finite", "essential"}
        Which bars are looked at.

    See Also
    --------
    topodl.Diagrams.filter : bars longer than a threshold, as a method.

    References
    ----------
    H. Edelsbrunner, D. Letscher, A. Zomorodian. Topological persistence and simplification. Discrete &
    Computational Geometry 28, 2002.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import BarSelector
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 1.5], [0.0, torch.inf]]]))
    >>> BarSelector(n_bars=1)(d)
    Diagrams(1 sample; H0: 1 bar, 1 essential; float32, cpu)
    >>> BarSelector(n_bars=1, kind="finite")(d).deaths
    tensor([2.])
    """

    def __init__(
        self,
        n_bars: int | None = None,
        keep: str = "longest",
        min_persistence: float = 0.0,
        max_persistence: float = math.inf,
        kind: str = "all",
        dims: Any = None,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_bars = n_bars
        self.keep = keep
        self.min_persistence = min_persistence
        self.max_persistence = max_persistence
        self.kind = kind
        self.dims = dims
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        name = "BarSelector"
        if self.n_bars is not None:
            check_number(name, "n_bars", self.n_bars, low=0, integer=True)
        check_choice(name, "keep", self.keep, ("longest", "rest"))
        check_choice(name, "kind", self.kind, ("all", "finite", "essential"))
        check_number(name, "min_persistence", self.min_persistence, low=0.0)
        if self.max_persistence != math.inf:
            check_number(name, "max_persistence", self.max_persistence, low=float(self.min_persistence))

    def _changed(self, d: Diagrams) -> Diagrams:
        if self.kind != "all":
            d = d.finite() if self.kind == "finite" else d.essential()
        lengths = d.persistence().detach()
        d = d._where((lengths > self.min_persistence) & (lengths <= self.max_persistence))
        if self.n_bars is None:
            return d
        among = d.ranks() < int(self.n_bars)
        return d._where(among if self.keep == "longest" else ~among)


class BarClamper(_DiagramMap):
    """Cut bars off at two values; bars that lie outside vanish.

    Parameters
    ----------
    low, high : float
        Births and deaths lie in between. With a finite `high`, essential bars die there (superlevel: at a
        finite `low`), and `Diagrams.was_essential` still knows them.

    See Also
    --------
    topodl.Diagrams.with_essential : an end for essential bars alone, by default of each sample its own.

    References
    ----------
    H. Edelsbrunner, J. Harer. Computational topology: an introduction. AMS, 2010 (bars of a part of a
    filtration).

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import BarClamper
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [3.0, 4.0], [1.0, torch.inf]]]))
    >>> d = BarClamper(0.5, 2.5)(d)
    >>> d.births, d.deaths
    (tensor([0.5000, 1.0000]), tensor([2.0000, 2.5000]))
    """

    def __init__(
        self,
        low: float = -math.inf,
        high: float = math.inf,
        dims: Any = None,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.low = low
        self.high = high
        self.dims = dims
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        for argument, value in (("low", self.low), ("high", self.high)):
            if not isinstance(value, int | float | np.number) or math.isnan(value):
                raise fail("BarClamper", argument, f"is {value!r}", "a number, or infinity")
        if not self.low < self.high:
            raise fail("BarClamper", "low", f"is {self.low!r}", f"a number below high = {self.high!r}")

    def _changed(self, d: Diagrams) -> Diagrams:
        births, deaths = (ends.clamp(self.low, self.high) for ends in (d.births, d.deaths))
        return d._with(births=births, deaths=deaths, _ended=d.was_essential).filter(0.0)


class DiagramScaler(_DiagramMap):
    """Divide births and deaths by the size of the training diagrams, or move them to the unit interval.

    With "bottleneck" and "wasserstein" the largest diagram then has the size 1. Both ends of a bar are mapped
    alike, so that what lies on the diagonal stays there; essential bars stay essential.

    Parameters
    ----------
    metric : str
        Size of a diagram, as of `Amplitude`; or "range", which moves all finite ends to values from 0 to 1.
    metric_params : dict, optional
        As of `Amplitude`.
    quantile : float
        In (0, 1]: the quantile of the sizes that is divided by, the largest by default. With "range", q and
        1 − q of the ends become 1 and 0.
    joint : bool
        One number for all homology dimensions, the largest, or one range; False: each has its own.

    References
    ----------
    G. Tauzin et al. giotto-tda: a topological data analysis toolkit for machine learning and data
    exploration. JMLR 22, 2021.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import DiagramScaler
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0]], [[1.0, 5.0]]]))
    >>> DiagramScaler().fit(d)(d).deaths
    tensor([1.0000, 2.5000])
    >>> DiagramScaler("range").fit(d)(d).births
    tensor([0.0000, 0.2000])
    """

    shifts_: torch.Tensor | None
    scales_: torch.Tensor | None

    def __init__(
        self,
        metric: str = "bottleneck",
        metric_params: dict[str, Any] | None = None,
        quantile: float = 1.0,
        joint: bool = True,
        dims: Any = None,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("shifts_", None)
        self.register_buffer("scales_", None)
        self.metric = metric
        self.metric_params = metric_params
        self.quantile = quantile
        self.joint = joint
        self.dims = dims
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        tiny = float(np.finfo(np.float64).tiny)
        check_number("DiagramScaler", "quantile", self.quantile, low=tiny, high=1.0)
        if self.metric != "range":
            self._amplitude()._check_settings()
        elif self.metric_params:
            came = f"is {self.metric_params!r}"
            raise fail("DiagramScaler", "metric_params", came, 'None with metric="range", which has none')

    def _amplitude(self) -> Amplitude:
        return Amplitude(self.metric, self.metric_params, self.dims)

    def _fit(self, d: Diagrams) -> None:
        self._check_settings()
        d = d._of_dims("DiagramScaler", self._dims(d)).detach().finite()
        shifts, scales = self._range(d) if self.metric == "range" else self._sizes(d)
        device = self._place()[0]
        self.shifts_ = shifts.to(device)
        self.scales_ = torch.where(scales > 0, scales, 1.0).to(device)

    def _sizes(self, d: Diagrams) -> tuple[torch.Tensor, torch.Tensor]:
        sizes = self._amplitude().fit(d)(d)[..., 0].double()
        if len(sizes) == 0:
            sizes = sizes.new_zeros(1, sizes.shape[1])
        scales = sizes.quantile(float(self.quantile), dim=0)
        return torch.zeros_like(scales), scales.amax().expand_as(scales) if self.joint else scales

    def _range(self, d: Diagrams) -> tuple[torch.Tensor, torch.Tensor]:
        groups = [d] * len(d.homology_dims) if self.joint else [d.dim(k) for k in d.homology_dims]
        lows_and_highs = [self._ends(torch.cat([each.births, each.deaths]).double()) for each in groups]
        ends = torch.tensor(lows_and_highs, dtype=torch.float64, device="cpu").reshape(-1, 2)
        return ends[:, 0], ends[:, 1] - ends[:, 0]

    def _ends(self, values: torch.Tensor) -> tuple[float, float]:
        if len(values) == 0:
            return 0.0, 1.0
        low, high = np.quantile(values.cpu().numpy(), [1 - self.quantile, self.quantile])
        return float(low), float(high)

    def _maps(self, d: Diagrams) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the shift and the scale of each bar."""
        if self.shifts_ is None or self.scales_ is None:
            raise self._not_fitted("the scale")
        if len(self.scales_) != len(d.homology_dims):
            came = f"has dimensions {d.homology_dims}"
            raise fail("DiagramScaler", "d", came, f"{len(self.scales_)} dimensions, as in fit")
        place = d.segments % max(len(d.homology_dims), 1)
        shifts, scales = (table.to(d.device, d.dtype) for table in (self.shifts_, self.scales_))
        return shifts[place], scales[place]

    def _changed(self, d: Diagrams) -> Diagrams:
        shifts, scales = self._maps(d)
        return d._with(births=(d.births - shifts) / scales, deaths=(d.deaths - shifts) / scales)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags

    def inverse_transform(self, X: Any) -> Diagrams:
        """Return diagrams in the unit of the training data.

        Parameters
        ----------
        X : Diagrams, or a list of arrays (n, 2)
            As `transform` returns them.

        Returns
        -------
        Diagrams
        """
        d = self._chosen(X)
        shifts, scales = self._maps(d)
        return d._with(births=d.births * scales + shifts, deaths=d.deaths * scales + shifts)


class PaddedBars(CurveLayer):
    """The bars themselves as a table, the longest first, padded to the same number in each sample.

    As a module: `Diagrams` to a tensor (B, K, n_bars, 2).

    Parameters
    ----------
    n_bars : int, optional
        Number of bars of each homology dimension; of more, the longest are kept. None: `fit` takes the
        largest number in the training data.
    coordinates : {"birth_death", "birth_persistence", "rotated"}
        "rotated" is the diagram turned by 45°: (birth + death) / √2 and (death − birth) / √2.
    fill : float
        Value of both coordinates where there is no bar.

    See Also
    --------
    topodl.Diagrams.padded : bars in their order, with a mask.

    References
    ----------
    M. Carrière et al. PersLay: a neural network layer for persistence diagrams and new graph topological
    signatures. AISTATS 2020 (networks on padded diagrams).

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import PaddedBars
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 4.0]]]))
    >>> PaddedBars(3, "birth_persistence")(d)
    tensor([[[[1., 3.],
              [0., 2.],
              [0., 0.]]]])
    """

    _uses_grid = False
    widths_: torch.Tensor | None

    def __init__(
        self,
        n_bars: int | None = None,
        coordinates: str = "birth_death",
        fill: float = 0.0,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("widths_", None)
        self.n_bars = n_bars
        self.coordinates = coordinates
        self.fill = fill
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return self.n_bars is not None or self.widths_ is not None

    def _check_settings(self) -> None:
        super()._check_settings()
        check_choice("PaddedBars", "coordinates", self.coordinates, tuple(_NAMES))
        check_number("PaddedBars", "fill", self.fill)
        if self.n_bars is not None:
            check_number("PaddedBars", "n_bars", self.n_bars, low=1, integer=True)

    def _fit(self, d: Diagrams) -> None:
        super()._fit(d)
        if self.n_bars is None:
            counts = d._of_dims("PaddedBars", self._dims(d)).with_essential(self.essential).counts
            self.widths_ = counts.amax().clamp(min=1) if counts.numel() else counts.new_ones(())

    def _width(self) -> int:
        if self.n_bars is not None:
            return int(self.n_bars)
        if self.widths_ is None:
            raise self._not_fitted("n_bars")
        return int(self.widths_)

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        n = self._width()
        # The last place is for the bars that are left out.
        table = d.births.new_full((d.n_samples, n + 1, 2), float(self.fill))
        return table.index_put((d.samples, d.ranks().clamp(max=n)), self._points(d))[:, :n]

    def _points(self, d: Diagrams) -> torch.Tensor:
        births, deaths = d.births, d.deaths
        if self.coordinates == "birth_persistence":
            deaths = deaths - births
        if self.coordinates == "rotated":
            births, deaths = (births + deaths) / math.sqrt(2), (deaths - births) / math.sqrt(2)
        return torch.stack([births, deaths], 1)

    def _columns(self) -> list[str]:
        return [f"{i}_{name}" for i in range(self._width()) for name in _NAMES[self.coordinates]]
