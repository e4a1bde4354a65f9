"""Filtrations by two parameters in slices: bars along lines, and at levels.

Carrière, Blumberg, NeurIPS 2020; Segovia-Dominguez et al., LoG 2023. Cost: one call of an ordinary engine for
each line or level.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from topodl._checks import check_choice, check_number
from topodl._docs import shares_documentation
from topodl.diagrams import Diagrams
from topodl.layers._base import PersistenceLayer
from topodl.layers._two_parameters import Filtrations, RangedLayer, SlicedLayer
from topodl.persistence.fibered import fibered_persistence
from topodl.persistence.levels import level_persistence

__all__ = ["FiberedPersistence", "LevelPersistence"]


@shares_documentation(fibered_persistence, sections=["References"])
class FiberedPersistence(RangedLayer, PersistenceLayer):
    """Persistent homology along lines through the plane of two parameters; see `topodl.fibered_persistence`.

    Lines have slopes in the unit square that the ranges of both parameters are scaled to, where (1, 1) is the
    direction of slope 1: bars are in this unit. As a transformer: images (B, 2, H, W) or volumes, a list of
    them, of graphs (vertex_values, edge_index) or (…, edge_values), of clouds (points, function), or
    `CellComplexes` with two values a cell. `SliceFeatures` puts the features of all lines side by side.

    Parameters
    ----------
    n_lines : int
        Number of lines, L: the diagrams of sample b are those from ``b * L`` on.
    slopes : {"even", "random"}
        Lines through the middle with angles at equal distances, or lines of random angles through random
        points.
    learnable : bool
        Whether the lines are parameters: a base point, and the logarithm of the slope, of each.
    random_state : int
        Seed of random lines.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import FiberedPersistence, PersistenceImage
    >>> persistence = FiberedPersistence(n_lines=4, value_ranges=(0, 1), learnable=True)
    >>> image = PersistenceImage(resolution=8, birth_range=(0, 1), persistence_range=(0, 1))
    >>> torch.nn.Sequential(persistence, image)(torch.rand(3, 2, 28, 28)).shape
    torch.Size([12, 2, 8, 8])
    """

    bases: torch.Tensor
    log_slopes: torch.Tensor

    def __init__(
        self,
        n_lines: int = 16,
        slopes: Literal["even", "random"] = "even",
        dims: Any = None,
        value_ranges: Any = None,
        learnable: bool = False,
        construction: Literal["vertex", "cell"] = "vertex",
        superlevel: Any = (False, False),
        metric: Literal["euclidean", "precomputed"] = "euclidean",
        random_state: int = 0,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_lines = n_lines
        self.slopes = slopes
        self.dims = dims
        self.value_ranges = value_ranges
        self.learnable = learnable
        self.construction = construction
        self.superlevel = superlevel
        self.metric = metric
        self.random_state = random_state
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.register_buffer("ranges_", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Forget the ranges that `fit` found, and what the lines have learnt."""
        super().reset_parameters()
        for name in ("bases", "log_slopes"):
            self._parameters.pop(name, None)
            self._buffers.pop(name, None)
        # What is wrong with the settings is said when they are used.
        usable = isinstance(self.n_lines, int | np.integer) and self.n_lines > 0
        bases, log_slopes = _unit_lines(int(self.n_lines) if usable else 1, self.slopes, self.random_state)
        for name, value in (("bases", bases), ("log_slopes", log_slopes)):
            if isinstance(self.learnable, bool | np.bool_) and self.learnable:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    def _check_settings(self) -> None:
        name = "FiberedPersistence"
        check_number(name, "n_lines", self.n_lines, low=1, integer=True)
        check_choice(name, "slopes", self.slopes, ("even", "random"))
        check_choice(name, "learnable", self.learnable, (True, False))

    def lines(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return base points and directions (L, 2) in the units of the data; where these fall, negative ones.

        Returns
        -------
        tuple of two Tensors of shape (L, 2)

        Raises
        ------
        NotFittedError
            If `value_ranges` were neither given nor learnt.
        """
        signs = torch.tensor([-1.0 if down else 1.0 for down in self._falling()], device=self.bases.device)
        bases, directions = self._rising_lines()
        return bases * signs, directions * signs

    def _rising_lines(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return base points and directions (L, 2) where both parameters rise."""
        self._check_settings()
        box = self._box().to(self.bases.device)
        lengths = box[:, 1] - box[:, 0]
        slopes = self.log_slopes.double().exp()
        steps = (
            torch.stack((torch.ones_like(slopes), slopes), 1) * (2 / (1 + slopes.square())).sqrt()[:, None]
        )
        return box[:, 0] + lengths * self.bases.double(), lengths * steps

    @shares_documentation(SlicedLayer.forward)
    def forward(
        self,
        x: Any,
        edge_index: torch.Tensor | None = None,
        edge_values: torch.Tensor | None = None,
        batch: torch.Tensor | None = None,
        function: Any = None,
    ) -> Diagrams:
        """Return the diagrams of each sample on each line.

        Returns
        -------
        Diagrams
            Sample ``b * n_lines + l`` is sample b on line l.

        Raises
        ------
        NotFittedError
            If `value_ranges` were neither given nor learnt.
        InputError
            If a setting or the input is unusable.
        """
        lines = self._rising_lines()
        batches = self._rising_batches(x, edge_index, edge_values, batch, function)
        return Diagrams.cat(
            fibered_persistence(part.x, lines, self.dims, **self._options(part)) for part in batches
        )


def _unit_lines(n: int, slopes: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return base points (n, 2) and logarithms of slopes (n,) of lines through the unit square."""
    angles = (torch.arange(n, dtype=torch.float64, device="cpu") + 0.5) / n
    through = torch.full((n, 2), 0.5, dtype=torch.float64, device="cpu")
    if slopes == "random":
        generator = torch.Generator().manual_seed(int(seed))
        drawn = torch.rand(n, 3, dtype=torch.float64, generator=generator, device="cpu")
        angles, through = drawn[:, 0].clamp(min=1e-6, max=1 - 1e-6), drawn[:, 1:]
    angles = angles * (math.pi / 2)
    directions = torch.stack((angles.cos(), angles.sin()), 1)
    dtype = torch.get_default_dtype()
    return (through - directions / math.sqrt(2)).to(dtype), angles.tan().log().to(dtype)


@shares_documentation(level_persistence, sections=["References"])
class LevelPersistence(SlicedLayer, PersistenceLayer):
    """Persistent homology by one parameter at levels of the other; see `topodl.level_persistence`.

    As a transformer: images (B, 2, H, W) or volumes, a list of them, of graphs (vertex_values, edge_index) or
    (…, edge_values), of clouds (points, function), or `CellComplexes` with two values a cell. Where the
    parameter that is not cut falls, bars do: births are above deaths.
    `SliceFeatures` puts the features of all levels side by side.

    Parameters
    ----------
    levels : int or sequence of float
        Number of levels, which `fit` takes as quantiles of the training data at equal distances up to the
        largest value, down to the least where sets grow down; or the levels themselves. The
        diagrams of sample b are those from ``b * L`` on.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import LevelPersistence
    >>> LevelPersistence(levels=[0.5, 1.0])(torch.rand(3, 2, 8, 8)).n_samples
    6
    """

    levels_: torch.Tensor | None

    def __init__(
        self,
        levels: Any = 16,
        parameter: int = 0,
        dims: Any = None,
        construction: Literal["vertex", "cell"] = "vertex",
        superlevel: Any = (False, False),
        metric: Literal["euclidean", "precomputed"] = "euclidean",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.levels = levels
        self.parameter = parameter
        self.dims = dims
        self.construction = construction
        self.superlevel = superlevel
        self.metric = metric
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.register_buffer("levels_", None)

    def __sklearn_is_fitted__(self) -> bool:
        return self.levels_ is not None or not isinstance(self.levels, int | np.integer)

    def reset_parameters(self) -> None:
        """Forget the levels that `fit` found."""
        self.levels_ = None

    def _fit(self, samples: Any) -> None:
        check_choice("LevelPersistence", "parameter", self.parameter, (0, 1))
        is_clouds = isinstance(samples, list) and isinstance(samples[0], tuple) and samples[0][1].ndim == 1
        cut = 1 if is_clouds else self.parameter
        values = torch.cat([both[cut].double() for both in self._values(samples)]).cpu().numpy()
        if not isinstance(self.levels, int | np.integer):
            return
        check_number("LevelPersistence", "levels", self.levels, low=1, integer=True)
        shares = np.arange(1, self.levels + 1) / self.levels
        sign = -1.0 if self._falling()[cut] else 1.0
        quantiles = sign * np.quantile(sign * values, shares) if len(values) else shares
        self.levels_ = torch.from_numpy(quantiles).to(self._place()[0])

    def _cuts(self) -> torch.Tensor:
        if not isinstance(self.levels, int | np.integer):
            return torch.as_tensor(self.levels, dtype=torch.float64, device="cpu")
        if self.levels_ is None:
            raise self._not_fitted("levels")
        return self.levels_

    @shares_documentation(SlicedLayer.forward)
    def forward(
        self,
        x: Any,
        edge_index: torch.Tensor | None = None,
        edge_values: torch.Tensor | None = None,
        batch: torch.Tensor | None = None,
        function: Any = None,
    ) -> Diagrams:
        """Return the diagrams of each sample at each level.

        Returns
        -------
        Diagrams
            Sample ``b * L + l`` is sample b at level l.

        Raises
        ------
        NotFittedError
            If levels were neither given nor learnt.
        InputError
            If a setting or the input is unusable.
        """
        batches = self._rising_batches(x, edge_index, edge_values, batch, function)
        return Diagrams.cat(self._of_batch(part, self._cuts()) for part in batches)

    def _of_batch(self, batch: Filtrations, levels: torch.Tensor) -> Diagrams:
        check_choice("LevelPersistence", "parameter", self.parameter, (0, 1))
        cut = 1 if batch.kind == "clouds" else self.parameter
        falls, kept_falls = self._falling()[cut], self._falling()[1 - cut]
        options = {"parameter": self.parameter, **self._options(batch)}
        d = level_persistence(batch.x, -levels if falls else levels, self.dims, **options)
        return d._with(births=-d.births, deaths=-d.deaths) if kept_falls else d
