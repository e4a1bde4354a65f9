"""The most telling test images of a run: picture, label, predictions, and where their topology is wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl.evaluation.error_pictures import Errors, draw_masks, draw_overlay, enlarged, find_errors
from topodl.evaluation.loading import LossResults, Setting, Study
from topodl.evaluation.pictures import (
    IGNORED,
    Masks,
    check_same_size,
    find_stored,
    presentable,
    read_image,
    read_masks,
    stored_names,
)
from topodl.evaluation.views import View, views_of

__all__ = ["Example", "Pair", "Panel", "choose_examples", "draw_example", "load_examples"]

_CHOSEN_BY = ("Betti0", "Betti1", "Betti2")


@dataclass(frozen=True)
class Pair:
    """Two pictures of one view of an image, as data URIs; the title is "" where there is one view only."""

    title: str
    left: str
    right: str


@dataclass(frozen=True)
class Panel:
    """One loss's prediction of a test image: pairs of prediction and errors, and what they are in words."""

    loss: str
    collapsed: bool
    pairs: tuple[Pair, ...]
    caption: str
    description: str


@dataclass(frozen=True)
class Example:
    """One test image: pairs of picture and label, and the prediction of every loss."""

    image_id: str
    group: str
    is_volume: bool
    pairs: tuple[Pair, ...]
    panels: tuple[Panel, ...]


def choose_examples(
    setting: Setting, seed: int, available: Collection[str], count: int = 4, collapsed: Collection[str] = ()
) -> list[str]:
    """Return the test images on which the losses differ most in topology.

    The error of a loss on an image is the sum of its Betti errors (mean over classes) at the seed that is
    shown; an image's score is the range of log(1 + error) over the losses, so that one error more on top of
    two counts more than on top of two hundred. At most one image of each group is taken while there are
    groups left; equal scores go by image ID.

    Parameters
    ----------
    setting : Setting
        The measurements.
    seed : int
        Seed whose predictions are shown.
    available : collection of str
        IDs of the images whose pictures are on disk.
    count : int
        How many to choose.
    collapsed : collection of str
        Losses that do not count in the choice, unless all do not: they would always differ most.
    """
    with_seed = [loss for loss in setting.losses if seed in loss.seeds]
    compared = [loss for loss in with_seed if loss.name not in collapsed] or with_seed
    metrics = [metric for metric in setting.metrics if metric.name in _CHOSEN_BY]
    errors = np.stack([
        np.nansum([setting.values(loss, metric)[loss.seeds.index(seed)] for metric in metrics], axis=0)
        for loss in compared
    ])  # fmt: skip
    scores = np.ptp(np.log1p(errors), axis=0)
    score_of = dict(zip(setting.image_ids, scores.tolist(), strict=True))
    group_of = dict(zip(setting.image_ids, setting.groups, strict=True))
    ranked = sorted((i for i in available if i in score_of), key=lambda i: (-score_of[i], i))
    first_of_group = {group_of[image_id]: image_id for image_id in reversed(ranked)}
    best = dict.fromkeys(image_id for image_id in ranked if first_of_group[group_of[image_id]] == image_id)
    return [*best, *(image_id for image_id in ranked if image_id not in best)][:count]


def load_examples(
    study: Study, count: int = 4, collapsed: Collection[str] = ()
) -> tuple[int | None, list[Example]]:
    """Return the seed that is shown and the most telling test images; (None, []) where there are no pictures.

    Parameters
    ----------
    study : Study
        A setting, and the folders with `inputs`, `labels` and `predictions`.
    count : int
        How many images to show.
    collapsed : collection of str
        Losses that are shown as collapsed, and do not count in the choice of images.

    Raises
    ------
    InputError
        If the pictures of one test image have different sizes, or a file is no picture.
    """
    setting = study.setting
    for seed in sorted({seed for loss in setting.losses for seed in loss.seeds}):
        losses = [loss for loss in setting.losses if seed in loss.seeds]
        folders = {study.folder_of[loss.name].labels for loss in losses}
        folders |= {study.folder_of[loss.name].predictions(loss.folder_name, seed) for loss in losses}
        available = set.intersection(*map(stored_names, folders)) & set(setting.image_ids)
        if available:
            chosen = choose_examples(setting, seed, available, count, collapsed)
            return seed, [_load_example(study, seed, image_id, collapsed) for image_id in chosen]
    return None, []


