"""Where the topology of a prediction is wrong, and the pictures that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.errors import MissingDependencyError
from topodl.evaluation.pictures import IGNORED, Masks

__all__ = [
    "CLASS_COLORS",
    "ERROR_STYLES",
    "OTHER_ERRORS",
    "ErrorStyle",
    "Errors",
    "count_errors",
    "draw_masks",
    "draw_overlay",
    "enlarged",
    "find_errors",
]

BoolArray = NDArray[np.bool_]
_DRAWN_SIZE = 512  # smaller pictures are enlarged to about that, so that marks stay thin
_LARGEST_SIZE = 1400  # larger ones are reduced to that, so that the page can still be opened
_MAX_MARKS = 40


@dataclass(frozen=True)
class ErrorStyle:
    """How one kind of error is drawn: Okabe and Ito's colours, and a shape for those who cannot tell them."""

    name: str
    color: str
    shape: str
    meaning: str


ERROR_STYLES = (
    ErrorStyle(
        "broken", "#ff7a1a", "circle", "the prediction lacks what holds a component or a loop together"
    ),
    ErrorStyle(
        "merged", "#56b4e9", "square", "the prediction joins two components, closes a loop or fills a hole"
    ),
    ErrorStyle(
        "missing", "#f0e442", "triangle", "a component of the label that the prediction nowhere touches"
    ),
    ErrorStyle(
        "spurious", "#f49ac8", "diamond", "a component of the prediction that nowhere touches the label"
    ),
)
OTHER_ERRORS = ErrorStyle("other wrong pixels", "#75689f", "filled", "their correction changes no topology")
CLASS_COLORS = ("#ffffff", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")
_IGNORED_COLOR = "#5a5a5a"


@dataclass(frozen=True)
class Errors:
    """Arrays (*S): correct foreground, wrong pixels, and errors of topology as `TopologyError`."""

    right: BoolArray
    wrong: BoolArray
    topology: NDArray[np.int64]


def find_errors(prediction: Masks, label: Masks) -> tuple[Errors, list[dict[str, int]]]:
    """Return where a prediction is wrong, over all classes, and for each class the number of places by kind.

    Parameters
    ----------
    prediction, label : uint8 array of shape (classes, *S)
        Masks of the classes; where the label is ignored (255), nothing is wrong. S has two or three
        dimensions.
    """
    counted = label != IGNORED
    true, predicted = label == 1, (prediction == 1) & counted
    topology = [_topology_errors(p, t) for p, t in zip(predicted, true, strict=True)]
    errors = Errors((predicted & true).any(0), (predicted ^ true).any(0), np.max(topology, axis=0))
    return errors, [count_errors(of_class) for of_class in topology]


def _topology_errors(prediction: BoolArray, label: BoolArray) -> NDArray[np.int64]:
    import torch

    from topodl.metrics import topology_errors

    pair = (torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (prediction, label))
    return topology_errors(*pair)[0].numpy()


def count_errors(errors: NDArray[np.integer[Any]]) -> dict[str, int]:
    """Return the number of places with each kind of error, by its name; diagonal neighbours are one place."""
    from scipy import ndimage

    return {
        style.name: int(ndimage.label(errors == value, np.ones((3,) * errors.ndim))[1])
        for value, style in enumerate(ERROR_STYLES, start=1)
    }


def draw_masks(masks: Masks) -> Any:
    """Draw the masks of classes (classes, H, W) in `CLASS_COLORS`, one class alone white, as a PIL image."""
    _, height, width = masks.shape
    if len(masks) == 1 and not (masks == IGNORED).any():
        return _pillow().fromarray(masks[0] == 1)
    index = np.zeros((height, width), np.uint8)
    for number, mask in enumerate(masks):
        index[mask == 1] = number % len(CLASS_COLORS) + 1
    index[(masks == IGNORED).all(axis=0)] = len(CLASS_COLORS) + 1
    image = _pillow().fromarray(index, mode="P")
    image.putpalette([level for color in ("#000000", *CLASS_COLORS, _IGNORED_COLOR) for level in _rgb(color)])
    return image


def draw_overlay(picture: NDArray[np.uint8], errors: Errors) -> Any:
    """Draw the errors of a prediction on the dimmed picture, each place ringed by the shape of its kind.

    Parameters
    ----------
    picture : uint8 array of shape (H, W, 3)
        The test image.
    errors : Errors
        Of shape (H, W). Correct foreground is drawn light, and what is wrong in a dull colour where it is no
        error of topology.

    Returns
    -------
    PIL.Image.Image
        Enlarged to about 512 pixels where it is smaller, reduced where it is very large.
    """
    grey = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    canvas = np.repeat((0.32 * grey)[..., None] + 18, 3, axis=2)
    for here, color, weight in ((errors.right, "#c4ccd4", 0.65), (errors.wrong, OTHER_ERRORS.color, 0.8)):
        canvas[here] = (1 - weight) * canvas[here] + weight * np.array(_rgb(color))
    for value, style in enumerate(ERROR_STYLES, start=1):
        canvas[errors.topology == value] = _rgb(style.color)
    image = enlarged(canvas.round().astype(np.uint8))
    scale = image.width / picture.shape[1]
    for extent, (x, y), style in _marks(errors.topology)[:_MAX_MARKS]:
        _ring(image, (x * scale, y * scale), max(0.5 * extent * scale + 7, 12), style)
    return image


def _marks(topology: NDArray[np.int64]) -> list[tuple[int, tuple[float, float], ErrorStyle]]:
    """Return extent, centre (x, y) and kind of every place with an error of topology, the largest first."""
    from scipy import ndimage

    marks = []
    for value, style in enumerate(ERROR_STYLES, start=1):
        labelled, _ = ndimage.label(topology == value, np.ones((3, 3)))
        for rows, columns in ndimage.find_objects(labelled):
            extent = max(rows.stop - rows.start, columns.stop - columns.start)
            center = ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
            marks.append((extent, center, style))
    return sorted(marks, key=lambda mark: -mark[0])


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def _ring(image: Any, center: tuple[float, float], radius: float, style: ErrorStyle) -> None:
    from PIL import ImageDraw

    x, y = center
    offsets: Mapping[str, list[tuple[float, float]]] = {
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)],
        "triangle": [(0, -1.35), (1.25, 0.85), (-1.25, 0.85), (0, -1.35)],
        "diamond": [(0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0), (0, -1.35)],
    }
    draw = ImageDraw.Draw(image)
    # A dark rim keeps the ring visible on light walls.
    for color, width in (("#000000", 5), (style.color, 3)):
        if style.shape == "circle":
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color, width=width)
        else:
            corners = [(x + radius * dx, y + radius * dy) for dx, dy in offsets[style.shape]]
            draw.line(corners, fill=color, width=width, joint="curve")


def enlarged(pixels: NDArray[np.uint8]) -> Any:
    """Return a picture (H, W, 3) as a PIL image of a size that a page can show."""
    image = _pillow().fromarray(np.ascontiguousarray(pixels))
    longest = max(image.size)
    if longest > _LARGEST_SIZE:
        size = (max(1, round(side * _LARGEST_SIZE / longest)) for side in image.size)
        return image.resize(tuple(size), _pillow().Resampling.BOX)
    factor = max(1, round(_DRAWN_SIZE / longest))
    nearest = _pillow().Resampling.NEAREST  # pixels stay what they are
    return image.resize((image.width * factor, image.height * factor), nearest)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", extra="eval", purpose="topodl report") from error
    return Image
