"""Complexes to and from GUDHI's simplex trees and TopoNetX: the same cells, in one order, with one sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from topodl._checks import fail
from topodl._host import host_arrays
from topodl.complexes._jagged_cells import JaggedCells
from topodl.complexes._pairing import reject_early_cells
from topodl.complexes.lists import Lists
from topodl.errors import MissingDependencyError

__all__ = ["from_gudhi", "from_toponetx", "to_gudhi", "to_toponetx"]

Cells = TypeVar("Cells", bound=JaggedCells)
_NAME = "CellComplexes"


def to_gudhi(complexes: JaggedCells) -> list[Any]:
    """Write simplex trees, with the values as filtration."""
    from gudhi import SimplexTree

    name = f"{_NAME}.to_gudhi"
    _reject_directed(name, complexes)
    if complexes.has_rings:
        raise fail(name, "the complexes", "have rings", "simplices, as a simplex tree has no other cells")
    if complexes.has_values and complexes.values(0).ndim > 1:
        came = f"have {complexes.values(0).shape[1]} filtrations"
        raise fail(name, "the complexes", came, "one, as in with_values(values[:, f])")
    if complexes.has_values:  # a tree would lower the values of faces
        rising = host_arrays(name, [complexes.values(k).double() for k in range(complexes.dim + 1)])
        reject_early_cells(name, complexes, rising)
    trees = []
    for each in complexes:
        tree = SimplexTree()
        for k in range(each.dim + 1):
            vertices = each.vertices(k).table().cpu().numpy().T
            values = np.zeros(vertices.shape[1])
            if each.has_values:
                values = each.values(k).detach().double().cpu().numpy()
            tree.insert_batch(np.ascontiguousarray(vertices), values)
        trees.append(tree)
    return trees


def _reject_directed(name: str, complexes: JaggedCells) -> None:
    if complexes.is_directed:
        came = "have directions"
        raise fail(name, "the complexes", came, "simplices that are sets of vertices, as of clique_complexes")


def from_gudhi(cls: type[Cells], trees: Any) -> Cells:
    """Read simplex trees, with their filtration as values."""
    several = trees if isinstance(trees, Sequence) else [trees]
    simplices, values = [], []
    for i, tree in enumerate(several):
        if not hasattr(tree, "get_simplices"):
            came = f"is a {type(tree).__name__}"
            raise fail(f"{_NAME}.from_gudhi", f"trees[{i}]", came, "a gudhi.SimplexTree")
        pairs = list(tree.get_simplices())
        simplices.append([simplex for simplex, _ in pairs])
        values.append([value for _, value in pairs])
    return _from_simplices(cls, simplices, values)


def _from_simplices(
    cls: type[Cells], samples: Sequence[list[Any]], values: Sequence[list[float]] | None
) -> Cells:
    """Return the complexes of simplices whose vertices, in rising order, are numbered anew from 0."""
    top = max((len(simplex) for simplices in samples for simplex in simplices), default=1) - 1
    rows: list[list[Any]] = [[] for _ in range(top + 1)]
    numbers: list[list[float]] = [[] for _ in range(top + 1)]
    sizes: list[int] = []
    for i, simplices in enumerate(samples):
        vertices = sorted(simplex[0] for simplex in simplices if len(simplex) == 1)
        place = {vertex: sum(sizes) + at for at, vertex in enumerate(vertices)}
        for at, simplex in enumerate(simplices):
            rows[len(simplex) - 1].append([place[vertex] for vertex in simplex])
            numbers[len(simplex) - 1].append(values[i][at] if values is not None else 0.0)
        sizes.append(len(vertices))
    tables = [_table(row, k + 1) for k, row in enumerate(rows)]
    if values is None:
        return cls(sizes, tables[1:])  # type: ignore[call-arg]
    by_vertex = np.argsort(tables[0][:, 0].numpy())
    given = [torch.tensor(each, dtype=torch.float64, device="cpu") for each in numbers]
    return cls(sizes, tables[1:], values=[given[0][by_vertex], *given[1:]])  # type: ignore[call-arg]


def _table(rows: list[Any], width: int) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int64, device="cpu").reshape(-1, width)


def to_toponetx(complexes: JaggedCells) -> list[Any]:
    """Write simplicial complexes, or cell complexes where there are rings."""
    _reject_directed(f"{_NAME}.to_toponetx", complexes)
    toponetx = _toponetx(f"{_NAME}.to_toponetx")
    found = []
    for each in complexes:
        cells = [row.tolist() for k in range(each.dim + 1) for row in each.vertices(k).numpy()]
        if not each.has_rings:
            found.append(toponetx.SimplicialComplex(cells))
            continue
        written = toponetx.CellComplex()
        for cell in cells:
            if len(cell) == 1:
                written.add_node(cell[0])
            elif len(cell) == 2:
                written.add_edge(*cell)
            else:
                written.add_cell(cell, rank=2)
        found.append(written)
    return found


def from_toponetx(cls: type[Cells], complexes: Any) -> Cells:
    """Read simplicial complexes, or cell complexes of dimension 2."""
    toponetx = _toponetx(f"{_NAME}.from_toponetx")
    several = list(complexes) if isinstance(complexes, list | tuple) else [complexes]
    if all(isinstance(each, toponetx.SimplicialComplex) for each in several):
        return _from_simplices(
            cls,
            [
                [sorted(simplex) for k in range(each.dim + 1) for simplex in each.skeleton(k)]
                for each in several
            ],
            None,
        )
    if not all(isinstance(each, toponetx.CellComplex) for each in several):
        kinds = ", ".join(sorted({type(each).__name__ for each in several}))
        came = f"are of {kinds}"
        raise fail(
            f"{_NAME}.from_toponetx", "complexes", came, "SimplicialComplex alone, or CellComplex alone"
        )
    sizes: list[int] = []
    edges: list[list[int]] = []
    rings: list[list[int]] = []
    for each in several:
        place = {vertex: sum(sizes) + at for at, vertex in enumerate(sorted(each.nodes))}
        edges += [[place[u], place[v]] for u, v in each.edges]
        rings += [[place[vertex] for vertex in cell.elements] for cell in each.cells]
        sizes.append(len(place))
    members = torch.tensor([v for ring in rings for v in ring], dtype=torch.int64, device="cpu")
    offsets = torch.tensor([0, *map(len, rings)], dtype=torch.int64, device="cpu").cumsum(0)
    return cls(sizes, [_table(edges, 2)], rings=Lists(members, offsets))  # type: ignore[call-arg]


def _toponetx(function: str) -> Any:
    try:
        import toponetx
    except ImportError as error:
        raise MissingDependencyError("toponetx", extra="interop", purpose=function) from error
    return toponetx
