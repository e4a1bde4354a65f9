"""The most telling test images of a run: picture, label, predictions, and where their topology is wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.loading import METRICS, Setting, Study

__all__ = [
    "ERROR_STYLES",
    "OTHER_ERRORS",
    "ErrorStyle",
    "Example",
    "Panel",
    "choose_examples",
    "draw_overlay",
    "load_examples",
]

BoolArray = NDArray[np.bool_]
_TOPOLOGY = [metric.index for metric in METRICS if metric.name in ("Betti0", "Betti1")]
_DICE = next(metric.index for metric in METRICS if metric.name == "Dice")
_DRAWN_SIZE = 512  # smaller pictures are enlarged to about that, so that marks stay thin
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


@dataclass(frozen=True)
class Panel:
    """One loss's prediction of a test image, as data URIs, with its errors."""

    loss: str
    prediction: str
    overlay: str
    caption: str
    description: str


@dataclass(frozen=True)
class Example:
    """One test image with its label and the prediction of every loss, pictures as data URIs."""

    image_id: str
    group: str
    picture: str
    label: str
    panels: tuple[Panel, ...]


def choose_examples(setting: Setting, seed: int, available: Sequence[str], count: int = 4) -> list[str]:
    """Return the test images on which the losses differ most in topology.

    The error of a loss on an image is |ΔBetti0| + |ΔBetti1| at the seed that is shown; an image's score
    is the range of log(1 + error) over the losses, so that one error more on top of two counts more than on
    top of two hundred. At most one image of each group is taken while there are groups left; equal scores go
    by image ID.

    Parameters
    ----------
    setting : Setting
        The measurements.
    seed : int
        Seed whose predictions are shown.
    available : sequence of str
        IDs of the images whose pictures are on disk.
    count : int
        How many to choose.
    """
    with_seed = [loss for loss in setting.losses if seed in loss.seeds]
    errors = np.stack([loss.values[loss.seeds.index(seed)][:, _TOPOLOGY].sum(axis=1) for loss in with_seed])
    scores = np.ptp(np.log1p(np.nan_to_num(errors)), axis=0)
    score_of = dict(zip(setting.image_ids, scores.tolist(), strict=True))
    group_of = dict(zip(setting.image_ids, setting.groups, strict=True))
    ranked = sorted((i for i in available if i in score_of), key=lambda i: (-score_of[i], i))
    first_of_group = {group_of[image_id]: image_id for image_id in reversed(ranked)}
    best = [image_id for image_id in ranked if first_of_group[group_of[image_id]] == image_id]
    return [*best, *(image_id for image_id in ranked if image_id not in best)][:count]


def load_examples(study: Study, count: int = 4) -> tuple[int | None, list[Example]]:
    """Return the seed that is shown and the most telling test images; (None, []) where there are no pictures.

    Parameters
    ----------
    study : Study
        A setting, and the folders with `inputs`, `labels` and `predictions`.
    count : int
        How many images to show.

    Raises
    ------
    InputError
        If the pictures of one test image have different sizes, or a file is no picture.
    """
    setting = study.setting
    for seed in sorted({seed for loss in setting.losses for seed in loss.seeds}):
        losses = [loss for loss in setting.losses if seed in loss.seeds]
        available = [
            image_id
            for image_id in setting.image_ids
            if all(
                folder.label_image(image_id).exists()
                and folder.prediction(loss.folder_name, seed, image_id).exists()
                for loss in losses
                for folder in [study.folder_of[loss.name]]
            )
        ]
        if available:
            chosen = choose_examples(setting, seed, available, count)
            return seed, [_load_example(study, seed, image_id) for image_id in chosen]
    return None, []


