"""Features of cells from those of their vertices: sums, means, concatenations, and TopoBench's projection."""

from __future__ import annotations

from typing import Literal

import torch

from topodl._checks import check_choice, check_dense, fail, reject_nan
from topodl._segments import bag_sum
from topodl.complexes.cell_complexes import CellComplexes

__all__ = ["lift_features"]

_NAME = "lift_features"


def lift_features(
    x: torch.Tensor,
    complexes: CellComplexes,
    how: Literal["sum", "mean", "concatenate", "projection"] = "sum",
) -> list[torch.Tensor]:
    """Return features of the cells of each dimension, made of those of their vertices; gradients pass.

    Parameters
    ----------
    x : Tensor of shape (N, F)
        Features of the vertices.
    complexes : CellComplexes
        Of N vertices.
    how : {"sum", "mean", "concatenate", "projection"}
        "sum" and "mean" are over the vertices of a cell. "concatenate" has the features of a simplex's
        vertices in rising order one after the other, (S_k, (k + 1) F). "projection" sums those of the faces,
        from dimension to dimension, as TopoBench's ProjectionSum: a triangle has each of its vertices twice.

    Returns
    -------
    list of Tensor of shape (S_k, F)
        One for each dimension from 0 on; the first is `x`.

    Raises
    ------
    InputError
        If `x` has another shape, `how` is none of those above, or rings are to be concatenated.
    TypeError
        If `x` is no floating-point tensor.

    References
    ----------
    L. Telyatnikov et al., "TopoBench: a framework for benchmarking topological deep learning", 2024.

    Examples
    --------
    >>> import torch
    >>> from topodl.complexes import clique_complexes, lift_features
    >>> triangle = clique_complexes(torch.tensor([[0, 0, 1], [1, 2, 2]]))
    >>> lift_features(torch.tensor([[1.0], [10.0], [100.0]]), triangle)[2]
    tensor([[111.]])
    """
    check_choice(_NAME, "how", how, ("sum", "mean", "concatenate", "projection"))
    x = check_dense(_NAME, "x", x)
    reject_nan(_NAME, "x", x, "no NaN")
    if not x.is_floating_point():
        raise TypeError(f"{_NAME}: x has dtype {x.dtype}; expected floating-point values")
    n = complexes.n_cells(0)
    if x.ndim != 2 or len(x) != n:
        raise fail(_NAME, "x", f"has shape {tuple(x.shape)}", f"shape ({n}, F), a row for each vertex")
    if how == "concatenate" and complexes.has_rings:
        came = f"is {how!r} for rings"
        raise fail(_NAME, "how", came, "another, as rings have no least number of vertices in common")
    features = [x]
    for k in range(1, complexes.dim + 1):
        vertices = complexes.vertices(k)
        if how == "projection":
            features.append(complexes.sum_faces(features[-1], k))
        elif how == "concatenate":
            features.append(x[vertices.table()].flatten(1))
        else:
            sums = bag_sum(x, vertices.bags(n))
            features.append(sums if how == "sum" else sums / vertices.lengths[:, None].to(sums.dtype))
    return features
