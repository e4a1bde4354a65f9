"""Penalties on the topology of any tensor, alone or attached to a submodule of any model by `topodl.attach`.

Hofer et al., "Connectivity-Optimized Representation Learning", 2019; Gabrielsson et al., "A Topology Layer",
2020; Clough et al., "A Topological Loss Function for Deep-Learning Based Image Segmentation", 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch

from topodl._checks import as_dims, as_tensor, check_choice, check_dense, check_number, fail
from topodl._docs import shares_documentation
from topodl._jagged_checks import reject_overflow
from topodl._overflow import NON_FINITE, NonFinite, or_nan
from topodl._segments import offsets_of, position_in_segment, segment_sum
from topodl.diagrams import Diagrams

__all__ = ["BettiTargetLoss", "DiagramTargetLoss", "FeatureCountLoss", "TotalPersistenceLoss"]

Filtration = Literal["auto", "rips", "cubical"] | Callable[[torch.Tensor], Diagrams]


class _Regulariser(torch.nn.Module):
    """A penalty on diagrams: the mean over samples of what a subclass makes of them."""

    def __init__(
        self,
        filtration: Filtration,
        dims: int | Iterable[int],
        superlevel: bool,
        non_finite: NonFinite,
    ) -> None:
        super().__init__()
        check_choice(type(self).__name__, "non_finite", non_finite, NON_FINITE)
        self.non_finite: NonFinite = non_finite
        if not callable(filtration):
            check_choice(type(self).__name__, "filtration", filtration, ("auto", "rips", "cubical"))
        self.filtration, self.superlevel = filtration, superlevel
        self.dims = as_dims(dims)

    def forward(self, x: torch.Tensor | Diagrams, batch: torch.Tensor | None = None) -> torch.Tensor:
        """Return the penalty, a scalar.

        Parameters
        ----------
        x : Tensor of shape (B, …), or Diagrams
            What the filtration takes. "rips": clouds (B, N, d), or the samples (B, d) of a batch as one
            cloud; "cubical": images (B, C, H, W) or volumes (B, C, D, H, W), each channel on its own; "auto"
            decides by the number of axes.
        batch : Tensor of shape (N,), integers, optional
            Beside points (N, d) for "rips": the cloud of each, in any order, as PyTorch Geometric has it.

        Returns
        -------
        Tensor of shape ()
            float64 for float64 input, else float32.

        Raises
        ------
        InputError
            If the filtration does not take such a tensor, its diagrams lack a dimension, or the penalty
            overflows.
        """
        return or_nan(lambda: self._mean_penalty(x, batch), (x,), self.non_finite)

    def _mean_penalty(self, x: torch.Tensor | Diagrams, batch: torch.Tensor | None) -> torch.Tensor:
        if batch is not None and (isinstance(x, Diagrams) or callable(self.filtration)):
            raise fail(
                type(self).__name__, "batch", "is given", 'it only beside points and filtration="rips"'
            )
        diagrams = (x if isinstance(x, Diagrams) else self._diagrams(x, batch)).at_least_single()
        missing = [k for k in self.dims if k not in diagrams.homology_dims]
        if missing:
            expected = f"dimensions of the diagrams, {diagrams.homology_dims}"
            raise fail(type(self).__name__, "dims", f"ask for {missing[0]}", expected)
        penalty = self._penalty(diagrams) / max(len(diagrams), 1)
        reject_overflow(type(self).__name__, diagrams, penalty[None], "x")
        return penalty

    def _diagrams(self, x: torch.Tensor, batch: torch.Tensor | None) -> Diagrams:
        x = check_dense(type(self).__name__, "x", x)
        if callable(self.filtration):
            return self.filtration(x)
        kind = self.filtration
        if kind == "auto":
            kind = "rips" if x.ndim in (2, 3) else "cubical"
        if kind == "rips":
            from topodl.persistence.rips import rips_persistence

            one_cloud = x.ndim == 2 and batch is None
            return rips_persistence(x[None] if one_cloud else x, self.dims, batch=batch)
        from topodl.persistence.cubical import cubical_persistence

        if batch is not None:
            raise fail(type(self).__name__, "batch", "is given", "it only beside points (N, d)")
        if x.ndim not in (4, 5):
            expected = "(B, d), (B, N, d), (B, C, H, W) or (B, C, D, H, W)"
            raise fail(type(self).__name__, "x", f"has shape {tuple(x.shape)}", expected)
        return cubical_persistence(x.flatten(0, 1), self.dims, superlevel=self.superlevel)

    def _penalty(self, diagrams: Diagrams) -> torch.Tensor:
        raise NotImplementedError


class TotalPersistenceLoss(_Regulariser):
    """Sum of the lengths of all bars, to a power: less of everything.

    Parameters
    ----------
    dims : int or iterable of int, default=(0, 1)
        Homology dimensions that count.
    power : float, default=1.0
        Of the length; essential bars, whose length is infinite, do not count.
    filtration : {"auto", "rips", "cubical"} or callable, default="auto"
        What turns a tensor into `Diagrams`.
    superlevel : bool, default=False
        Of images: superlevel sets.
    non_finite : {"nan", "raise"}, default="nan"
        What becomes of values that the filtration refuses, NaN and in clouds infinite ones: "nan" makes the
        penalty and its gradient NaN, with a warning that names the sample, so that a scaler of gradients
        skips the step; "raise" is an error.

    Raises
    ------
    InputError
        If an option is unusable.

    References
    ----------
    R. B. Gabrielsson et al., "A Topology Layer for Machine Learning", AISTATS 2020.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import TotalPersistenceLoss
    >>> codes = torch.tensor([[0.0], [1.0], [3.0]])  # a batch of three is one cloud
    >>> TotalPersistenceLoss(dims=0)(codes).round(decimals=4)
    tensor(3.)
    """

    def __init__(
        self,
        dims: int | Iterable[int] = (0, 1),
        *,
        power: float = 1.0,
        filtration: Filtration = "auto",
        superlevel: bool = False,
        non_finite: NonFinite = "nan",
    ) -> None:
        super().__init__(filtration, dims, superlevel, non_finite)
        check_number("TotalPersistenceLoss", "power", power, low=0.0)
        self.power = power

    def _penalty(self, diagrams: Diagrams) -> torch.Tensor:
        totals = diagrams.total_persistence(self.power)
        columns = [column for column, k in enumerate(diagrams.homology_dims) if k in self.dims]
        return (totals if len(columns) == totals.shape[1] else totals[:, columns]).sum()


@shares_documentation(TotalPersistenceLoss)
class FeatureCountLoss(_Regulariser):
    """Number of bars longer than `length`, made differentiable by a sigmoid.

    Parameters
    ----------
    length : float
        Where a bar begins to count.
    temperature : float, default=0.1
        Width of the sigmoid, as a multiple of `length`: towards 0 the penalty is the number itself.

    Raises
    ------
    InputError
        If an option is unusable.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import FeatureCountLoss
    >>> loss = FeatureCountLoss(1.0, dims=0, temperature=0.01)
    >>> loss(torch.tensor([[0.0], [0.5], [3.0]])).round(decimals=4)
    tensor(1.)
    """

    def __init__(
        self,
        length: float,
        dims: int | Iterable[int] = (0, 1),
        *,
        temperature: float = 0.1,
        filtration: Filtration = "auto",
        superlevel: bool = False,
        non_finite: NonFinite = "nan",
    ) -> None:
        super().__init__(filtration, dims, superlevel, non_finite)
        check_number("FeatureCountLoss", "length", length, low=torch.finfo(torch.float32).tiny)
        check_number("FeatureCountLoss", "temperature", temperature, low=1e-12)
        self.length, self.temperature = length, temperature

    def _penalty(self, diagrams: Diagrams) -> torch.Tensor:
        lengths, _ = _finite_lengths(diagrams, self.dims)
        return torch.sigmoid((lengths / self.length - 1) / self.temperature).sum()


@shares_documentation(TotalPersistenceLoss)
class BettiTargetLoss(_Regulariser):
    """Distance to given Betti numbers: the longest bars become `length` long, all others vanish.

    In each dimension k, with the βₖ longest bars first: Σ_{i ≤ βₖ} max(0, length − ℓᵢ)² + Σ_{i > βₖ} ℓᵢ².
    Essential bars count among the βₖ and cost nothing.

    With a `level` t it is the Betti numbers there that count, as those of a shape {f < t}. A bar lies across
    the level by m = min(t − birth, death − t), below 0 where it does not (with signs turned in a superlevel
    diagram), and with the largest m first: Σ_{i ≤ βₖ} max(0, length − mᵢ)² + Σ_{i > βₖ} max(0, length + mᵢ)².
    It is 0 where `Diagrams.betti` (t) is right and no end of a bar is closer to t than `length`.

    Parameters
    ----------
    betti : mapping of int to int, or to Tensor of shape (B,)
        Homology dimension to the number that it should have, in all samples or in each.
    length : float, default=1.0
        How long a bar must be to cost nothing; 1 for probabilities, whose bars cannot be longer. With
        `level`, how far its ends must lie from there.
    level : float, optional
        Value at which the Betti numbers count. None: the lengths of the bars do, wherever they lie.

    Raises
    ------
    InputError
        If an option is unusable; at the call, if there are targets for another number of samples.

    References
    ----------
    Clough et al., "A Topological Loss Function for Deep-Learning Based Image Segmentation Using Persistent
    Homology", TPAMI 2020, arXiv:1910.01877.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import BettiTargetLoss
    >>> loss = BettiTargetLoss({0: 2}, length=2.0)
    >>> loss(torch.tensor([[0.0], [0.5], [2.0]]))  # bars of length ∞, 1.5 and 0.5: (2 − 1.5)² + 0.5²
    tensor(0.5000)

    Two clouds, whose clusters at distance 1 should be one and three:

    >>> loss = BettiTargetLoss({0: torch.tensor([1, 3])}, length=0.25, level=1.0)
    >>> clouds = torch.tensor([[[0.0], [0.5], [1.0]], [[0.0], [0.5], [2.5]]])
    >>> loss(clouds).round(decimals=3)  # of the second, a bar of length 0.5 ends too early by 0.75: 0.75² / 2
    tensor(0.2810)
    """

    def __init__(
        self,
        betti: Mapping[int, int | torch.Tensor],
        *,
        length: float = 1.0,
        level: float | None = None,
        filtration: Filtration = "auto",
        superlevel: bool = False,
        non_finite: NonFinite = "nan",
    ) -> None:
        if not isinstance(betti, Mapping) or not betti:
            expected = "a mapping of at least one dimension to its number"
            raise fail("BettiTargetLoss", "betti", f"is {betti!r}", expected)
        super().__init__(filtration, sorted(betti), superlevel, non_finite)
        check_number("BettiTargetLoss", "length", length, low=0.0)
        if level is not None:
            check_number("BettiTargetLoss", "level", level)
        self.betti = {dim: _betti_numbers(dim, numbers) for dim, numbers in betti.items()}
        self.length, self.level = length, level

    def _penalty(self, diagrams: Diagrams) -> torch.Tensor:
        total, n = diagrams.births.new_zeros(()), len(diagrams)
        for dim, targets in self.betti.items():
            if targets.ndim and len(targets) != n:
                came = f"has {len(targets)} targets"
                raise fail("BettiTargetLoss", f"betti[{dim}]", came, f"one, or one for each of {n} samples")
            numbers, bars = targets.to(diagrams.device).expand(n), diagrams.dim(dim)
            if self.level is None:
                total = total + self._by_length(bars, numbers)
            else:
                total = total + self._by_level(bars, numbers, self.level)
        return total

    def _by_length(self, bars: Diagrams, numbers: torch.Tensor) -> torch.Tensor:
        lengths, samples = _finite_lengths(bars, self.dims)
        numbers = (numbers - bars.essential().counts[:, 0]).clamp(min=0)
        return self._cost(lengths, samples, numbers, lambda spare: spare)

    def _by_level(self, bars: Diagrams, numbers: torch.Tensor, level: float) -> torch.Tensor:
        up, down = bars.births.detach() <= bars.deaths.detach(), level - bars.births
        across = torch.minimum(down, bars.deaths - level)
        across = torch.where(up, across, torch.minimum(-down, level - bars.deaths))
        return self._cost(across, bars.samples, numbers, lambda spare: torch.relu(self.length + spare))

    def _cost(
        self,
        scores: torch.Tensor,
        samples: torch.Tensor,
        numbers: torch.Tensor,
        of_spare: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Return what the bars cost: in each sample the first `numbers` (B,) by their scores are wanted."""
        n = len(numbers)
        order = torch.argsort(scores.detach(), descending=True, stable=True)
        order = order[torch.argsort(samples[order], stable=True)]
        scores, samples = scores[order], samples[order]
        wanted = position_in_segment(samples, offsets_of(samples, n)) < numbers[samples]
        cost = torch.where(wanted, torch.relu(self.length - scores), of_spare(scores)).square()
        # A bar that is wanted and is not there at all costs what one of score 0 does.
        absent = (numbers - segment_sum(wanted.long(), samples, n)).sum()
        return cost.sum() + absent.to(cost.dtype) * self.length**2


