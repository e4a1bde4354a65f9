"""What curves and images of diagrams share: the grid they are sampled on, and sums over bars alive there."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import torch

from topodl._checks import check_choice, check_number, fail
from topodl._host import whole_values
from topodl._jagged_checks import reject_overflow
from topodl._power import power
from topodl._precision import in_double
from topodl._segments import places_among
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._base import DiagramLayer

__all__ = [
    "CurveLayer",
    "alive",
    "even_grid",
    "first_at_least",
    "given_ranges",
    "learnt_ranges",
    "oriented",
    "power_weights",
]


def oriented(d: Diagrams) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the smaller and the larger end of each bar: birth and death, swapped in superlevel diagrams."""
    return torch.minimum(d.births, d.deaths), torch.maximum(d.births, d.deaths)


def power_weights(lengths: torch.Tensor, exponent: float) -> torch.Tensor:
    """Return `lengths` of bars to the given power, with gradient 0 where a bar has none."""
    return power(lengths, exponent) if exponent else torch.ones_like(lengths)


def even_grid(low: Any, high: Any, size: int) -> torch.Tensor:
    """Return `size` values from `low` to `high`, those of NumPy to the last bit: ends of bars lie on them."""
    if not torch.compiler.is_compiling():
        return torch.from_numpy(_even_values(float(low), float(high), int(size)).copy())
    device = low.device if isinstance(low, torch.Tensor) else torch.device("cpu")
    steps = torch.arange(max(int(size) - 1, 1), dtype=torch.float64, device=device)
    inner = steps * ((high - low) / max(int(size) - 1, 1)) + low
    last = torch.as_tensor(high, dtype=torch.float64, device=device).reshape(1)
    return torch.cat([inner, last]) if size > 1 else inner


