"""Which pixels join regions, or cut one, in a maximum spanning tree of the pixel grid, window by window.

Turaga et al., NIPS 2009; Oner et al., TPAMI 2021. Cost: pixels follow their costliest edges first, so that
of all edges only those between the basins they flow to, and those that join labelled pixels, are sorted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.kernels.shared.arrays import full, zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.merge_tree import find_root
from topodl.kernels.shared.radix import radix_argsort

__all__ = ["separation_weights", "warm_up"]

_FAR = np.float32(20)  # edges whose two labelled distances sum to more are far from the foreground
_NEAR = np.float32(10)  # edges whose labelled distances sum to less are near it
_MIXED = -1  # in place of the label of a component that has several
_LAST = 2**31 - 1
_DOWN, _RIGHT, _LEFT, _UP = range(4)  # which edge of a pixel; the greatest code has the least index


@kernel
def separation_weights(
    distance: NDArray[np.float32],
    label_distance: NDArray[np.float32],
    segments: NDArray[Any],
    window: int,
    weights: NDArray[np.float32],
) -> None:
    """Write the weights of the pixels by way of which regions are joined, and one is joined last.

    Edges join pixels that share a side, cost the sum of their two distances, and are added to the tree by
    (cost, index), the costliest first. Far from the foreground of the label an edge costs 20, whatever the
    prediction is there.

    Parameters
    ----------
    distance : array (H, W)
        Not negative.
    label_distance : array (H, W)
        To the foreground of the label.
    segments : array of integers (H, W)
        Regions, from 1 on within a window; pairs with a pixel of 0 do not count.
    window : int
        Side of the windows, which tile the image from its first pixel; the last ones may be smaller.
    weights : array (2, H, W)
        Gets for each pixel the shares of its edges near the foreground in the window's pairs of different
        regions; and the shares of its edges far from it in the pairs within a region, in a tree without the
        edges near the foreground.
    """
    height, width = distance.shape
    for top in range(0, height, window):
        for left in range(0, width, window):
            bottom, right = min(top + window, height), min(left + window, width)
            stride = right - left + 1  # a column and two rows are added, so that every pixel has four edges
            n = (bottom - top + 2) * stride
            labels, values, label_values = zeros(n, np.int32), full(n, -1e9, np.float32), zeros(n, np.float32)
            for y in range(bottom - top):
                row = (y + 1) * stride
                for x in range(right - left):
                    labels[row + x] = segments[top + y, left + x]
                    values[row + x] = distance[top + y, left + x]
                    label_values[row + x] = label_distance[top + y, left + x]
            costs, labelled = _edge_sums(values, stride), _edge_sums(label_values, stride)
            totals = _count_pairs(labels)
            for k in range(weights.shape[0]):  # not unrolled, which would double the time to compile
                shares = zeros(n, np.float64)
                if totals[k] > 0:
                    keys, kept = _limit(costs, labelled, k == 1)
                    shares = _share_pairs(keys, kept, labels, stride, k == 1)
                for y in range(bottom - top):
                    row, out = shares[(y + 1) * stride :], weights[k, top + y, left:right]
                    for x in range(out.size):
                        out[x] = row[x] * (1 / max(totals[k], 1))


@subroutine
def _limit(costs: Any, labelled: Any, same: bool) -> Any:
    """Return the costs of the first or of the second tree as integers, and the edges that weights come from.

    Costs that are not negative are ordered like their bits.
    """
    limited, kept = np.empty(costs.shape, np.int32), np.empty(costs.shape, np.bool_)
    for axis in range(2):
        for i in range(costs.shape[1]):
            cost, label = costs[axis, i], labelled[axis, i]
            if same:
                limit = np.float32(-1) if label < _NEAR else cost
                keep = label >= _FAR
            else:
                limit = _FAR if label > _FAR else cost
                keep = label < _NEAR
            limited[axis, i] = np.float32(limit).view(np.int32)
            kept[axis, i] = keep & (cost >= 0)
    return limited, kept


@subroutine
def _count_pairs(labels: Any) -> Any:
    """Return how many pairs of labelled pixels have different labels, and how many the same."""
    counts = zeros(_greatest(labels) + 1, np.float64)
    start = 0
    for i in range(1, labels.size + 1):  # run by run
        if i == labels.size or labels[i] != labels[start]:
            counts[labels[start]] += i - start
            start = i
    within, n_labelled = 0.0, labels.size - counts[0]
    for label in range(1, counts.size):
        within += counts[label] * (counts[label] - 1) / 2
    return n_labelled * (n_labelled - 1) / 2 - within, within


@borrowing_subroutine
def _greatest(labels: Any) -> int:
    greatest = labels[0]
    for i in range(labels.size):
        greatest = labels[i] if labels[i] > greatest else greatest
    return greatest


@subroutine
def _edge_sums(values: Any, stride: int) -> Any:
    """Return the sums of each pixel with the next one and with the one below, (2, n)."""
    sums = np.empty((2, values.size), np.float32)
    n = values.size - stride
    right, below = values[1 : n + 1], values[stride:]
    for i in range(n):
        sums[0, i] = values[i] + right[i]
        sums[1, i] = values[i] + below[i]
    for i in range(n, values.size):
        sums[0, i] = sums[1, i] = -1
    return sums


@subroutine
def _share_pairs(keys: Any, kept: Any, labels: Any, stride: int, same: bool) -> Any:
    """Return how many pairs, of one label or of different ones, the kept edges of each pixel join."""
    low, high = _range_that_matters(keys, kept, same)
    if low > high:
        return zeros(labels.size, np.float64)
    first = _first_edges(keys, stride)
    parent = _follow(first, labels, high, stride)
    basin = _follow(first, labels, np.int32(-1), stride) if same else parent
    crossing = _crossing_edges(keys, parent, basin, first, low, stride)
    left = _join_above(keys, parent, crossing, high, stride)
    sort_keys = np.empty(left.size, np.int64)
    for k in range(left.size):
        sort_keys[k] = -np.int64(keys[left[k] & 1, left[k] >> 1])
    return _join_in_order(left, radix_argsort(sort_keys), kept, labels, parent, stride, same)


@borrowing_subroutine
def _range_that_matters(keys: Any, kept: Any, same: bool) -> Any:
    """Return the least and the greatest key of edges whose place in the order matters.

    Edges that come after all kept ones never do; those that come before do where they join labelled pixels
    of the same label, as the sizes of the pieces count.
    """
    low, high = np.int32(_LAST), np.int32(-1)
    for axis in range(2):
        for i in range(keys.shape[1]):
            low = min(low, keys[axis, i] if kept[axis, i] else np.int32(_LAST))
            high = max(high, keys[axis, i] if kept[axis, i] else np.int32(-1))
    return low, np.int32(_LAST - 1) if same else high


@subroutine
def _first_edges(keys: Any, stride: int) -> Any:
    """Return each pixel's first edge in the order: four times its key, plus one of the codes above."""
    n = keys.shape[1]
    first = full(n, -1, np.int64)
    up, left = keys[1, : n - 2 * stride], keys[0, stride - 1 : n - stride - 1]
    right, down = keys[0, stride : n - stride], keys[1, stride : n - stride]
    inner = first[stride:]
    for k in range(up.size):  # without branches; of equal edges the one with the least index
        earlier = max((np.int64(up[k]) << 2) + _UP, (np.int64(left[k]) << 2) + _LEFT)
        later = max((np.int64(right[k]) << 2) + _RIGHT, (np.int64(down[k]) << 2) + _DOWN)
        inner[k] = max(earlier, later)
    return first


