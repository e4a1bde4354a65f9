"""Euler characteristic curves of images, volumes, complexes and diagrams, at all thresholds in one pass.

Cost: the cells plus the thresholds; no pairing is computed.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import torch

from topodl._checks import (
    as_real,
    check_choice,
    check_number,
    fail,
    plain_tensor,
    reject_nan,
    reject_non_finite,
    reject_tracing,
)
from topodl._host import is_traced
from topodl._precision import at_least_single
from topodl._segments import places_among, segment_sum
from topodl.complexes.cell_complexes import CellComplexes
from topodl.diagrams import Diagrams
from topodl.layers import _inputs
from topodl.layers._base import FeatureLayer
from topodl.layers._euler import Cells, soft_transform
from topodl.layers._grids import alive, even_grid, given_ranges, learnt_ranges, oriented

__all__ = ["EulerCurve"]


class EulerCurve(FeatureLayer):
    """Euler characteristic of the sublevel set {x ≤ t} at each grid value t, (B, resolution).

    Of images (B, H, W), volumes (B, D, H, W) and `CellComplexes` with values it counts cells; of `Diagrams`
    it is the alternating sum of the Betti curves. Both agree where the diagrams have all dimensions.

    Parameters
    ----------
    resolution : int
        Number of grid values.
    value_range : (low, high), optional
        First and last grid value. None: `fit` takes the smallest and the largest finite value.
    width : float, optional
        None counts exactly: piecewise constant, so no gradient. A number replaces each step by a sigmoid of
        that width, which is differentiable.
    superlevel : bool
        Count {x ≥ t} instead. Diagrams know by themselves what they are.
    construction : {"vertex", "cell"}
        Whether pixels are vertices (4 or 6 neighbours) or top-dimensional cells (8 or 26 neighbours).
    sample_shape : tuple of int, optional
        Shape of an image in a row of a table, as (8, 8). None: a row is a signal, an image of one row.

    References
    ----------
    T. Heiss, H. Wagner, "Streaming algorithm for Euler characteristic curves of multidimensional images",
    CAIP 2017. E. Richardson, M. Werman, "Efficient classification using the Euler characteristic", Pattern
    Recognition Letters 49, 2014.

    Examples
    --------
    A ring of seven pixels around a pixel of value 9 closes at 1:

    >>> import torch
    >>> from topodl.layers import EulerCurve
    >>> ring = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 0.0]]])
    >>> EulerCurve(resolution=3, value_range=(0, 2))(ring)
    tensor([[1., 0., 0.]])
    """

    range_: torch.Tensor | None

    def __init__(
        self,
        resolution: int = 100,
        value_range: Any = None,
        width: float | None = None,
        superlevel: bool = False,
        construction: Literal["vertex", "cell"] = "vertex",
        *,
        sample_shape: tuple[int, ...] | None = None,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.value_range = value_range
        self.width = width
        self.superlevel = superlevel
        self.construction = construction
        self.sample_shape = sample_shape
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.register_buffer("range_", None)

    def __sklearn_is_fitted__(self) -> bool:
        return self.value_range is not None or self.range_ is not None

    def _check_settings(self) -> None:
        check_choice("EulerCurve", "construction", self.construction, ("vertex", "cell"))
        check_number("EulerCurve", "resolution", self.resolution, low=1, integer=True)
        if self.width is not None:
            check_number("EulerCurve", "width", self.width, low=torch.finfo(torch.float32).tiny)

    def forward(
        self,
        x: torch.Tensor | list[torch.Tensor] | CellComplexes | Diagrams,
        weights: torch.Tensor | list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the curve of each image, volume, complex or diagram.

        Parameters
        ----------
        x : Tensor of shape (B, H, W) or (B, D, H, W), list of images or volumes, CellComplexes, or Diagrams
            Images of a list may differ in shape. Complexes have one value a cell.
        weights : Tensor of shape (B, H, W) or (B, D, H, W), or list of them, optional
            What each pixel of images or volumes counts. A cell counts as much as the heaviest pixel that it
            has, or lies at.

        Returns
        -------
        Tensor of shape (B, resolution)

        Raises
        ------
        NotFittedError
            If `value_range` was neither given nor learnt.
        InputError
            If a setting is unusable, a shape is wrong, a value is NaN, or complexes have none.
        """
        self._check_settings()
        if weights is not None and isinstance(x, Diagrams | CellComplexes):
            raise fail("EulerCurve", "weights", f"are given beside {type(x).__name__}", "images or volumes")
        if isinstance(x, Diagrams):
            return self._of_diagrams(x)
        reject_tracing("EulerCurve")
        if isinstance(x, CellComplexes):
            return self._of_complexes(x)
        x = plain_tensor(x)
        if isinstance(x, list | tuple):
            each = [None] * len(x) if weights is None else weights
            pairs = zip(x, each, strict=True)
            return torch.cat([self(image[None], None if w is None else w[None]) for image, w in pairs])
        if not isinstance(x, torch.Tensor):
            raise TypeError(
                f"EulerCurve: x is a {type(x).__name__}; expected a tensor, CellComplexes or Diagrams"
            )
        x = as_real("EulerCurve", "x", x)
        if x.ndim not in (3, 4) or 0 in x.shape[1:]:
            came = f"has shape {tuple(x.shape)}"
            raise fail("EulerCurve", "x", came, "(B, H, W) or (B, D, H, W) with at least one pixel")
        reject_nan("EulerCurve", "x", x, "numbers")
        values = at_least_single(x)
        grid = self._grid(values)
        w = None if weights is None else _read_weights(weights, values)
        if self.superlevel:  # {x ≥ t} = {−x ≤ −t}
            return self._of_values(-values, -grid.flip(0), w).flip(1).to(x.dtype)
        return self._of_values(values, grid, w).to(x.dtype)

    def _grid(self, like: torch.Tensor) -> torch.Tensor:
        if self.value_range is not None:
            low, high = given_ranges("EulerCurve", "value_range", self.value_range, 1)[0]
        elif self.range_ is not None:
            low, high = learnt_ranges(self.range_[None])[0]
        else:
            raise self._not_fitted("value_range")
        return even_grid(low, high, self.resolution).to(like)

    def _of_values(self, x: torch.Tensor, grid: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        curve = x.new_zeros(x.shape[0], grid.shape[0])
        heaviest = None if weights is None else cells_of(weights, self.construction, heaviest=True)
        for k, (sign, values) in enumerate(cells_of(x, self.construction)):
            flat = values.flatten(1)
            of_cells = None if heaviest is None else heaviest[k][1].flatten(1)
            if self.width is not None:
                curve = curve + sign * self._soften(flat, grid, of_cells)
            else:
                counts = _count(flat, grid) if of_cells is None else _weigh(flat, grid, of_cells)
                curve = curve + sign * counts
        return curve

    def _soften(self, values: torch.Tensor, grid: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        n, m = values.shape
        heights = self._heights(values, grid)
        index = torch.arange(n * m, device=values.device)
        each = values.new_ones(n * m) if weights is None else weights.reshape(-1)
        cells = Cells(index[:, None], torch.arange(n + 1, device=values.device) * m, each)
        return soft_transform(heights.reshape(-1, 1), [cells], grid, 1 / float(self.width or 1.0), n)[:, 0]

    def _heights(self, values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Return finite values: a cell that never enters is far beyond the grid, where its sigmoid is 0."""
        far = grid[-1] + 1e3 * float(self.width or 1.0)
        return torch.where(values == torch.inf, far, values).clamp(min=grid[0] * 2 - far)

    def _of_complexes(self, x: CellComplexes) -> torch.Tensor:
        values = _values_of(x)
        dtype, flat = values[0].dtype, at_least_single(torch.cat(values))
        grid = self._grid(flat)
        if self.superlevel:  # {x ≥ t} = {−x ≤ −t}
            flat, grid = -flat, -grid.flip(0)
        samples = torch.cat([x.samples(k) for k in range(x.dim + 1)])
        signs = torch.cat([torch.full_like(part, (-1) ** k) for k, part in enumerate(values)]).to(flat)
        if self.width is None:
            curve = _count_signed(flat, samples, signs, x.n_samples, grid)
        else:
            order = torch.argsort(samples, stable=True)
            offsets = torch.stack([x.offsets(k) for k in range(x.dim + 1)]).sum(0)
            cells = [Cells(order[:, None], offsets, signs[order])]
            heights = self._heights(flat, grid)[:, None]
            curve = soft_transform(heights, cells, grid, 1 / float(self.width), x.n_samples)[:, 0]
        return (curve.flip(1) if self.superlevel else curve).to(dtype)

    def _of_diagrams(self, d: Diagrams) -> torch.Tensor:
        dtype, d = d.dtype, d.at_least_single()
        signs = 1 - 2 * (d.dims % 2)
        grid = self._grid(d.births)
        if self.width is None:
            return alive(d, grid, signs).to(dtype)
        low, high = oriented(d)
        bars = torch.sigmoid((grid - low[:, None]) / self.width) - torch.sigmoid(
            (grid - high[:, None]) / self.width
        )
        return segment_sum(signs[:, None] * bars, d.samples, d.n_samples).to(dtype)

    def _as_samples(self, X: Any, reset: bool) -> Any:
        if isinstance(X, CellComplexes):
            return X.detach()
        if isinstance(X, Diagrams) or (isinstance(X, list) and X and isinstance(X[0], Diagrams)):
            return _inputs.as_diagrams("EulerCurve", X)
        return _inputs.as_images(self, X, reset)

    def _as_input(self, chunk: Any) -> Any:
        if isinstance(chunk, CellComplexes):
            return chunk.to(*self._place())
        return chunk if isinstance(chunk, Diagrams) else super()._as_input(chunk)

    def _fit(self, samples: Any) -> None:
        self._check_settings()
        if self.value_range is not None:
            return
        d = samples.finite() if isinstance(samples, Diagrams) else None
        values = _all_values(samples) if d is None else torch.cat([d.births, d.deaths])
        values = values[torch.isfinite(values)].double()
        ends = (
            [values.min(), values.max()]
            if values.numel()
            else [torch.tensor(0.0, device="cpu"), torch.tensor(1.0, device="cpu")]
        )
        self.range_ = torch.stack(ends).to(self._place()[0], torch.float64)

    def _feature_names(self) -> list[str]:
        return [str(i) for i in range(self.resolution)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags


def _values_of(complexes: CellComplexes) -> list[torch.Tensor]:
    """Return the values (S_k,) of the cells of each dimension, or say what is there in their place."""
    if not complexes.has_values or complexes.values(0).ndim != 1:
        came = f"has {complexes.values(0).shape[1]} filtrations" if complexes.has_values else "has no values"
        raise fail("EulerCurve", "x", came, "one value a cell, by CellComplexes.with_values")
    values = [complexes.values(k) for k in range(complexes.dim + 1)]
    for k, part in enumerate(values):
        reject_nan("EulerCurve", f"x.values({k})", part, "numbers")
    return values


def _all_values(samples: Any) -> torch.Tensor:
    """Return the values of an array, of a list of images or of complexes in one tensor."""
    if isinstance(samples, CellComplexes):
        return torch.cat(_values_of(samples))
    tensors = _inputs.to_tensors(samples)
    return torch.cat([image.flatten() for image in tensors]) if isinstance(samples, list) else tensors


def cells_of(x: torch.Tensor, construction: str, heaviest: bool = False) -> list[tuple[int, torch.Tensor]]:
    """Return (−1)^dimension and the values of the cells of images (B, *spatial), for each set of axes.

    In the vertex construction a cell spans the axes of its set, and its value is the largest of its vertices;
    in the cell construction it is thin along them, and its value is the smallest of the pixels it touches,
    or of weights the `heaviest`.
    """
    axes = range(1, x.ndim)
    by_vertices = construction == "vertex"
    join = torch.maximum if by_vertices or heaviest else torch.minimum
    beyond = -torch.inf if heaviest else torch.inf
    out = []
    for n_axes in range(x.ndim):
        for chosen in itertools.combinations(axes, n_axes):
            values = x
            for axis in chosen:
                if not by_vertices:
                    border = values.new_full((), beyond).expand_as(values.narrow(axis, 0, 1))
                    values = torch.cat([border, values, border], axis)
                size = values.shape[axis] - 1
                values = join(values.narrow(axis, 0, size), values.narrow(axis, 1, size))
            dimension = n_axes if by_vertices else len(axes) - n_axes
            out.append(((-1) ** dimension, values))
    return out


def _count_signed(
    values: torch.Tensor, samples: torch.Tensor, signs: torch.Tensor, n_samples: int, grid: torch.Tensor
) -> torch.Tensor:
    """Return (n_samples, len(grid)) sums of the signs (M,) of values (M,) up to each grid value."""
    n = grid.shape[0] + 1
    places = samples * n + places_among(grid, values.detach())
    counts = places.new_zeros(n_samples * n).index_add(0, places, signs.to(torch.int64))
    return counts.view(n_samples, n)[:, :-1].cumsum(1).to(values.dtype)


def _read_weights(weights: Any, values: torch.Tensor) -> torch.Tensor:
    """Return a finite weight for each pixel of images, or say what is wrong with them."""
    given = as_real("EulerCurve", "weights", weights)
    if given.shape != values.shape:
        came = f"has shape {tuple(given.shape)}"
        raise fail("EulerCurve", "weights", came, f"one weight for each pixel, {tuple(values.shape)}")
    reject_non_finite("EulerCurve", "weights", given)
    return given.to(values)


def _weigh(values: torch.Tensor, grid: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return (B, len(grid)) sums of the weights (B, M) of `values` (B, M) up to each grid value."""
    sums = weights.new_zeros(len(values), grid.shape[0] + 1)
    return sums.scatter_add(1, places_among(grid, values.detach()), weights)[:, :-1].cumsum(1)


def _count(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Return (B, len(grid)) numbers of `values` (B, M) up to each grid value."""
    n = grid.shape[0] + 1
    places = places_among(grid, values.detach())
    if is_traced(values):
        counts = places.new_zeros(values.shape[0], n).scatter_add(1, places, torch.ones_like(places))
        return counts[:, :-1].cumsum(1).to(values.dtype)
    places += torch.arange(len(values), device=values.device)[:, None] * n
    counts = torch.bincount(places.flatten(), minlength=len(values) * n).view(len(values), n)
    return counts[:, :-1].cumsum(1).to(values.dtype)
