"""Surfaces of filtrations by two parameters: Euler characteristics and Betti numbers on a grid.

Hard ones are exact counts; those of a width are ramps in place of steps, and have gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from topodl._checks import fail
from topodl._docs import shares_documentation
from topodl.layers._euler_images import image_surfaces
from topodl.layers._measures import HomologyLayer, MeasureLayer
from topodl.layers._two_parameters import Filtrations
from topodl.persistence.euler_measures import euler_signed_measure
from topodl.persistence.graph_measures import graph_signed_measure
from topodl.persistence.image_measures import image_signed_measure

__all__ = ["EulerSurface", "HilbertSurface"]


@shares_documentation(euler_signed_measure, sections=["References"])
class EulerSurface(MeasureLayer):
    """Euler characteristic of the cells with values ≤ (s, t), on a grid of s and t: (B, 1, R0, R1).

    It needs no pairing, and costs the cells plus the grid. As a transformer: images (B, 2, H, W) or volumes,
    a list of them or of graphs (vertex_values, edge_index) or (…, edge_values), or `CellComplexes` with two
    values a cell.

    Parameters
    ----------
    width : float, optional
        None counts exactly: piecewise constant, so no gradient. A number replaces each step by a ramp of that
        many bins of the grid, centred at the step, which is differentiable.
    construction : {"vertex", "cell"}
        Of images; see `topodl.image_signed_measure`.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import EulerSurface
    >>> ring = torch.tensor([[0.0, 0.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
    >>> x = torch.stack([ring, torch.zeros(3, 3)])[None]  # closes at 1 in the first channel
    >>> EulerSurface(resolution=(3, 2), value_ranges=[(0, 2), (0, 1)])(x)
    tensor([[[[1., 1.],
              [0., 0.],
              [0., 0.]]]])
    """

    dims = -1
    metric = "euclidean"

    def __init__(
        self,
        resolution: Any = (32, 32),
        value_ranges: Any = None,
        width: float | None = None,
        construction: Literal["vertex", "cell"] = "vertex",
        superlevel: Any = (False, False),
        spacing: Literal["even", "quantiles"] = "even",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.value_ranges = value_ranges
        self.width = width
        self.construction = construction
        self.superlevel = superlevel
        self.spacing = spacing
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _features(self, batch: Filtrations, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        if batch.kind == "clouds":
            expected = (
                "images, graphs, or CellComplexes, as topodl.complexes.rips_complexes makes them of clouds"
            )
            raise fail("EulerSurface", "x", "are clouds", expected)
        if batch.kind == "images":
            surfaces = image_surfaces(batch.x, grids, self.width, self.construction)
            if surfaces is not None:
                return surfaces
        x, edge_index, edge_values, of, n_graphs, _ = batch
        m = euler_signed_measure(x, edge_index, edge_values, of, n_graphs, self.construction)
        return m.surface(grids[0], grids[1], self.width)

    def _rows(self) -> list[str]:
        return ["euler"]


@shares_documentation(graph_signed_measure, image_signed_measure, sections=["References"])
class HilbertSurface(HomologyLayer):
    """Betti numbers of the sets with values ≤ (s, t), on a grid of s and t: (B, K, R0, R1).

    They are sampled from exact measures: no value is rounded to the grid. As a transformer: images
    (B, 2, H, W), or volumes with ``dims=0``, a list of them, of graphs (vertex_values, edge_index) or
    (…, edge_values), or of clouds (points, function), for function-Rips filtrations.

    Parameters
    ----------
    width : float, optional
        None counts exactly: piecewise constant, so no gradient. A number replaces each step by a ramp of that
        many bins of the grid, centred at the step, which is differentiable.
    construction : {"vertex", "cell"}
        Of images; see `topodl.image_signed_measure`.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import HilbertSurface
    >>> edge, values = torch.tensor([[0], [1]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> HilbertSurface(resolution=2, dims=0, value_ranges=(0, 1))(values, edge)
    tensor([[[[0., 1.],
              [1., 1.]]]])
    """

    def __init__(
        self,
        dims: Any = (0, 1),
        resolution: Any = (32, 32),
        value_ranges: Any = None,
        width: float | None = None,
        construction: Literal["vertex", "cell"] = "vertex",
        superlevel: Any = (False, False),
        spacing: Literal["even", "quantiles"] = "even",
        metric: Literal["euclidean", "precomputed"] = "euclidean",
        levels: Any = None,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.resolution = resolution
        self.value_ranges = value_ranges
        self.width = width
        self.construction = construction
        self.superlevel = superlevel
        self.spacing = spacing
        self.metric = metric
        self.levels = levels
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _features(self, batch: Filtrations, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        return self._measures(batch).surface(grids[0], grids[1], self.width)
