"""Filtrations by several parameters as they come: which kind it is, and the checks of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from topodl._checks import as_real, fail, reject_nan
from topodl.complexes.cell_complexes import CellComplexes
from topodl.diagrams import Diagrams

__all__ = ["check_kind", "checked_images", "checked_table", "with_dims"]


def check_kind(
    name: str, x: Any, edge_index: Any, edge_values: Any, batch: Any, n_graphs: Any, function: Any
) -> None:
    """Raise unless the arguments are those of one kind of filtration."""
    if edge_index is not None and function is not None:
        raise fail(name, "function", "is given with edge_index", "clouds or graphs, not both")
    if isinstance(x, CellComplexes) and (edge_index is not None or function is not None):
        raise fail(name, "x", "are complexes", "them alone, which have their cells and values")
    if edge_index is None and any(argument is not None for argument in (edge_values, batch, n_graphs)):
        raise fail(
            name, "edge_index", "is None", "the edges of graphs beside edge_values, batch and n_graphs"
        )


def checked_images(name: str, x: Any, n_parameters: int | None = None) -> torch.Tensor:
    """Return images or volumes whose second axis has the parameters."""
    x = as_real(name, "x", x)
    if x.ndim not in (4, 5) or 0 in x.shape[1:] or n_parameters not in (None, x.shape[1]):
        axes = "P" if n_parameters is None else str(n_parameters)
        expected = (
            f"images (B, {axes}, H, W) or volumes (B, {axes}, D, H, W); graphs with edge_index, "
            "clouds with function"
        )
        raise fail(name, "x", f"has shape {tuple(x.shape)}", expected)
    reject_nan(name, "x", x, "numbers")
    return x


def checked_table(name: str, argument: str, x: Any, n_parameters: int | None = None) -> torch.Tensor:
    """Return the values of vertices or edges, a row each."""
    table = as_real(name, argument, x)
    if table.ndim != 2 or table.shape[1] == 0 or n_parameters not in (None, table.shape[1]):
        rows = "N" if argument == "x" else "E"
        columns = "P" if n_parameters is None else str(n_parameters)
        raise fail(
            name, argument, f"has shape {tuple(table.shape)}", f"one column a parameter, ({rows}, {columns})"
        )
    reject_nan(name, argument, table, "numbers")
    return table


def with_dims(d: Diagrams, homology_dims: Sequence[int]) -> Diagrams:
    """Return the bars of some dimensions; of those that were not computed, since they are empty, none."""
    if tuple(homology_dims) == d.homology_dims:
        return d
    wanted = torch.tensor(homology_dims, device=d.device)
    return d.select(torch.isin(d.dims, wanted))._with(homology_dims=tuple(homology_dims))
