"""Pairing of the pixels of a 2D image: both dimensions from one sort of the saddles alone.

Dimension 1 is dimension 0 of the complement with the other connectivity and one outer node. Cost: O(n) for n
pixels, O(s log s) for s saddles. Pixels are ordered by (value, flat index).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import zeros
from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.merge_tree import find_root, singletons
from topodl.kernels.shared.radix import ordered_keys_at, radix_argsort

__all__ = ["pair_pixels", "warm_up"]

# The eight neighbours in a circle; bit j of a mask is set where neighbour j comes earlier than the pixel.
_ROWS = np.array([-1, -1, -1, 0, 1, 1, 1, 0])
_COLUMNS = np.array([-1, 0, 1, 1, 1, 0, -1, -1])
_WEST, _NORTH, _EAST, _SOUTH = 0b11000001, 0b00000111, 0b00011100, 0b01110000  # the bits on each side
_DENSE = 16  # one edge in so many pixels makes walking from each of them slower than sweeping over all
_NEVER = np.iinfo(np.int64).max
_EARLIER, _LATER = np.uint8(0), np.uint8(255)  # what turns a mask of earlier neighbours into either
_EDGES, _CORNERS = np.uint8(0b10101010), np.uint8(0b01010101)


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
    images: Any,
    bits: Any,
    height: int,
    width: int,
    by_cells: bool,
    dim0: bool,
    dim1: bool,
    first: int,
) -> Any:
    """Return (bars, whether a value is NaN): the pairs of pixels of different values, none where one is NaN.

    `images` are the pixels (B, n), `bits` the same memory as signed integers. `by_cells` takes pixels as top
    cells (8-connected), otherwise as vertices (4-connected). The rows of `bars` (4, P) are the sample, which
    counts from `first`, dimension, birth and death pixel; the first bar of dimension 0 in a sample is the
    essential class, of death −1.
    """
    if len(images) == 1:
        return _pair_image(images[0], bits[0], height, width, by_cells, dim0, dim1, first)
    table, n = np.empty((4, 0), np.int64), 0
    for i in range(len(images)):
        bars, has_nan = _pair_image(images[i], bits[i], height, width, by_cells, dim0, dim1, first + i)
        if has_nan:
            return bars, True
        if n + bars.shape[1] > table.shape[1]:
            table = _columns(table, n, 2 * (n + bars.shape[1]))
        for row in range(4):
            for j in range(bars.shape[1]):
                table[row, n + j] = bars[row, j]
        n += bars.shape[1]
    return _columns(table, n, n), False


@subroutine
def _columns(table: Any, n: int, room: int) -> Any:
    """Return a table with `room` columns, the first `n` those of `table`."""
    wider = np.empty((table.shape[0], room), table.dtype)
    for row in range(table.shape[0]):
        for j in range(n):
            wider[row, j] = table[row, j]
    return wider


@subroutine
def _pair_image(
    values: Any,
    bits: Any,
    height: int,
    width: int,
    by_cells: bool,
    dim0: bool,
    dim1: bool,
    sample: int,
) -> Any:
    """Return what `pair_pixels` does, of one image."""
    none = zeros(0, np.int64)
    if _has_nan(values):
        return _bars(sample, none, none, none, none), True
    masks = _earlier_neighbours(values, height, width)
    lower = _LINKS[1 if by_cells else 0]
    upper = _LINKS[0 if by_cells else 1]
    minima, maxima, saddles = _critical_pixels(masks, by_cells)
    edges, keys = _saddle_edges(saddles, ordered_keys_at(bits, saddles), masks, lower)
    order = radix_argsort(keys)
    births0, deaths0, births1, deaths1 = none, none, none, none
    if dim0:
        label = zeros(values.size, np.int32)
        _join_lower_basins(edges, masks, minima, lower, label, width)
        births0, deaths0 = _merge_ascending(edges, keys, order, minima, ordered_keys_at(bits, minima))
    if dim1:
        label = zeros(values.size, np.int32)
        _join_upper_basins(edges, masks, maxima, upper, label, height, width)
        births1, deaths1 = _merge_descending(edges, keys, order, maxima, ordered_keys_at(bits, maxima))
    return _bars(sample, births0, deaths0, births1, deaths1), False


@borrowing_subroutine
def _has_nan(values: Any) -> bool:
    n = 0
    for i in range(values.size):  # to the end, so that it vectorises
        n += values[i] != values[i]
    return n > 0


@subroutine
def _bars(sample: int, births0: Any, deaths0: Any, births1: Any, deaths1: Any) -> Any:
    n = births0.size
    bars = np.empty((4, n + births1.size), np.int64)
    for i in range(bars.shape[1]):
        bars[0, i] = sample
        bars[1, i] = i >= n
    for i in range(n):
        bars[2, i], bars[3, i] = births0[i], deaths0[i]
    for i in range(births1.size):
        bars[2, n + i], bars[3, n + i] = births1[i], deaths1[i]
    return bars


@subroutine
def _earlier_neighbours(values: Any, height: int, width: int) -> Any:
    """Return the mask of each pixel's neighbours that come earlier; those outside the image come later."""
    n = values.size
    masks = zeros(n, np.uint8)
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
    edge = width + 1 if width < n else n
    for p in range(edge):
        masks[p] = _mask_with_bounds(values, p, height, width)
    for p in range(edge + inner if inner > 0 else edge, n):
        masks[p] = _mask_with_bounds(values, p, height, width)
    for y in range(height):
        masks[y * width] &= np.uint8(~_WEST & 255)
        masks[y * width + width - 1] &= np.uint8(~_EAST & 255)
    return masks


