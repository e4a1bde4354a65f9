"""Penalties on the topology of any tensor, alone or attached to a submodule of any model by `topodl.attach`.

Hofer et al., "Connectivity-Optimized Representation Learning", 2019; Gabrielsson et al., "A Topology Layer",
2020; Clough et al., "A Topological Loss Function for Deep-Learning Based Image Segmentation", 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch

from topodl._checks import as_dims, check_choice, check_number, check_tensor, fail
from topodl._docs import shares_documentation
from topodl._jagged_checks import reject_overflow
from topodl._overflow import NON_FINITE, NonFinite, or_nan
from topodl._segments import position_in_segment, segment_sum
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
        x = check_tensor(type(self).__name__, "x", x)
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

    Parameters
    ----------
    betti : mapping of int to int
        Homology dimension to the number that it should have.
    length : float, default=1.0
        How long a bar must be to cost nothing; 1 for probabilities, whose bars cannot be longer.

    Raises
    ------
    InputError
        If an option is unusable.

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
    """

    def __init__(
        self,
        betti: Mapping[int, int],
        *,
        length: float = 1.0,
        filtration: Filtration = "auto",
        superlevel: bool = False,
        non_finite: NonFinite = "nan",
    ) -> None:
        super().__init__(filtration, sorted(betti), superlevel, non_finite)
        for dim, number in betti.items():
            check_number("BettiTargetLoss", f"betti[{dim}]", number, low=0, integer=True)
        check_number("BettiTargetLoss", "length", length, low=0.0)
        self.betti, self.length = dict(betti), length

    def _penalty(self, diagrams: Diagrams) -> torch.Tensor:
        total = diagrams.births.new_zeros(())
        for dim, number in self.betti.items():
            lengths, samples = _finite_lengths(diagrams, (dim,))
            essential = diagrams.dim(dim).essential()
            counts = torch.bincount(essential.samples, minlength=len(diagrams))
            by_length = torch.argsort(lengths.detach(), descending=True, stable=True)
            by_sample = by_length[torch.argsort(samples[by_length], stable=True)]
            lengths, samples = lengths[by_sample], samples[by_sample]
            starts = torch.searchsorted(samples, torch.arange(len(diagrams), device=samples.device))
            wanted = position_in_segment(samples, starts) < number - counts[samples]
            cost = torch.where(wanted, torch.relu(self.length - lengths), lengths).square()
            # A bar that is wanted and is not there at all costs what one of length 0 does.
            present = segment_sum(wanted.long(), samples, len(diagrams))
            absent = (number - counts - present).clamp(min=0).sum()
            total = total + cost.sum() + absent * self.length**2
        return total


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
