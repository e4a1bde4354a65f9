"""Persistence images: the diagram as a density on a grid of birth and persistence.

Adams et al., JMLR 2017. Cost: bars · (columns + rows) exponentials and one batched matrix product.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from topodl._checks import check_choice, check_number, fail
from topodl._host import is_traced
from topodl._precision import full_precision
from topodl._segments import places_among, position_in_segment, segment_sum
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._grids import CurveLayer, given_ranges, power_weights

__all__ = ["PersistenceImage"]

# Bars that share one matrix product. The cut into blocks depends on nothing but the sample's own bars.
_BLOCK = 64
# exp of less is below the rounding of any sum it enters: 0, and no denormal number, which is slow.
_FAR = -40.0
_REACH = 9.0  # standard deviations, at which a density is below exp(_FAR)


class PersistenceImage(CurveLayer):
    """Sum of Gaussians at (birth, persistence), weighted by a power of the persistence, sampled on pixels.

    As a module: `Diagrams` to a tensor (B, K, rows, columns); rows are persistence and columns birth, both
    increasing.

    Parameters
    ----------
    resolution : int or (columns, rows)
        Number of pixels along birth and along persistence.
    birth_range, persistence_range : (low, high), optional
        Range of each axis, or one pair for each homology dimension. None: `fit` takes the range of the data.
    bandwidth : float, optional
        Standard deviation of the Gaussians. None: a twentieth of the longer axis, or of the largest end if no
        axis has a width.
    power : float
        Exponent of the weights persistence^power; 0 weighs all bars alike.
    pixels : {"value", "integral"}
        "value" samples the density at `resolution` points, the ends of the range among them, as GUDHI does.
        "integral" integrates it over `resolution` cells that divide the range, as persim does (its images are
        transposed); a range without width, as that of births in dimension 0 of Rips, is widened by three
        bandwidths each way.

    References
    ----------
    H. Adams et al. Persistence images: a stable vector representation of persistent homology. JMLR 18, 2017.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import PersistenceImage
    >>> d = Diagrams.from_padded(torch.rand(8, 20, 2).cumsum(-1))
    >>> layer = PersistenceImage(resolution=10, birth_range=(0, 1), persistence_range=(0, 1))
    >>> layer(d).shape
    torch.Size([8, 1, 10, 10])
    >>> PersistenceImage(resolution=10).fit_transform(d).shape
    (8, 100)
    """

    def __init__(
        self,
        resolution: int | Sequence[int] = 20,
        birth_range: Any = None,
        persistence_range: Any = None,
        bandwidth: float | None = None,
        power: float = 1.0,
        pixels: str = "value",
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.birth_range = birth_range
        self.persistence_range = persistence_range
        self.bandwidth = bandwidth
        self.power = power
        self.pixels = pixels
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return self.ranges_ is not None or (
            self.birth_range is not None and self.persistence_range is not None
        )

    def _sizes(self) -> tuple[int, int]:
        sizes = self._given_sizes()
        return int(sizes[0]), int(sizes[-1])

    def _given_sizes(self) -> Sequence[Any]:
        several = isinstance(self.resolution, Sequence | np.ndarray)
        return self.resolution if several else [self.resolution]

    def _check_settings(self) -> None:
        check_choice("PersistenceImage", "essential", self.essential, self._policies)
        check_choice("PersistenceImage", "pixels", self.pixels, ("value", "integral"))
        check_number("PersistenceImage", "power", self.power, low=0.0)
        if self.bandwidth is not None:
            check_number("PersistenceImage", "bandwidth", self.bandwidth, low=torch.finfo(torch.float32).tiny)
        sizes = self._given_sizes()
        for size in sizes:
            check_number("PersistenceImage", "resolution", size, low=1, integer=True)
        if len(sizes) not in (1, 2):
            raise fail("PersistenceImage", "resolution", f"is {sizes}", "an integer or (columns, rows)")

    def _fit(self, d: Diagrams) -> None:
        self._check_settings()
        if self.birth_range is not None and self.persistence_range is not None:
            return
        axes = []
        for k in self._dims(d):
            bars = d.dim(k).with_essential(self.essential)
            for values in (bars.births, bars.persistence()):
                axes.append((float(values.min()), float(values.max())) if bars.n_bars else (0.0, 1.0))
        self.ranges_ = torch.tensor(axes, dtype=torch.float64, device="cpu").view(-1, 2, 2).to(self._device())

    def _grids(self, d: Diagrams, dims: tuple[int, ...]) -> list[Any]:
        """Return the ranges of birth and persistence of each dimension."""
        axes = []
        for axis, argument in enumerate(("birth_range", "persistence_range")):
            given = getattr(self, argument)
            if given is not None:
                axes.append(given_ranges("PersistenceImage", argument, given, len(dims)))
            elif self.ranges_ is None:
                raise self._not_fitted(argument)
            elif torch.compiler.is_exporting():
                came = "was learnt from data, which an exporter does not see"
                raise fail("PersistenceImage", argument, came, "it given to the constructor (see ranges_)")
            elif len(self.ranges_) != len(dims):
                came = f"have dimensions {dims}"
                raise fail("PersistenceImage", "d", came, f"{len(self.ranges_)} dimensions, as in fit")
            else:
                axes.append(self.ranges_[:, axis].tolist())
        return list(zip(*axes, strict=True))

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        widths = [high - low for low, high in grid]
        size = max(widths) or max(map(abs, itertools.chain(*grid)))
        sigma = self.bandwidth or size / 20 or 1.0
        if self.pixels == "integral":
            grid = [_with_width(low, high, sigma) for low, high in grid]
        profile = _values if self.pixels == "value" else _integrals
        (low, high), (bottom, top) = grid
        # In units of sigma neither squares nor powers vanish or overflow, whatever unit the data have.
        width, height = (high - low) / sigma, (top - bottom) / sigma
        lengths = d.persistence()
        weights = power_weights((lengths / sigma).clamp(max=top / sigma + _REACH), self.power)
        blocks, (across, up, weights) = _in_blocks(
            d, _near((d.births - low) / sigma, width), _near((lengths - bottom) / sigma, height), weights
        )
        n_columns, n_rows = self._sizes()
        columns = profile(across, width, n_columns)
        rows = profile(up, height, n_rows) * weights[..., None]
        with full_precision(rows):
            images = segment_sum(rows.transpose(1, 2) @ columns, blocks, d.n_samples)
        return images * self._in_their_unit(sigma, d.dtype)

    def _in_their_unit(self, sigma: float, dtype: torch.dtype) -> float:
        """Return the factor from an image in units of `sigma` to one in the unit of the diagrams."""
        exponent = self.power - (2.0 if self.pixels == "value" else 0.0)
        limits = torch.finfo(dtype)
        magnitude = exponent * math.log(sigma)
        if not math.log(limits.tiny) < magnitude < math.log(limits.max):
            came = f"is {sigma:g}, whose power {exponent:g} is beyond {dtype}"
            raise fail("PersistenceImage", "bandwidth", came, "data in another unit, or float64")
        return sigma**exponent

    def _columns(self) -> list[str]:
        columns, rows = self._sizes()
        return [f"{row}_{column}" for row in range(rows) for column in range(columns)]


def _with_width(low: float, high: float, sigma: float) -> tuple[float, float]:
    """Return the range, or three sigma each way where it has no width to integrate over."""
    return (low, high) if low < high else (low - 3 * sigma, high + 3 * sigma)


def _near(centres: torch.Tensor, width: float) -> torch.Tensor:
    """Return `centres`, those too far from [0, width] to count moved closer: there no gradient overflows."""
    return centres.clamp(-_REACH, width + _REACH)


def _values(centres: torch.Tensor, width: float, size: int) -> torch.Tensor:
    """Return (N, L, size) densities of Gaussians at `centres` (N, L), at `size` points of [0, width]."""
    points = torch.linspace(0.0, width, size, dtype=centres.dtype, device=centres.device)
    if is_traced(centres):
        exponents = (points - centres[..., None]).square().mul(-0.5)
        density = exponents.clamp(min=_FAR - 1).exp()
        return torch.nn.functional.threshold(density, math.exp(_FAR), 0.0) / math.sqrt(2 * math.pi)
    return _Gaussians.apply(centres, points)  # type: ignore[no-untyped-call]


class _Gaussians(torch.autograd.Function):
    """Densities with one temporary instead of six, which take longer to allocate than to fill."""

    @staticmethod
    def forward(ctx: Any, centres: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        density = points - centres[..., None]
        density.square_().mul_(-0.5).clamp_(min=_FAR - 1).exp_()
        torch.threshold_(density, math.exp(_FAR), 0.0).mul_(1 / math.sqrt(2 * math.pi))
        ctx.save_for_backward(centres, points, density)
        return density

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        centres, points, density = ctx.saved_tensors
        flow = grads[0] * density  # Σ flow · (point − centre) without another temporary
        return flow @ points - flow.sum(-1) * centres, None


def _integrals(centres: torch.Tensor, width: float, size: int) -> torch.Tensor:
    """Return (N, L, size) integrals of Gaussians at `centres` (N, L), over `size` cells of [0, width]."""
    edges = torch.linspace(0.0, width, size + 1, dtype=centres.dtype, device=centres.device)
    return torch.erf((edges - centres[..., None]) * math.sqrt(0.5)).diff(dim=-1) / 2


def _in_blocks(d: Diagrams, *values: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the sample of each of N blocks of bars, and values (P,) as (N, _BLOCK), padded with 0."""
    starts = torch.div(d.sample_offsets.diff() + _BLOCK - 1, _BLOCK, rounding_mode="floor").cumsum(0)
    starts = torch.nn.functional.pad(starts, (1, 0))
    if is_traced(d.births):  # as many as there may be, in place of a number that depends on values
        n_blocks = d.n_bars // _BLOCK + d.n_samples
        number = torch.arange(n_blocks, device=starts.device)
        blocks = places_among(starts, number, right=True).sub(1).clamp(max=d.n_samples - 1)
    else:
        blocks = torch.repeat_interleave(starts.diff())
        n_blocks = len(blocks)
    slots = starts[d.samples] * _BLOCK + position_in_segment(d.samples, d.sample_offsets)
    empty = d.births.new_zeros(n_blocks * _BLOCK)
    return blocks, [empty.index_copy(0, slots, v).view(n_blocks, _BLOCK) for v in values]
