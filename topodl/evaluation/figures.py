"""Box plots, bars and learning curves as inline SVG: they take their colours from the page's style sheet.

Matplotlib draws them once in placeholder colours, which become CSS variables: dark mode needs no second copy.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from topodl.errors import MissingDependencyError
from topodl.evaluation.comparison import DOMAINS, SettingComparison
from topodl.evaluation.loading import Curve
from topodl.evaluation.measurements import Metric
from topodl.evaluation.statistics import FloatArray, mean_of_defined

__all__ = ["N_SERIES_COLORS", "Figure", "accuracy_bars", "box_plots", "learning_curves", "stacked_bars"]

N_SERIES_COLORS = 8
_INK, _FAINT, _MEAN = "#010101", "#020202", "#030303"
_SERIES = [f"#0400{n:02x}" for n in range(N_SERIES_COLORS)]
_VARIABLES = {_INK: "var(--ink)", _FAINT: "var(--line)", _MEAN: "var(--paper)"} | {
    color: f"var(--series-{n})" for n, color in enumerate(_SERIES)
}
_DASHES: list[Any] = ["-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5))]
_MAX_POINTS = 240
_NAME_WIDTH = 24  # letters of a loss's name in one line
_LEGEND_WIDTH = 46
_CURVE_NAMES = {"loss": "Training loss", "seconds": "Seconds"}


@dataclass(frozen=True)
class Figure:
    """An SVG element, and the sentence that says what it shows (also its text alternative)."""

    title: str
    svg: str
    alternative: str


def box_plots(result: SettingComparison, class_name: str | None = None) -> list[Figure]:
    """Return one box plot for each tested metric and domain: images, averaged over seeds, by loss.

    Those of one class, or by default of the mean over classes. Boxes of collapsed losses are hollow.
    """
    return [
        _box_plot(result, metric, domain, class_name)
        for metric in result.setting.tested_metrics
        for domain in result.domains
    ]


def _box_plot(result: SettingComparison, metric: Metric, domain: str, class_name: str | None) -> Figure:
    losses = result.setting.losses
    members = result.setting.domain(domain)
    samples = [
        _without_nan(mean_of_defined(result.setting.values(loss, metric, class_name)[:, members], axis=0))
        for loss in losses
    ]
    names = ["\n".join(textwrap.wrap(result.shown_name(loss), _NAME_WIDTH)) for loss in losses]
    lines = max(name.count("\n") for name in names) + 1
    widest = max(len(line) for name in names for line in name.split("\n"))
    row_height = 0.235 + 0.12 * (lines - 1)
    figure, axes = _new_figure(0.35 + row_height * len(losses), left=0.12 + 0.078 * widest, bottom=0.25)
    _draw_boxes(axes, samples, hollow=[loss.name in result.collapsed for loss in losses])
    axes.set_yticks(range(len(losses)), names, parse_math=False)
    axes.set_ylim(len(losses) - 0.5, -0.5)
    axes.grid(axis="x", color=_FAINT, linewidth=0.7)
    axes.locator_params(axis="x", nbins=6)
    largest = max((np.percentile(values, 95) for values in samples if values.size), default=0.0)
    # A few images may have a hundred times the median's errors.
    if metric.name.startswith("Betti") and largest > 30:
        axes.set_xscale("symlog", linthresh=1, linscale=0.6)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(left=-0.1)
    arrow = "more is better" if metric.higher_is_better else "less is better"
    of_class = f" of {class_name}" if class_name else ""
    title = f"{metric.name}{of_class}, {DOMAINS[domain].lower()}"
    medians = ", ".join(
        f"{result.shown_name(loss)} {np.median(v):.3g}"
        for loss, v in zip(losses, samples, strict=True)
        if v.size
    )
    alternative = (
        f"Box plot of {metric.name}{of_class} ({arrow}) {DOMAINS[domain].lower()}; medians: {medians}."
    )
    return Figure(f"{title} ({arrow})", _to_svg(figure, alternative), alternative)


def stacked_bars(title: str, parts: Mapping[str, FloatArray], kinds: Sequence[tuple[str, str]]) -> Figure:
    """Return horizontal bars, one for each name in `parts`, cut into the kinds (name, colour) that add up."""
    names = ["\n".join(textwrap.wrap(name, _NAME_WIDTH)) for name in parts]
    lines = max(name.count("\n") for name in names) + 1
    widest = max(len(line) for name in names for line in name.split("\n"))
    height = 0.55 + (0.235 + 0.12 * (lines - 1)) * len(names)
    figure, axes = _new_figure(height, left=0.12 + 0.078 * widest, bottom=0.25, top=0.25)
    values = np.nan_to_num(np.stack(list(parts.values())))
    starts = np.cumsum(values, axis=1) - values
    for n, (kind, color) in enumerate(kinds):
        axes.barh(range(len(names)), values[:, n], left=starts[:, n], height=0.6, color=color, label=kind)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color=_FAINT, linewidth=0.7)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=8, ncols=len(kinds), loc="lower left",
                bbox_to_anchor=(-0.02, 0.99), borderaxespad=0, handlelength=1.2)  # fmt: skip
    sums = ", ".join(f"{name} {total:.3g}" for name, total in zip(parts, values.sum(1), strict=True))
    alternative = f"{title}, by kind; in all: {sums}."
    return Figure(title, _to_svg(figure, alternative), alternative)


def _draw_boxes(axes: Any, samples: Sequence[FloatArray], hollow: Sequence[bool]) -> None:
    """Draw horizontal boxes: quartiles, whiskers at the 5th and 95th percentile, median line, mean diamond.

    A handful of collections: `Axes.boxplot` makes six artists a box, which takes most of a report's time.
    """
    from matplotlib.collections import PolyCollection

    drawn = np.array([n for n, values in enumerate(samples) if values.size])
    if not drawn.size:
        return
    low, first, median, third, high = np.array(
        [np.percentile(samples[n], [5, 25, 50, 75, 95]) for n in drawn]
    ).T
    colors = [_SERIES[n % N_SERIES_COLORS] for n in drawn]
    half = 0.28
    corners = [
        ((a, n - half), (b, n - half), (b, n + half), (a, n + half))
        for n, a, b in zip(drawn, first, third, strict=True)
    ]
    axes.hlines(drawn, low, high, colors=colors, linewidth=1.2)
    axes.vlines(
        np.concatenate([low, high]),
        np.tile(drawn - half / 2, 2),
        np.tile(drawn + half / 2, 2),
        colors=colors * 2,
        linewidth=1.2,
    )
    fills = [_MEAN if hollow[n] else color for n, color in zip(drawn, colors, strict=True)]
    lines = [color if hollow[n] else _MEAN for n, color in zip(drawn, colors, strict=True)]
    axes.add_collection(PolyCollection(corners, facecolors=fills, edgecolors=colors))
    axes.vlines(median, drawn - half, drawn + half, colors=lines, linewidth=1.8, zorder=3)
    means = [samples[n].mean() for n in drawn]
    axes.scatter(means, drawn, marker="D", s=15, c=_MEAN, edgecolors=colors, linewidths=1, zorder=4)
    axes.set_xmargin(0.03)


def _without_nan(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def accuracy_bars(
    title: str, names: Sequence[str], means: FloatArray, errors: FloatArray, series: Sequence[int]
) -> Figure:
    """Return bars of accuracies in % with their standard errors, in the colour of the series of each."""
    widest = max(map(len, names))
    height = 0.45 + 0.2 * len(names)
    figure, axes = _new_figure(height, left=0.12 + 0.078 * min(widest, _NAME_WIDTH), bottom=0.4)
    places = np.arange(len(names))
    axes.barh(places, means, color=[_SERIES[n] for n in series], height=0.7)
    axes.hlines(places, means - errors, means + errors, colors=_INK, linewidth=1.2)
    axes.set_yticks(
        places, [textwrap.shorten(n, _NAME_WIDTH, placeholder=" …") for n in names], parse_math=False
    )
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(max(0.0, float((means - errors).min()) - 10), 100)
    axes.set_xlabel("accuracy in %", color=_INK, fontsize=8.5)
    axes.grid(axis="x", color=_FAINT, linewidth=0.7)
    shown = ", ".join(f"{name} {mean:.1f}" for name, mean in zip(names, means, strict=True))
    alternative = f"Bars of accuracies in %: {shown}."
    return Figure(title, _to_svg(figure, alternative), alternative)


def learning_curves(
    curves: Sequence[Curve], collapsed: Collection[str] = (), losses: Sequence[str] = ()
) -> list[Figure]:
    """Return one plot for each column of the curves: the mean over seeds by loss, and each seed faintly.

    The names of losses in `collapsed` say so. Colours follow the order of `losses`, as in the box plots.
    """
    names = dict.fromkeys(name for curve in curves for name in curve.columns if name != "iteration")
    return [figure for name in names if (figure := _curve_plot(curves, name, collapsed, losses))]


def _curve_plot(
    curves: Sequence[Curve], column: str, collapsed: Collection[str], order: Sequence[str]
) -> Figure | None:
    place = {loss: n for n, loss in enumerate(dict.fromkeys([*order, *(curve.loss for curve in curves)]))}
    losses = sorted({curve.loss for curve in curves}, key=place.__getitem__)
    names = {
        loss: textwrap.fill(f"{loss} (collapsed)" if loss in collapsed else loss, _LEGEND_WIDTH)
        for loss in losses
    }
    n_columns = max(1, min(3, int(66 / (10 + max(len(name) for name in names.values())))))
    n_lines = math.ceil(len(losses) / n_columns) + sum(name.count("\n") for name in names.values())
    top = 0.12 + 0.155 * n_lines
    figure, axes = _new_figure(2.12 + top, left=0.5, bottom=0.42, top=top)
    ends = []
    for loss in losses:
        n = place[loss]
        points = [_defined_points(curve, column) for curve in curves if curve.loss == loss]
        points = [(x, y) for x, y in points if len(x)]
        if not points:
            continue
        color, dash = _SERIES[n % N_SERIES_COLORS], _DASHES[n % len(_DASHES)]
        for x, y in points:
            axes.plot(x, y, color=color, linewidth=0.7, alpha=0.35)
        grid = points[0][0]
        mean = np.mean([np.interp(grid, x, y) for x, y in points], axis=0)
        axes.plot(grid, mean, color=color, linewidth=1.8, linestyle=dash, label=names[loss],
                  marker="o" if len(grid) < 30 else None, markersize=3)  # fmt: skip
        ends.append(f"{' '.join(names[loss].split())} {mean[-1]:.3g}")
    if not ends:
        return None
    axes.grid(color=_FAINT, linewidth=0.7)
    axes.set_xlabel("iteration", color=_INK)
    axes.margins(x=0.02)
    legend = axes.legend(frameon=False, labelcolor=_INK, fontsize=8, ncols=min(n_columns, len(ends)),
                         loc="lower left", bbox_to_anchor=(-0.02, 0.99), borderaxespad=0,
                         handlelength=2.6)  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    title = _CURVE_NAMES.get(column, _readable(column))
    alternative = f"{title} by iteration; last values: {', '.join(ends)}."
    return Figure(title, _to_svg(figure, alternative), alternative)


def _readable(column: str) -> str:
    words = column.removeprefix("val_").replace("_", " ")
    for written, usual in (("betti", "Betti"), ("cldice", "clDice"), ("hd95", "HD95"), ("dice", "Dice")):
        words = " ".join(
            word.replace(written, usual, 1) if word.startswith(written) else word for word in words.split()
        )
    return f"Validation: {words}" if column.startswith("val_") else words.capitalize()


def _defined_points(curve: Curve, column: str) -> tuple[FloatArray, FloatArray]:
    """Return iterations and values where defined, averaged in blocks when there are too many to draw."""
    values = curve.columns.get(column)
    if values is None:
        return np.empty(0), np.empty(0)
    kept = np.isfinite(values)
    x, y = curve.columns["iteration"][kept], values[kept]
    block = math.ceil(len(x) / _MAX_POINTS)
    if block > 1:
        starts = np.arange(0, len(x), block)
        sizes = np.diff(np.append(starts, len(x)))
        x, y = np.add.reduceat(x, starts) / sizes, np.add.reduceat(y, starts) / sizes
    return x, y


def _new_figure(height: float, *, left: float, bottom: float, top: float = 0.05) -> tuple[Any, Any]:
    """Return a figure of that height and its axes inside the margins, in inches.

    The margins are given, as finding them ("tight") would draw everything twice.
    """
    try:
        from matplotlib.figure import Figure as MatplotlibFigure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", extra="eval", purpose="topodl report") from error
    width = 4.2
    figure = MatplotlibFigure(figsize=(width, height))
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + 0.08) / width, 1 - (bottom + top) / height)
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=8.5, length=0)
    return figure, axes


def _to_svg(figure: Any, alternative: str) -> str:
    """Render a figure as an inline SVG element whose colours and font come from the page."""
    from html import escape

    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": alternative, "path.simplify_threshold": 0.5}
    ):
        figure.savefig(
            text, format="svg", transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )  # fmt: skip
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg, count=2).replace("xlink:href", "href")
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box is not None
    start = f'<svg {view_box[0]} role="img" aria-label="{escape(alternative, quote=True)}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: start, svg, count=1)
    # The style element would apply to the whole page, and ids that nobody refers to would clash there.
    svg = re.sub(r"<style.*?</style>|font-family: [^;\"]*;? ?", "", svg, flags=re.DOTALL)
    referred = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in referred else "", svg)
    for placeholder, variable in _VARIABLES.items():
        svg = svg.replace(placeholder, variable)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()
