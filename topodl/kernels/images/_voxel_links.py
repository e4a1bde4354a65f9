"""Tables of the link of a voxel: an octahedron of 6 axis neighbours, 12 squares and 8 cubes.

A lower link is a word of 6 bits of corners, 12 of edges and 8 of triangles; the 12 decide all components.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine

# The link of a voxel is an octahedron: 6 corners (axis neighbours), 12 edges (squares), 8 triangles (cubes).
# The 26 neighbours are listed in that order; a bit of a link may be set only where those of its faces are.
OFFSETS = np.array(sorted(itertools.product((-1, 0, 1), repeat=3), key=np.count_nonzero))[1:]
_CORNERS, _EDGES, _TRIANGLES = OFFSETS[:6], OFFSETS[6:18], OFFSETS[18:]


def _index_of(offset: Any, among: Any) -> int:
    return int(np.flatnonzero((among == offset).all(axis=1))[0])


def _parts(offset: Any) -> list[Any]:
    """Return the axis steps that add up to `offset`."""
    return [np.where(np.arange(3) == axis, offset, 0) for axis in range(3) if offset[axis]]


EDGE_ENDS = np.array([[_index_of(p, _CORNERS) for p in _parts(o)] for o in _EDGES])
_TRIANGLE_EDGES = np.array([[_index_of(o - p, _EDGES) for p in _parts(o)] for o in _TRIANGLES])
# The word of a voxel of the border: regular, with a bit that no other word has when it is made.
OUTSIDE = 1 << 29 | 1
# Bits of the seven neighbours in the octant of each triangle, and of those that have a corner, or an edge, as
# a face.
OCTANTS = np.array(
    [sum(1 << j for j, p in enumerate(OFFSETS) if ((p == 0) | (p == o)).all()) for o in _TRIANGLES]
)
COFACES = np.array(
    [
        sum(1 << j for j, p in enumerate(OFFSETS) if j != i and ((o == 0) | (p == o)).all())
        for i, o in enumerate(OFFSETS[:18])
    ]
)


def _spread_labels(n: int, pairs: Any, joined: Any) -> Any:
    """Return (4096, n): the smallest node that the `pairs` that are `joined` connect to each node."""
    label = np.tile(np.arange(n), (4096, 1))
    for _ in range(n):
        for (a, b), present in zip(pairs, joined.T, strict=True):
            low = np.minimum(label[:, a], label[:, b])
            for node in (a, b):
                label[:, node] = np.where(present, low, label[:, node])
    return label


def _shortest_paths(present: Any, label: Any) -> Any:
    """Return (4096, 6): the edges (bits) of a shortest path from each corner to the one that labels it."""
    paths = np.zeros((4096, 6), np.uint16)
    reached = label == np.arange(6)
    for _ in range(5):
        before = reached.copy()
        for e, (a, b) in enumerate(EDGE_ENDS):
            for near, far in ((a, b), (b, a)):
                new = present[:, e] & before[:, near] & ~reached[:, far]
                paths[new, far] = paths[new, near] | np.uint16(1 << e)
                reached[new, far] = True
    return paths


def _first_edges(paths: Any) -> Any:
    """Return (4096, 6): the edge of the path from each corner that touches this corner, 255 for no path."""
    first = np.full((4096, 6), 255, np.uint8)
    for e, ends in enumerate(EDGE_ENDS):
        for corner in ends:
            first[paths[:, corner] >> e & 1 == 1, corner] = e
    return first


_PRESENT = (np.arange(4096)[:, None] >> np.arange(12) & 1).astype(bool)
_SIDES = [np.flatnonzero(np.any(e == _TRIANGLE_EDGES, axis=1)) for e in range(12)]
# By the edges in a link (12 bits): components of its corners, and of its triangles across missing edges (what
# the link leaves open); bits of the nodes that name a component; paths to the naming corner.
CORNER_LABELS = _spread_labels(6, EDGE_ENDS, _PRESENT).astype(np.uint8)
TRIANGLE_LABELS = _spread_labels(8, _SIDES, ~_PRESENT).astype(np.uint8)
CORNER_NAMES = ((np.arange(6) == CORNER_LABELS) << np.arange(6)).sum(axis=1).astype(np.uint8)
TRIANGLE_NAMES = ((np.arange(8) == TRIANGLE_LABELS) << np.arange(8)).sum(axis=1).astype(np.uint8)
PATHS = _shortest_paths(_PRESENT, CORNER_LABELS)
# The other end of an edge, by edge and corner; the first edge of the path of a corner, 255 where it names
# itself.
OPPOSITE_ENDS = np.full((12, 6), 255, np.uint8)
for _e, (_a, _b) in enumerate(EDGE_ENDS):
    OPPOSITE_ENDS[_e, [_a, _b]] = _b, _a
PATH_STARTS = _first_edges(PATHS)
TRIANGLE_EDGE_MASKS = (1 << _TRIANGLE_EDGES).sum(axis=1)
# Position of the only set bit of a word, by the word modulo 67: the powers of two differ there.
_BIT_OF = np.zeros(67, np.uint8)
_BIT_OF[[pow(2, b, 67) for b in range(64)]] = np.arange(64)


@borrowing_subroutine
def lowest_bit(word: Any) -> Any:
    """Return the position of the lowest set bit of a non-zero uint64."""
    return np.int64(_BIT_OF[(word & (~word + np.uint64(1))) % np.uint64(67)])