@subroutine
def _follow(first: Any, labels: Any, high: Any, stride: int) -> Any:
    """Return where pixels get along first edges that join at once.

    A pixel's first edge is in the tree, and the pixel is alone when it comes. Where the pixel has no label,
    the edge joins no pairs; where it comes before all that matter, nobody asks how many.
    """
    steps = np.array([stride, 1, -1, -stride])
    parent = np.empty(first.size, np.int32)
    for i in range(stride):
        parent[i] = i
        parent[first.size - 1 - i] = first.size - 1 - i
    for i in range(stride, first.size - stride):
        which = first[i] & 3
        to = np.uint64(i + steps[which])
        follows = (first[i] >= 0) & ((labels[i] == 0) | (first[i] >> 2 > high))
        followed = (which >= _LEFT) & (first[to] & 3 == _UP - which)  # the later of two that meet stays
        parent[i] = to if follows & ~followed else i
    for i in range(stride, first.size - stride):
        parent[i] = find_root(parent, i)
    return parent


@subroutine
def _crossing_edges(keys: Any, parent: Any, basin: Any, first: Any, low: Any, stride: int) -> Any:
    """Return the edges from `low` on that may join something, as the pixel times 2 plus the axis.

    An edge within a basin that nobody follows closes a cycle of edges that come earlier.
    """
    n = parent.size - stride
    flags = zeros((n + 7) // 8 * 8, np.uint8)
    for axis in range(2):
        step, onwards, back = (stride, _DOWN, _UP) if axis else (1, _RIGHT, _LEFT)
        other_parent, other_basin, other_first = parent[step:], basin[step:], first[step:]
        row = keys[axis]
        for i in range(n):  # without branches
            apart = basin[i] != other_basin[i]
            followed = (first[i] & 3 == onwards) | (other_first[i] & 3 == back)
            crosses = (row[i] >= low) & (parent[i] != other_parent[i]) & (apart | followed)
            flags[i] |= np.uint8(crosses) << axis
    edges = np.empty(2 * n, np.int32)
    n_edges = 0
    for w in range(flags.size // 8):
        some = np.uint8(0)
        for i in range(8 * w, 8 * w + 8):
            some |= flags[i]
        if some == 0:
            continue  # as most are: eight pixels without an edge
        for i in range(8 * w, 8 * w + 8):
            edges[n_edges] = 2 * i  # kept only where the counter moves on
            n_edges += flags[i] & 1
            edges[n_edges] = 2 * i + 1
            n_edges += flags[i] >> 1
    return edges[:n_edges]


@subroutine
def _join_above(keys: Any, parent: Any, edges: Any, high: Any, stride: int) -> Any:
    """Join the ends of edges above `high`, in any order, and return the other edges."""
    n = 0
    for edge in edges:
        pixel, axis = edge >> 1, edge & 1
        if keys[axis, pixel] > high:
            a, b = find_root(parent, pixel), find_root(parent, pixel + (stride if axis else 1))
            parent[max(a, b)] = min(a, b)
        else:
            edges[n] = edge
            n += 1
    return edges[:n]


@subroutine
def _join_in_order(
    edges: Any, order: Any, kept: Any, labels: Any, parent: Any, stride: int, same: bool
) -> Any:
    shares = zeros(labels.size, np.float64)
    label, count, row, rows, n_left = _read_members(labels, parent)
    for k in order:
        pixel, axis = edges[k] >> 1, edges[k] & 1
        other = pixel + (stride if axis else 1)
        a, b = find_root(parent, pixel), find_root(parent, other)
        if a == b:
            continue
        if count[a] < count[b]:
            a, b = b, a
        parent[b] = a
        if count[b] == 0:
            continue
        pairs = np.float64(count[a]) * count[b]
        if label[a] != label[b] or label[a] == _MIXED:
            within = _join_rows(label, count, row, rows, a, b)
            pairs = within if same else pairs - within
        elif not same:
            pairs = 0.0
        count[a] += count[b]
        if kept[axis, pixel]:
            shares[pixel] += pairs
            shares[other] += pairs
        n_left -= 1
        if n_left == 1:
            break  # nothing else has labelled pixels
    return shares


@subroutine
def _read_members(labels: Any, parent: Any) -> Any:
    """Return what is known of each component by its root, and how many have labelled pixels.

    Its label, -1 if it has several; its labelled pixels; and where it has several labels, the row of an
    array with its pixels of each label.
    """
    label, count = zeros(labels.size, np.int32), zeros(labels.size, np.int32)
    row = zeros(labels.size, np.int32)
    rows = np.empty((labels.size // 2 + 1, _greatest(labels) + 1), np.int32)
    rows[0, 0] = 0  # how many others are in use
    n_components = 0
    for i in range(labels.size):
        if labels[i] == 0:
            continue
        root = find_root(parent, i)
        if count[root] == 0:
            label[root] = labels[i]
            n_components += 1
        elif label[root] != labels[i]:
            _open_row(label, count, row, rows, root)
            rows[row[root], labels[i]] += 1
        count[root] += 1
    return label, count, row, rows, n_components


@borrowing_subroutine
def _open_row(label: Any, count: Any, row: Any, rows: Any, a: int) -> None:
    """Let component a count its pixels by label, if it does not yet."""
    if label[a] == _MIXED:
        return
    rows[0, 0] += 1
    row[a] = rows[0, 0]
    for other in range(rows.shape[1]):
        rows[row[a], other] = 0
    rows[row[a], label[a]] = count[a]
    label[a] = _MIXED


@borrowing_subroutine
def _join_rows(label: Any, count: Any, row: Any, rows: Any, a: int, b: int) -> float:
    """Give component a the counts by label of both, and return the pairs of equal labels between them."""
    _open_row(label, count, row, rows, a)
    if label[b] != _MIXED:
        within = np.float64(rows[row[a], label[b]]) * count[b]
        rows[row[a], label[b]] += count[b]
        return within
    within = 0.0
    for other in range(1, rows.shape[1]):
        within += np.float64(rows[row[a], other]) * rows[row[b], other]
        rows[row[a], other] += rows[row[b], other]
    return within


def warm_up() -> None:
    """Compile the kernel."""
    ones = np.ones((2, 2), np.float32)
    separation_weights(ones, ones, np.ones((2, 2), np.int16), 2, np.empty((2, 2, 2), np.float32))
