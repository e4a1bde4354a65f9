"""Signed measures of two-parameter filtrations as images: convolved with a Gaussian, on a grid.

Loiseaux, Scoccola, Carrière, Botnan, Oudot, NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from topodl._checks import check_choice, fail
from topodl._docs import shares_documentation
from topodl.layers._measures import HomologyLayer
from topodl.layers._two_parameters import Filtrations
from topodl.persistence.graph_measures import graph_signed_measure

__all__ = ["SignedMeasureImage"]

_SHARE = 0.1  # of a range, that the bandwidth has by default


@shares_documentation(graph_signed_measure, sections=["References"])
class SignedMeasureImage(HomologyLayer):
    """Signed measures of homology convolved with a Gaussian density, on a grid: (B, K, R0, R1).

    Stable, and differentiable in what the filtration is made of and in the bandwidth. Densities are those
    over the unit square that the ranges of both parameters are scaled to: units of data change nothing. They
    are not divided by the number of points. As a transformer: as `HilbertSurface`.

    Parameters
    ----------
    bandwidth : "scale", float or sequence of two floats
        Standard deviation of both parameters or of each, in their units. "scale" is a tenth of each range.
    learnable : bool
        Whether factors of the bandwidth, 1 in the beginning, are parameters.
    construction : {"vertex", "cell"}
        Of images; see `topodl.image_signed_measure`.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import SignedMeasureImage
    >>> image = SignedMeasureImage(resolution=8, value_ranges=(0, 1), learnable=True)
    >>> image(torch.rand(3, 2, 16, 16)).shape
    torch.Size([3, 2, 8, 8])
    """

    log_factors: torch.Tensor

    def __init__(
        self,
        dims: Any = (0, 1),
        resolution: Any = (32, 32),
        value_ranges: Any = None,
        bandwidth: Any = "scale",
        learnable: bool = False,
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
        self.bandwidth = bandwidth
        self.learnable = learnable
        self.construction = construction
        self.superlevel = superlevel
        self.spacing = spacing
        self.metric = metric
        self.levels = levels
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Forget the grids that `fit` found, and the factors of the bandwidth that training did."""
        super().reset_parameters()
        self._parameters.pop("log_factors", None)
        if self.learnable is True:  # what is wrong with the setting is said when it is used
            self.register_parameter("log_factors", nn.Parameter(torch.zeros(2, device="cpu")))

    def _check_settings(self) -> None:
        super()._check_settings()
        check_choice("SignedMeasureImage", "learnable", self.learnable, (False, True))
        if isinstance(self.bandwidth, str) and self.bandwidth != "scale":
            expected = "'scale', or one positive number or two"
            raise fail("SignedMeasureImage", "bandwidth", f"is {self.bandwidth!r}", expected)

    def _features(self, batch: Filtrations, grids: Sequence[torch.Tensor]) -> torch.Tensor:
        lengths = torch.stack([grid[-1] - grid[0] for grid in grids])
        lengths = torch.where(lengths > 0, lengths, 1.0)
        by_scale = isinstance(self.bandwidth, str)
        sigma = lengths * _SHARE if by_scale else torch.as_tensor(self.bandwidth, device=lengths.device)
        if self.learnable:
            sigma = sigma * self.log_factors.to(lengths).exp()
        m = self._measures(batch)
        return m.convolve(grids[0], grids[1], sigma) * lengths.prod().to(m.dtype)
