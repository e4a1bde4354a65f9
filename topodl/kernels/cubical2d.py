"""Pairing of the pixels of a 2D image: both dimensions from one sort of the saddles alone.

Dimension 1 is dimension 0 of the complement with the other connectivity and one outer node. Cost: O(n) for n
pixels, O(s log s) for s saddles. Pixels are ordered by (value, flat index).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels._compile import kernel
from topodl.kernels._merge_tree import find_root, singletons
from topodl.kernels._radix import ordered_key, radix_argsort

__all__ = ["pair_pixels", "warm_up"]

# The eight neighbours in a circle; bit j of a mask is set where neighbour j comes earlier than the pixel.
_ROWS = np.array([-1, -1, -1, 0, 1, 1, 1, 0])
_COLUMNS = np.array([-1, 0, 1, 1, 1, 0, -1, -1])
_WEST, _NORTH, _EAST, _SOUTH = 0b11000001, 0b00000111, 0b00011100, 0b01110000  # the bits on each side


def _link_components(mask: int, eight_connected: bool) -> list[int]:
    """Return one neighbour of each component of the neighbours in `mask` around a pixel."""
    nodes = [j for j in range(8) if mask >> j & 1 and (eight_connected or j % 2 == 1)]
    component = {j: j for j in nodes}
    for a in nodes:
        for b in nodes:
            step = (b - a) % 8
            corner_between = mask >> ((a + 1) % 8) & 1
            near = step == 1 or (step == 2 and a % 2 == 1 and (eight_connected or corner_between))
            if near and component[a] != component[b]:
                old, new = component[b], component[a]
                component = {j: new if c == old else c for j, c in component.items()}
    # An edge neighbour is the better representative: it is nearer in memory.
    return sorted({c: j for j, c in sorted(component.items(), key=lambda item: item[0] % 2)}.values())


def _link_table() -> Any:
    """Return (2, 256, 5): per connectivity (4, 8) and mask the number of components and their neighbours."""
    table = np.zeros((2, 256, 5), np.int64)
    for eight in (0, 1):
        for mask in range(256):
            components = _link_components(mask, bool(eight))
            table[eight, mask, 0] = len(components)
            table[eight, mask, 1 : 1 + len(components)] = components
    return table


_LINKS = _link_table()


@kernel
def pair_pixels(
    values: Any, bits: Any, height: int, width: int, by_cells: bool, dim0: bool, dim1: bool
) -> Any:
    """Return the pixels (births0, deaths0, births1, deaths1) of all pairs of different values.

    `values` are the pixels, flat and without NaN, `bits` the same memory as signed integers. `by_cells` takes
    pixels as top cells (8-connected), otherwise as vertices (4-connected). The first pair of dimension 0 is
    the essential class; its death is −1.
    """
    masks = _earlier_neighbours(values, height, width)
    lower = _LINKS[1 if by_cells else 0]
    upper = _LINKS[0 if by_cells else 1]
    minima, maxima, saddles = _critical_pixels(masks, by_cells)
    label = np.zeros(values.size, np.int32)
    edges, keys = _saddle_edges(saddles, masks, bits, lower)
    order = radix_argsort(keys)
    births0, deaths0 = np.empty(0, np.int64), np.empty(0, np.int64)
    if dim0:
        _join_lower_basins(edges, masks, minima, lower, label, width)
        births0, deaths0 = _merge_ascending(edges, keys, order, minima, bits)
    births1, deaths1 = np.empty(0, np.int64), np.empty(0, np.int64)
    if dim1:
        label[:] = 0
        _join_upper_basins(edges, masks, maxima, upper, label, height, width)
        births1, deaths1 = _merge_descending(edges, keys, order, maxima, bits)
    return births0, deaths0, births1, deaths1


@kernel
def _earlier_neighbours(values: Any, height: int, width: int) -> Any:
    """Return the mask of each pixel's neighbours that come earlier; those outside the image come later."""
    n = values.size
    masks = np.zeros(n, np.uint8)
    inner = n - 2 * width - 2  # the pixels whose eight flat neighbours are all in memory
    if inner > 0:
        nw, north, ne = values[:inner], values[1 : inner + 1], values[2 : inner + 2]
        west, centre, east = (
            values[width : width + inner],
            values[width + 1 : width + 1 + inner],
            values[width + 2 : width + 2 + inner],
        )
        sw, south, se = values[2 * width :], values[2 * width + 1 :], values[2 * width + 2 :]
        out = masks[width + 1 :]
        for i in range(inner):  # branchless, so that it vectorises
            v = centre[i]
            out[i] = (
                np.uint8(nw[i] <= v)
                | (np.uint8(north[i] <= v) << 1)
                | (np.uint8(ne[i] <= v) << 2)
                | (np.uint8(east[i] < v) << 3)
                | (np.uint8(se[i] < v) << 4)
                | (np.uint8(south[i] < v) << 5)
                | (np.uint8(sw[i] < v) << 6)
                | (np.uint8(west[i] <= v) << 7)
            )
    edge = min(width + 1, n)
    for p in range(edge):
        masks[p] = _mask_with_bounds(values, p, height, width)
    for p in range(max(n - width - 1, edge), n):
        masks[p] = _mask_with_bounds(values, p, height, width)
    for y in range(height):
        masks[y * width] &= np.uint8(~_WEST & 255)
        masks[y * width + width - 1] &= np.uint8(~_EAST & 255)
    return masks


