"""Features of the cells of complexes, checked: one table a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from topodl._checks import check_dense, fail
from topodl._graph_input import check_features
from topodl._host import reject_mapped
from topodl.complexes.cell_complexes import CellComplexes

__all__ = ["check_cells", "check_complexes"]


def check_complexes(name: str, complexes: Any, least_dim: int) -> CellComplexes:
    """Return `complexes` if they have cells up to a dimension, or say what they are."""
    if not isinstance(complexes, CellComplexes):
        raise TypeError(f"{name}: complexes is a {type(complexes).__name__}; expected CellComplexes")
    if complexes.dim < least_dim:
        came = f"have dimensions up to {complexes.dim}"
        raise fail(name, "complexes", came, f"them up to {least_dim} at least")
    return complexes


def check_cells(
    layer: torch.nn.Module, features: Any, complexes: Any, in_features: int, max_dim: int
) -> tuple[list[torch.Tensor], CellComplexes]:
    """Return a table (n_cells(k), in_features) for each dimension up to `max_dim`, and the complexes."""
    name = type(layer).__name__
    complexes = check_complexes(name, complexes, max_dim)
    if not isinstance(features, Sequence) or len(features) != max_dim + 1:
        came = (
            f"has {len(features)} tables"
            if isinstance(features, Sequence)
            else f"is a {type(features).__name__}"
        )
        raise fail(
            name, "features", came, f"a table (n_cells(k), F) for each dimension k from 0 to {max_dim}"
        )
    tables = []
    for k, x in enumerate(features):
        argument = f"features[{k}]"
        x = check_dense(name, argument, x)
        reject_mapped(name, argument, x)
        check_features(name, argument, x, in_features, layer)
        if len(x) != complexes.n_cells(k):
            came = f"has {len(x)} rows"
            raise fail(name, argument, came, f"one for each of {complexes.n_cells(k)} cells of dimension {k}")
        tables.append(x)
    return tables, complexes
