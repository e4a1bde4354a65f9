"""Cells given by their vertices, made into tables: sorted, each once, with their faces found."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from topodl._checks import fail
from topodl.complexes._input import Array, names_of_cells
from topodl.kernels.complexes.tables import find_rows, ring_signs

__all__ = ["ClosedTables", "closed_tables", "ring_faces"]


class ClosedTables(NamedTuple):
    """What `CellComplexes` holds, as arrays, and the `orders` that rows of each dimension were sorted by."""

    offsets: list[Array]
    vertices: list[Array | tuple[Array, Array]]
    faces: list[Array | tuple[Array, Array]]
    ring_signs: Array | None
    orders: list[Array]


def closed_tables(
    function: str, n_vertices: Array, simplices: list[Array], rings: tuple[Array, Array] | None
) -> ClosedTables:
    """Return the tables of cells given in any order, or raise the error that names what is wrong."""
    integers = n_vertices.dtype.kind in "iu" or n_vertices.size == 0  # an empty list has no integers
    if n_vertices.ndim != 1 or not integers or (n_vertices < 0).any():
        raise fail(function, "n_vertices", f"is {n_vertices.tolist()}", "one number of vertices a sample")
    n_vertices = n_vertices.astype(np.int64)
    vertex_offsets = np.concatenate(([0], np.cumsum(n_vertices)))
    sample_of = np.repeat(np.arange(len(n_vertices)), n_vertices)
    below = np.arange(len(sample_of))[:, None]
    closed = ClosedTables([vertex_offsets], [], [], None, [below[:, 0]])
    for k, table in enumerate(simplices, 1):
        argument = f"simplices[{k - 1}]"
        if table.ndim != 2 or table.shape[1] != k + 1:
            raise fail(
                function, argument, f"has shape {table.shape}", f"shape (S, {k + 1}) for dimension {k}"
            )
        rows = np.sort(table, axis=1)
        _check_vertices(function, argument, rows, sample_of)
        order = np.lexsort(rows.T[::-1])
        rows = np.ascontiguousarray(rows[order])
        _reject_repeated(function, argument, rows)
        closed.faces.append(_faces(function, argument, rows, below))
        closed.vertices.append(rows)
        closed.orders.append(order)
        closed.offsets.append(np.searchsorted(rows[:, 0], vertex_offsets))
        below = rows
    if rings is None:
        return closed
    if len(simplices) != 1:
        raise fail(
            function, "rings", f"are given beside {len(simplices)} tables", "them beside the edges alone"
        )
    return _with_rings(function, closed, rings, below, sample_of)


def _check_vertices(function: str, argument: str, rows: Array, sample_of: Array) -> None:
    """Raise if a row, which rises, has a vertex that is none, one twice, or some of different samples."""
    if rows.size and not 0 <= rows.min() <= rows.max() < len(sample_of):
        came = f"has vertices {rows.min()} … {rows.max()}"
        raise fail(function, argument, came, f"vertices from 0 to {len(sample_of) - 1}")
    twice = np.flatnonzero((rows[:, 1:] == rows[:, :-1]).any(1))
    if len(twice):
        came = f"has {tuple(rows[twice[0]].tolist())}"
        raise fail(function, argument, came, "cells of different vertices")
    across = np.flatnonzero(sample_of[rows[:, 0]] != sample_of[rows[:, -1]])
    if len(across):
        cell = tuple(rows[across[0]].tolist())
        came = f"has {cell} in samples {sample_of[cell[0]]} and {sample_of[cell[-1]]}"
        raise fail(function, argument, came, "cells within samples")


def _reject_repeated(function: str, argument: str, rows: Array) -> None:
    again = np.flatnonzero((rows[1:] == rows[:-1]).all(1))
    if len(again):
        raise fail(function, argument, f"has {tuple(rows[again[0]].tolist())} twice", "each cell once")


def _faces(function: str, argument: str, rows: Array, below: Array) -> Array:
    """Return where the faces of simplices stand in the table `below`: face j lacks vertex j."""
    faces = np.empty(rows.shape, np.int64)
    for j in range(rows.shape[1]):
        wanted = np.ascontiguousarray(np.delete(rows, j, 1))
        faces[:, j] = find_rows(below, wanted)
        missing = np.flatnonzero(faces[:, j] < 0)
        if len(missing):
            cell, face = (tuple(each[missing[0]].tolist()) for each in (rows, wanted))
            came = f"has {cell} without its face {face}"
            raise fail(
                function, argument, came, f"all faces of a cell among the {names_of_cells(len(face) - 1)}"
            )
    return faces


def _with_rings(
    function: str, closed: ClosedTables, rings: tuple[Array, Array], edges: Array, sample_of: Array
) -> ClosedTables:
    members, offsets = rings
    turned = [_turned(ring) for ring in np.split(members, offsets[1:-1])] if len(offsets) > 1 else []
    for ring in turned:
        if len(ring) < 3:
            raise fail(function, "rings", f"has {tuple(ring)}", "cycles of at least 3 vertices")
        _check_vertices(function, "rings", np.sort(np.array([ring]), axis=1), sample_of)
    order = sorted(range(len(turned)), key=lambda i: (sample_of[turned[i][0]], len(turned[i]), turned[i]))
    ordered = [turned[i] for i in order]
    for ring, following in itertools.pairwise(ordered):
        if ring == following:
            raise fail(function, "rings", f"has {tuple(ring)} twice", "each cell once")
    flat = np.array([v for ring in ordered for v in ring], np.int64)
    starts = np.cumsum([0, *map(len, ordered)])
    faces, signs = ring_faces(flat, starts, edges)
    missing = np.flatnonzero(faces < 0)
    if len(missing):
        broken = tuple(ordered[int(np.searchsorted(starts, missing[0], side="right")) - 1])
        raise fail(function, "rings", f"has {broken} with vertices that no edge joins", "cycles of edges")
    of_samples = np.searchsorted([sample_of[ring[0]] for ring in ordered], np.arange(len(closed.offsets[0])))
    closed.offsets.append(of_samples)
    closed.vertices.append((flat, starts))
    closed.faces.append((faces, starts))
    closed.orders.append(np.array(order, np.int64))
    return closed._replace(ring_signs=signs)


def _turned(ring: Array) -> list[int]:
    """Return a ring from its least vertex on, in the direction of the smaller one beside it."""
    around = np.roll(ring, -int(ring.argmin())) if len(ring) else ring
    if len(around) > 2 and around[1] > around[-1]:
        around = np.concatenate((around[:1], around[:0:-1]))
    turned: list[int] = around.tolist()
    return turned


def ring_faces(members: Array, offsets: Array, edges: Array) -> tuple[Array, Array]:
    """Return the edge (M,) from each vertex of a ring to the next, -1 for none, and its sign (M,), int8.

    `edges` (m, 2) are sorted; a ring runs through an edge with +1 from its smaller end on.
    """
    following = np.arange(1, len(members) + 1)
    following[offsets[1:] - 1] = offsets[:-1]
    pairs = np.sort(np.stack((members, members[following]), 1), axis=1)
    return find_rows(edges, pairs), ring_signs(members, offsets)