@functools.lru_cache(maxsize=256)
def _even_values(low: float, high: float, size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.linspace(low, high, size)


def first_at_least(grid: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the index of the first grid point not below each value; len(grid) where there is none."""
    return places_among(grid, values.detach())


def learnt_ranges(ranges: torch.Tensor) -> list[Any]:
    """Return the ranges (K, 2) of a buffer as pairs of numbers; of tensors where a compiler traces them."""
    return list(ranges.unbind()) if torch.compiler.is_compiling() else ranges.tolist()


def given_ranges(name: str, argument: str, value: Any, n_dims: int) -> list[tuple[float, float]]:
    """Return K ranges of one (low, high) for all homology dimensions, or of one for each."""
    ranges = _pairs(value)
    good = len(ranges) in (1, n_dims) and all(map(math.isfinite, itertools.chain(*ranges)))
    if not good or not all(low <= high for low, high in ranges):
        expected = f"(low, high) with low <= high, or one for each of {n_dims} homology dimensions"
        raise fail(name, argument, f"is {value!r}", expected)
    return ranges * n_dims if len(ranges) == 1 else ranges


def _pairs(value: Any) -> list[tuple[float, float]]:
    """Return the pairs of numbers in arrays or nested sequences of any form; nothing if there are others.

    Plain numbers are read by Python, so that a compiler takes them for the constants that they are.
    """
    if isinstance(value, tuple | list):
        if len(value) == 2 and all(isinstance(end, int | float) for end in value):
            return [(float(value[0]), float(value[1]))]
        if all(isinstance(item, tuple | list) for item in value):
            items = [_pairs(item) for item in value]
            return [] if [] in items else list(itertools.chain(*items))
    try:
        table = np.asarray(value, dtype=np.float64).reshape(-1, 2).tolist()
    except (TypeError, ValueError):
        return []
    return [(low, high) for low, high in table]


def alive(d: Diagrams, grid: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return (B, len(grid)) sums of `weights` (P,) over the bars that are alive at each grid value.

    Integers are counted. Other sums run in float64 and are 0 where no bar is alive, not what rounding leaves.
    """
    life = _life(d, grid)
    if not weights.is_floating_point():
        return _running_sum(d, grid, life, weights)
    nobody = _running_sum(d, grid, life, torch.ones_like(d.samples, dtype=torch.int32)) == 0
    return _running_sum(d, grid, life, in_double(weights)).masked_fill(nobody, 0.0).to(weights.dtype)


def _life(d: Diagrams, grid: torch.Tensor) -> torch.Tensor:
    """Return (2, P) the places on the grid from which each bar is alive, and from which it is no more."""
    falling = (d.births > d.deaths).detach()
    start, stop = (first_at_least(grid, ends) for ends in oriented(d))
    # A superlevel class is alive at its birth, and no more at its death.
    if torch.compiler.is_compiling() or bool(whole_values(falling).any()):
        after = [places_among(grid, e.detach(), right=True) for e in oriented(d)]
        start, stop = torch.where(falling, after[0], start), torch.where(falling, after[1], stop)
    return torch.stack([start, stop])


def _running_sum(d: Diagrams, grid: torch.Tensor, life: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    n = grid.shape[0] + 1
    start, stop = life + d.samples * n
    changes = weights.new_zeros(d.n_samples * n)
    changes = changes.index_add(0, start, weights).index_add(0, stop, -weights)
    return changes.view(d.n_samples, n)[:, :-1].cumsum(1, dtype=weights.dtype)


class CurveLayer(DiagramLayer):
    """A layer that samples a function of each diagram on a grid of values.

    A subclass has the settings `dims`, `essential` and where it has a grid those below, and writes `_curve`.

    Parameters
    ----------
    resolution : int
        Number of grid values.
    value_range : (low, high), optional
        First and last grid value, or one pair for each homology dimension. None: `fit` takes the range of the
        finite bars and samples it strictly inside.
    """

    _policies: tuple[str, ...] = ("drop", "clamp")
    _uses_grid: bool = True
    resolution: Any
    value_range: Any
    essential: EssentialPolicy
    ranges_: torch.Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ranges_", None)

    def __sklearn_is_fitted__(self) -> bool:
        return not self._uses_grid or self.value_range is not None or self.ranges_ is not None

    def _check_settings(self) -> None:
        name = type(self).__name__
        check_choice(name, "essential", self.essential, self._policies)
        if self._uses_grid:
            check_number(name, "resolution", self.resolution, low=1, integer=True)

    def _fit(self, d: Diagrams) -> None:
        self._check_settings()
        if not self._uses_grid or self.value_range is not None:
            return
        ends = [self._ends(d.dim(k).finite()) for k in self._dims(d)]
        ranges = torch.tensor(ends, dtype=torch.float64, device="cpu").reshape(-1, 2)
        # Strictly inside, as the curves are 0 at the ends by construction.
        step = (ranges[:, 1:] - ranges[:, :1]) / (self.resolution + 1)
        self.ranges_ = (ranges + step * torch.tensor([1.0, -1.0], device="cpu")).to(self._device())

    def _ends(self, d: Diagrams) -> tuple[float, float]:
        low, high = oriented(d)
        return (float(low.min()), float(high.max())) if d.n_bars else (0.0, 1.0)

    def _device(self) -> torch.device:
        return self._place()[0]

    def _grids(self, d: Diagrams, dims: tuple[int, ...]) -> list[torch.Tensor]:
        """Return the grid of each dimension."""
        name = type(self).__name__
        if self.value_range is not None:
            ranges = given_ranges(name, "value_range", self.value_range, len(dims))
        elif self.ranges_ is None:
            raise self._not_fitted("value_range")
        else:
            if len(self.ranges_) != len(dims):
                came = f"have dimensions {dims}"
                raise fail(name, "d", came, f"{len(self.ranges_)} dimensions, as in fit")
            ranges = learnt_ranges(self.ranges_)
        steps = int(self.resolution)
        grids = [even_grid(low, high, steps) for low, high in ranges]
        return [grid.to(d.device, d.dtype) for grid in grids]

    def forward(self, d: Diagrams) -> torch.Tensor:
        """Return the features of each diagram.

        Parameters
        ----------
        d : Diagrams

        Returns
        -------
        Tensor of shape (B, K, …)
            K homology dimensions; the rest is the layer's own.

        Raises
        ------
        NotFittedError
            If a range was neither given nor learnt.
        InputError
            If a setting is unusable, the diagrams lack a dimension that `fit` did not see, or a feature is
            too large for its dtype.
        """
        self._check_settings()
        name = type(self).__name__
        if not isinstance(d, Diagrams):
            raise TypeError(f"{name}: d is a {type(d).__name__}; expected Diagrams")
        d = self._with_fitted_dims(d)
        dims, dtype = self._dims(d), d.dtype
        kept = d.with_essential(self.essential).at_least_single()
        grids = self._grids(kept, dims) if self._uses_grid else [None] * len(dims)
        curves = [self._curve(kept.dim(k), grid) for k, grid in zip(dims, grids, strict=True)]
        features = torch.stack(curves, 1)
        reject_overflow(name, d, features)
        return features.to(dtype)

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        """Return the features (B, …) of the bars of one dimension."""
        raise NotImplementedError

    def _columns(self) -> list[str]:
        """Return the name of each feature of one dimension."""
        return [str(i) for i in range(self.resolution)]

    def _feature_names(self) -> list[str]:
        return [f"h{k}_{column}" for k in self._dims_out() for column in self._columns()]
