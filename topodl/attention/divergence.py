"""RTD between the attention graphs of two texts, and the mean H0 bar: the scores that judge minimal pairs.

Cherniavskii et al., "Acceptability Judgements via Examining the Topology of Attention Maps", EMNLP 2022.
"""

from __future__ import annotations

from typing import Literal

import torch

import topodl.persistence.rtd as points
from topodl._checks import as_real, check_choice, fail
from topodl._docs import shares_documentation
from topodl._precision import at_least_single
from topodl.attention._combinatorics import symmetrized

__all__ = ["rtd"]

Symmetrization = Literal["upper", "max", "mean", "min"]


@shares_documentation(points.rtd, sections=["References"])
def rtd(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    symmetrize: Symmetrization = "upper",
    variant: Literal["min", "max"] = "max",
    reduction: Literal["sum", "mean"] = "mean",
    symmetric: bool = False,
) -> torch.Tensor:
    """Representation topology divergence between attention maps, head by head, with gradient.

    The maps are undirected weights w and stand for distances 1 - w; for point clouds there is `topodl.rtd`.
    Where two texts differ in length, the last min(n_a, n_b) rows and columns of both are compared, as in the
    paper's code. The defaults are the paper's, not those of `topodl.rtd`.

    Parameters
    ----------
    a, b : Tensor of shape (…, n_a, n_a) and (…, n_b, n_b)
        Attention probabilities with the same leading dimensions, such as (layers, heads).
    symmetrize : {"upper", "max", "mean", "min"}, default="upper"
        Undirected weights: the upper triangle (the paper's code), max(A, Aᵀ) (the paper's text), (A + Aᵀ) / 2
        or min(A, Aᵀ).

    Returns
    -------
    Tensor of shape (…)

    Raises
    ------
    InputError
        If the leading dimensions disagree or a map has NaN or values outside [0, 1].

    Examples
    --------
    >>> import torch
    >>> from topodl.attention import rtd
    >>> a = torch.softmax(torch.randn(6, 12, 9, 9), -1)
    >>> rtd(a, a).abs().max()
    tensor(0.)
    """
    check_choice("rtd", "symmetrize", symmetrize, ("upper", "max", "mean", "min"))
    first, second = as_real("rtd", "a", a), as_real("rtd", "b", b)
    for name, value in (("a", first), ("b", second)):
        if value.ndim < 2 or value.shape[-1] != value.shape[-2] or value.shape[-1] == 0:
            expected = "attention maps of shape (…, n, n); topodl.rtd takes point clouds"
            raise fail("rtd", name, f"has shape {tuple(value.shape)}", expected)
    lead = first.shape[:-2]
    if second.shape[:-2] != lead:
        came = f"has leading dimensions {tuple(second.shape[:-2])}"
        raise fail("rtd", "b", came, f"those of a, {tuple(lead)}")
    n = min(first.shape[-1], second.shape[-1])
    value = points.rtd(
        _as_distances("a", first, n, symmetrize),
        _as_distances("b", second, n, symmetrize),
        metric="precomputed",
        variant=variant,
        reduction=reduction,
        symmetric=symmetric,
    )
    return value.view(lead)


def _as_distances(name: str, maps: torch.Tensor, n: int, symmetrize: str) -> torch.Tensor:
    maps = at_least_single(maps[..., -n:, -n:].reshape(-1, n, n))
    values = maps.detach()
    if not bool(((values >= 0) & (values <= 1 + 1e-2)).all()):
        raise fail("rtd", name, "has NaN or values outside [0, 1]", "attention probabilities")
    distances = (1 - symmetrized(maps, symmetrize)).clamp(min=0)
    return distances * (1 - torch.eye(n, dtype=maps.dtype, device=maps.device))