@kernel
def _mask_with_bounds(values: Any, p: int, height: int, width: int) -> Any:
    mask = 0
    for j in range(8):
        y, x = p // width + _ROWS[j], p % width + _COLUMNS[j]
        if 0 <= y < height and 0 <= x < width:
            q = y * width + x
            if values[q] < values[p] or (values[q] == values[p] and q < p):
                mask |= 1 << j
    return np.uint8(mask)


@kernel
def _critical_pixels(masks: Any, by_cells: bool) -> Any:
    """Return the flat indices of minima, maxima and saddles, each in ascending order."""
    n = masks.size
    minima, maxima, saddles = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    n_min = n_max = n_saddle = 0
    kinds = np.zeros(256, np.uint8)
    for mask in range(256):
        if _LINKS[1 if by_cells else 0, mask, 0] == 0:
            kinds[mask] = 1
        elif _LINKS[0 if by_cells else 1, 255 - mask, 0] == 0:
            kinds[mask] = 2
        elif _LINKS[1 if by_cells else 0, mask, 0] > 1:
            kinds[mask] = 4
    n_words = n // 8
    words = masks[: 8 * n_words].view(np.uint64)
    flip = np.uint64(0xFFFF_FFFF_FFFF_FFFF) if by_cells else np.uint64(0)
    for w in range(n_words + 1):
        if w < n_words and not _any_critical(words[w] ^ flip):
            continue
        for p in range(8 * w, min(8 * w + 8, n)):
            kind = kinds[masks[p]]
            minima[n_min] = maxima[n_max] = saddles[n_saddle] = p  # kept only where a counter moves on
            n_min += kind & 1
            n_max += (kind >> 1) & 1
            n_saddle += kind >> 2
    return minima[:n_min].copy(), maxima[:n_max].copy(), saddles[:n_saddle].copy()


@kernel
def _any_critical(word: Any) -> bool:
    """Tell whether any of eight masks (one a byte) has not exactly one component in its 4-connected link."""
    ones = np.uint64(0x0101_0101_0101_0101)
    left = ((word << np.uint64(1)) & (np.uint64(0xFE) * ones)) | ((word >> np.uint64(7)) & ones)
    right = ((word >> np.uint64(1)) & (np.uint64(0x7F) * ones)) | (
        (word << np.uint64(7)) & (np.uint64(0x80) * ones)
    )
    # Components = edge neighbours − corners that join two of them; both are counted byte by byte.
    nodes = (word >> np.uint64(1)) & (np.uint64(0x55) * ones)
    joins = word & left & right & (np.uint64(0x55) * ones)
    nodes = (nodes & (np.uint64(0x11) * ones)) + ((nodes >> np.uint64(2)) & (np.uint64(0x11) * ones))
    joins = (joins & (np.uint64(0x11) * ones)) + ((joins >> np.uint64(2)) & (np.uint64(0x11) * ones))
    nodes = (nodes + (nodes >> np.uint64(4))) & (np.uint64(0x0F) * ones)
    joins = (joins + (joins >> np.uint64(4))) & (np.uint64(0x0F) * ones)
    return nodes != joins + ones


