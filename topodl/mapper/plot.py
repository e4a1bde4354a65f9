"""A Mapper graph drawn with matplotlib: nodes as discs or slices of classes, edges as lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl._axes import axes_of
from topodl._checks import fail
from topodl.mapper._drawn_graph import DrawableGraph, DrawnGraph, draw_graph
from topodl.mapper._shown_columns import (
    MISSING,
    RAMP,
    Column,
    column_limits,
    node_classes,
    node_means,
    read_columns,
    size_column,
)

__all__ = ["plot_graph"]

_NAME = "MapperGraph.plot"
_EDGE, _RIM = "#9aa5b1", "white"


def plot_graph(
    graph: DrawableGraph, ax: Any = None, color: Any = None, *, node_color: Any = None, positions: Any = None
) -> Any:
    """Draw the graph with matplotlib: areas of nodes grow with their members, colours are those of a column.

    Parameters
    ----------
    graph : MapperGraph
        Given by the call as its method.
    ax : matplotlib Axes, optional
        What to draw on. None: new axes.
    color : array of shape (N,), or mapping of its name to it, optional
        One value a sample. Text, truth values and integers of at most 20 kinds are classes, drawn as slices;
        of other numbers a node has the mean, NaN and None left out. None: the number of members.
    node_color : array of shape (V,), or mapping of its name to it, optional
        One value a node, in place of `color`.
    positions : array of shape (V, 2), optional
        Places of the nodes. None: those of `MapperGraph.positions`.

    Returns
    -------
    matplotlib Axes
        Those that were drawn on.

    Raises
    ------
    InputError
        If a shape is not that of the samples or nodes, a value is infinite, or there are several columns.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> from topodl.mapper import MapperGraph
    >>> graph = MapperGraph.from_nodes([[0, 1], [1, 2, 3], [3, 4]], n_samples=5)
    >>> ax = graph.plot(color={"height": [0.1, 0.4, 0.5, 0.7, 0.9]})
    """
    drawn = draw_graph(_NAME, graph, positions)
    column = _column(graph, drawn, color, node_color)
    ax = axes_of(_NAME, ax)
    _draw_edges(ax, drawn)
    if column.classes is None:
        _draw_numbers(ax, drawn, column)
    else:
        _draw_classes(ax, drawn, column)
    ax.set(xlim=(-15, drawn.width + 15), ylim=(drawn.height + 15, -15), aspect="equal")
    ax.set_axis_off()
    return ax


def _column(graph: DrawableGraph, drawn: DrawnGraph, color: Any, node_color: Any) -> Column:
    columns = [
        *read_columns(_NAME, "color", color, graph.n_samples, of_nodes=False),
        *read_columns(_NAME, "node_color", node_color, len(drawn.sizes), of_nodes=True),
    ]
    if len(columns) > 1:
        raise fail(_NAME, "color", f"has {len(columns)} columns with node_color", "one column")
    return columns[0] if columns else size_column(drawn)


def _draw_edges(ax: Any, drawn: DrawnGraph) -> None:
    """Draw the edges, dashed where the ends share no sample."""
    from matplotlib.collections import LineCollection

    for chosen, style in ((drawn.weights != 0, "-"), (drawn.weights == 0, "--")):
        lines = drawn.places[drawn.edges[chosen]]
        ax.add_collection(LineCollection(lines, colors=_EDGE, linewidths=0.8, linestyles=style, zorder=1))


def _draw_numbers(ax: Any, drawn: DrawnGraph, column: Column) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Circle

    means, _, _ = node_means(column, drawn)
    (low, high), (below, above) = column_limits(column, drawn)
    colors = LinearSegmentedColormap.from_list("values", RAMP).with_extremes(bad=MISSING)
    discs = PatchCollection(
        [Circle(place, radius) for place, radius in zip(drawn.places, drawn.radii, strict=True)],
        cmap=colors, edgecolor=_RIM, linewidth=0.8, zorder=2,
    )  # fmt: skip
    discs.set_array(np.ma.masked_invalid(means))
    discs.set_clim(low, high)
    ax.add_collection(discs)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    ax.figure.colorbar(discs, ax=ax, label=column.name, extend=ends[below, above], shrink=0.8)


def _draw_classes(ax: Any, drawn: DrawnGraph, column: Column) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Patch, Wedge

    counts = node_classes(column, drawn)
    colors = [*column.colors, MISSING]
    wedges, chosen = [], []
    for place, radius, row in zip(drawn.places, drawn.radii, counts, strict=True):
        ends = 360 * np.concatenate([[0.0], np.cumsum(row / row.sum())]) - 90  # clockwise: y is downwards
        for code in np.flatnonzero(row):
            wedges.append(Wedge(place, radius, ends[code], ends[code + 1]))
            chosen.append(colors[code])
    ax.add_collection(PatchCollection(wedges, facecolors=chosen, edgecolor=_RIM, linewidth=0.5, zorder=2))
    names = [*(column.classes or ()), "no value"]
    present = [code for code in range(len(names)) if code < len(names) - 1 or counts[:, code].any()]
    handles = [Patch(color=colors[code], label=names[code]) for code in present]
    ax.legend(handles=handles, title=column.name, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
