"""A Mapper graph as one HTML file that needs nothing else: a picture to explore, and tables of its nodes.

Cost: a few bytes for each membership, value of a column and edge; 2,000 nodes take about a second.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl import __version__
from topodl._checks import check_number, fail
from topodl._files import atomic_path
from topodl.mapper._drawn_graph import DrawableGraph, DrawnGraph, as_array, draw_graph
from topodl.mapper._shown_columns import (
    RAMP,
    SIZE,
    Column,
    column_limits,
    read_columns,
    rgb,
    shown_text,
    size_column,
)
from topodl.mapper._still_page import node_table, still_figure, still_picture
from topodl.mapper._thumbnails import Thumbnails, draw_thumbnails, nearest_members, pixels_of

__all__ = ["graph_picture", "write_view"]

_NAME = "MapperGraph.view"
_SCRIPTS = ("view_model.js", "view_picture.js", "view_page.js")


def write_view(
    graph: DrawableGraph,
    path: str | os.PathLike[str],
    *,
    color: Any = None,
    node_color: Any = None,
    ids: Sequence[Any] | None = None,
    images: Any = None,
    points: Any = None,
    tooltips: Sequence[Any] | None = None,
    positions: Any = None,
    n_nearest: int = 5,
    title: str = "Mapper graph",
    description: str = "",
) -> Path:
    """Write the graph as one interactive HTML file, which loads nothing from elsewhere.

    Pan, zoom and pinch; colour by any column; hide small nodes, or samples by any column; what is in a node
    by pointer or keys; lasso, and the list of the selected samples to copy or save as CSV; nodes that expand
    to their samples. With scripts off, a picture and tables remain.

    Parameters
    ----------
    graph : MapperGraph
        Given by the call as its method.
    path : path
        File to write, which appears only when it is whole; its folder is made if need be.
    color : mapping of str to arrays of shape (N,), data frame, or array of shape (N,), optional
        Columns of the samples that may colour the nodes; the first one does at the start. Text, truth values
        and integers of at most 20 kinds are classes, shown as slices; of other numbers a node has the mean,
        NaN and None left out. None: the number of members alone.
    node_color : mapping of str to arrays of shape (V,), data frame, or array of shape (V,), optional
        The same with one value a node.
    ids : sequence of N names, optional
        Names of the samples. None: their numbers.
    images : array of shape (N, H, W), (N, H, W, C) or (N, C, H, W), or sequence of images, optional
        Pictures of the samples, of which the page holds those nearest to the centre of a node. Bytes are
        shown as they are, other values are scaled from the smallest to the largest.
    points : array of shape (N, d), optional
        Where centres are means, and near is Euclidean. None: the pixels of `images`.
    tooltips : sequence of N texts, optional
        What is said of a sample beside its name.
    positions : array of shape (V, 2), optional
        Places of the nodes, y upwards. None: those of `MapperGraph.positions`.
    n_nearest : int
        Samples nearest to the centre that are shown of a node.
    title, description : str
        Heading of the page, and what stands below it.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    InputError
        If a length or shape is not that of the samples or nodes, or a value is infinite.

    Examples
    --------
    >>> import tempfile
    >>> from topodl.mapper import MapperGraph
    >>> graph = MapperGraph.from_nodes([[0, 1], [1, 2, 3], [3, 4]], n_samples=5)
    >>> path = f"{tempfile.mkdtemp()}/mapper.html"
    >>> graph.view(path, color={"height": [0.1, 0.4, 0.5, 0.7, 0.9], "kind": ["a", "a", "b", "b", "b"]}).name
    'mapper.html'
    """
    check_number(_NAME, "n_nearest", n_nearest, low=0, integer=True)
    title = shown_text(title)
    drawn = draw_graph(_NAME, graph, positions)
    columns = _columns(graph, drawn, color, node_color)
    names = _texts("ids", ids, graph.n_samples)
    said = _texts("tooltips", tooltips, graph.n_samples)
    nearest = _nearest(images, points, drawn, graph.n_samples, n_nearest)
    pictures = _pictures(images, nearest)
    samples = np.unique(drawn.members)
    values = {
        "title": escape(title),
        "lead": _lead(drawn, len(samples), graph.n_samples, shown_text(description)),
        "counts": f"{_counted(len(drawn.sizes), 'node')} and {_counted(len(drawn.edges), 'edge')}",
        "still": still_figure(drawn, columns[0], f"{title}: nodes as discs, edges as lines"),
        "tables": _tables(drawn, columns, lambda sample: names[sample] if names else str(sample)),
        "data": _json(_payload(drawn, samples, columns, names, said, nearest, pictures)),
        "atlases": _sheets(pictures),
        "footer": f"topodl {escape(__version__)}",
    }
    return _write(Path(path), values)


def graph_picture(graph: DrawableGraph) -> str:
    """Return a graph as an SVG element, nodes coloured by their number of members: for notebooks."""
    drawn = draw_graph("MapperGraph", graph)
    picture = still_picture(
        drawn, size_column(drawn), "Mapper graph, nodes coloured by their number of members"
    )
    return f'<div style="max-width: 44rem">{picture}</div>'


def _columns(graph: DrawableGraph, drawn: DrawnGraph, color: Any, node_color: Any) -> list[Column]:
    given = [
        *read_columns(_NAME, "color", color, graph.n_samples, of_nodes=False),
        *read_columns(_NAME, "node_color", node_color, len(drawn.sizes), of_nodes=True),
    ]
    names = [column.name for column in given]
    twice = next((name for name in names if names.count(name) > 1 or name == SIZE), None)
    if twice is not None:
        raise fail(_NAME, "color", f"has a second column {twice!r}", "a name of its own for each column")
    return [*given, size_column(drawn)]


def _texts(argument: str, given: Sequence[Any] | None, n_samples: int) -> list[str] | None:
    if given is None:
        return None
    texts = [shown_text(each) for each in given]
    if isinstance(given, str) or len(texts) != n_samples:
        raise fail(_NAME, argument, f"has length {len(texts)}", f"{n_samples} texts, one a sample")
    return texts


def _nearest(
    images: Any, points: Any, drawn: DrawnGraph, n_samples: int, count: int
) -> list[list[int]] | None:
    """Return the samples nearest to each node's centre, None where nothing says what is near."""
    for argument, given in (("images", images), ("points", points)):
        if given is not None and len(given) != n_samples:
            raise fail(_NAME, argument, f"has length {len(given)}", f"{n_samples}, one a sample")
    if points is not None:
        values = as_array(points)
    elif images is not None:
        shapes = {np.shape(image) for image in images}
        if len(shapes) > 1:
            raise fail(_NAME, "images", f"have {len(shapes)} shapes", "one shape, or points beside them")
        values = pixels_of(images)
    else:
        return None
    if values.dtype.kind not in "biuf":
        raise fail(_NAME, "points", f"has dtype {values.dtype}", "numbers")
    wrong = np.flatnonzero(~np.isfinite(values.reshape(n_samples, -1)).all(1))
    if len(wrong):
        argument = "images" if points is None else "points"
        raise fail(_NAME, f"{argument}[{wrong[0]}]", "has a value that is not finite", "finite values")
    return nearest_members(values, drawn, count)