@kernel
def _saddle_edges(saddles: Any, masks: Any, bits: Any, lower: Any) -> Any:
    """Return (edges, keys): per saddle, one edge fewer than its lower link has components.

    An edge is (first basin, second basin, saddle pixel, 1 while it has merged nothing).
    """
    n = 0
    for s in saddles:
        n += lower[masks[s], 0] - 1
    edges = np.empty((n, 4), np.int32)
    keys = np.empty(n, np.int64)
    e = 0
    for s in saddles:
        for _ in range(lower[masks[s], 0] - 1):
            edges[e, 2] = s
            edges[e, 3] = 1
            keys[e] = ordered_key(bits, s)
            e += 1
    return edges, keys


@kernel
def _neighbour_steps(width: int) -> Any:
    return (_ROWS * width + _COLUMNS).astype(np.uint64)  # added modulo 2**64, negative ones too


@kernel
def _root_of(start: int, masks: Any, flip: int, step: Any, label: Any) -> Any:
    """Follow one earlier (flip = 255: later) neighbour after the other to a labelled pixel; label the way."""
    p = np.uint64(start)  # unsigned: Numba need not look for negative indices
    if label[p] != 0:
        return label[p]
    while label[p] == 0:
        p += step[masks[p] ^ np.uint8(flip)]
    found = label[p]
    p = np.uint64(start)
    while label[p] == 0:
        label[p] = found
        p += step[masks[p] ^ np.uint8(flip)]
    return found


@kernel
def _join_lower_basins(edges: Any, masks: Any, minima: Any, lower: Any, label: Any, width: int) -> None:
    """Write to each edge which two minima (numbered from 1) its saddle joins."""
    steps = _neighbour_steps(width)
    first_step = steps[lower[:, 1]]
    for i in range(minima.size):
        label[minima[i]] = i + 1
    previous, k = -1, 0
    for e in range(edges.shape[0]):
        p = edges[e, 2]
        k = k + 1 if p == previous else 1
        previous = p
        link = lower[masks[p]]
        if k == 1:
            edges[e, 0] = _root_of(np.uint64(p) + steps[link[1]], masks, 0, first_step, label)
        else:
            edges[e, 0] = edges[e - 1, 1]
        edges[e, 1] = _root_of(np.uint64(p) + steps[link[k + 1]], masks, 0, first_step, label)


@kernel
def _ends_in_order(edges: Any, order: Any) -> Any:
    """Return the first two columns of `edges` in `order`, apart from the merging, which stalls loads."""
    ends = np.empty((order.size, 2), np.int32)
    for t in range(order.size):
        e = np.uint64(order[t])
        ends[t, 0] = edges[e, 0]
        ends[t, 1] = edges[e, 1]
    return ends


@kernel
def _merge_ascending(edges: Any, keys: Any, order: Any, minima: Any, bits: Any) -> Any:
    """Join minima over the edges in ascending order; the younger dies. Edges that merge lose their mark."""
    n_trees = minima.size
    parent = singletons(n_trees + 1)
    age = np.empty(n_trees + 1, np.int64)
    oldest = 1
    for i in range(n_trees):
        age[i + 1] = ordered_key(bits, minima[i])
        if age[i + 1] < age[oldest]:
            oldest = i + 1
    births, deaths = np.empty(n_trees, np.int64), np.empty(n_trees, np.int64)
    births[0], deaths[0] = minima[oldest - 1], -1
    n_pairs = 1
    ends = _ends_in_order(edges, order)
    for t in range(order.size):
        if n_trees == 1:
            break
        a, b = find_root(parent, ends[t, 0]), find_root(parent, ends[t, 1])
        if a == b:
            continue
        e = order[t]
        if age[b] < age[a] or (age[b] == age[a] and b < a):
            a, b = b, a
        parent[b] = a
        n_trees -= 1
        edges[e, 3] = 0
        if age[b] != keys[e]:
            births[n_pairs], deaths[n_pairs] = minima[b - 1], edges[e, 2]
            n_pairs += 1
    return births[:n_pairs].copy(), deaths[:n_pairs].copy()