@borrowing_subroutine
def _mask_with_bounds(values: Any, p: int, height: int, width: int) -> Any:
    mask, row = 0, p // width
    column = p - row * width
    for j in range(8):
        y, x = row + _ROWS[j], column + _COLUMNS[j]
        if 0 <= y < height and 0 <= x < width:
            q = y * width + x
            if values[q] < values[p] or (values[q] == values[p] and q < p):
                mask |= 1 << j
    return np.uint8(mask)


@subroutine
def _critical_pixels(masks: Any, by_cells: bool) -> Any:
    """Return the flat indices of minima, maxima and saddles, each in ascending order."""
    kinds = _kinds(masks, by_cells)
    room = masks.size + 1
    minima, maxima, saddles = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    n_min = n_max = n_saddle = np.uint64(0)  # unsigned: Numba need not look for negative indices
    for w in range(kinds.size // 8):
        some = np.uint8(0)
        for i in range(8):
            some |= kinds[8 * w + i]
        if some == 0:
            continue  # as most are: eight regular pixels
        for i in range(8):
            p = np.uint64(8 * w + i)
            minima[n_min] = maxima[n_max] = saddles[n_saddle] = p  # kept only where a counter moves on
            kind = np.uint64(kinds[p])
            n_min += kind & np.uint64(1)
            n_max += (kind >> np.uint64(1)) & np.uint64(1)
            n_saddle += kind >> np.uint64(2)
    return minima[:n_min], maxima[:n_max], saddles[:n_saddle]


@subroutine
def _kinds(masks: Any, by_cells: bool) -> Any:
    """Return 1 for each minimum, 2 for each maximum, 4 for each saddle, else 0, and zeros up to a whole word.

    The 4-connected link (the upper one if `by_cells`) has as many components as edge neighbours, less the
    corners that join two of them. Bit operations on bytes vectorise.
    """
    kinds = zeros((masks.size + 7) // 8 * 8, np.uint8)
    flip, if_empty, if_full = (np.uint8(0), np.uint8(1), np.uint8(2))
    if by_cells:
        flip, if_empty, if_full = np.uint8(255), np.uint8(2), np.uint8(1)
    for p in range(masks.size):
        link = np.uint8(masks[p] ^ flip)
        left, right = np.uint8((link << 1) | (link >> 7)), np.uint8((link >> 1) | (link << 7))
        edges = _count_even_bits((link & _EDGES) >> 1)
        joins = _count_even_bits((link & _CORNERS) & left & right)
        kinds[p] = (
            np.uint8(np.uint8(edges == 0) * if_empty)
            | np.uint8(np.uint8(link == 255) * if_full)
            | np.uint8(np.uint8(edges > np.uint8(joins + 1)) * np.uint8(4))
        )
    return kinds


@borrowing_subroutine
def _count_even_bits(byte: Any) -> Any:
    pairs = np.uint8((byte & 0x11) + ((byte >> 2) & 0x11))
    return np.uint8((pairs + (pairs >> 4)) & 0x0F)


@subroutine
def _saddle_edges(saddles: Any, levels: Any, masks: Any, lower: Any) -> Any:
    """Return (edges, keys): per saddle, one edge fewer than its lower link has components.

    An edge is (first basin, second basin, saddle pixel, 1 while it has merged nothing). `levels` are the
    ordered keys of the saddles.
    """
    n = 0
    for s in saddles:
        n += lower[masks[np.uint64(s)], 0] - 1
    edges = np.empty((n, 4), np.int32)
    keys = np.empty(n, np.int64)
    e = np.uint64(0)
    for i in range(saddles.size):
        p = np.uint64(saddles[i])
        more = lower[masks[p], 0] - 1
        while more > 0:
            edges[e, 2], edges[e, 3] = saddles[i], 1
            keys[e] = levels[i]
            e += np.uint64(1)
            more -= 1
    return edges, keys


@subroutine
def _neighbour_steps(width: int) -> Any:
    steps = np.empty(8, np.uint64)  # added modulo 2**64, negative ones too
    for j in range(8):
        steps[j] = np.uint64(_ROWS[j] * width + _COLUMNS[j])
    return steps


@subroutine
def _first_steps(links: Any, width: int) -> Any:
    """Return the step to one neighbour in the link, by mask; 0 where the link is empty."""
    steps, first = _neighbour_steps(width), zeros(256, np.uint64)
    for mask in range(256):
        if links[mask, 0] > 0:
            first[mask] = steps[links[mask, 1]]
    return first


@borrowing_subroutine
def _root_of(start: int, masks: Any, flip: Any, step: Any, label: Any) -> Any:
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


@subroutine
def _sweep_labels(masks: Any, flip: Any, step: Any, label: Any, width: int) -> None:
    """Label nearly every pixel by two sweeps: faster than to walk from each saddle where there are many."""
    n = masks.size
    ahead = np.empty(n, np.uint32)
    for i in range(n):
        p = np.uint64(i)
        ahead[p] = p + step[masks[p] ^ np.uint8(flip)]
    for start, stride in ((0, 1), (n - width, 1), (0, width), (width - 1, width)):
        for k in range(width if stride == 1 else n // width):
            p = np.uint64(start + k * stride)
            if label[p] != 0:
                ahead[p] = p  # the step may lead outside
    for i in range(n):  # no branches: whether a pixel has a label cannot be predicted
        p = np.uint64(i)
        ahead[p] = ahead[ahead[p]]
    for i in range(n - 1, -1, -1):
        p = np.uint64(i)
        label[p] = label[ahead[ahead[p]]]


@subroutine
def _join_lower_basins(edges: Any, masks: Any, minima: Any, lower: Any, label: Any, width: int) -> None:
    """Write to each edge which two minima (numbered from 1) its saddle joins."""
    steps, first_step = _neighbour_steps(width), _first_steps(lower, width)
    for i in range(minima.size):
        label[np.uint64(minima[i])] = i + 1
    if edges.shape[0] > masks.size // _DENSE:
        _sweep_labels(masks, _EARLIER, first_step, label, width)
    previous, k = -1, 0
    for e in range(edges.shape[0]):
        p = edges[e, 2]
        k = k + 1 if p == previous else 1
        previous = p
        link = lower[masks[np.uint64(p)]]
        if k == 1:
            edges[e, 0] = _root_of(np.uint64(p) + steps[link[1]], masks, _EARLIER, first_step, label)
        else:
            edges[e, 0] = edges[e - 1, 1]
        edges[e, 1] = _root_of(np.uint64(p) + steps[link[k + 1]], masks, _EARLIER, first_step, label)


@subroutine
def _ends_in_order(edges: Any, order: Any) -> Any:
    """Return the first two columns of `edges` in `order`, apart from the merging, which stalls loads."""
    ends = np.empty((order.size, 2), np.int32)
    for t in range(order.size):
        e = np.uint64(order[t])
        ends[t, 0] = edges[e, 0]
        ends[t, 1] = edges[e, 1]
    return ends


@subroutine
def _merge(ends: Any, age: Any) -> Any:
    """Join the trees at the `ends` of each edge in turn; return the roots that die and the edges that kill.

    The root of less age lives on, of equal ages the first. No branch depends on the outcome of a merge.
    """
    parent = singletons(age.size)
    dying, killer = np.empty(age.size, np.int32), np.empty(age.size, np.int32)
    n = np.uint64(0)
    for t in range(ends.shape[0]):
        if n == np.uint64(age.size - 2):
            break
        a, b = find_root(parent, ends[t, 0]), find_root(parent, ends[t, 1])
        swap = (age[b] < age[a]) | ((age[b] == age[a]) & (b < a))
        elder, younger = (b, a) if swap else (a, b)
        parent[younger] = elder
        dying[n], killer[n] = younger, t
        n += np.uint64(elder != younger)
    return dying[:n], killer[:n]


@subroutine
def _merge_ascending(edges: Any, keys: Any, order: Any, minima: Any, levels: Any) -> Any:
    """Join minima, of keys `levels`, over the edges in ascending order; the younger dies.

    Edges that merge lose their mark.
    """
    age = np.empty(minima.size + 1, np.int64)
    age[0] = _NEVER  # labels count from 1
    oldest = 1
    for i in range(minima.size):
        age[i + 1] = levels[i]
        if age[i + 1] < age[oldest]:
            oldest = i + 1
    dying, killer = _merge(_ends_in_order(edges, order), age)
    births, deaths = np.empty(dying.size + 1, np.int64), np.empty(dying.size + 1, np.int64)
    births[0], deaths[0] = minima[oldest - 1], -1
    n_pairs = np.uint64(1)
    for i in range(dying.size):
        e = np.uint64(order[killer[i]])
        edges[e, 3] = 0
        births[n_pairs], deaths[n_pairs] = minima[dying[i] - 1], edges[e, 2]
        n_pairs += np.uint64(age[dying[i]] != keys[e])
    return births[:n_pairs], deaths[:n_pairs]


@subroutine
def _join_upper_basins(
    edges: Any, masks: Any, maxima: Any, upper: Any, label: Any, height: int, width: int
) -> None:
    """Write to each edge that has merged nothing which two maxima it joins; the last is the outside."""
    steps, first_step = _neighbour_steps(width), _first_steps(upper, width)
    outside = maxima.size + 1
    for i in range(maxima.size):
        label[maxima[i]] = i + 1
    for x in range(width):
        label[x] = label[(height - 1) * width + x] = outside
    for y in range(height):
        label[y * width] = label[y * width + width - 1] = outside
    if edges.shape[0] > masks.size // _DENSE:
        _sweep_labels(masks, _LATER, first_step, label, width)
    _mark_whole_saddles(edges)
    previous, k, row = -1, 0, 0
    for e in range(edges.shape[0]):
        if edges[e, 3] == 0:
            continue
        p = edges[e, 2]
        k = k + 1 if p == previous else 1
        previous = p
        while p >= (row + 1) * width:  # saddles are in ascending order
            row += 1
        x = p - row * width
        at_border = row == 0 or row == height - 1 or x == 0 or x == width - 1
        link = upper[masks[np.uint64(p)] ^ _LATER]
        for side in range(2):
            if side == 0 and k > 1:
                edges[e, 0] = edges[e - 1, 1]
                continue
            j = link[k + side]
            if at_border and _is_outside(row + _ROWS[j], x + _COLUMNS[j], height, width):
                edges[e, side] = outside
            else:
                edges[e, side] = _root_of(np.uint64(p) + steps[j], masks, _LATER, first_step, label)


@borrowing_subroutine
def _mark_whole_saddles(edges: Any) -> None:
    """Mark all edges of a saddle or none: those of its lower and of its upper link do not correspond."""
    n = edges.shape[0]
    for e in range(1, n):
        edges[e, 3] |= edges[e - 1, 3] * np.int32(edges[e - 1, 2] == edges[e, 2])
    for e in range(n - 2, -1, -1):
        edges[e, 3] |= edges[e + 1, 3] * np.int32(edges[e + 1, 2] == edges[e, 2])


@borrowing_subroutine
def _is_outside(y: int, x: int, height: int, width: int) -> bool:
    return y < 0 or y >= height or x < 0 or x >= width


@subroutine
def _merge_descending(edges: Any, keys: Any, order: Any, maxima: Any, levels: Any) -> Any:
    """Join maxima over the marked edges in descending order; the younger dies, the outside never."""
    n = maxima.size
    age = np.empty(n + 2, np.int64)  # falls from the outside on; of equal maxima the last is the oldest
    age[0], age[1] = _NEVER, -_NEVER
    for i in range(n):
        age[n + 1 - i] = -levels[i]
    waiting = np.empty(order.size + 1, np.int32)
    n_waiting = np.uint64(0)
    for t in range(order.size - 1, -1, -1):
        waiting[n_waiting] = order[t]
        n_waiting += np.uint64(edges[np.uint64(order[t]), 3])
    waiting = waiting[:n_waiting]
    ends = _ends_in_order(edges, waiting)
    for t in range(ends.shape[0]):
        ends[t, 0], ends[t, 1] = n + 2 - ends[t, 0], n + 2 - ends[t, 1]
    dying, killer = _merge(ends, age)
    births, deaths = np.empty(dying.size + 1, np.int64), np.empty(dying.size + 1, np.int64)
    n_pairs = np.uint64(0)
    for i in range(dying.size):
        e = np.uint64(waiting[killer[i]])
        births[n_pairs], deaths[n_pairs] = edges[e, 2], maxima[n + 1 - dying[i]]
        n_pairs += np.uint64(-age[dying[i]] != keys[e])
    return births[:n_pairs], deaths[:n_pairs]


def warm_up() -> None:
    """Compile the kernels for float32 and float64."""
    for dtype, integer in ((np.float32, np.int32), (np.float64, np.int64)):
        values = np.arange(9, dtype=dtype)[None]
        pair_pixels(values, values.view(integer), 3, 3, False, True, True, 0)
