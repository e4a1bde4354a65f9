"""Critical regions of a binary prediction against its target, by the region graph of the two together.

Lux, Berger et al., "Topograph: an efficient graph-based framework for strictly topology preserving image
segmentation", ICLR 2025. Linear in the number of pixels: edges are neither sorted nor made unique.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.compile import borrowing_subroutine, kernel, subroutine
from topodl.kernels.shared.union_find import find_root

__all__ = ["critical_regions", "warm_up"]

# The class of a pixel is predicted + 2 * target.
_BACKGROUND, _FALSE_POSITIVE, _FALSE_NEGATIVE, _FOREGROUND = 0, 1, 2, 3
# A diagonal of a 2 x 2 block carries no edge; or an edge of one of the two images alone, which joins clusters
# but makes no neighbours; or an edge like that between pixels that share a side.
_NO_EDGE, _HALF_EDGE, _EDGE = 0, 1, 2


def _diagonal_table(eight_connected: bool) -> Any:
    """Return the kind of the diagonal between pixels 0 and 3 of a block, by the classes of its four pixels.

    The correct class whose diagonals connect is strong, the other weak, errors lie in between, and the
    diagonal with the greater sum crosses the block.
    """
    strength = np.array([-4, 1, 2, 16] if eight_connected else [16, 1, 2, -4])
    first, second, third, fourth = np.meshgrid(strength, strength, strength, strength, indexing="ij")
    excess = first + fourth - second - third
    table = np.where(excess > 7, _EDGE, np.where((excess == 7) | (excess == 4), _HALF_EDGE, _NO_EDGE))
    return table.astype(np.int8)


_TABLES = {eight: _diagonal_table(eight) for eight in (False, True)}


@borrowing_subroutine
def _unite(parent: Any, first: int, second: int) -> None:
    """Join two sets under the smaller of their roots."""
    first, second = find_root(parent, first), find_root(parent, second)
    parent[max(first, second)] = min(first, second)


@subroutine
def _label_regions(classes: Any, labels: Any) -> Any:
    """Write 4-connected regions of equal class to `labels`, and return the class of each region."""
    height, width = classes.shape
    parent = np.empty(height * width, np.int64)
    provisional = 0
    for y in range(height):
        for x in range(width):
            left = x > 0 and classes[y, x - 1] == classes[y, x]
            up = y > 0 and classes[y - 1, x] == classes[y, x]
            if left:
                labels[y, x] = labels[y, x - 1]
                if up and labels[y - 1, x] != labels[y, x]:
                    _unite(parent, labels[y - 1, x], labels[y, x])
            elif up:
                labels[y, x] = labels[y - 1, x]
            else:
                parent[provisional] = provisional
                labels[y, x] = provisional
                provisional += 1
    region_of = np.empty(provisional, np.int64)
    regions = 0
    for label in range(provisional):  # a root is the smallest of its set, so it has its number already
        root = find_root(parent, label)
        if root == label:
            region_of[label] = regions
            regions += 1
        else:
            region_of[label] = region_of[root]
    region_class = np.empty(regions, np.int8)
    for y in range(height):
        for x in range(width):
            labels[y, x] = region_of[labels[y, x]]
            region_class[labels[y, x]] = classes[y, x]
    return region_class


@borrowing_subroutine
def _region_edges(classes: Any, labels: Any, table: Any, edges: Any) -> int:
    """Write every edge between two regions as (region, region, kind), repeats included, and count them.

    Nothing is written beyond the length of `edges`, so that a first call can count.
    """
    height, width = classes.shape
    count = 0
    for y in range(height):
        for x in range(width):
            here = labels[y, x]
            down, right = y + 1 < height, x + 1 < width
            if right and labels[y, x + 1] != here:
                count = _append(edges, count, here, labels[y, x + 1], _EDGE)
            if down and labels[y + 1, x] != here:
                count = _append(edges, count, here, labels[y + 1, x], _EDGE)
            if not (down and right):
                continue
            a, b, c, d = classes[y, x], classes[y, x + 1], classes[y + 1, x], classes[y + 1, x + 1]
            if labels[y + 1, x + 1] != here and table[a, b, c, d] != _NO_EDGE:
                count = _append(edges, count, here, labels[y + 1, x + 1], table[a, b, c, d])
            if labels[y + 1, x] != labels[y, x + 1] and table[b, a, d, c] != _NO_EDGE:
                count = _append(edges, count, labels[y, x + 1], labels[y + 1, x], table[b, a, d, c])
    return count


@borrowing_subroutine
def _append(edges: Any, count: int, first: int, second: int, kind: int) -> int:
    if count < len(edges):
        edges[count, 0], edges[count, 1], edges[count, 2] = first, second, kind
    return count + 1


@subroutine
def _clusters(region_class: Any, edges: Any, bit: int) -> Any:
    """Return the connected pieces, along edges of both kinds, of the regions whose class has `bit`."""
    parent = np.arange(len(region_class))
    for i in range(len(edges)):
        first, second = edges[i, 0], edges[i, 1]
        if region_class[first] & bit and region_class[second] & bit:
            _unite(parent, first, second)
    return parent


@subroutine
def _mark_critical(region_class: Any, merged: Any, edges: Any) -> Any:
    """Tell which merged regions are wrong and cannot be flipped without changing the topology.

    A harmless one has exactly one neighbour in the correct background and one in the foreground of the image
    that it would join: the target for a false positive, the prediction for a false negative.
    """
    predicted, target = _clusters(region_class, edges, 1), _clusters(region_class, edges, 2)
    background_of = np.full(len(region_class), -1, np.int64)
    foreground_of = np.full(len(region_class), -1, np.int64)
    critical = np.zeros(len(region_class), np.bool_)
    for i in range(len(edges)):
        if edges[i, 2] != _EDGE:
            continue
        for one, other in ((edges[i, 0], edges[i, 1]), (edges[i, 1], edges[i, 0])):
            wrong = region_class[one]
            if wrong == region_class[other] or wrong in (_BACKGROUND, _FOREGROUND):
                continue
            node = find_root(merged, one)
            if region_class[other] == _BACKGROUND:
                seen, neighbour = background_of, find_root(merged, other)
            else:
                seen, neighbour = (
                    foreground_of,
                    find_root(target if wrong == _FALSE_POSITIVE else predicted, other),
                )
            if seen[node] == -1:
                seen[node] = neighbour
            elif seen[node] != neighbour:
                critical[node] = True
    for region in range(len(region_class)):
        wrong = region_class[region] == _FALSE_POSITIVE or region_class[region] == _FALSE_NEGATIVE
        alone = background_of[region] == -1 or foreground_of[region] == -1
        if wrong and alone and merged[region] == region:
            critical[region] = True
    return critical


@subroutine
def _merge_along_diagonals(region_class: Any, edges: Any, merge_background: bool) -> Any:
    merged = np.arange(len(region_class))
    for i in range(len(edges)):
        first, second, kind = edges[i]
        same = kind == _EDGE and region_class[first] == region_class[second]
        if same and (merge_background or region_class[first] != _BACKGROUND):
            _unite(merged, first, second)
    return merged


@kernel
def _critical_pixels(classes: Any, table: Any, merge_background: bool) -> Any:
    height, width = classes.shape
    labels = np.empty((height, width), np.int64)
    region_class = _label_regions(classes, labels)
    edges = np.empty((_region_edges(classes, labels, table, np.empty((0, 3), np.int64)), 3), np.int64)
    _region_edges(classes, labels, table, edges)
    merged = _merge_along_diagonals(region_class, edges, merge_background)
    critical = _mark_critical(region_class, merged, edges)
    number = np.cumsum(critical) - 1
    for region in range(len(region_class)):
        merged[region] = find_root(merged, region)
    count = 0
    for y in range(height):
        for x in range(width):
            count += critical[merged[labels[y, x]]]
    pixels, regions = np.empty(count, np.int64), np.empty(count, np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            region = merged[labels[y, x]]
            if critical[region]:
                pixels[count], regions[count] = y * width + x, number[region]
                count += 1
    return pixels, regions


def critical_regions(
    predicted: Any, target: Any, eight_connected: bool = True, merge_background: bool = True
) -> tuple[Any, Any]:
    """Return the flat pixels of the critical regions, and the number of the region of each.

    Parameters
    ----------
    predicted, target : bool array, shape (H, W)
    eight_connected : bool
        Whether the foreground connects along diagonals; the background does where the foreground does not.
    merge_background : bool
        Whether background that connects along a diagonal is one region, as it is where the foreground is
        4-connected. False counts it as two, which is what the published code does.

    Returns
    -------
    pixels, regions : int64 arrays, shape (P,)
        Ascending pixels; regions are numbered from 0 in the order of their first pixel in C order.
    """
    classes = predicted.astype(np.int8) + 2 * target.astype(np.int8)
    pixels, regions = _critical_pixels(classes, _TABLES[eight_connected], merge_background)
    return pixels, regions


def warm_up() -> None:
    """Compile the kernels of this module."""
    critical_regions(np.eye(3, dtype=bool), np.zeros((3, 3), dtype=bool))