def _betti_numbers(dim: int, numbers: Any) -> torch.Tensor:
    """Return the targets of a dimension, of shape () or (B,), int64."""
    name = f"betti[{dim}]"
    if not isinstance(numbers, torch.Tensor | list | tuple | np.ndarray):
        check_number("BettiTargetLoss", name, numbers, low=0, integer=True)
    targets = as_tensor(numbers).detach()
    if targets.ndim > 1 or targets.is_floating_point() or targets.dtype == torch.bool:
        came = f"has shape {tuple(targets.shape)} and dtype {targets.dtype}"
        raise fail("BettiTargetLoss", name, came, "an integer, or integers of shape (B,)")
    if targets.numel() and int(targets.min()) < 0:
        raise fail("BettiTargetLoss", name, f"has {int(targets.min())}", "integers of at least 0")
    return targets.long()


@shares_documentation(TotalPersistenceLoss)
class DiagramTargetLoss(_Regulariser):
    """Wasserstein distance to the power `order` from a target diagram. Essential bars do not count.

    Parameters
    ----------
    target : Diagrams
        One sample, that every sample is compared with, or as many as there are.
    order : float, default=2.0
        Of the distance.

    Raises
    ------
    InputError
        If an option is unusable.

    References
    ----------
    M. Carrière, F. Chazal, M. Glisse, Y. Ike, H. Kannan, Y. Umeda, "Optimizing persistent homology based
    functions", ICML 2021 (distances to a target as losses). D. Cohen-Steiner, H. Edelsbrunner, J. Harer, Y.
    Mileyko, "Lipschitz functions have L_p-stable persistence", Foundations of Computational Mathematics 10,
    2010 (the distance).

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.losses import DiagramTargetLoss
    >>> target = topodl.rips_persistence(torch.tensor([[[0.0], [1.0], [3.0]]]), 0)
    >>> DiagramTargetLoss(target)(torch.tensor([[0.0], [1.0], [2.0]])).round(decimals=4)
    tensor(1.)
    """

    def __init__(
        self,
        target: Diagrams,
        *,
        order: float = 2.0,
        filtration: Filtration = "auto",
        superlevel: bool = False,
        non_finite: NonFinite = "nan",
    ) -> None:
        if not isinstance(target, Diagrams):
            raise TypeError(f"DiagramTargetLoss: target is a {type(target).__name__}; expected Diagrams")
        super().__init__(filtration, target.homology_dims, superlevel, non_finite)
        check_number("DiagramTargetLoss", "order", order, low=1.0)
        self.target, self.order = target.detach().finite(), order

    def _penalty(self, diagrams: Diagrams) -> torch.Tensor:
        from topodl.distances import wasserstein_distance

        n = len(diagrams)
        if len(self.target) not in (1, n):
            raise fail("DiagramTargetLoss", "target", f"has {len(self.target)} samples", f"1 or {n}")
        target = self.target if len(self.target) == n else self.target[[0] * n]
        target = target.to(diagrams.births.device, diagrams.births.dtype)
        finite = diagrams.finite()
        distance = wasserstein_distance(finite, target, order=self.order, dims=self.dims)
        return (distance**self.order).sum()


def _finite_lengths(diagrams: Diagrams, dims: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lengths of the finite bars of `dims`, and their samples."""
    wanted = (diagrams.deaths - diagrams.births).detach().isfinite()
    chosen = torch.zeros_like(wanted)
    for k in dims:
        chosen |= diagrams.dims == k
    kept = (wanted & chosen).nonzero()[:, 0]
    return (diagrams.deaths[kept] - diagrams.births[kept]).abs(), diagrams.samples[kept]
