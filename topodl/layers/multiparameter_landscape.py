"""Landscapes of filtrations by two parameters: ordinary ones along the diagonals through a grid.

Vipond, JMLR 2020. Cost: one call of an ordinary engine for each of 2R − 1 diagonals.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from topodl._checks import check_number
from topodl._docs import shares_documentation
from topodl.layers._base import FeatureLayer
from topodl.layers._two_parameters import Filtrations, RangedLayer, SlicedLayer
from topodl.layers.curves import PersistenceLandscape
from topodl.persistence.fibered import fibered_persistence

__all__ = ["MultiparameterLandscape"]


class MultiparameterLandscape(RangedLayer, FeatureLayer):
    """Landscapes of a filtration by two parameters, on a square grid.

    The k-th landscape at a point is the largest ε for which the classes that live from point − ε·r to
    point + ε·r have rank k at least, where r are the lengths of the ranges of both parameters: in the unit
    square, the k-th ordinary landscape on the diagonal through the point. A class that never dies is one
    whose tent only rises. It is the generalised rank invariant landscape (GRIL) of worms of a single square.
    As a transformer: images (B, 2, H, W) or volumes, a list of them, of graphs (vertex_values, edge_index) or
    (…, edge_values), of clouds (points, function), or `CellComplexes` with two values a cell.

    Parameters
    ----------
    n_landscapes : int
        Number of landscapes, the largest first.
    resolution : int
        Number R of grid values of each parameter; 2R − 1 diagonals run through the grid.

    References
    ----------
    O. Vipond, "Multiparameter persistence landscapes", JMLR 21, 2020. C. Xin, S. Mukherjee, S. N. Samaga, T.
    K. Dey, "GRIL: a 2-parameter persistence based vectorization for machine learning", TAG-ML 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import MultiparameterLandscape
    >>> edge = torch.tensor([[0], [1]])
    >>> values = torch.tensor([[0.0, 0.0], [0.0, 0.5]])
    >>> layer = MultiparameterLandscape(n_landscapes=1, resolution=3, dims=0, value_ranges=(0, 1))
    >>> layer(values, edge)[0, 0, 0]  # the component is there from (0, 0) on
    tensor([[0.0000, 0.0000, 0.0000],
            [0.0000, 0.5000, 0.5000],
            [0.0000, 0.5000, 1.0000]])
    """

    def __init__(
        self,
        n_landscapes: int = 5,
        resolution: int = 32,
        dims: Any = None,
        value_ranges: Any = None,
        construction: Literal["vertex", "cell"] = "vertex",
        superlevel: Any = (False, False),
        metric: Literal["euclidean", "precomputed"] = "euclidean",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_landscapes = n_landscapes
        self.resolution = resolution
        self.dims = dims
        self.value_ranges = value_ranges
        self.construction = construction
        self.superlevel = superlevel
        self.metric = metric
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.register_buffer("ranges_", None)

    def _check_settings(self) -> None:
        name = "MultiparameterLandscape"
        check_number(name, "n_landscapes", self.n_landscapes, low=1, integer=True)
        check_number(name, "resolution", self.resolution, low=2, integer=True)

    @shares_documentation(SlicedLayer.forward)
    def forward(
        self,
        x: Any,
        edge_index: torch.Tensor | None = None,
        edge_values: torch.Tensor | None = None,
        batch: torch.Tensor | None = None,
        function: Any = None,
    ) -> torch.Tensor:
        """Return the landscapes of each sample.

        Returns
        -------
        Tensor of shape (B, K, n_landscapes, R, R)
            K homology dimensions. The first axis of the grid is that of the first parameter.

        Raises
        ------
        NotFittedError
            If `value_ranges` were neither given nor learnt.
        InputError
            If a setting or the input is unusable.
        """
        self._check_settings()
        box = self._box()
        batches = self._rising_batches(x, edge_index, edge_values, batch, function)
        landscapes = torch.cat([self._of_batch(part, box) for part in batches])
        return landscapes.flip([axis for axis, down in zip((-2, -1), self._falling(), strict=True) if down])

    def _of_batch(self, batch: Filtrations, box: torch.Tensor) -> torch.Tensor:
        n = int(self.resolution)
        shifts = torch.arange(1 - n, n, dtype=torch.float64, device=box.device) / (n - 1)
        lengths = box[:, 1] - box[:, 0]
        offsets = torch.stack((torch.zeros_like(shifts), shifts * lengths[1]), 1)
        lines = box[:, 0] + offsets, lengths.expand(len(shifts), 2)
        d = fibered_persistence(batch.x, lines, self.dims, **self._options(batch))
        tents = PersistenceLandscape(
            n_layers=self.n_landscapes, resolution=n, value_range=(0, 1), scale=1.0, essential="keep"
        )(d)
        tents = tents.view(-1, 2 * n - 1, *tents.shape[1:])
        # the point (i, j) of the grid is the i-th on the diagonal j - i
        i = torch.arange(n, device=tents.device)
        return tents[:, i[None] - i[:, None] + n - 1, :, :, i[:, None]].permute(2, 3, 4, 0, 1)

    def _feature_names(self) -> list[str]:
        n = range(self.resolution)
        return [
            f"h{k}_{layer}_{i}_{j}"
            for k in self._homology_dims()
            for layer in range(self.n_landscapes)
            for i in n
            for j in n
        ]