@kernel
def _join_upper_basins(
    edges: Any, masks: Any, maxima: Any, upper: Any, label: Any, height: int, width: int
) -> None:
    """Write to each edge that has merged nothing which two maxima it joins; the last is the outside."""
    steps = _neighbour_steps(width)
    first_step = steps[upper[:, 1]]
    outside = maxima.size + 1
    for i in range(maxima.size):
        label[maxima[i]] = i + 1
    for x in range(width):
        label[x] = label[(height - 1) * width + x] = outside
    for y in range(height):
        label[y * width] = label[y * width + width - 1] = outside
    at_border = np.empty(edges.shape[0], np.bool_)
    for e in range(edges.shape[0]):  # before the walks spread the label of the outside
        at_border[e] = label[edges[e, 2]] == outside
    start = 0
    while start < edges.shape[0]:
        p = edges[start, 2]
        stop, waits = start, 0
        while stop < edges.shape[0] and edges[stop, 2] == p:
            waits |= edges[stop, 3]
            stop += 1
        if waits:  # all edges of a saddle or none: those of its lower and of its upper link do not correspond
            link = upper[masks[p] ^ 255]
            for k in range(stop - start + 1):
                j = link[1 + k]
                found = outside
                if not (at_border[start] and _is_outside(p, j, height, width)):
                    found = _root_of(np.uint64(p) + steps[j], masks, 255, first_step, label)
                if k > 0:
                    edges[start + k - 1, 1] = found
                    edges[start + k - 1, 3] = 1
                if start + k < stop:
                    edges[start + k, 0] = found
        start = stop


@kernel
def _is_outside(p: int, j: int, height: int, width: int) -> bool:
    y, x = p // width + _ROWS[j], p % width + _COLUMNS[j]
    return y < 0 or y >= height or x < 0 or x >= width


@kernel
def _merge_descending(edges: Any, keys: Any, order: Any, maxima: Any, bits: Any) -> Any:
    """Join maxima over the marked edges in descending order; the younger dies, the outside never."""
    n_trees = maxima.size + 1
    parent = singletons(n_trees + 1)
    age = np.empty(n_trees + 1, np.int64)
    for i in range(maxima.size):
        age[i + 1] = ordered_key(bits, maxima[i])
    age[n_trees] = np.iinfo(np.int64).max
    births, deaths = np.empty(n_trees, np.int64), np.empty(n_trees, np.int64)
    n_pairs = 0
    waiting = np.empty(order.size, np.int32)
    n_waiting = 0
    for e in order:
        waiting[n_waiting] = e
        n_waiting += edges[e, 3]
    waiting = waiting[:n_waiting]
    ends = _ends_in_order(edges, waiting)
    for t in range(waiting.size - 1, -1, -1):
        if n_trees == 1:
            break
        a, b = find_root(parent, ends[t, 0]), find_root(parent, ends[t, 1])
        if a == b:
            continue
        e = waiting[t]
        if age[b] > age[a] or (age[b] == age[a] and b > a):
            a, b = b, a
        parent[b] = a
        n_trees -= 1
        if age[b] != keys[e]:
            births[n_pairs], deaths[n_pairs] = edges[e, 2], maxima[b - 1]
            n_pairs += 1
    return births[:n_pairs].copy(), deaths[:n_pairs].copy()


def warm_up() -> None:
    """Compile the kernels for float32 and float64."""
    for dtype, integer in ((np.float32, np.int32), (np.float64, np.int64)):
        values = np.arange(9, dtype=dtype)
        pair_pixels(values, values.view(integer), 3, 3, False, True, True)
