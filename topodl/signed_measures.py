"""`SignedMeasures`: a jagged batch of signed points in the plane, what two-parameter filtrations leave.

Loiseaux, Scoccola, Carrière, Botnan, Oudot, NeurIPS 2023. Surfaces cost the points plus the grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.data._utils.collate import default_collate_fn_map

from topodl._checks import check_dense, check_number, fail
from topodl._host import whole_values
from topodl._jagged import JaggedBatch
from topodl._jagged_checks import reject_overflow
from topodl._power import within_reach
from topodl._precision import full_precision, in_double
from topodl._segments import padded_groups, places_among, position_in_segment, segment_sum

__all__ = ["SignedMeasures"]

_NAME = "SignedMeasures"


class SignedMeasures(JaggedBatch):
    """Signed measures of a batch in the plane of two parameters, in all computed dimensions.

    A measure is Σ w δ(p), points p with integer weights w. That of a two-parameter filtration counts: the
    weights of all points p ≤ (s, t) add up to the dimension of the homology of the cells that are present at
    (s, t), or to their Euler characteristic. Points of all samples stand one after the other in flat tensors,
    sorted by (sample, dimension); those that come in another order are sorted, stably.

    Parameters
    ----------
    points : Tensor of shape (P, 2)
        Values of both parameters, of a floating dtype; gradients flow through them. NaN and +inf are refused:
        what is never present has no point.
    weights : Tensor of shape (P,), int64
        How much each point counts.
    dims, samples : Tensor of shape (P,), int64
        Homology dimension of each point, −1 for the Euler characteristic, and the sample it belongs to.
    n_samples : int
        Number of samples, those without points included.
    homology_dims : iterable of int
        The dimensions that were computed, those without points included; −1 is the Euler characteristic.
    cells : Tensor of shape (P, 2, k), int64, optional
        The two cells whose values the coordinates are: a flat pixel index, an edge (i, j), …; −1 where there
        is none.

    Raises
    ------
    InputError
        If shapes, dtypes or devices disagree, a value is NaN or +inf, or an index is out of range.

    References
    ----------
    D. Loiseaux, L. Scoccola, M. Carrière, M. B. Botnan, S. Oudot, "Stable vectorization of multiparameter
    persistent homology using signed barcodes as measures", NeurIPS 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl import SignedMeasures
    >>> m = SignedMeasures(
    ...     torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
    ...     torch.tensor([1, 1, -1]),
    ...     torch.tensor([0, 0, 0]),
    ...     torch.tensor([0, 0, 0]),
    ...     n_samples=1,
    ...     homology_dims=(0,),
    ... )
    >>> m
    SignedMeasures(1 sample; H0: 3 points; float32, cpu)
    >>> m.surface(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    tensor([[[[0., 1.],
              [1., 1.]]]])
    """

    _VALUES = ("points",)
    _INTEGERS = ("weights", "dims", "samples", "cells")
    _OPTIONAL = ("cells",)
    _TAILS = MappingProxyType({"points": (2,), "cells": (2, None)})
    _LOWEST_DIM = -1
    points: torch.Tensor

    def __init__(
        self,
        points: torch.Tensor,
        weights: torch.Tensor,
        dims: torch.Tensor,
        samples: torch.Tensor,
        *,
        n_samples: int,
        homology_dims: Iterable[int],
        cells: torch.Tensor | None = None,
    ) -> None:
        tensors = {"points": points, "weights": weights, "dims": dims, "samples": samples, "cells": cells}
        super().__init__(tensors, n_samples, homology_dims)
        if not torch.compiler.is_compiling() and bool((whole_values(self.points) == math.inf).any()):
            raise fail(_NAME, "points", "have +inf", "points that are reached; what never is has none")

    @property
    def weights(self) -> torch.Tensor:
        """(P,) how much each point counts."""
        weights: torch.Tensor = self._integers["weights"]
        return weights

    @property
    def cells(self) -> torch.Tensor | None:
        """(P, 2, k) cells whose values the coordinates are, −1 where there is none, or None."""
        cells: torch.Tensor | None = self._integers["cells"]
        return cells

    @property
    def n_points(self) -> int:
        """Number of points of all samples and dimensions together, P."""
        return self.points.shape[0]

    def total_mass(self) -> torch.Tensor:
        """Return the sum of the weights of each sample and dimension, (n_samples, K), int64.

        That is what there is where both parameters are at their ends: Betti numbers of the whole.
        """
        return segment_sum(self.weights, self.segments, self.n_segments).view_as(self.counts)

    def merged(self) -> SignedMeasures:
        """Return the same measures with every point once, without those of weight 0, in lexicographic order.

        Of equal points the first one stays, with its cells and all of the gradient.
        """
        values = self.points.detach()
        order = torch.argsort(values[:, 1], stable=True)
        order = order[torch.argsort(values[order, 0], stable=True)]
        order = order[torch.argsort(self.segments[order], stable=True)]
        segments, values = self.segments[order], values[order]
        fresh = (segments[1:] != segments[:-1]) | (values[1:] != values[:-1]).any(1)
        group = torch.nn.functional.pad(fresh, (1, 0), value=True)[: len(order)].cumsum(0) - 1
        n_groups = int(group[-1]) + 1 if len(group) else 0
        weights = segment_sum(self.weights[order], group, n_groups)
        first = torch.searchsorted(group, torch.arange(n_groups, device=self.device))
        kept = (weights != 0).nonzero()[:, 0]
        return self._take(order[first[kept]], weights=weights[kept])

    def clipped(self, corner: Sequence[float] | torch.Tensor) -> SignedMeasures:
        """Return measures of total mass 0, which count as before below `corner` and nothing elsewhere.

        Each point p gets three partners on the upper border of the quadrant {x ≤ corner}, with signs that
        alternate; points beyond it move onto the border first, where they cancel with their partners.
        Distances compare measures of equal mass.

        Parameters
        ----------
        corner : sequence of two floats, or Tensor of shape (2,)
            A value of each parameter.

        Returns
        -------
        SignedMeasures
            Four points for each, in the order (p0, p1), (p0, c1), (c0, p1), (c0, c1); cells of coordinates of
            the corner are −1.

        Raises
        ------
        InputError
            If `corner` is not two finite numbers.

        Examples
        --------
        >>> import torch
        >>> from topodl import SignedMeasures
        >>> zero = torch.tensor([0])
        >>> point = SignedMeasures(torch.zeros(1, 2), zero + 2, zero, zero, n_samples=1, homology_dims=[0])
        >>> point.clipped((1.0, 3.0)).weights
        tensor([ 2, -2, -2,  2])
        >>> point.clipped((1.0, 3.0)).points.tolist()
        [[0.0, 0.0], [0.0, 3.0], [1.0, 0.0], [1.0, 3.0]]
        """
        limit = torch.as_tensor(corner, dtype=self.dtype, device=self.device)
        if limit.shape != (2,) or not bool(torch.isfinite(whole_values(limit)).all()):
            raise fail(f"{_NAME}.clipped", "corner", f"is {corner!r}", "a finite value of each parameter")
        inside, border = torch.minimum(self.points, limit), limit.expand_as(self.points)
        which = [[False, False], [False, True], [True, False], [True, True]]
        at_corner = torch.tensor(which, device=self.device)
        points = torch.where(at_corner, border[:, None], inside[:, None]).flatten(0, 1)
        signs = torch.tensor([1, -1, -1, 1], device=self.device)
        cells = self.cells
        if cells is not None:
            cells = cells[:, None].masked_fill(at_corner[None, :, :, None], -1).flatten(0, 1)
        return self._with(
            points=points,
            weights=(self.weights[:, None] * signs).flatten(),
            dims=self.dims.repeat_interleave(4),
            samples=self.samples.repeat_interleave(4),
            cells=cells,
        )

    def padded(self, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the points of one dimension as padded tensors; padding has weight 0.

        Parameters
        ----------
        dim : int
            Homology dimension, −1 for the Euler characteristic.

        Returns
        -------
        points : Tensor of shape (B, M, 2)
            M is the largest number of points of a sample.
        weights : Tensor of shape (B, M), int64
        """
        m = self.dim(dim)
        width = int(m.sample_offsets.diff().max()) if m.n_samples else 0
        at = (m.samples, position_in_segment(m.samples, m.sample_offsets))
        points = m.points.new_zeros((m.n_samples, width, 2)).index_put(at, m.points)
        return points, m.weights.new_zeros((m.n_samples, width)).index_put(at, m.weights)

    # On a grid

    def surface(self, grid0: torch.Tensor, grid1: torch.Tensor, width: float | None = None) -> torch.Tensor:
        """Return what is present at each pair of grid values: Hilbert functions, Euler characteristics.

        Parameters
        ----------
        grid0, grid1 : Tensor of shape (R0,) and (R1,)
            Rising values of both parameters; values of points are compared with them, and not rounded.
        width : float, optional
            None counts the points p ≤ (s, t) exactly, which has no gradient. A number replaces each step by a
            ramp, `width` bins of the grid wide and centred at the step. With 1, and an even grid, a value is
            the mean of the exact surface over the bin around it.

        Returns
        -------
        Tensor of shape (B, K, R0, R1)
            With `width`, differentiable in the points.

        Raises
        ------
        InputError
            If a grid does not rise, has no value, or with `width` less than two different ones; if a result
            is too large for the dtype.

        References
        ----------
        Loiseaux, Scoccola, Carrière, Botnan, Oudot, "Stable vectorization of multiparameter persistent
        homology using signed barcodes as measures", NeurIPS 2023.

        Examples
        --------
        >>> import torch
        >>> import topodl
        >>> values = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
        >>> m = topodl.graph_signed_measure(values, torch.tensor([[0], [1]]), dims=0)
        >>> grid = torch.tensor([0.0, 0.5, 1.0])
        >>> m.surface(grid, grid)[0, 0]
        tensor([[1., 1., 1.],
                [1., 1., 1.],
                [1., 1., 1.]])
        >>> m.surface(grid, grid, width=1)[0, 0, 0].tolist()
        [0.25, 0.5, 0.5]
        """
        name = f"{_NAME}.surface"
        if width is not None:
            check_number(name, "width", width, low=2.0**-20)
        m = self.at_least_single()
        grids = [
            _checked_grid(name, argument, grid, m.points, strict=width is not None)
            for argument, grid in (("grid0", grid0), ("grid1", grid1))
        ]
        counts = m._counts(grids) if width is None else m._ramps(grids, float(width))
        surface = counts.to(self.dtype)
        reject_overflow(name, self, surface, "the batch")
        return surface

    def _counts(self, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        values = self.points.detach()
        places = [places_among(grid, values[:, i]) for i, grid in enumerate(grids)]
        n0, n1 = (len(grid) + 1 for grid in grids)
        flat = (self.segments * n0 + places[0]) * n1 + places[1]
        return self._cumulated(segment_sum(self.weights, flat, self.n_segments * n0 * n1), n0, n1)

    def _cumulated(self, flat: torch.Tensor, n0: int, n1: int) -> torch.Tensor:
        """Return the sums (B, K, R0, R1) up to each grid value; the last bin of each axis is beyond it."""
        bins = flat.view(self.n_samples, len(self.homology_dims), n0, n1)
        return bins[:, :, :-1, :-1].cumsum(2).cumsum(3)

    def _ramps(self, grids: Sequence[torch.Tensor], width: float) -> torch.Tensor:
        # What is added up over the grid is the rise of each ramp from one grid value to the next.
        both = [_rises(in_double(self.points[:, i]), in_double(grid), width) for i, grid in enumerate(grids)]
        (places0, rises0), (places1, rises1) = both
        n0, n1 = (len(grid) + 1 for grid in grids)
        places = (self.segments[:, None, None] * n0 + places0[:, :, None]) * n1 + places1[:, None, :]
        masses = self.weights[:, None, None] * rises0[:, :, None] * rises1[:, None, :]
        bins = masses.new_zeros(self.n_segments * n0 * n1).index_add(0, places.flatten(), masses.flatten())
        return self._cumulated(bins, n0, n1)

    def convolve(self, grid0: torch.Tensor, grid1: torch.Tensor, bandwidth: Any) -> torch.Tensor:
        """Return the measures convolved with a Gaussian density, at each pair of grid values.

        The sum of the densities around all points, with their weights: it is not divided by their number, so
        that a pair of points that cancel changes nothing.

        Parameters
        ----------
        grid0, grid1 : Tensor of shape (R0,) and (R1,)
            Values of both parameters.
        bandwidth : float, Tensor of shape () or (2,), or sequence of two floats
            Standard deviation, of both parameters or of each, positive; as a tensor it may be learnt.

        Returns
        -------
        Tensor of shape (B, K, R0, R1)
            Differentiable in the points and the bandwidth. A point at −inf is nowhere near.

        Raises
        ------
        InputError
            If a grid has no or no finite values, the bandwidth is not positive, or a result is too large for
            the dtype.

        References
        ----------
        Loiseaux, Scoccola, Carrière, Botnan, Oudot, "Stable vectorization of multiparameter persistent
        homology using signed barcodes as measures", NeurIPS 2023.

        Examples
        --------
        >>> import math, torch
        >>> from topodl import SignedMeasures
        >>> zero = torch.tensor([0])
        >>> point = SignedMeasures(torch.zeros(1, 2), zero + 2, zero, zero, n_samples=1, homology_dims=[0])
        >>> image = point.convolve(torch.tensor([0.0]), torch.tensor([0.0, 1.0]), bandwidth=1.0)
        >>> (image * math.pi).round(decimals=4)
        tensor([[[[1.0000, 0.6065]]]])
        """
        name = f"{_NAME}.convolve"
        m = self.at_least_single()
        grids = [
            _checked_grid(name, argument, grid, m.points, rising=False)
            for argument, grid in (("grid0", grid0), ("grid1", grid1))
        ]
        sigma = _checked_bandwidth(name, bandwidth, m.points)
        nowhere = torch.isinf(m.points.detach()).any(1)
        points = m.points.masked_fill(nowhere[:, None], 0.0)
        weights = m.weights.masked_fill(nowhere, 0).to(m.dtype)
        bumps = [_bumps(points[:, i], grid, sigma[i]) for i, grid in enumerate(grids)]
        images = points[:0].sum() + points.new_zeros((m.n_segments, len(grids[0]), len(grids[1])))
        left = bumps[0] * weights[:, None]
        if torch.compiler.is_compiling():  # groups follow from the values
            images = images.index_add(0, m.segments, left[:, :, None] * bumps[1][:, None, :])
        else:
            with full_precision(points):
                for which, at, real in padded_groups(m.offsets):
                    images = images.index_copy(0, which, (left[at] * real[..., None]).mT @ bumps[1][at])
        images = images.view(m.n_samples, len(m.homology_dims), *images.shape[1:]).to(self.dtype)
        reject_overflow(name, self, images, "the batch")
        return images

    def __repr__(self) -> str:
        parts = [_count(self.n_samples, "sample")]
        for k, n in zip(self.homology_dims, self.counts.sum(0).tolist(), strict=True):
            parts.append(f"{'Euler' if k < 0 else f'H{k}'}: {_count(n, 'point')}")
        parts.append(f"{str(self.dtype).removeprefix('torch.')}, {self.device}")
        return f"{_NAME}({'; '.join(parts)}{', grad' if self.requires_grad else ''})"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _checked_grid(
    name: str, argument: str, grid: Any, like: torch.Tensor, rising: bool = True, strict: bool = False
) -> torch.Tensor:
    """Return the values of a grid as those of the points are."""
    grid = check_dense(name, argument, grid)
    if grid.ndim != 1 or len(grid) == 0 or grid.is_complex():
        came = f"has shape {tuple(grid.shape)} and dtype {grid.dtype}"
        raise fail(name, argument, came, "at least one real value, of shape (R,)")
    grid = grid.detach().to(like.device, like.dtype)
    if torch.compiler.is_compiling():
        return grid
    if not bool(torch.isfinite(grid).all()):
        raise fail(name, argument, "has a value that is not finite", "finite values")
    steps = grid.diff()
    if rising and bool((steps < 0).any()):
        raise fail(name, argument, "falls", "values in rising order")
    if strict and (len(grid) < 2 or bool((steps == 0).any())):
        raise fail(name, argument, "has bins of no width", "with width at least two values, all different")
    return grid


def _checked_bandwidth(name: str, bandwidth: Any, like: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation along both parameters, (2,)."""
    sigma = torch.as_tensor(bandwidth, dtype=like.dtype, device=like.device)
    if sigma.shape not in ((), (1,), (2,)):
        raise fail(name, "bandwidth", f"has shape {tuple(sigma.shape)}", "one number or two")
    values = whole_values(sigma)
    if not torch.compiler.is_compiling() and not bool((torch.isfinite(values) & (values > 0)).all()):
        raise fail(name, "bandwidth", f"is {values.tolist()}", "positive numbers")
    return sigma.expand(2)


def _bumps(values: torch.Tensor, grid: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Return the Gaussian density (P, R) around each value, at each grid value."""
    heights = torch.exp(-0.5 * within_reach(grid - values[:, None], sigma).square())
    return heights / (sigma * math.sqrt(2 * math.pi))


def _rises(values: torch.Tensor, grid: torch.Tensor, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where the ramp around each value rises, (P, n), and how much from one grid value to the next.

    The place of a value among the grid's is counted in bins, fractions included; beyond the ends, bins are
    those at the ends. A ramp is 0 half its width before its value, and 1 half its width behind it.
    """
    n = len(grid)
    bin_of = (torch.searchsorted(grid, values.detach().contiguous(), right=True) - 1).clamp(0, n - 2)
    place = bin_of + (values - grid[bin_of]) / (grid[bin_of + 1] - grid[bin_of])
    place = place.clamp(-width - 1.0, n + width)  # farther out nothing changes, at −inf neither
    first = torch.floor(place.detach() - width / 2).long()
    steps = first[:, None] + torch.arange(math.ceil(width) + 2, device=values.device)
    ramp = ((steps - place[:, None]) / width + 0.5).clamp(0.0, 1.0)
    return steps[:, 1:].clamp(0, n), ramp.diff(dim=1)


def _collate(batch: Sequence[SignedMeasures], *, collate_fn_map: Any = None) -> SignedMeasures:
    return SignedMeasures.cat(batch)


default_collate_fn_map[SignedMeasures] = _collate
torch.serialization.add_safe_globals([SignedMeasures])
