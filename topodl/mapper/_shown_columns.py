"""Columns that colour a Mapper graph: numbers or classes of samples or nodes, and their statistics."""

from __future__ import annotations

import colorsys
import numbers
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl._checks import fail
from topodl.mapper._drawn_graph import DrawnGraph, as_array

__all__ = [
    "MISSING",
    "RAMP",
    "SIZE",
    "Column",
    "color_limits",
    "column_limits",
    "node_classes",
    "node_means",
    "ramp_color",
    "read_columns",
    "rgb",
    "short_number",
    "shown_text",
    "size_column",
]

# The colours of matplotlib's "viridis" at nine places.
RAMP = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
MISSING = "#b9c0c9"
SIZE = "number of members"
_CLASS_COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00",
    "#56b4e9", "#b3a800", "#7f4bc4", "#8c564b", "#6b7684",
)  # fmt: skip
_FEW = 20  # different integers that are read as classes at most
_MOST_CLASSES = 100
_INNER = (0.02, 0.98)  # quantiles between which a scale runs where values lie far outside

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """Values (n,) of samples, or of nodes; of classes these are numbers of `classes`. NaN: no value."""

    name: str
    values: FloatArray
    classes: tuple[str, ...] | None = None
    of_nodes: bool = False

    @property
    def colors(self) -> list[str]:
        """The colour of each class."""
        return [_class_color(number) for number in range(len(self.classes or ()))]


def size_column(drawn: DrawnGraph) -> Column:
    """Return the number of members of each node as a column."""
    return Column(SIZE, drawn.sizes.astype(np.float64), of_nodes=True)


def read_columns(function: str, argument: str, given: Any, n: int, *, of_nodes: bool) -> list[Column]:
    """Return the columns of a mapping or data frame, or of the values (n,) of a single one.

    Text, truth values and integers of at most 20 kinds are classes; other numbers are measured.
    """
    if given is None:
        return []
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):  # a data frame of pandas or polars
        given = {name: given[name] for name in given.columns}
    elif not isinstance(given, Mapping):
        of_series = getattr(given, "name", None) if hasattr(given, "to_numpy") else None
        given = {of_series or argument: given}
    columns = []
    for name, values in given.items():
        where = f"{argument}[{name!r}]"
        columns.append(_read(function, where, shown_text(name), values, n, of_nodes))
    return columns


def _read(function: str, where: str, name: str, given: Any, n: int, of_nodes: bool) -> Column:
    values = as_array(given)
    if values.shape != (n,):
        unit = "node" if of_nodes else "sample"
        raise fail(function, where, f"has shape {values.shape}", f"shape ({n},), one value a {unit}")
    if values.dtype == object:
        wrong = next((k for k, cell in enumerate(values) if np.ndim(cell)), None)
        if wrong is not None:
            came = f"is a {type(values[wrong]).__name__}"
            raise fail(function, f"{where}[{wrong}]", came, "a number, a truth value or text")
    if values.dtype == object and all(map(_is_number_or_missing, values)):
        values = np.array([np.nan if _is_missing(value) else float(value) for value in values])
    kind = values.dtype.kind
    if kind in "iu" and len(np.unique(values)) > _FEW:
        kind = "f"
    if kind == "f":
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise fail(function, f"{where}[{infinite[0]}]", "is infinite", "finite values, or NaN for none")
        return Column(name, values.astype(np.float64), None, of_nodes)
    if kind not in "biuUO":
        raise fail(function, where, f"has dtype {values.dtype}", "numbers, truth values or text")
    return _read_classes(function, where, name, values, of_nodes)


def _is_number_or_missing(value: Any) -> bool:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    return is_number or _is_missing(value)


def _is_missing(value: Any) -> bool:
    """Return whether a cell is None, differs from itself, as NaN, or cannot say so, as the NA of pandas."""
    differs = value != value
    return value is None or not isinstance(differs, bool | np.bool_) or bool(differs)


def _read_classes(function: str, where: str, name: str, values: NDArray[Any], of_nodes: bool) -> Column:
    cells = values.tolist()
    known = {cell for cell in cells if not _is_missing(cell)}
    if len(known) > _MOST_CLASSES:
        raise fail(function, where, f"has {len(known)} classes", f"at most {_MOST_CLASSES}, or numbers")
    ordered = sorted(known) if values.dtype != object else sorted(known, key=str)
    codes = {cell: code for code, cell in enumerate(ordered)}
    numbered = np.array([np.nan if _is_missing(cell) else codes[cell] for cell in cells], dtype=np.float64)
    return Column(name, numbered, tuple(map(shown_text, ordered)), of_nodes)


