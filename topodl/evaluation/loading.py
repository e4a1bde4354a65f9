"""Reads measurements, costs and learning curves of run folders and of TopoMortar's published results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topodl._files import visible
from topodl.errors import InputError
from topodl.evaluation.constant import constant_predictions
from topodl.evaluation.described import data_name, read_description
from topodl.evaluation.loss_names import display_name, loss_key, position
from topodl.evaluation.measurements import Measurements, Metric, aligned, read_measurements, spatial_dims
from topodl.evaluation.run_folder import COST_COLUMNS, RunFolder, read_numbers, read_rows
from topodl.evaluation.statistics import FloatArray, mean_of_defined

__all__ = [
    "Cost",
    "Curve",
    "LossResults",
    "Setting",
    "Study",
    "load_studies",
]

_FUNCTION = "topodl report"
_LAST_TEST_IMAGE = {120: "indistr", 170: "angles", 220: "colors", 270: "graffiti", 320: "objects",
                    370: "shadows", 420: "occlusion"}  # fmt: skip
_FIRST_TEST_IMAGE = 71


@dataclass(frozen=True, eq=False)
class LossResults:
    """Measurements of one loss: `values` has shape (seeds, images, classes, metrics).

    `constant` has shape (seeds, images, classes) and says which predictions are nearly constant, as
    `constant_predictions` does; NaN where that is not known.
    """

    name: str
    folder_name: str
    seeds: tuple[int, ...]
    values: FloatArray
    constant: FloatArray


@dataclass(frozen=True, eq=False)
class Setting:
    """The losses that were trained and tested under the same conditions, on the same images.

    `folds` names the fold that each image was tested in, where there are several; else it is empty. `data`
    is a heading for images of one's own, "" for walls.
    """

    framework: str
    labels: str
    training_set: str
    image_ids: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    metrics: tuple[Metric, ...]
    losses: tuple[LossResults, ...]
    source: str = ""
    folds: tuple[str, ...] = ()
    data: str = ""

    @property
    def title(self) -> str:
        """Heading of the setting, as "Noisy labels, large training set" or "retina, 14 training images"."""
        title = self.data or f"{self.labels.capitalize()} labels, {self.training_set} training set"
        if self.framework != "supervised":
            title += f", {self.framework}"
        return f"{title} ({self.source})" if self.source else title

    @property
    def spatial_dims(self) -> int:
        """Number of axes of the test images."""
        return spatial_dims(self.metrics)

    @property
    def tested_metrics(self) -> tuple[Metric, ...]:
        """The metrics that are tested; the others are only described."""
        return tuple(metric for metric in self.metrics if metric.tested)

    @property
    def domains(self) -> tuple[str, ...]:
        """The parts of the test set that are looked at apart, by their names in `DOMAINS`."""
        if "indistr" not in self.groups:
            return ("ALL",)
        if set(self.groups) == {
            "indistr"
        }:  # of walls there might be others, of one's own data there are none
            return ("ALL",) if self.data else ("ID",)
        return ("ID", "OOD")

    def values(self, loss: LossResults, metric: Metric, class_name: str | None = None) -> FloatArray:
        """Return a metric as an array (seeds, images): of one class, or the mean over those with a value."""
        of_classes = loss.values[..., self.metrics.index(metric)]
        if class_name is not None:
            return of_classes[..., self.classes.index(class_name)]
        return mean_of_defined(of_classes, axis=2)

    def loss(self, name: str) -> LossResults:
        """Return the loss of that name, as tables or folders write it."""
        wanted = loss_key(name)
        return next(x for x in self.losses if wanted in (loss_key(x.folder_name), loss_key(x.name)))

    def domain(self, name: str) -> NDArray[np.bool_]:
        """Return which images are in distribution (`"ID"`), out of it (`"OOD"`), or there (`"ALL"`)."""
        in_distribution = self._in_distribution
        return {"ID": in_distribution, "OOD": ~in_distribution, "ALL": np.ones_like(in_distribution)}[name]

    @cached_property
    def _in_distribution(self) -> NDArray[np.bool_]:
        return np.array([group == "indistr" for group in self.groups])

    def trainings_in(self, domain: str) -> list[NDArray[np.bool_]]:
        """Return the images of a domain that one training of a seed was tested on, fold by fold."""
        members = self.domain(domain)
        folds = np.array(self.folds)
        parts = [members & (folds == fold) for fold in dict.fromkeys(self.folds)] or [members]
        return [part for part in parts if part.any()]

    def groups_in(self, domain: str) -> list[str]:
        """Return the group of each image of a domain."""
        return [group for group, member in zip(self.groups, self.domain(domain), strict=True) if member]


@dataclass(frozen=True)
class Cost:
    """What training with one loss cost, averaged over its seeds (memory: the largest)."""

    loss: str
    seeds: int
    iterations: int
    seconds_per_iteration: float
    peak_memory_bytes: float


@dataclass(frozen=True, eq=False)
class Curve:
    """One learning curve, of a seed or one of its folds: columns by name, NaN where there is no value."""

    loss: str
    seed: int
    columns: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Study:
    """One setting with all that its folders have: costs, curves, and by loss the folder with its pictures."""

    setting: Setting
    folder_of: dict[str, RunFolder]
    costs: list[Cost]
    curves: list[Curve]

    @property
    def folders(self) -> list[RunFolder]:
        """The folders that the measurements come from."""
        return list(dict.fromkeys(self.folder_of.values()))


def load_studies(folders: Sequence[str | Path]) -> list[Study]:
    """Read every folder: run folders of `topodl evaluate`, or TopoMortar's published results at any level.

    Parameters
    ----------
    folders : sequence of path
        Settings that several folders share are merged when their (loss, seed) pairs differ, so that losses
        may be run apart; otherwise each folder keeps its own, with the folder's name in the heading.

    Returns
    -------
    list of Study
        One for each setting, the study's own settings first and in its order.

    Raises
    ------
    InputError
        For a folder that is not there or has no results, a file with other columns, or a loss that lacks
        images which another one has.
    """
    if not folders:
        raise InputError(f"{_FUNCTION}: no folder given; expected at least one folder with results")
    files = {folder: _find_csv_files(folder) for folder in dict.fromkeys(map(Path, folders))}
    clash = _has_clash(files.values())
    settings: dict[tuple[str, ...], list[_Member]] = {}
    for folder, found in files.items():
        for framework, labels, training_set, loss, seed, path in found:
            key = (framework, labels, training_set, str(folder) if clash else "")
            settings.setdefault(key, []).append((RunFolder(folder), loss, seed, path))
    return [_read_study(key, settings[key]) for key in sorted(settings, key=_setting_order)]


def _setting_order(key: tuple[str, ...]) -> tuple[object, ...]:
    framework, labels, training_set, source = key
    order = {"supervised": 0, "accurate": 0, "pseudo": 1, "noisy": 2, "large": 0, "small": 1}
    return (source, order.get(framework, 9), framework, order.get(labels, 9), labels,
            order.get(training_set, 9), training_set)  # fmt: skip


_Found = tuple[str, str, str, str, int, Path]  # framework, labels, training set, loss, seed, file
_Member = tuple[RunFolder, str, int, Path]  # folder, loss, seed, file


def _find_csv_files(folder: Path) -> list[_Found]:
    """Return (framework, labels, training set, loss, seed, path) of every file of results in `folder`."""
    if not folder.is_dir():
        raise InputError(f"{_FUNCTION}: folder {folder} does not exist; expected a folder with results")
    root = folder / "results" if (folder / "results").is_dir() else folder
    above = root.resolve().parts
    found = []
    for path in sorted(root.rglob("*.csv")):
        inside = path.relative_to(root).parts
        if not path.stem.isdecimal() or len(inside) > 5 or inside[0] == "curves":
            continue
        framework, labels, training_set, loss, _ = (above + inside)[-5:]
        found.append((framework, labels, training_set, loss, int(path.stem), path))
    if not found:
        raise InputError(
            f"{_FUNCTION}: folder {folder} has no results; "
            "expected files <framework>/<labels>/<training set>/<loss>/<seed>.csv"
        )
    return found


def _has_clash(files: Iterable[list[_Found]]) -> bool:
    keys = [(*found[:3], loss_key(found[3]), found[4]) for per_folder in files for found in per_folder]
    return len(set(keys)) < len(keys)


def _read_study(key: tuple[str, ...], members: list[_Member]) -> Study:
    setting = _read_setting(key, members)
    name_of = {loss.folder_name: loss.name for loss in setting.losses}
    folder_of = {name_of[loss]: folder for folder, loss, *_ in members}
    folders = dict.fromkeys(folder_of.values())
    keys = {loss_key(folder_name): name for folder_name, name in name_of.items()}
    costs = [cost for folder in folders for cost in _read_costs(folder, keys)]
    curves = [curve for folder in folders for curve in _read_curves(folder, keys)]
    return Study(setting, folder_of, costs, curves)


def _read_setting(key: tuple[str, ...], members: list[_Member]) -> Setting:
    framework, labels, training_set, source = key
    first: Measurements | None = None
    by_loss: dict[str, dict[int, FloatArray]] = {}
    for _, loss, seed, path in members:
        measured = read_measurements(path)
        first = first or measured
        by_loss.setdefault(loss, {})[seed] = aligned(measured, first)
    assert first is not None
    folders = list(dict.fromkeys(folder for folder, *_ in members))
    groups = _groups_of(first.image_ids, folders)
    folds = _folds_of(first.image_ids, folders)
    parts = tuple(map("/".join, zip(groups, folds, strict=True))) if folds else groups
    constant = _constant_predictions(members, first, parts)
    shared_names = Counter(map(display_name, by_loss))
    losses = [
        LossResults(
            visible(display_name(loss) if shared_names[display_name(loss)] == 1 else loss),
            loss,
            tuple(sorted(seeds)),
            np.stack([seeds[seed] for seed in sorted(seeds)]),
            np.stack([constant[loss, seed] for seed in sorted(seeds)]),
        )
        for loss, seeds in by_loss.items()
    ]
    losses.sort(key=lambda loss: (position(loss.folder_name), loss.name))
    data = data_name(read_description(folders[0]))
    return Setting(framework, labels, training_set, first.image_ids, groups, first.classes,
                   first.metrics, tuple(losses), source, folds, data)  # fmt: skip


def _constant_predictions(
    members: list[_Member], first: Measurements, parts: tuple[str, ...]
) -> dict[tuple[str, int], FloatArray]:
    """Return which predictions are nearly constant, by loss and seed."""
    found: dict[tuple[str, int], FloatArray] = {}
    for folder in dict.fromkeys(folder for folder, *_ in members):
        trainings = [(loss, seed) for other, loss, seed, _ in members if other == folder]
        size = len(first.classes), spatial_dims(first.metrics)
        kinds = constant_predictions(folder, trainings, first.image_ids, parts, *size)
        found |= dict(zip(trainings, kinds, strict=True))
    return found


def _folds_of(image_ids: tuple[str, ...], folders: Iterable[RunFolder]) -> tuple[str, ...]:
    """Return the fold of each image, a column of groups.csv; nothing where there is none."""
    listed: dict[str, str] = {}
    for path in dict.fromkeys(folder.groups for folder in folders):
        listed |= {row["ID"]: row["fold"] for row in read_rows(path, ("ID", "group")) if "fold" in row}
    return tuple(listed.get(image_id, "") for image_id in image_ids) if listed else ()


def _groups_of(image_ids: tuple[str, ...], folders: Iterable[RunFolder]) -> tuple[str, ...]:
    """Return the group of each image: from groups.csv, or without it by TopoMortar's ranges of IDs."""
    listed: dict[str, str] = {}
    for path in dict.fromkeys(folder.groups for folder in folders):
        listed |= {row["ID"]: row["group"] for row in read_rows(path, ("ID", "group"))}
    groups = []
    for image_id in image_ids:
        group = listed.get(image_id) if listed else _topomortar_group(image_id)
        if group is None:
            where = (
                "groups.csv does not list it" if listed else "no groups.csv, and no test image of TopoMortar"
            )
            raise InputError(
                f"{_FUNCTION}: image {image_id} has no group ({where}); expected groups.csv with ID, group"
            )
        groups.append(visible(group))
    return tuple(groups)


