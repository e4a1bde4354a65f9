"""How many pairs of pixels each edge of a maximum spanning tree joins: MALIS, window by window.

Turaga et al., NIPS 2009; Oner et al., TPAMI 2021. Edges join pixels that share a side, cost the sum of
their two values, and are ordered by (cost, index). Cost: one radix sort and one union-find a window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels._compile import kernel
from topodl.kernels._radix import radix_argsort
from topodl.kernels.union_find import find_root

__all__ = ["pair_weights", "warm_up"]


@kernel
def pair_weights(
    costs: NDArray[np.float32], segments: NDArray[Any], counted: NDArray[np.bool_], window: int, same: bool
) -> NDArray[np.float64]:
    """Return the share of a window's pairs that each pixel's edges join in a maximum spanning tree.

    Parameters
    ----------
    costs : array (2, H, W)
        Of the edge from each pixel to the next along x, and along y; -1 for edges that come last, whose
        weights nobody asks for.
    segments : array of integers (H, W)
        From 1 on within a window; pairs with a pixel of 0 do not count.
    counted : array of booleans (2, H, W)
        Edges whose weight is kept; the others count in the sum alone.
    window : int
        Side of the windows, which tile the image from its first pixel; the last ones may be smaller.
    same : bool
        Whether pairs within a segment count, or pairs of different segments.

    Returns
    -------
    array (H, W)
        The sum of the weights of a pixel's edges.
    """
    _, height, width = costs.shape
    weights = np.zeros((height, width))
    for top in range(0, height, window):
        for left in range(0, width, window):
            bottom, right = min(top + window, height), min(left + window, width)
            _weigh_window(
                costs[:, top:bottom, left:right],
                segments[top:bottom, left:right],
                counted[:, top:bottom, left:right],
                weights[top:bottom, left:right],
                same,
            )
    return weights


@kernel
def _weigh_window(costs: Any, segments: Any, counted: Any, weights: Any, same: bool) -> None:
    height, width = segments.shape
    labels, sizes = np.empty(height * width, np.int32), np.ones(height * width, np.int32)
    parent = np.empty(height * width, np.int32)
    for y in range(height):
        for x in range(width):
            i = y * width + x
            labels[i], parent[i] = segments[y, x], i
    n_segments = max(labels) + 1
    members = np.zeros((height * width, n_segments), np.int32)  # of each component, by segment; 0: all
    for i in range(height * width):
        members[i, 0] = labels[i] > 0
        members[i, labels[i]] = labels[i] > 0
    total = _count_pairs(labels, n_segments, same)
    if total == 0:
        return
    edges, keys = _collect_edges(costs, counted)
    shares = np.zeros(height * width)
    n_joins = height * width - 1
    for k in radix_argsort(keys):
        pixel = edges[k] >> 2
        other = pixel + (width if edges[k] & 1 else 1)
        a, b = find_root(parent, pixel), find_root(parent, other)
        if a == b:
            continue
        if sizes[a] < sizes[b]:
            a, b = b, a
        parent[b] = a
        sizes[a] += sizes[b]
        pairs = _join(members, labels, a, b, same)
        if edges[k] & 2:
            shares[pixel] += pairs
            shares[other] += pairs
        n_joins -= 1
        if n_joins == 0:
            break
    for y in range(height):
        for x in range(width):
            weights[y, x] = shares[y * width + x] / total


@kernel
def _join(members: Any, labels: Any, a: int, b: int, same: bool) -> float:
    """Add the members of component b to a and return how many pairs of the wanted kind that joins.

    `labels` has the only segment of a component, 0 if it has none and -1 if it has several.
    """
    n_a, n_b = np.float64(members[a, 0]), np.float64(members[b, 0])
    if labels[b] == 0:
        return 0.0
    within = 0.0
    if labels[b] > 0:
        within = n_b * members[a, labels[b]]
        members[a, labels[b]] += members[b, labels[b]]
    else:
        for label in range(1, members.shape[1]):
            within += np.float64(members[a, label]) * members[b, label]
            members[a, label] += members[b, label]
    members[a, 0] += members[b, 0]
    if labels[a] == 0:
        labels[a] = labels[b]
    elif labels[a] != labels[b]:
        labels[a] = -1
    return within if same else n_a * n_b - within


@kernel
def _count_pairs(labels: Any, n_segments: int, same: bool) -> float:
    counts = np.zeros(n_segments)
    for label in labels:
        counts[label] += 1
    within, n_labelled = 0.0, len(labels) - counts[0]
    for label in range(1, n_segments):
        within += counts[label] * (counts[label] - 1) / 2
    return within if same else n_labelled * (n_labelled - 1) / 2 - within


@kernel
def _collect_edges(costs: Any, counted: Any) -> Any:
    """Return the edges of a window, and keys that put the costliest first.

    An edge is its pixel times 4, plus 2 if its weight is kept, plus its axis.
    """
    _, height, width = costs.shape
    edges, keys = np.empty(2 * height * width, np.int32), np.empty(2 * height * width, np.int64)
    n = 0
    for y in range(height):
        for x in range(width):
            for axis in range(2):
                inside = x + 1 < width if axis == 0 else y + 1 < height
                if inside and costs[axis, y, x] >= 0:
                    edges[n] = 4 * (y * width + x) + 2 * counted[axis, y, x] + axis
                    keys[n] = -np.int64(np.float32(costs[axis, y, x]).view(np.int32))
                    n += 1
    return edges[:n], keys[:n]


def warm_up() -> None:
    """Compile the kernel."""
    costs = np.ones((2, 2, 2), np.float32)
    pair_weights(costs, np.ones((2, 2), np.int16), np.ones((2, 2, 2), bool), 2, True)