def shown_text(value: Any) -> str:
    """Return what a page shows of a value: control characters and halves of pairs have no place in one."""
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(value))


def short_number(value: float) -> str:
    """Return a number to four digits, with an exponent where it would be long.

    Examples
    --------
    >>> [short_number(value) for value in (0.5, 123456.0, 0.00012345, 5.6131e-7, -2e9, 3.0)]
    ['0.5', '123500', '0.0001234', '5.613e-7', '-2e9', '3']
    """
    mantissa, exponent = f"{value:.3e}".split("e")
    rounded = float(f"{mantissa}e{exponent}")
    if rounded == 0.0 or 1e-4 <= abs(rounded) < 1e6:
        return np.format_float_positional(rounded, trim="-")
    return f"{np.format_float_positional(float(mantissa), trim='-')}e{int(exponent)}"


def node_means(column: Column, drawn: DrawnGraph) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Return mean and deviation of the numbers in each node, and how many samples lack one, each (V,)."""
    if column.of_nodes:
        return column.values, np.zeros(len(column.values)), np.isnan(column.values).astype(np.int64)
    values, node = column.values[drawn.members], drawn.node_of_member
    known = ~np.isnan(values)
    values, node, n_nodes = values[known], node[known], len(drawn.sizes)
    counts = np.bincount(node, minlength=n_nodes)
    means = _means(values, node, counts)
    aside = np.abs(values - means[node])
    unit = aside.max(initial=0.0) or 1.0  # squares of the largest numbers are beyond them
    deviations = unit * np.sqrt(_means((aside / unit) ** 2, node, counts))
    return means, deviations, drawn.sizes - counts


def _means(values: FloatArray, node: NDArray[np.int64], counts: NDArray[np.int64]) -> FloatArray:
    """Return the mean of each node's values, NaN where there are none; sums of large values stay finite."""
    shares = values / counts[node]
    means = np.bincount(node, weights=shares, minlength=len(counts)).astype(np.float64)
    means[counts == 0] = np.nan
    return means


def node_classes(column: Column, drawn: DrawnGraph) -> NDArray[np.int64]:
    """Return how many samples of each class a node has, and last how many have none, (V, classes + 1)."""
    n_classes, n_nodes = len(column.classes or ()), len(drawn.sizes)
    per_member = column.values if column.of_nodes else column.values[drawn.members]
    node = np.arange(n_nodes) if column.of_nodes else drawn.node_of_member
    codes = np.where(np.isnan(per_member), n_classes, per_member).astype(np.int64)
    flat = np.bincount(node * (n_classes + 1) + codes, minlength=n_nodes * (n_classes + 1))
    return flat.reshape(n_nodes, n_classes + 1)


def column_limits(column: Column, drawn: DrawnGraph) -> tuple[tuple[float, float], tuple[bool, bool]]:
    """Return the `color_limits` of a column of numbers; a mean over many samples counts as often."""
    means, _, _ = node_means(column, drawn)
    return color_limits(means if column.of_nodes else np.repeat(means, drawn.sizes))


def color_limits(values: Iterable[float]) -> tuple[tuple[float, float], tuple[bool, bool]]:
    """Return the ends of a colour scale, and whether values lie below and above them.

    A few values far away from the others would give these all one colour: the scale then leaves them out.

    Examples
    --------
    >>> color_limits([*range(100), 10_000.0])
    ((2.0, 98.0), (True, True))
    """
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return (0.0, 1.0), (False, False)
    low, high = float(known.min()), float(known.max())
    inner_low, inner_high = (float(value) for value in np.quantile(known, _INNER, method="nearest"))
    if inner_high / 2 - inner_low / 2 < (high / 2 - low / 2) / 2 and inner_high > inner_low:
        low, high = inner_low, inner_high
    return (low, high), (bool(known.min() < low), bool(known.max() > high))


def ramp_color(share: float) -> str:
    """Return the colour at a share of the scale, that of its end beyond it."""
    place = min(max(share, 0.0), 1.0) * (len(RAMP) - 1)
    below = min(int(place), len(RAMP) - 2)
    low, high = (np.array(rgb(color)) for color in RAMP[below : below + 2])
    red, green, blue = np.rint(low + (high - low) * (place - below)).astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


def rgb(color: str) -> list[int]:
    """Return red, green and blue of a colour as "#440154"."""
    return list(bytes.fromhex(color[1:]))


def _class_color(number: int) -> str:
    """Return one of ten colours chosen for all eyes, then hues that the golden ratio spreads."""
    if number < len(_CLASS_COLORS):
        return _CLASS_COLORS[number]
    red, green, blue = colorsys.hls_to_rgb(number * 0.618034 % 1, 0.42 + 0.16 * (number % 3) / 2, 0.6)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