def _topomortar_group(image_id: str) -> str | None:
    if not image_id.isdecimal() or int(image_id) < _FIRST_TEST_IMAGE:
        return None
    return next((group for last, group in _LAST_TEST_IMAGE.items() if int(image_id) <= last), None)


def _read_costs(folder: RunFolder, name_of: dict[str, str]) -> list[Cost]:
    """Return the costs of the losses that have results, by the names that tables show."""
    path = folder.costs
    rows = read_rows(path, COST_COLUMNS)
    costs = []
    for loss in dict.fromkeys(row["loss"] for row in rows):
        name = name_of.get(loss_key(loss))
        if name is None:
            continue
        members = [row for row in rows if row["loss"] == loss]
        seconds, iterations = (
            read_numbers(path, members, column, finite=True)
            for column in ("seconds_per_iteration", "iterations")
        )
        memory = read_numbers(path, members, "peak_memory_bytes")
        costs.append(Cost(name, len(members), int(iterations[0]),
                          float(seconds.mean()), float(memory.max())))  # fmt: skip
    return costs


def _read_curves(folder: RunFolder, name_of: dict[str, str]) -> list[Curve]:
    """Return the learning curves of the losses that have results, by the names that tables show."""
    curves = []
    for path in sorted((folder.root / "curves").glob("*/*.csv")):
        rows = read_rows(path, ("iteration", "loss"))
        loss = name_of.get(loss_key(path.parent.name))
        of_training = re.fullmatch(r"(\d+)(\.fold\d+)?", path.stem)
        if not rows or loss is None or not of_training:
            continue
        columns = {name: read_numbers(path, rows, name) for name in rows[0]}
        curves.append(Curve(loss, int(of_training[1]), columns))
    return curves
