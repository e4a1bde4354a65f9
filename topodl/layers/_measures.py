"""What layers of signed measures share: the grid of both parameters, and which way each of them goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from topodl._checks import check_choice, check_number, fail
from topodl._docs import shares_documentation
from topodl.layers._base import FeatureLayer
from topodl.layers._grids import even_grid, given_ranges
from topodl.layers._two_parameters import Filtrations, RangedLayer, SlicedLayer
from topodl.persistence.graph_measures import graph_signed_measure
from topodl.persistence.image_measures import image_signed_measure
from topodl.persistence.rips_measures import rips_signed_measure
from topodl.signed_measures import SignedMeasures

__all__ = ["HomologyLayer", "MeasureLayer"]


class MeasureLayer(RangedLayer, FeatureLayer):
    """A layer that samples the signed measures of filtrations by two parameters on a grid.

    Parameters
    ----------
    resolution : int or tuple of two int
        Number of grid values of each parameter.
    spacing : {"even", "quantiles"}
        Whether grid values lie evenly in their range, or `fit` takes quantiles of all values.
    """

    resolution: Any
    spacing: Literal["even", "quantiles"]
    grid0_: torch.Tensor | None
    grid1_: torch.Tensor | None

    def __init__(self) -> None:
        super().__init__()
        for name in ("ranges_", "grid0_", "grid1_"):
            self.register_buffer(name, None)

    def __sklearn_is_fitted__(self) -> bool:
        return super().__sklearn_is_fitted__() or self.grid0_ is not None

    def reset_parameters(self) -> None:
        """Forget the grids that `fit` found."""
        super().reset_parameters()
        self.grid0_ = self.grid1_ = None

    def _sizes(self) -> tuple[int, int]:
        sizes = self.resolution
        both = tuple(sizes) if isinstance(sizes, list | tuple | np.ndarray) else (sizes, sizes)
        name = type(self).__name__
        if len(both) != 2:
            raise fail(
                name, "resolution", f"is {sizes!r}", "a number of grid values, or one of each parameter"
            )
        for size in both:
            check_number(name, "resolution", size, low=1, integer=True)
        return int(both[0]), int(both[1])

    def _check_settings(self) -> None:
        check_choice(type(self).__name__, "spacing", self.spacing, ("even", "quantiles"))
        if self.spacing == "quantiles" and self.value_ranges is not None:
            expected = "'even' where value_ranges are given"
            raise fail(type(self).__name__, "spacing", "is 'quantiles'", expected)
        self._sizes()
        self._falling()

    def _fit(self, samples: Any) -> None:
        if self.spacing != "quantiles":
            return super()._fit(samples)
        self._check_settings()
        columns = zip(*self._values(samples), strict=True)
        grids = []
        for size, parts in zip(self._sizes(), columns, strict=True):
            values = torch.cat(list(parts)).double().cpu().numpy()
            ends = np.linspace(0.0, 1.0, size)
            grids.append(torch.from_numpy(np.quantile(values, ends) if len(values) else ends))
        self.grid0_, self.grid1_ = (grid.to(self._place()[0]) for grid in grids)
        return None

    def _grids(self) -> list[torch.Tensor]:
        """Return the grid values of both parameters, rising, in float64."""
        if self.grid0_ is not None and self.grid1_ is not None:
            return [self.grid0_, self.grid1_]
        if self.value_ranges is not None:
            ranges = given_ranges(type(self).__name__, "value_ranges", self.value_ranges, 2)
        elif self.ranges_ is not None:
            ranges = self.ranges_.tolist()
        else:
            raise self._not_fitted("value_ranges")
        device = self._place()[0]
        both = zip(ranges, self._sizes(), strict=True)
        return [even_grid(low, high, size).to(device) for (low, high), size in both]

    @shares_documentation(SlicedLayer.forward)
    def forward(
        self,
        x: Any,
        edge_index: torch.Tensor | None = None,
        edge_values: torch.Tensor | None = None,
        batch: torch.Tensor | None = None,
        function: Any = None,
    ) -> torch.Tensor:
        """Return the features of each sample.

        Returns
        -------
        Tensor of shape (B, K, R0, R1)
            K dimensions. The first axis of the grid is that of the first parameter.

        Raises
        ------
        NotFittedError
            If `value_ranges` were neither given nor learnt.
        InputError
            If a setting or the input is unusable.
        """
        self._check_settings()
        falling, grids = self._falling(), self._grids()
        turned = [-grid.flip(0) if down else grid for grid, down in zip(grids, falling, strict=True)]
        axes = [axis for axis, down in zip((-2, -1), falling, strict=True) if down]
        parts = [
            self._features(part, turned)
            for part in self._rising_batches(x, edge_index, edge_values, batch, function)
        ]
        features = parts[0] if len(parts) == 1 else torch.cat(parts)
        return features.flip(axes) if axes else features

    def _features(self, batch: Filtrations, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the features (B, K, R0, R1) of a batch whose parameters rise."""
        raise NotImplementedError

    def _rows(self) -> list[str]:
        """Return what each of the K is called."""
        return [f"h{k}" for k in self._homology_dims()]

    def _feature_names(self) -> list[str]:
        n0, n1 = self._sizes()
        return [f"{row}_{i}_{j}" for row in self._rows() for i in range(n0) for j in range(n1)]


class HomologyLayer(MeasureLayer):
    """A layer of the measures of homology.

    Parameters
    ----------
    dims : int or sequence of int, optional
        Homology dimensions, 0 and 1 of images, graphs and clouds. None: both.
    levels : int or sequence of float, optional
        Of clouds, at which values of the function dimension 1 changes; see `topodl.rips_signed_measure`.
    """

    levels: Any

    def _measures(self, batch: Filtrations) -> SignedMeasures:
        dims = batch.homology_dims() if self.dims is None else self._homology_dims()
        if batch.kind == "complexes":
            name = type(self).__name__
            raise fail(
                name, "x", "are CellComplexes", "images, graphs or clouds; EulerSurface takes complexes"
            )
        if batch.kind == "graphs":
            graphs = batch._asdict()
            del graphs["function"]
            return graph_signed_measure(graphs.pop("x"), **graphs, dims=dims)
        if batch.kind == "clouds":
            return rips_signed_measure(batch.x, batch.function, dims, self.levels, self.metric)
        return image_signed_measure(batch.x, dims, self.construction)
