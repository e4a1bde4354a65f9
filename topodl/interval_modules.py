"""`IntervalModules`: interval summands of two-parameter modules by their corners, and their pictures (T-CDR).

Loiseaux, Carrière, Blumberg, NeurIPS 2023. Cost: pairs of corners times pixels for the
linear kernel, corners times pixels for all else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from topodl._checks import as_dims, as_real, check_choice, check_dense, check_number, fail
from topodl._power import power, within_reach
from topodl._segments import segment_amax, segment_amin, segment_sum
from topodl.errors import InputError

__all__ = ["IntervalModules"]

_NAME = "IntervalModules"
_MOST_ENTRIES = 2**22  # of corners times pixels that one step looks at


class IntervalModules:
    """A batch of two-parameter persistence modules that are sums of intervals, each with its corners.

    An interval has the points x with b ≤ x for one of its birth corners b, and x ≤ d for one of its death
    corners d. Corners of all summands stand one after the other in flat tensors.

    Parameters
    ----------
    births, deaths : Tensor of shape (Nb, 2) and (Nd, 2)
        Corners, of the same floating dtype; gradients flow through both. Deaths may be +inf. NaN is refused.
    birth_summands, death_summands : Tensor of shape (Nb,) and (Nd,), int64
        The summand that each corner belongs to; each summand has one of both kinds at least.
    dims, samples : Tensor of shape (S,), int64
        Homology dimension and sample of each summand.
    n_samples : int
        Number of samples, those without summands included.
    homology_dims : iterable of int
        The dimensions that were computed, those without summands included.

    Raises
    ------
    InputError
        If shapes, dtypes or devices disagree, a value is NaN, an index is out of range, or a summand has no
        corner.
    TypeError
        If an argument is no tensor, or indices are no integers.

    References
    ----------
    D. Loiseaux, M. Carrière, A. J. Blumberg, "A framework for fast and stable representations of
    multiparameter persistent homology decompositions", NeurIPS 2023. The same, "Fast, stable and efficient
    approximation of multi-parameter persistence modules with MMA", 2022 (summands).

    Examples
    --------
    >>> import torch
    >>> from topodl import IntervalModules
    >>> zero = torch.tensor([0])
    >>> square = IntervalModules(
    ...     *(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 2.0]]), zero, zero, zero, zero),
    ...     n_samples=1,
    ...     homology_dims=(0,),
    ... )
    >>> square.interleavings()
    tensor([1.])
    >>> grid = torch.tensor([0.0, 0.5, 2.0])
    >>> square.image(grid, grid, bandwidth=0.5)[0, 0]
    tensor([[0.5000, 0.5000, 0.5000],
            [0.5000, 1.0000, 0.5000],
            [0.0000, 0.0000, 0.0000]])
    """

    def __init__(
        self,
        births: torch.Tensor,
        deaths: torch.Tensor,
        birth_summands: torch.Tensor,
        death_summands: torch.Tensor,
        dims: torch.Tensor,
        samples: torch.Tensor,
        *,
        n_samples: int,
        homology_dims: Iterable[int],
    ) -> None:
        self.births, self.deaths = (
            as_real(_NAME, name, value) for name, value in (("births", births), ("deaths", deaths))
        )
        self.birth_summands, self.death_summands, self.dims, self.samples = (
            _integers(name, value)
            for name, value in (
                ("birth_summands", birth_summands),
                ("death_summands", death_summands),
                ("dims", dims),
                ("samples", samples),
            )
        )
        check_number(_NAME, "n_samples", n_samples, low=0, integer=True)
        self.n_samples, self.homology_dims = int(n_samples), tuple(sorted(set(as_dims(homology_dims))))
        self._check()

    def _check(self) -> None:
        for kind in ("birth", "death"):
            corners, owners = getattr(self, f"{kind}s"), getattr(self, f"{kind}_summands")
            if corners.shape != (len(owners), 2) or corners.dtype != self.births.dtype:
                came = f"has shape {tuple(corners.shape)} and dtype {corners.dtype}"
                expected = f"shape ({len(owners)}, 2), one corner for each of {kind}_summands, both alike"
                raise fail(_NAME, f"{kind}s", came, expected)
            if bool(torch.isnan(corners).any()):
                raise fail(_NAME, f"{kind}s", "has NaN", "numbers")
            n = len(self.dims)
            if len(owners) and not 0 <= int(owners.min()) <= int(owners.max()) < n:
                came = f"has {int(owners.min())} … {int(owners.max())}"
                raise fail(_NAME, f"{kind}_summands", came, f"summands from 0 to {n - 1}")
            without = (torch.bincount(owners, minlength=n) == 0).nonzero()
            if len(without):
                raise fail(_NAME, f"{kind}_summands", f"has none of {int(without[0])}", "each summand")
        if self.dims.shape != self.samples.shape:
            raise fail(_NAME, "samples", f"has shape {tuple(self.samples.shape)}", "one for each of dims")
        for k in torch.unique(self.dims).tolist():
            if k not in self.homology_dims:
                raise fail(_NAME, "dims", f"has {k}", f"dimensions of {self.homology_dims}")
        if len(self.samples) and not 0 <= int(self.samples.min()) <= int(self.samples.max()) < self.n_samples:
            came = f"has {int(self.samples.min())} … {int(self.samples.max())}"
            raise fail(_NAME, "samples", came, f"samples from 0 to {self.n_samples - 1}")

    @classmethod
    def from_multipers(
        cls, modules: Any, homology_dims: Iterable[int] = (0, 1), dtype: torch.dtype = torch.float64
    ) -> IntervalModules:
        """Return the summands of what multipers' `module_approximation` gives, or of several of them.

        Parameters
        ----------
        modules : module of multipers, or sequence of them
            Iterables of summands that have ``get_birth_list()``, ``get_death_list()`` and ``degree``;
            multipers itself is not needed.
        homology_dims : iterable of int
            Dimensions to take; summands of others are left out.
        dtype : torch.dtype
            Of the corners.

        Returns
        -------
        IntervalModules
            One sample for each module.

        Raises
        ------
        TypeError
            If what is iterated over are no such summands.
        """
        wanted = set(as_dims(homology_dims))
        several = modules if isinstance(modules, list | tuple) else [modules]
        parts: dict[str, list[Any]] = {name: [] for name in ("births", "deaths", "dims", "samples")}
        owners: dict[str, list[int]] = {"births": [], "deaths": []}
        for sample, module in enumerate(several):
            for summand in module:
                dim = _dimension_of(summand)
                if dim not in wanted:
                    continue
                for name in ("births", "deaths"):
                    corners = _corners_of(summand, name)
                    parts[name].append(corners)
                    owners[name] += [len(parts["dims"])] * len(corners)
                parts["dims"].append(dim)
                parts["samples"].append(sample)
        births, deaths = (
            torch.from_numpy(np.concatenate([np.empty((0, 2)), *parts[name]])).to(dtype)
            for name in ("births", "deaths")
        )
        integers = (owners["births"], owners["deaths"], parts["dims"], parts["samples"])
        tensors = [torch.tensor(values, dtype=torch.int64, device="cpu") for values in integers]
        return cls(births, deaths, *tensors, n_samples=len(several), homology_dims=wanted)

    @property
    def n_summands(self) -> int:
        """Number of summands of all samples and dimensions, S."""
        return len(self.dims)

    def interleavings(self, box: Any = None) -> torch.Tensor:
        """Return the side of the largest square inside each summand: twice its distance to nothing.

        Parameters
        ----------
        box : two pairs, optional
            The lower and the upper corner that summands are cut to. None: they are not cut.

        Returns
        -------
        Tensor of shape (S,)
            At least 0; infinite for a summand with a quadrant that nothing cuts.

        Raises
        ------
        InputError
            If `box` is none.
        """
        low, high = self._box(box)
        births, deaths = torch.maximum(self.births, low), torch.minimum(self.deaths, high)
        return self._sides(births[:, None], deaths[:, None])[:, 0]

    def image(
        self,
        grid0: torch.Tensor,
        grid1: torch.Tensor,
        bandwidth: float = 0.1,
        kernel: Literal["linear", "gaussian", "signed"] = "linear",
        p: float = 2.0,
        normalize: bool = False,
        box: Any = None,
    ) -> torch.Tensor:
        """Return the T-CDR picture of each sample and dimension: a weighted sum of kernels of summands.

        The linear kernel of a summand at x is the side of the largest square in its part inside
        [x − bandwidth, x + bandwidth], as a share of 2·bandwidth. The Gaussian one is exp(−½ (dist /
        bandwidth)²) with the distance in the maximum norm; the signed one takes it inside the summand too, to
        the border, with the sign −1 there.

        Parameters
        ----------
        grid0, grid1 : Tensor of shape (R0,) and (R1,)
            Values of both parameters.
        bandwidth : float
            Half the width of the window, or the standard deviation.
        kernel : {"linear", "gaussian", "signed"}
        p : float
            Power of the weights, which are the `interleavings`; 0 weighs all alike, and +inf takes the
            largest value of a kernel in place of the sum.
        normalize : bool
            Whether to divide by the sum of the weights.
        box : two pairs, optional
            What summands are cut to for their weights.

        Returns
        -------
        Tensor of shape (B, K, R0, R1)

        Raises
        ------
        InputError
            If an option is unusable, or a weight is infinite.
        """
        name = f"{_NAME}.image"
        check_choice(name, "kernel", kernel, ("linear", "gaussian", "signed"))
        check_number(name, "bandwidth", bandwidth, low=torch.finfo(self.births.dtype).tiny)
        if p != math.inf:
            check_number(name, "p", p, low=0.0)
        kernels = {"linear": self._windows, "gaussian": self._gaussians, "signed": self._signed}
        heights = self._at_pixels(grid0, grid1, lambda at: kernels[kernel](at, float(bandwidth)))
        shape = (self.n_samples, len(self.homology_dims), len(grid0), len(grid1))
        if p == math.inf:
            return segment_amax(heights, self._segments(), shape[0] * shape[1]).view(shape)
        weights = self.interleavings(box)
        if p and not bool(torch.isfinite(weights.detach()).all()):
            raise fail(name, "box", f"is {box!r}", "one that cuts summands of infinite weight")
        weights = power(weights, p) if p else torch.ones_like(weights)
        if p and not bool(torch.isfinite(weights.detach()).all()):
            came = f"is {p!r}, to which weights raised are too large for {weights.dtype}"
            raise fail(name, "p", came, "a smaller one, or summands of another unit")
        image = segment_sum(weights[:, None] * heights, self._segments(), shape[0] * shape[1])
        if normalize:
            total = segment_sum(weights, self._segments(), shape[0] * shape[1])
            image = image / torch.where(total > 0, total, 1.0)[:, None]
        return image.view(shape)

    def landscapes(self, grid0: torch.Tensor, grid1: torch.Tensor, n_landscapes: int = 5) -> torch.Tensor:
        """Return the largest, second largest, … distance to leave a summand diagonally, at each pixel.

        Parameters
        ----------
        grid0, grid1 : Tensor of shape (R0,) and (R1,)
            Values of both parameters.
        n_landscapes : int
            Number of landscapes.

        Returns
        -------
        Tensor of shape (B, K, n_landscapes, R0, R1)
            0 outside of all summands.

        Raises
        ------
        InputError
            If `n_landscapes` is no integer of at least 1, or a grid is no vector.
        """
        check_number(f"{_NAME}.landscapes", "n_landscapes", n_landscapes, low=1, integer=True)
        heights = self._at_pixels(grid0, grid1, self._tents)
        segments, n = self._segments(), int(n_landscapes)
        layers = []
        for segment in range(self.n_samples * len(self.homology_dims)):
            own = heights[(segments == segment).nonzero()[:, 0]]
            highest = own.topk(min(n, len(own)), dim=0).values
            layers.append(torch.nn.functional.pad(highest, (0, 0, 0, n - len(highest))))
        table = torch.stack(layers) if layers else heights.new_zeros(0, n, heights.shape[1])
        return table.view(self.n_samples, len(self.homology_dims), n, len(grid0), len(grid1))

    def _segments(self) -> torch.Tensor:
        places = torch.tensor(self.homology_dims, device=self.dims.device)
        return self.samples * len(self.homology_dims) + torch.searchsorted(places, self.dims)

    def _box(self, box: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if box is None:
            return self.births.new_full((2,), -math.inf), self.births.new_full((2,), math.inf)
        corners = torch.as_tensor(box, dtype=self.births.dtype, device=self.births.device)
        if corners.shape != (2, 2) or not bool((corners[0] <= corners[1]).all()):
            raise fail(_NAME, "box", f"is {box!r}", "a lower and an upper corner")
        return corners[0], corners[1]

    def _at_pixels(
        self, grid0: Any, grid1: Any, function: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return (S, R0 R1) values of a function of pixels (G, 2), computed for some of them at a time."""
        grids = [as_real(_NAME, f"grid{i}", grid) for i, grid in enumerate((grid0, grid1))]
        for i, grid in enumerate(grids):
            if grid.ndim != 1 or not len(grid) or not bool(torch.isfinite(grid).all()):
                raise fail(_NAME, f"grid{i}", f"has shape {tuple(grid.shape)}", "finite values of shape (R,)")
        pixels = torch.cartesian_prod(*(grid.to(self.births) for grid in grids))
        n_pairs = max(1, len(self._pairs()[0]), len(self.births), len(self.deaths))
        parts = [function(part) for part in pixels.split(max(1, _MOST_ENTRIES // n_pairs))]
        return torch.cat(parts, 1)

    def _pairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all pairs of a birth and a death corner of the same summand, as indices."""
        n_deaths = torch.bincount(self.death_summands, minlength=self.n_summands)
        by_summand = torch.argsort(self.death_summands, stable=True)
        starts = n_deaths.cumsum(0) - n_deaths
        counts = n_deaths[self.birth_summands]
        births = torch.repeat_interleave(counts)
        place = torch.arange(len(births), device=births.device) - (counts.cumsum(0) - counts)[births]
        return births, by_summand[starts[self.birth_summands[births]] + place]

    def _sides(self, births: torch.Tensor, deaths: torch.Tensor) -> torch.Tensor:
        """Return (S, G) the largest squares of corners (Nb, G, 2) and (Nd, G, 2), at least 0."""
        left, right = self._pairs()
        sides = (deaths[right] - births[left]).amin(-1)
        return segment_amax(sides, self.birth_summands[left], self.n_summands).clamp(min=0.0)

    def _windows(self, pixels: torch.Tensor, width: float) -> torch.Tensor:
        births = torch.maximum(self.births[:, None], pixels - width)
        deaths = torch.minimum(self.deaths[:, None], pixels + width)
        return self._sides(births, deaths) / (2 * width)

    def _distances(self, pixels: torch.Tensor, clipped: bool) -> torch.Tensor:
        """Return (S, G) the distances of pixels to summands; not clipped, negative inside."""
        before = segment_amin(
            (self.births[:, None] - pixels).amax(-1), self.birth_summands, self.n_summands, math.inf
        )
        behind = segment_amin(
            (pixels - self.deaths[:, None]).amax(-1), self.death_summands, self.n_summands, math.inf
        )
        distances = torch.maximum(before, behind)
        return distances.clamp(min=0.0) if clipped else distances

    def _gaussians(self, pixels: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.exp(-0.5 * within_reach(self._distances(pixels, clipped=True), sigma).square())

    def _signed(self, pixels: torch.Tensor, sigma: float) -> torch.Tensor:
        distances = self._distances(pixels, clipped=False)
        signs = torch.where(distances.detach() >= 0, 1.0, -1.0).to(distances)
        return signs * torch.exp(-0.5 * within_reach(distances, sigma).square())

    def _tents(self, pixels: torch.Tensor) -> torch.Tensor:
        return (-self._distances(pixels, clipped=False)).clamp(min=0.0)


def _integers(name: str, value: Any) -> torch.Tensor:
    x = check_dense(_NAME, name, value)
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise TypeError(f"{_NAME}: {name} has dtype {x.dtype}; expected integers")
    if x.ndim != 1:
        raise InputError(f"{_NAME}: {name} has shape {tuple(x.shape)}; expected one axis")
    return x.long()


def _dimension_of(summand: Any) -> int:
    if not hasattr(summand, "get_birth_list") or not hasattr(summand, "degree"):
        kind = type(summand).__name__
        raise TypeError(f"{_NAME}.from_multipers: modules has a {kind}; expected summands of multipers")
    return int(summand.degree)


def _corners_of(summand: Any, which: str) -> Sequence[Any]:
    """Return the corners (n, 2) of a summand; one infinite number alone stands for both parameters."""
    given = summand.get_birth_list() if which == "births" else summand.get_death_list()
    corners = np.asarray(given, dtype=np.float64)
    corners = corners.reshape(-1, corners.shape[-1] if corners.ndim else 1)
    return np.broadcast_to(corners, (len(corners), 2)) if corners.shape[1] == 1 else corners  # type: ignore[return-value]
