"""What a page shows without its script: the graph as an SVG picture, the legend, and tables of the nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from topodl.mapper._drawn_graph import DrawnGraph
from topodl.mapper._shown_columns import (
    MISSING,
    RAMP,
    Column,
    column_limits,
    node_classes,
    node_means,
    ramp_color,
    short_number,
)

__all__ = ["node_table", "still_figure", "still_picture"]

_MARGIN = 12.0  # units around the drawing
_MOST_LISTED = 8  # classes of a node that a cell names


def still_picture(drawn: DrawnGraph, column: Column, title: str) -> str:
    """Return the graph as an SVG element, nodes filled by a column: by its mean, or slices of its classes."""
    box = f"{-_MARGIN:g} {-_MARGIN:g} {drawn.width + 2 * _MARGIN:.0f} {drawn.height + 2 * _MARGIN:.0f}"
    nodes = "".join(_class_nodes(drawn, column) if column.classes else _number_nodes(drawn, column))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{escape(title)}">'
        f'{_edges(drawn)}<g class="nodes" stroke="#fff">{nodes}</g></svg>'
    )


def still_figure(drawn: DrawnGraph, column: Column, title: str) -> str:
    """Return the picture with its legend, as a figure."""
    picture = still_picture(drawn, column, title)
    return f'<figure id="still">\n{picture}\n<figcaption>{_legend(drawn, column)}</figcaption>\n</figure>'


def _edges(drawn: DrawnGraph) -> str:
    """Return the edges as two paths, the second of those whose ends share no sample."""
    paths = []
    for name, chosen in (("edges", drawn.weights != 0), ("edges joins", drawn.weights == 0)):
        ends = drawn.places[drawn.edges[chosen]].reshape(-1, 4)
        lines = "".join(f"M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}" for ax, ay, bx, by in ends.tolist())
        dashes = ' stroke-dasharray="5 4"' if name == "edges joins" else ""
        if lines:
            paths.append(f'<path class="{name}" fill="none" stroke="#9aa5b1"{dashes} d="{lines}"/>')
    return "".join(paths)


def _number_nodes(drawn: DrawnGraph, column: Column) -> list[str]:
    means, _, _ = node_means(column, drawn)
    (low, high), _ = column_limits(column, drawn)
    parts = []
    for (x, y), radius, mean in zip(drawn.places.tolist(), drawn.radii.tolist(), means.tolist(), strict=True):
        color = None if math.isnan(mean) else ramp_color((mean - low) / (high - low or 1.0))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {_fill(color)}/>')
    return parts


def _class_nodes(drawn: DrawnGraph, column: Column) -> list[str]:
    """Return one path a class, of its slices in all nodes: a tenth of what elements of their own take."""
    counts = node_classes(column, drawn)
    slices: list[list[str]] = [[] for _ in range(counts.shape[1])]
    for (x, y), radius, row in zip(drawn.places.tolist(), drawn.radii.tolist(), counts.tolist(), strict=True):
        turn, whole = 0.0, sum(row)
        for code, count in enumerate(row):
            if count:
                slices[code].append(_slice(x, y, radius, turn, count / whole))
                turn += count / whole
    return [
        f'<path {_fill(color)} d="{"".join(paths)}"/>'
        for color, paths in zip([*column.colors, None], slices, strict=True)
        if paths
    ]


def _fill(color: str | None) -> str:
    return f'fill="{color}"' if color else f'class="missing" fill="{MISSING}"'


def _slice(x: float, y: float, radius: float, start: float, share: float) -> str:
    """Return a slice that begins at a share of the whole turn, clockwise from the top; two halves for all."""
    if share == 1.0:
        half = f"a{radius:.1f} {radius:.1f} 0 0 1 "
        return f"M{x:.1f} {y - radius:.1f}{half}0 {2 * radius:.1f}{half}0 {-2 * radius:.1f}z"
    angles = [2 * math.pi * turn - math.pi / 2 for turn in (start, start + share)]
    (ax, ay), (bx, by) = ((radius * math.cos(a), radius * math.sin(a)) for a in angles)
    arc = f"a{radius:.1f} {radius:.1f} 0 {int(share > 0.5)} 1 {bx - ax:.1f} {by - ay:.1f}"
    return f"M{x:.1f} {y:.1f}l{ax:.1f} {ay:.1f}{arc}z"


def _legend(drawn: DrawnGraph, column: Column) -> str:
    name = escape(column.name)
    if column.classes:
        entries = "".join(
            f'<li><span class="swatch" style="background: {color}"></span>{escape(each)}</li>'
            for each, color in zip(column.classes, column.colors, strict=True)
        )
        return f'{name}<ul class="classes">{entries}</ul>'
    (low, high), (below, above) = column_limits(column, drawn)
    what = name if column.of_nodes else f"mean {name} of each node's members"
    ends = f"<span>{'≤ ' * below}{short_number(low)}</span><span>{'≥ ' * above}{short_number(high)}</span>"
    scale = f'<div class="scale" style="background: linear-gradient(to right, {", ".join(RAMP)})"></div>'
    return f'{what}{scale}<div class="ends">{ends}</div>'


def node_table(drawn: DrawnGraph, columns: Sequence[Column], name_of: Callable[[int], str]) -> str:
    """Return the table of nodes: members, edges, statistics of each column, and the samples."""
    degrees = np.bincount(drawn.edges.ravel(), minlength=len(drawn.sizes))
    described = [_described(column, drawn) for column in columns]
    heads = ["node", "members", "edges", *(column.name for column in columns), "samples"]
    words = ["", "", *("words" if column.classes else "" for column in columns), "ids"]
    rows = []
    for node, (start, stop) in enumerate(zip(drawn.ptr[:-1], drawn.ptr[1:], strict=True)):
        samples = ", ".join(name_of(sample) for sample in drawn.members[start:stop].tolist())
        cells = [str(stop - start), str(degrees[node]), *(texts[node] for texts in described), samples]
        marked = (
            f'<td class="{kind}">{escape(cell)}</td>' if kind else f"<td>{escape(cell)}</td>"
            for kind, cell in zip(words, cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{node}</th>{"".join(marked)}</tr>')
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    return (
        '<div class="scroll" role="region" aria-label="Nodes" tabindex="0">\n<table id="node-table">'
        "<caption>Numbers are means ± deviations of the members.</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table>\n</div>"
    )


def _described(column: Column, drawn: DrawnGraph) -> list[str]:
    """Return what the table says of each node."""
    if column.classes:
        names = [*column.classes, "no value"]
        return [_counts_text(names, row, column.of_nodes) for row in node_classes(column, drawn)]
    means, deviations, missing = (each.tolist() for each in node_means(column, drawn))
    return [
        "no value"
        if math.isnan(mean)
        else f"{short_number(mean)}"
        + (f" ± {short_number(deviation)}" + f" ({lacking} without)" * bool(lacking)) * (not column.of_nodes)
        for mean, deviation, lacking in zip(means, deviations, missing, strict=True)
    ]


def _counts_text(
    names: Sequence[str], counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], alone: bool
) -> str:
    order = [code for code in np.argsort(-counts, kind="stable").tolist() if counts[code]]
    if alone:
        return names[order[0]]
    listed = [f"{names[code]}: {counts[code]}" for code in order[:_MOST_LISTED]]
    rest = int(counts[order[_MOST_LISTED:]].sum())
    return ", ".join(listed + [f"others: {rest}"] * bool(rest))
