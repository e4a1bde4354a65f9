"""Representation topology divergence as a loss module.

Barannikov et al., ICML 2022; Trofimov et al., "Learning Topology-Preserving Data Representations", ICLR 2023.
Cost: dimension 1 of the Rips filtration of 2 N points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from topodl._checks import as_mask, check_choice, check_dense, check_number, fail
from topodl._overflow import NON_FINITE, NonFinite
from topodl.persistence.rtd import rtd

__all__ = ["RTDLoss"]


class RTDLoss(torch.nn.Module):
    """`topodl.rtd` as a module, ``loss(x, z)``: 0 where both have the same topology at all scales.

    Parameters
    ----------
    metric : {"euclidean", "precomputed"}, default="euclidean"
        Whether inputs are points or distance matrices.
    variant : {"min", "max"}, default="min"
        Which of the two graphs of the literature joins the inputs; see `topodl.rtd`.
    reduction : {"sum", "mean"}, default="sum"
        Of the lengths of the bars of a pair of inputs.
    symmetric : bool, default=True
        Average of both directions.
    quantile : float or None, default=0.9
        Divide each distance matrix by this quantile of its entries, so that scales do not matter.
    non_finite : {"nan", "raise"}, default="nan"
        What becomes of NaN and infinite values: "nan" makes the loss and its gradient NaN, with a warning
        that says where, so that a scaler of gradients skips the step; "raise" is an error.

    Raises
    ------
    InputError
        If an option is unusable; at the call, as `topodl.rtd` does.

    References
    ----------
    S. Barannikov, I. Trofimov, N. Balabin, E. Burnaev, "Representation Topology Divergence", ICML 2022. I.
    Trofimov, D. Cherniavskii, E. Tulchinskii, N. Balabin, E. Burnaev, S. Barannikov, "Learning
    Topology-Preserving Data Representations", ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import RTDLoss
    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> RTDLoss()(square, 7 * square).round(decimals=4)
    tensor(0.)
    """

    def __init__(
        self,
        *,
        metric: Literal["euclidean", "precomputed"] = "euclidean",
        variant: Literal["min", "max"] = "min",
        reduction: Literal["sum", "mean"] = "sum",
        symmetric: bool = True,
        quantile: float | None = 0.9,
        non_finite: NonFinite = "nan",
    ) -> None:
        super().__init__()
        check_choice("RTDLoss", "non_finite", non_finite, NON_FINITE)
        check_choice("RTDLoss", "metric", metric, ("euclidean", "precomputed"))
        check_choice("RTDLoss", "variant", variant, ("min", "max"))
        check_choice("RTDLoss", "reduction", reduction, ("sum", "mean"))
        if quantile is not None:
            check_number("RTDLoss", "quantile", quantile, low=0.0, high=1.0)
        self.metric: Literal["euclidean", "precomputed"] = metric
        self.variant: Literal["min", "max"] = variant
        self.reduction: Literal["sum", "mean"] = reduction
        self.symmetric, self.quantile = symmetric, quantile
        self.non_finite: NonFinite = non_finite

    def forward(self, x: torch.Tensor, z: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the divergence, the mean over a batch.

        Parameters
        ----------
        x, z : Tensor of shape (N, …), or (B, N, d) and (B, N, e)
            Inputs and their latent codes, or distance matrices (N, N) or (B, N, N). Inputs (N, C, H, W) and
            other shapes with more than three axes are flattened to (N, C H W).
        mask : Tensor of shape (B, N), optional
            Beside the tokens (B, N, d) of samples: nonzero where there is one. Others do not count, whatever
            they hold.

        Returns
        -------
        Tensor
            A scalar.
        """
        if mask is not None:
            pairs = _real_tokens(x, z, mask, self.metric == "precomputed")
            return torch.stack([self(first[None], second[None]) for first, second in pairs]).mean()
        pair = [check_dense("RTDLoss", name, value) for name, value in (("x", x), ("z", z))]
        first, second = (t.flatten(1) if t.ndim > 3 else t for t in pair)
        return rtd(
            first,
            second,
            metric=self.metric,
            variant=self.variant,
            reduction=self.reduction,
            symmetric=self.symmetric,
            quantile=self.quantile,
            non_finite=self.non_finite,
        ).mean()

    def extra_repr(self) -> str:
        """Return the options."""
        return f"variant={self.variant!r}, reduction={self.reduction!r}, quantile={self.quantile}"


def _real_tokens(
    x: torch.Tensor, z: torch.Tensor, mask: torch.Tensor, matrices: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the real tokens of each sample, or the distances between them."""
    name = "RTDLoss"
    pair = [check_dense(name, argument, value) for argument, value in (("x", x), ("z", z))]
    real = as_mask(name, "mask", mask, "tokens are")
    for argument, value in zip("xz", pair, strict=True):
        if value.ndim != 3 or value.shape[:2] != real.shape or len(value) == 0:
            came = f"has shape {tuple(value.shape)} beside a mask of shape {tuple(real.shape)}"
            raise fail(name, argument, came, "(B, N, d) and (B, N), with B of at least 1")
    empty = (~real.any(1)).nonzero()
    if len(empty):
        raise fail(name, f"mask[{int(empty[0, 0])}]", "has no token", "at least one")
    for sample, kept in enumerate(real):
        first, second = (value[sample][kept.to(value.device)] for value in pair)
        yield (first[:, kept.to(x.device)], second[:, kept.to(z.device)]) if matrices else (first, second)
