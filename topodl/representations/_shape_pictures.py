"""The grid of pictures of `topodl shapes`: a column for each kind of shape, a row for each way to get one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from topodl.persistence.cubical import cubical_persistence

__all__ = ["draw_grid"]

_RIGHT, _WRONG = "#0072b2", "#d55e00"  # Okabe and Ito's, which all can tell apart


def draw_grid(figure_class: Any, stages: Mapping[str, Mapping[str, torch.Tensor]], titles: Any) -> Any:
    """Draw the pictures of the stages, each with its Betti numbers, in another colour where they are wrong.

    Parameters
    ----------
    figure_class : type
        matplotlib's `Figure`.
    stages : mapping
        Stage to its signed distances by name, (n_kinds, *S), of edited conditions (n_kinds with holes, *S).
    titles : mapping of str to str
        Names of the conditions.

    Returns
    -------
    Figure
    """
    rows = list(_rows(stages, titles))
    n_kinds, volumes = len(rows[0][1]), rows[0][1][0].ndim == 3
    targets = [_betti(shape) for shape in rows[0][1]]
    width, height = 1.1 * n_kinds + 1.5, 1.25 * len(rows)
    figure = figure_class(figsize=(width, height))
    axes = figure.subplots(
        len(rows),
        n_kinds,
        squeeze=False,
        subplot_kw={"projection": "3d"} if volumes else None,
        # Found by hand, as a layout that is computed takes longer than all else.
        gridspec_kw={
            "left": 1.4 / width,
            "right": 1 - 0.05 / width,
            "bottom": 0.05 / height,
            "top": 1 - 0.2 / height,
            "wspace": 0.05,
            "hspace": 0.2,
        },
    )
    holed = [i for i, target in enumerate(targets) if any(target[1:])]
    for row, (title, shapes, edited) in zip(axes, rows, strict=True):
        at = holed if edited else range(n_kinds)
        for ax in row:
            ax.set_axis_off()
        write = row[0].text2D if volumes else row[0].text
        write(-0.1, 0.5, title, transform=row[0].transAxes, ha="right", va="center", fontsize=7)
        for i, shape in zip(at, shapes, strict=True):
            found = _betti(shape)
            wanted = (targets[i][0], *[0] * (len(found) - 1)) if edited else targets[i]
            (_draw_volume if volumes else _draw_image)(row[i], shape.numpy())
            row[i].set_title(
                ", ".join(map(str, found)), fontsize=7, pad=1, color=_RIGHT if found == wanted else _WRONG
            )
    return figure


def _rows(
    stages: Mapping[str, Mapping[str, torch.Tensor]], titles: Any
) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """Yield the title of each row, its shapes, and whether their condition was edited."""
    for stage, pictures in stages.items():
        for name, shapes in pictures.items():
            words = f"{titles[stage]}\n{name}" if stage in titles else name
            yield words, shapes.float(), name.startswith("edited")


def _betti(shape: torch.Tensor) -> tuple[int, ...]:
    return tuple(cubical_persistence(shape[None]).betti(0.0)[0].tolist())


def _draw_image(ax: Any, shape: np.ndarray[Any, Any]) -> None:
    ax.imshow(shape >= 0, cmap="gray", vmin=-0.4, vmax=1.1, interpolation="nearest")


def _draw_volume(ax: Any, shape: np.ndarray[Any, Any]) -> None:
    """Draw the surface of a volume, half transparent, so that cavities show."""
    from skimage.measure import marching_cubes

    if (shape < 0).any() and (shape > 0).any():
        vertices, faces, _, _ = marching_cubes(np.pad(shape, 1, constant_values=1.0), 0.0, step_size=1)
        ax.plot_trisurf(*vertices.T[:2], faces, vertices[:, 2], color="#9ecae1", alpha=0.45, linewidth=0)
    limits = (0, len(shape) + 1)
    ax.set(xlim=limits, ylim=limits, zlim=limits)