def _load_example(study: Study, seed: int, image_id: str) -> Example:
    import torch

    from topodl.metrics import topology_errors

    setting = study.setting
    folder = study.folders[0]
    label = _read_mask(folder.label_image(image_id))
    picture_path = folder.input_image(image_id)
    picture = _read_rgb(picture_path) if picture_path.exists() else np.full((*label.shape, 3), 128, np.uint8)
    _same_size(picture_path, picture.shape[:2], label.shape)
    row = setting.image_ids.index(image_id)
    panels = []
    for loss in setting.losses:
        if seed not in loss.seeds:
            continue
        path = study.folder_of[loss.name].prediction(loss.folder_name, seed, image_id)
        prediction = _read_mask(path)
        _same_size(path, prediction.shape, label.shape)
        values = loss.values[loss.seeds.index(seed), row]
        betti0, betti1 = values[_TOPOLOGY]
        caption = f"Betti0 error {betti0:g}, Betti1 error {betti1:g}, Dice {values[_DICE]:.2f}"
        pair = (torch.from_numpy(mask[None]) for mask in (prediction, label))
        errors = topology_errors(*pair)[0].numpy()
        counts = count_errors(errors)
        listed = (
            ", ".join(f"{number} {name}" for name, number in counts.items() if number)
            or "no errors of topology"
        )
        overlay = _webp_uri(draw_overlay(picture, prediction, label, errors))
        panels.append(Panel(loss.name, _mask_uri(prediction), overlay, caption, listed))
    group = setting.groups[row]
    return Example(image_id, group, _webp_uri(_enlarged(picture)), _mask_uri(label), tuple(panels))


def count_errors(errors: NDArray[np.integer[Any]]) -> dict[str, int]:
    """Return the number of 8-connected places with each kind of error, by its name."""
    from scipy import ndimage

    return {
        style.name: int(ndimage.label(errors == value, np.ones((3, 3)))[1])
        for value, style in enumerate(ERROR_STYLES, start=1)
    }


def draw_overlay(
    picture: NDArray[np.uint8], prediction: BoolArray, label: BoolArray, errors: NDArray[np.integer[Any]]
) -> Any:
    """Draw the errors of a prediction on the dimmed picture, each place ringed by the shape of its kind.

    Parameters
    ----------
    picture : uint8 array of shape (H, W, 3)
        The test image.
    prediction, label : bool array of shape (H, W)
        What both have is drawn light; what only one has, in a dull colour where it is no error of topology.
    errors : integer array of shape (H, W)
        Values of `topodl.metrics.TopologyError`: 0, or 1 + the index in `ERROR_STYLES`.

    Returns
    -------
    PIL.Image.Image
        Enlarged to about 512 pixels where it is smaller.
    """
    from scipy import ndimage

    grey = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    canvas = np.repeat((0.32 * grey)[..., None] + 18, 3, axis=2)
    for here, color, weight in (
        (prediction & label, "#c4ccd4", 0.65),
        (prediction ^ label, OTHER_ERRORS.color, 0.8),
    ):
        canvas[here] = (1 - weight) * canvas[here] + weight * np.array(_rgb(color))
    marks = []
    for value, style in enumerate(ERROR_STYLES, start=1):
        here = errors == value
        canvas[here] = _rgb(style.color)
        labelled, _ = ndimage.label(here, np.ones((3, 3)))
        for window in ndimage.find_objects(labelled):
            rows, columns = window
            extent = max(rows.stop - rows.start, columns.stop - columns.start)
            center = ((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2)
            marks.append((extent, center, style))
    image = _enlarged(canvas.round().astype(np.uint8))
    scale = image.width / picture.shape[1]
    marks.sort(key=lambda mark: -mark[0])
    for extent, (x, y), style in marks[:_MAX_MARKS]:
        _ring(image, (x * scale, y * scale), max(0.5 * extent * scale + 7, 12), style)
    return image


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


def _enlarged(pixels: NDArray[np.uint8]) -> Any:
    image = _pillow().fromarray(pixels)
    factor = max(1, round(_DRAWN_SIZE / max(image.size)))
    nearest = _pillow().Resampling.NEAREST  # pixels stay what they are
    return image.resize((image.width * factor, image.height * factor), nearest)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", extra="eval", purpose="topodl report") from error
    return Image


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    try:
        with _pillow().open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"topodl report: {path} is not a readable picture ({error})") from None


def _read_mask(path: Path) -> BoolArray:
    return _read_rgb(path)[..., 0] == 255


def _same_size(path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise InputError(
            f"topodl report: {path} has {shape[0]} × {shape[1]} pixels; "
            f"expected {expected[0]} × {expected[1]} as its label has"
        )


def _mask_uri(mask: BoolArray) -> str:
    stream = io.BytesIO()
    _pillow().fromarray(mask).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _webp_uri(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=82, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
