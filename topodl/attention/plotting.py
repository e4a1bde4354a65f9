"""Pictures of attention topology: which heads matter, and an attention graph over tokens or an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from topodl._checks import as_tensor, fail
from topodl.attention._combinatorics import Maps, spanning_trees, symmetrized
from topodl.errors import MissingDependencyError

__all__ = ["plot_attention_graph", "plot_head_scores"]


def _figure(size: tuple[float, float]) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError("matplotlib", extra="plot", purpose="plotting attention") from None
    return Figure(figsize=size, layout="constrained")


def plot_head_scores(scores: Any, title: str = "", label: str = "accuracy") -> Any:
    """Draw one value per layer and head as a heat map.

    Parameters
    ----------
    scores : array of shape (layers, heads)
        For example the cross-validated accuracy of each head alone.
    title, label : str
        Title of the figure and of its colour bar.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If `scores` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.attention.plotting import plot_head_scores
    >>> figure = plot_head_scores(np.random.rand(6, 12), title="each head alone")
    >>> figure.axes[0].get_xlabel()
    'head'
    """
    values = np.asarray(scores)
    if values.ndim != 2:
        raise fail("plot_head_scores", "scores", f"has shape {values.shape}", "shape (layers, heads)")
    figure = _figure((0.5 * values.shape[1] + 2.5, 0.4 * values.shape[0] + 1.5))
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="viridis", aspect="auto")
    axes.set(xlabel="head", ylabel="layer", title=title)
    axes.set_xticks(range(values.shape[1]))
    axes.set_yticks(range(values.shape[0]))
    figure.colorbar(image, ax=axes, label=label)
    return figure


def plot_attention_graph(
    attention: Any,
    *,
    threshold: float = 0.1,
    image: Any = None,
    grid: tuple[int, int] | None = None,
    skip: int = 0,
    labels: Sequence[str] | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the attention graph of one head: edges at or above a threshold, and the maximum spanning tree.

    Parameters
    ----------
    attention : Tensor or array of shape (n, n)
        Attention probabilities of one head.
    threshold : float, default=0.1
        Weights max(A, Aᵀ) at or above it are drawn.
    image : array of shape (H, W) or (H, W, 3), optional
        The image under the graph; tokens then sit on their patches.
    grid : (int, int), optional
        Rows and columns of patches; with `image`, by default a square.
    skip : int, default=0
        Number of first tokens that are no patches ([CLS], registers); they are left out of the picture.
    labels : sequence of str, optional
        Names of the tokens, drawn around a circle when there is no image.
    title : str
        Title of the figure.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a figure of its own.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If `attention` is not square, or has another number of tokens than the grid has patches.

    Examples
    --------
    >>> import torch
    >>> from topodl.attention.plotting import plot_attention_graph
    >>> attention = torch.softmax(4 * torch.randn(5, 5), -1)
    >>> figure = plot_attention_graph(attention, threshold=0.2, labels=["[CLS]", "it", "rains", ".", "[SEP]"])
    """
    maps = as_tensor(attention).detach().float()
    if maps.ndim != 2 or maps.shape[0] != maps.shape[1] or len(maps) <= skip:
        raise fail("plot_attention_graph", "attention", f"has shape {tuple(maps.shape)}", "shape (n, n)")
    weights = symmetrized(maps[skip:, skip:], "max")
    n = len(weights)
    axes = _figure((5, 5)).add_subplot() if ax is None else ax
    if image is not None:
        places = _patch_centres(n, np.asarray(image).shape[:2], grid)
        axes.imshow(np.asarray(image), cmap="gray")
    else:
        angle = 2 * np.pi * np.arange(n) / n
        places = np.stack([np.sin(angle), np.cos(angle)], 1)
        axes.set_aspect("equal")
        for (x, y), name in zip(places, labels or [], strict=False):
            axes.annotate(name, (1.08 * x, 1.08 * y), ha="center", va="center")
    _draw_edges(axes, places, weights.numpy(), threshold)
    tree = spanning_trees(Maps.of(weights[None], None), (threshold,)).edges[0]
    for edge in tree:
        ends = places[[edge // n, edge % n]]
        axes.plot(*ends.T, color="tab:red", linewidth=0.8, alpha=0.9)
    axes.scatter(*places.T, s=12, color="tab:orange", zorder=3)
    axes.set(title=title, xticks=[], yticks=[])
    return axes.figure


def _draw_edges(axes: Any, places: Any, weights: Any, threshold: float) -> None:
    for i, j in zip(*np.nonzero(np.triu(weights, 1) >= threshold), strict=True):
        strength = float(min(1.0, weights[i, j]))
        axes.plot(
            *places[[i, j]].T, color="tab:blue", linewidth=0.5 + 3 * strength, alpha=0.2 + 0.7 * strength
        )


def _patch_centres(n: int, size: tuple[int, ...], grid: tuple[int, int] | None) -> Any:
    rows, columns = grid or (round(n**0.5), round(n**0.5))
    if rows * columns != n:
        came = f"has {n} tokens for a grid of {rows} x {columns}"
        raise fail("plot_attention_graph", "attention", came, "one token a patch; skip and grid say which")
    y, x = np.divmod(np.arange(n), columns)
    return np.stack([(x + 0.5) * size[1] / columns - 0.5, (y + 0.5) * size[0] / rows - 0.5], 1)
