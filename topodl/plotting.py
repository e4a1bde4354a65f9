"""Plots of diagrams, barcodes, curves, Euler transforms and critical pixels, with matplotlib.

Each function draws on given axes or on new ones, and returns them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from topodl._axes import axes_of
from topodl._checks import check_dense, fail
from topodl._docs import shares_documentation
from topodl._precision import to_numpy
from topodl.diagrams import Diagrams

__all__ = [
    "plot_barcode",
    "plot_betti_curve",
    "plot_critical_pixels",
    "plot_diagram",
    "plot_euler_transform",
]


def plot_diagram(d: Diagrams, sample: int = 0, ax: Any = None) -> Any:
    """Plot births against deaths, a colour for each dimension; essential bars stand on a dashed line.

    Parameters
    ----------
    d : Diagrams
        Of B samples.
    sample : int
        Which sample to plot, in [0, B).
    ax : matplotlib Axes, optional
        What to draw on. None: new axes.

    Returns
    -------
    matplotlib Axes
        Those that were drawn on.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.plotting import plot_diagram
    >>> ax = plot_diagram(Diagrams.from_padded(torch.rand(1, 9, 2).cumsum(-1)))
    """
    ax = axes_of("topodl.plotting.plot_diagram", ax)
    one = _sample("plot_diagram", d, sample)
    low, high = _range(one)
    margin = 0.05 * (high - low)
    infinity, lowest = high + 2 * margin, low - 2 * margin
    ax.plot([low - margin, high + margin], [low - margin, high + margin], color="0.6", linewidth=1, zorder=0)
    for i, k in enumerate(one.homology_dims):
        births, deaths = (to_numpy(x) for x in (one.dim(k).births, one.dim(k).deaths))
        shown = np.clip(deaths, lowest, infinity)
        ax.scatter(np.clip(births, lowest, infinity), shown, s=14, color=f"C{i}", label=f"$H_{k}$", zorder=2)
    for end, place in ((np.inf, infinity), (-np.inf, lowest)):
        if (to_numpy(one.deaths) == end).any():
            ax.axhline(place, color="0.6", linewidth=1, linestyle="--", zorder=0)
    ax.set(xlabel="birth", ylabel="death", aspect="equal")
    ax.legend()
    return ax


@shares_documentation(plot_diagram, sections=("Returns", "Raises"))
def plot_barcode(d: Diagrams, sample: int = 0, ax: Any = None) -> Any:
    """Plot each bar as a line from birth to death, by dimension and birth; essential bars end in an arrow.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.plotting import plot_barcode
    >>> ax = plot_barcode(topodl.cubical_persistence(torch.rand(1, 9, 9)))
    """
    ax = axes_of("topodl.plotting.plot_barcode", ax)
    one = _sample("plot_barcode", d, sample)
    low, high = _range(one)
    margin = 0.1 * (high - low)
    row = 0
    for i, k in enumerate(one.homology_dims):
        births, deaths = (to_numpy(x) for x in (one.dim(k).births, one.dim(k).deaths))
        order = np.lexsort((deaths, births))
        rows = np.arange(row, row + len(order))
        starts = np.clip(births[order], low - margin, high + margin)
        ends = np.clip(deaths[order], low - margin, high + margin)
        ax.hlines(rows, starts, ends, color=f"C{i}", label=f"$H_{k}$")
        never = np.isinf(deaths[order])
        for sign, marker in ((1, ">"), (-1, "<")):
            some = never & (np.sign(deaths[order]) == sign)
            ax.scatter(ends[some], rows[some], color=f"C{i}", marker=marker, s=18)
        row += len(order)
    ax.set(xlabel="value", ylabel="bar", yticks=[])
    ax.legend()
    return ax


@shares_documentation(plot_diagram, sections=("Returns", "Raises"))
def plot_betti_curve(
    d: Diagrams,
    sample: int = 0,
    resolution: int = 200,
    value_range: tuple[float, float] | None = None,
    ax: Any = None,
) -> Any:
    """Plot the number of bars alive at each value, a colour for each homology dimension.

    Parameters
    ----------
    resolution : int
        Number of values.
    value_range : (low, high), optional
        None: the range of the sample's finite ends.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.plotting import plot_betti_curve
    >>> ax = plot_betti_curve(topodl.rips_persistence(torch.rand(1, 20, 2)))
    """
    from topodl.layers import BettiCurve

    ax = axes_of("topodl.plotting.plot_betti_curve", ax)
    one = _sample("plot_betti_curve", d, sample)
    ends = _range(one) if value_range is None else value_range
    curves = BettiCurve(resolution, ends)(one)[0]
    for i, k in enumerate(one.homology_dims):
        ax.step(
            np.linspace(*ends, resolution),
            to_numpy(curves[i]),
            where="post",
            color=f"C{i}",
            label=rf"$\beta_{k}$",
        )
    ax.set(xlabel="value", ylabel="Betti number")
    ax.legend()
    return ax


@shares_documentation(plot_diagram, sections=["Returns"])
def plot_euler_transform(
    transform: torch.Tensor, radius: float | None = None, sample: int = 0, ax: Any = None
) -> Any:
    """Plot an Euler characteristic transform as an image of directions and heights.

    Parameters
    ----------
    transform : Tensor of shape (B, directions, thresholds)
        What `EulerCharacteristicTransform` gives.
    radius : float, optional
        Largest height, for the axis. None: thresholds are numbered.

    Raises
    ------
    InputError
        If `transform` has another shape.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import EulerCharacteristicTransform
    >>> from topodl.plotting import plot_euler_transform
    >>> layer = EulerCharacteristicTransform(16, 32, radius=1.0)
    >>> ax = plot_euler_transform(layer(torch.rand(1, 50, 2) - 0.5), radius=1.0)
    """
    check_dense("plot_euler_transform", "transform", transform)
    if transform.ndim != 3:
        came = f"has shape {tuple(transform.shape)}"
        raise fail("plot_euler_transform", "transform", came, "(B, directions, thresholds)")
    ax = axes_of("topodl.plotting.plot_euler_transform", ax)
    n_directions, n_thresholds = transform.shape[1:]
    low, high = (-0.5, n_thresholds - 0.5) if radius is None else (-radius, radius)
    picture = ax.imshow(
        to_numpy(transform[sample]).T,
        origin="lower",
        aspect="auto",
        extent=(-0.5, n_directions - 0.5, low, high),
    )
    ax.figure.colorbar(picture, ax=ax, label="Euler characteristic")
    ax.set(xlabel="direction", ylabel="threshold" if radius is None else "height")
    return ax


@shares_documentation(plot_diagram, sections=["Returns"])
def plot_critical_pixels(image: torch.Tensor, d: Diagrams, sample: int = 0, ax: Any = None) -> Any:
    """Plot an image with the pixels at which classes are born (○) and die (×), a colour for each dimension.

    Parameters
    ----------
    image : Tensor of shape (H, W)
        The sample's image.
    d : Diagrams
        What `cubical_persistence` gives for a batch that has the image.
    sample : int
        Index of the image in that batch.

    Raises
    ------
    InputError
        If `image` is not 2D, or the diagrams have no cells.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.plotting import plot_critical_pixels
    >>> images = torch.rand(3, 9, 9)
    >>> d = topodl.cubical_persistence(images, min_persistence=0.2)
    >>> ax = plot_critical_pixels(images[1], d, sample=1)
    """
    check_dense("plot_critical_pixels", "image", image)
    if image.ndim != 2:
        raise fail("plot_critical_pixels", "image", f"has shape {tuple(image.shape)}", "shape (H, W)")
    one = _sample("plot_critical_pixels", d, sample)
    if one.birth_cells is None or one.death_cells is None:
        raise fail("plot_critical_pixels", "d", "has no cells", "diagrams of cubical_persistence")
    ax = axes_of("topodl.plotting.plot_critical_pixels", ax)
    ax.imshow(to_numpy(image), cmap="gray")
    for i, k in enumerate(one.homology_dims):
        part = one.dim(k)
        for cells, marker, name in ((part.birth_cells, "o", "birth"), (part.death_cells, "x", "death")):
            flat = to_numpy(cells)[:, 0] if cells is not None else np.empty(0, dtype=int)
            rows, columns = np.divmod(flat[flat >= 0], image.shape[1])
            face = {"facecolors": "none", "edgecolors": f"C{i}"} if marker == "o" else {"color": f"C{i}"}
            ax.scatter(columns, rows, s=24, marker=marker, label=f"$H_{k}$ {name}", **face)
    ax.legend()
    return ax


def _sample(function: str, d: Diagrams, sample: int) -> Diagrams:
    if not isinstance(d, Diagrams):
        raise TypeError(f"{function}: d is a {type(d).__name__}; expected Diagrams")
    return d[sample].detach()


def _range(d: Diagrams) -> tuple[float, float]:
    ends = torch.cat([d.births, d.deaths])
    ends = ends[torch.isfinite(ends)]
    if len(ends) == 0:
        return 0.0, 1.0
    low, high = float(ends.min()), float(ends.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
