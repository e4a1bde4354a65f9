"""PersLay: a learnable, permutation-invariant vectorisation of diagrams.

Carrière et al., AISTATS 2020. Cost: bars · features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from topodl._checks import check_choice, check_number, fail
from topodl._power import within_reach
from topodl._segments import position_in_segment, segment_amax, segment_mean, segment_sum
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._base import DiagramLayer
from topodl.layers._grids import given_ranges

__all__ = ["PersLay"]

# Each parameter: its shape, and the mean and deviation it starts with; None spreads it over the range.
_Shapes = dict[str, tuple[tuple[int, ...], tuple[float, float] | None]]
_TRANSFORMS: dict[str, Callable[[int, int], _Shapes]] = {
    "triangle": lambda n, q: {"ticks": ((n, q), None)},
    "gaussian": lambda n, q: {"centres": ((n, q, 2), None), "sigma": ((n, q), (0.1, 0.0))},
    "line": lambda n, q: {"slopes": ((n, q, 2), (0.0, 1.0)), "shifts": ((n, q), (0.0, 1.0))},
    "rational_hat": lambda n, q: {"centres": ((n, q, 2), None), "radius": ((n, q), (0.1, 0.0))},
}
_WEIGHTS: dict[str, Callable[[int], _Shapes]] = {
    "power": lambda n: {"factor": ((n,), (1.0, 0.0)), "power": ((n,), (1.0, 0.0))},
    "grid": lambda n: {"cells": ((n, 10, 10), (1.0, 0.0))},
    "gaussian_mixture": lambda n: {"means": ((n, 3, 2), None), "spread": ((n, 3, 2), (0.3, 0.0))},
    "constant": lambda n: {},
}
_OPERATIONS = ("sum", "mean", "max", "top_k")


class PersLay(DiagramLayer):
    """op({w(p) · φ(p)}) over the points p of a diagram, with learnable weight w and transformation φ.

    As a module: `Diagrams` to a tensor (B, K, features), each of the K homology dimensions with parameters of
    its own. The features are `n_features`, or `n_features` · `k` with `operation="top_k"`.

    Parameters
    ----------
    point_transform : {"triangle", "gaussian", "line", "rational_hat"}
        φ of the point (birth, death), component by component, with q = (birth, persistence). "triangle" is
        the tent max(0, min(t − birth, death − t)) at a learnt t; "gaussian" exp(−‖q − c‖² / 2σ²) with learnt
        c and σ; "line" ⟨e, (birth, death)⟩ + b with learnt e and b; "rational_hat" 1 / (1 + ‖q − c‖₁) −
        1 / (1 + | |r| − ‖q − c‖₁ |) with learnt c and r.
    n_features : int
        Number of components of φ.
    weight : {"power", "grid", "gaussian_mixture", "constant"}
        "power": |a| · persistence^|p| with learnt a and p; "grid": learnt values of the cells of a 10 × 10
        grid over `value_range` in birth and persistence; "gaussian_mixture": a learnt sum of three Gaussians;
        "constant": 1.
    operation : {"sum", "mean", "max", "top_k"}
        What joins the points. An empty diagram gives zeros.
    k : int
        Number of largest values that "top_k" keeps of each component.
    value_range : (low, high)
        Range of births, deaths and persistence in which the parameters start.
    dims : int or sequence of int
        Homology dimensions.
    random_state : int
        Seed of the parameters' first values.

    References
    ----------
    M. Carrière et al. PersLay: a neural network layer for persistence diagrams and new graph topological
    signatures. AISTATS 2020.

    C. Hofer, R. Kwitt, M. Niethammer. Learning representations of persistence barcodes. JMLR 20, 2019 (the
    rational hat).

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import PersLay
    >>> d = Diagrams.from_padded(torch.rand(8, 20, 2).cumsum(-1))
    >>> PersLay(n_features=16, dims=0)(d).shape
    torch.Size([8, 1, 16])
    """

    ticks: nn.Parameter
    slopes: nn.Parameter
    shifts: nn.Parameter
    centres: nn.Parameter
    sigma: nn.Parameter
    radius: nn.Parameter
    factor: nn.Parameter
    power: nn.Parameter
    cells: nn.Parameter
    means: nn.Parameter
    spread: nn.Parameter

    def __init__(
        self,
        point_transform: str = "gaussian",
        n_features: int = 32,
        weight: str = "power",
        operation: str = "sum",
        k: int = 3,
        value_range: tuple[float, float] = (0.0, 1.0),
        dims: Any = (0, 1),
        essential: EssentialPolicy = "drop",
        random_state: int = 0,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.point_transform = point_transform
        self.n_features = n_features
        self.weight = weight
        self.operation = operation
        self.k = k
        self.value_range = value_range
        self.dims = dims
        self.essential = essential
        self.random_state = random_state
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.reset_parameters()

    def _check_settings(self) -> None:
        check_choice("PersLay", "point_transform", self.point_transform, tuple(_TRANSFORMS))
        check_choice("PersLay", "weight", self.weight, tuple(_WEIGHTS))
        check_choice("PersLay", "operation", self.operation, _OPERATIONS)
        check_choice("PersLay", "essential", self.essential, ("drop", "clamp"))
        check_number("PersLay", "n_features", self.n_features, low=1, integer=True)
        check_number("PersLay", "k", self.k, low=1, integer=True)
        check_number("PersLay", "random_state", self.random_state, integer=True)
        low, high = given_ranges("PersLay", "value_range", self.value_range, 1)[0]
        if low == high:
            raise fail("PersLay", "value_range", f"is {self.value_range!r}", "(low, high) with low < high")

    def reset_parameters(self) -> None:
        """Forget what was learnt; parameters start anew from `random_state`."""
        self._check_settings()
        device, dtype = self._place()
        self._parameters.clear()
        generator = torch.Generator().manual_seed(int(self.random_state))
        low, high = self.value_range
        n_dims, q = len(self._dims_out()), self.n_features
        shapes = {**_TRANSFORMS[self.point_transform](n_dims, q), **_WEIGHTS[self.weight](n_dims)}
        for name, (shape, start) in shapes.items():
            if start is None:  # a place in the range
                value = low + (high - low) * torch.rand(shape, generator=generator, device="cpu")
            else:
                value = torch.full(shape, start[0], device="cpu") + start[1] * torch.randn(
                    shape, generator=generator, device="cpu"
                )
            if name in ("sigma", "spread", "radius"):
                value = value * (high - low)
            self.register_parameter(name, nn.Parameter(value.to(device, dtype)))

    def forward(self, d: Diagrams) -> torch.Tensor:
        """Return the features of each diagram.

        Parameters
        ----------
        d : Diagrams

        Returns
        -------
        Tensor of shape (B, K, features)
            K homology dimensions.

        Raises
        ------
        InputError
            If the diagrams lack a dimension that `fit` did not see.
        """
        if not isinstance(d, Diagrams):
            raise TypeError(f"PersLay: d is a {type(d).__name__}; expected Diagrams")
        d = self._with_fitted_dims(d)
        kept = d.with_essential(self.essential)
        features = [self._of_dimension(kept.dim(k), i) for i, k in enumerate(self._dims(d))]
        return torch.stack(features, 1)

    def _of_dimension(self, d: Diagrams, i: int) -> torch.Tensor:
        points = torch.stack([torch.minimum(d.births, d.deaths), d.persistence()], 1)
        values = self._phi(points, i) * self._weights(points, i)[:, None]
        if self.operation == "sum":
            return segment_sum(values, d.samples, d.n_samples)
        if self.operation == "mean":
            return segment_mean(values, d.samples, d.n_samples)
        if self.operation == "max":
            return segment_amax(values, d.samples, d.n_samples)
        return _top_k(values, d, self.k).flatten(1)

    def _phi(self, points: torch.Tensor, i: int) -> torch.Tensor:
        if self.point_transform == "triangle":
            births, lengths = points.unbind(1)
            middles, heights = births + lengths / 2, lengths / 2
            return torch.relu(heights[:, None] - (self.ticks[i] - middles[:, None]).abs())
        if self.point_transform == "line":
            ends = torch.stack([points[:, 0], points[:, 0] + points[:, 1]], 1)
            return ends @ self.slopes[i].T + self.shifts[i]
        away = points[:, None] - self.centres[i]
        if self.point_transform == "gaussian":
            return torch.exp(-within_reach(away, self.sigma[i, :, None]).square().sum(2) / 2)
        distance = away.abs().sum(2)
        return 1 / (1 + distance) - 1 / (1 + (self.radius[i].abs() - distance).abs())

    def _weights(self, points: torch.Tensor, i: int) -> torch.Tensor:
        if self.weight == "power":
            # The logarithm of a length of 0 has no gradient.
            lengths = points[:, 1].clamp(min=torch.finfo(points.dtype).tiny)
            return self.factor[i].abs() * torch.exp(self.power[i].abs() * lengths.log())
        if self.weight == "grid":
            low, high = self.value_range
            n = self.cells.shape[1]
            at = ((points.detach() - low) / (high - low) * n).long().clamp(0, n - 1)
            return self.cells[i][at[:, 0], at[:, 1]]
        if self.weight == "gaussian_mixture":
            away = within_reach(points[:, None] - self.means[i], self.spread[i])
            return torch.exp(-away.square().sum(2) / 2).sum(1)
        return torch.ones_like(points[:, 0])

    def _feature_names(self) -> list[str]:
        n = self.n_features * (self.k if self.operation == "top_k" else 1)
        return [f"h{k}_{i}" for k in self._dims_out() for i in range(n)]


def _top_k(values: torch.Tensor, d: Diagrams, k: int) -> torch.Tensor:
    """Return (B, q, k) the k largest values of each component, the largest first; 0 where there are fewer."""
    order = values.detach().sort(dim=0, descending=True).indices
    order = order.gather(0, d.samples[order].sort(dim=0, stable=True).indices)
    ordered = values.gather(0, order)
    place = position_in_segment(d.samples, d.sample_offsets).clamp(max=k)
    out = values.new_zeros(d.n_samples, k + 1, values.shape[1])  # the last place is for all the others
    return out.index_put((d.samples, place), ordered)[:, :k].transpose(1, 2)