def _pictures(images: Any, nearest: list[list[int]] | None) -> Thumbnails | None:
    if images is None or nearest is None:
        return None
    return draw_thumbnails(_NAME, images, sorted({sample for each in nearest for sample in each}))


def _payload(
    drawn: DrawnGraph,
    samples: NDArray[np.int64],
    columns: Sequence[Column],
    names: list[str] | None,
    said: list[str] | None,
    nearest: list[list[int]] | None,
    pictures: Thumbnails | None,
) -> dict[str, Any]:
    """Return what the script reads: samples of the graph alone, numbered anew in the order of `samples`."""
    number = {sample: place for place, sample in enumerate(samples.tolist())}
    return {
        "x": drawn.places[:, 0].round(1).tolist(),
        "y": drawn.places[:, 1].round(1).tolist(),
        "radii": drawn.radii.round(1).tolist(),
        "dot": round(0.25 * float(np.median(drawn.radii)), 2) if len(drawn.radii) else 1.0,
        "ptr": drawn.ptr.tolist(),
        "members": np.searchsorted(samples, drawn.members).tolist(),
        "sources": drawn.edges[:, 0].tolist(),
        "targets": drawn.edges[:, 1].tolist(),
        "weights": [_number(weight) for weight in drawn.weights.tolist()],
        "samples": samples.tolist(),
        "ids": [names[sample] for sample in number] if names else None,
        "tooltips": [said[sample] for sample in number] if said else None,
        "nearest": [[number[sample] for sample in each] for each in nearest] if nearest else None,
        "pictures": {number[k]: v for k, v in pictures.places.items()} if pictures else None,
        "ramp": [rgb(color) for color in RAMP],
        "columns": [_column_payload(column, drawn, samples) for column in columns],
    }


def _column_payload(column: Column, drawn: DrawnGraph, samples: NDArray[np.int64]) -> dict[str, Any]:
    values = column.values if column.of_nodes else column.values[samples]
    shared = {
        "name": column.name,
        "ofNodes": column.of_nodes,
        "builtIn": column.name == SIZE,
        "hasMissing": bool(np.isnan(values).any()),
    }
    if column.classes is not None:
        codes = np.where(np.isnan(values), -1, values).astype(int).tolist()
        return shared | {"classes": column.classes, "colors": column.colors, "values": codes}
    limits, beyond = column_limits(column, drawn)
    numbers = [_number(value) for value in values.tolist()]
    return shared | {"classes": None, "limits": limits, "beyond": beyond, "values": numbers}


def _number(value: float) -> float | int | None:
    """Return a number to seven digits, whole ones without a point, NaN as null."""
    if math.isnan(value):
        return None
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _json(payload: dict[str, Any]) -> str:
    """Return JSON in which no text can end the element that holds it."""
    text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _lead(drawn: DrawnGraph, n_shown: int, n_samples: int, description: str) -> str:
    of_all = "" if n_shown == n_samples else f" of {n_samples:,}"
    parts = (
        _counted(len(drawn.sizes), "node"),
        _counted(len(drawn.edges), "edge"),
        f"{n_shown:,}{of_all} samples",
    )
    return f"{', '.join(parts)}. {escape(description)}".strip()


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"


def _tables(drawn: DrawnGraph, columns: Sequence[Column], name_of: Any) -> str:
    shown = [column for column in columns if column.name != SIZE]
    return f"<details><summary>Table of the nodes</summary>\n{node_table(drawn, shown, name_of)}\n</details>"


def _sheets(pictures: Thumbnails | None) -> str:
    sheets = pictures.sheets if pictures else []
    return "\n".join(
        f'<img class="atlas" id="atlas-{number}" alt="" hidden src="{sheet}">'
        for number, sheet in enumerate(sheets)
    )


def _write(path: Path, values: dict[str, str]) -> Path:
    folder = resources.files("topodl.mapper") / "templates"
    parts = "\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    script = f'(() => {{\n"use strict";\n{parts}}})();\n'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (  # nothing from elsewhere, and no script but the page's own, whatever names and texts contain
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    style = (folder / "view.css").read_text(encoding="utf-8").strip()
    page = Template((folder / "view.html").read_text(encoding="utf-8"))
    text = page.substitute(values, policy=policy, style=style, script=script)
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path