def _load_example(study: Study, seed: int, image_id: str, collapsed: Collection[str]) -> Example:
    """Read the pictures of one test image from the folder, and draw them."""
    setting, folder = study.setting, study.folders[0]
    kind = len(setting.classes), setting.spatial_dims
    label_path = find_stored(folder.label_image(image_id))
    assert label_path is not None
    label = read_masks(label_path, *kind)
    picture_path = find_stored(folder.input_image(image_id))
    picture = read_image(picture_path, label.shape[1:]) if picture_path else np.full_like(label[:1], 128)
    predictions = {}
    for loss in setting.losses:
        path = find_stored(study.folder_of[loss.name].prediction(loss.folder_name, seed, image_id))
        if seed in loss.seeds and path is not None:
            predictions[loss.name] = read_masks(path, *kind)
            check_same_size(path, predictions[loss.name].shape[1:], label.shape[1:])
    row = setting.image_ids.index(image_id)
    captions = {
        loss.name: _caption(setting, loss, seed, row) for loss in setting.losses if loss.name in predictions
    }
    pairs, panels = draw_example(picture, label, predictions, setting.classes, captions, collapsed)
    return Example(image_id, setting.groups[row], label.ndim == 4, pairs, panels)


def _caption(setting: Setting, loss: LossResults, seed: int, row: int) -> str:
    parts = []
    for metric in setting.metrics:
        if metric.name in (*_CHOSEN_BY, "Dice"):
            value = setting.values(loss, metric)[loss.seeds.index(seed), row]
            number = f"{value:.2f}" if metric.name == "Dice" else f"{value:.3g}"
            error = " error" if metric.name in _CHOSEN_BY else ""
            parts.append(f"{metric.name}{error} {'n/a' if np.isnan(value) else number}")
    return ", ".join(parts)


def draw_example(
    picture: NDArray[Any],
    label: Masks,
    predictions: dict[str, Masks],
    classes: Sequence[str],
    captions: dict[str, str],
    collapsed: Collection[str] = (),
) -> tuple[tuple[Pair, ...], tuple[Panel, ...]]:
    """Draw one test image, its label, and the predictions with their errors, in each of its views.

    Parameters
    ----------
    picture : array of shape (channels, *S)
        Of any dtype; S has two or three dimensions.
    label : uint8 array of shape (classes, *S)
        0, 1, or 255 where ignored.
    predictions : dict of str to uint8 arrays of shape (classes, *S)
        By loss.
    classes : sequence of str
        Their names.
    captions : dict of str to str
        What stands below the pictures of each loss.
    collapsed : collection of str
        Losses that collapsed.
    """
    shown = presentable(picture)
    views = views_of((label == 1).any(axis=0))
    pictures = [_of_colors(view, shown) for view in views]
    pairs = tuple(
        Pair(view.title, _webp_uri(enlarged(seen)), _png_uri(draw_masks(_of_masks(view, label))))
        for view, seen in zip(views, pictures, strict=True)
    )
    panels = []
    for loss, prediction in predictions.items():
        errors, counts = find_errors(prediction, label)
        seen_errors = [_of_errors(view, errors) for view in views]
        drawn = tuple(
            Pair(
                view.title,
                _png_uri(draw_masks(_of_masks(view, prediction))),
                _webp_uri(draw_overlay(seen, of_view)),
            )
            for view, seen, of_view in zip(views, pictures, seen_errors, strict=True)
        )
        description = _described(counts, classes)
        panels.append(Panel(loss, loss in collapsed, drawn, captions[loss], description))
    return pairs, tuple(panels)


def _of_colors(view: View, shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.moveaxis(view.of(np.moveaxis(shown, -1, 0)), 0, -1)


def _of_masks(view: View, masks: Masks) -> Masks:
    """Return a view of masks; along a ray that is ignored in part, what is not ignored counts."""
    ignored = view.of((masks != IGNORED).astype(np.uint8)) == 0
    return np.where(ignored, IGNORED, view.of((masks == 1).astype(np.uint8))).astype(np.uint8)


def _of_errors(view: View, errors: Errors) -> Errors:
    return Errors(view.of(errors.right), view.of(errors.wrong), view.of(errors.topology))


def _described(counts: Sequence[dict[str, int]], classes: Sequence[str]) -> str:
    """Say how many errors of each kind there are, class by class where there are several."""
    parts = []
    for name, of_class in zip(classes, counts, strict=True):
        listed = ", ".join(f"{number} {kind}" for kind, number in of_class.items() if number)
        if listed:
            parts.append(f"{name}: {listed}" if len(classes) > 1 else listed)
    return "; ".join(parts) or "no errors of topology"


def _png_uri(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _webp_uri(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=82, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
