"""Reads measurements, costs and learning curves of run folders and of TopoMortar's published results."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topodl.errors import InputError
from topodl.evaluation.run_folder import (
    COST_COLUMNS,
    METRIC_COLUMNS,
    RunFolder,
    read_numbers,
    read_rows,
)

__all__ = [
    "METRICS",
    "Cost",
    "Curve",
    "LossResults",
    "Metric",
    "Setting",
    "Study",
    "display_name",
    "load_studies",
]

_FUNCTION = "topodl report"
_EMPTY_HD95 = 9999999.0  # TopoMortar's mark for an empty prediction
_EMPTY_HD95_REPLACEMENT = 511 * math.sqrt(2)  # the diagonal of its 512 × 512 images
_LAST_TEST_IMAGE = {120: "indistr", 170: "angles", 220: "colors", 270: "graffiti", 320: "objects",
                    370: "shadows", 420: "occlusion"}  # fmt: skip
_FIRST_TEST_IMAGE = 71
# The study's order and its names; a loss of topodl's own stands where its original does.
_STUDY_NAMES = {
    "cedice": "CEDice", "regionwise": "RWLoss", "topo": "TopoLoss", "msetopowin": "TOPO",
    "windowedtopo": "TOPO", "cldice": "clDice", "warping": "Warping", "ceskeletonrecall": "SkelRecall",
    "skeletonrecall": "SkelRecall", "cbdice": "cbDice",
}  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """One measured quantity: its column, its name in tables, and whether more is better."""

    column: str
    name: str
    description: str
    higher_is_better: bool = False
    tested: bool = True

    @property
    def index(self) -> int:
        """Position of the metric in `LossResults.values`."""
        return METRIC_COLUMNS.index(self.column)


METRICS = (
    Metric("Betti0Error_mortar", "Betti0", "error in the number of components"),
    Metric("Betti1Error_mortar", "Betti1", "error in the number of holes"),
    Metric("Dice_mortar", "Dice", "overlap", higher_is_better=True),
    Metric("HD95_mortar", "HD95", "95th percentile of the border distance, in pixels"),
    Metric("Betti0ErrorLocal_mortar", "Betti0 local", "the same error over windows", tested=False),
    Metric("Betti1ErrorLocal_mortar", "Betti1 local", "the same error over windows", tested=False),
    Metric("clDice_mortar", "clDice", "overlap of the skeletons", higher_is_better=True, tested=False),
)


@dataclass(frozen=True, eq=False)
class LossResults:
    """Measurements of one loss: `values` has shape (seeds, images, metrics), metrics as `METRIC_COLUMNS`."""

    name: str
    folder_name: str
    seeds: tuple[int, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Setting:
    """The losses that were trained and tested under the same conditions, on the same images."""

    framework: str
    labels: str
    training_set: str
    image_ids: tuple[str, ...]
    groups: tuple[str, ...]
    losses: tuple[LossResults, ...]
    source: str = ""

    @property
    def title(self) -> str:
        """Heading of the setting, for example "Noisy labels, large training set"."""
        title = f"{self.labels.capitalize()} labels, {self.training_set} training set"
        if self.framework != "supervised":
            title += f", {self.framework}"
        return f"{title} ({self.source})" if self.source else title

    def loss(self, name: str) -> LossResults:
        """Return the loss of that name, as tables or folders write it."""
        return next(loss for loss in self.losses if _key(name) in (_key(loss.folder_name), _key(loss.name)))

    def domain(self, name: str) -> NDArray[np.bool_]:
        """Return which images are in distribution (`"ID"`) or out of distribution (`"OOD"`)."""
        in_distribution = np.array([group == "indistr" for group in self.groups])
        return in_distribution if name == "ID" else ~in_distribution


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
    """One learning curve: columns by name, NaN where a column has no value at that iteration."""

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


def display_name(folder_name: str) -> str:
    """Return the name of a loss in tables, from its folder's: the study's own where it has one.

    Examples
    --------
    >>> display_name("CESkeletonRecallLoss"), display_name("ce_dice"), display_name("BettiMatchingLoss")
    ('SkelRecall', 'CEDice', 'BettiMatching')
    """
    known = _STUDY_NAMES.get(_key(folder_name))
    if known:
        return known
    shortened = folder_name.removesuffix("Loss").removesuffix("_loss") or folder_name
    return "".join(word[:1].upper() + word[1:] for word in shortened.split("_"))


def _position(folder_name: str) -> int:
    """Return where a loss stands in tables: the study's losses in its order, then the others."""
    names = list(_STUDY_NAMES.values())
    name = display_name(folder_name)
    return names.index(name) if name in names else len(names)


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum()).removesuffix("loss").replace("+", "")


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
    keys = [(*found[:3], _key(found[3]), found[4]) for per_folder in files for found in per_folder]
    return len(set(keys)) < len(keys)


def _read_study(key: tuple[str, ...], members: list[_Member]) -> Study:
    setting = _read_setting(key, members)
    name_of = {loss.folder_name: loss.name for loss in setting.losses}
    folder_of = {name_of[loss]: folder for folder, loss, *_ in members}
    folders = dict.fromkeys(folder_of.values())
    costs = [cost for folder in folders for cost in _read_costs(folder)]
    curves = [curve for folder in folders for curve in _read_curves(folder)]
    return Study(setting, folder_of, costs, curves)


def _read_setting(key: tuple[str, ...], members: list[_Member]) -> Setting:
    framework, labels, training_set, source = key
    image_ids: tuple[str, ...] = ()
    first_path = None
    by_loss: dict[str, dict[int, NDArray[np.float64]]] = {}
    for _, loss, seed, path in members:
        ids, values = _read_measurements(path)
        if first_path is None:
            image_ids, first_path = ids, path
        by_loss.setdefault(loss, {})[seed] = _in_order_of(image_ids, ids, values, path, first_path)
    shared_names = Counter(map(display_name, by_loss))
    losses = [
        LossResults(
            display_name(loss) if shared_names[display_name(loss)] == 1 else loss,
            loss,
            tuple(sorted(seeds)),
            np.stack([seeds[seed] for seed in sorted(seeds)]),
        )
        for loss, seeds in by_loss.items()
    ]
    losses.sort(key=lambda loss: (_position(loss.folder_name), loss.name))
    groups = _groups_of(image_ids, [folder for folder, *_ in members])
    return Setting(framework, labels, training_set, image_ids, groups, tuple(losses), source)


def _read_measurements(path: Path) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the image IDs and the measurements (images, metrics) of one file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{_FUNCTION}: {path} is not a readable CSV file ({error})") from None
    header = rows[0] if rows else []
    missing = [column for column in ("ID", *METRIC_COLUMNS) if column not in header]
    if missing:
        raise InputError(
            f"{_FUNCTION}: {path} has no column {missing[0]}; expected ID, {', '.join(METRIC_COLUMNS)}"
        )
    columns = [header.index(column) for column in METRIC_COLUMNS]
    id_column = header.index("ID")
    try:
        values = np.array([[float(row[c] or "nan") for c in columns] for row in rows[1:]], dtype=np.float64)
    except (ValueError, IndexError):
        line = next(n for n, row in enumerate(rows[1:], start=2) if not _is_numeric(row, columns))
        raise InputError(f"{_FUNCTION}: {path}, line {line} is not a row of numbers") from None
    if len(values) == 0:
        raise InputError(f"{_FUNCTION}: {path} has no rows; expected one per test image")
    ids = tuple(row[id_column] for row in rows[1:])
    if len(set(ids)) < len(ids):
        twice = next(i for n, i in enumerate(ids) if i in ids[:n])
        raise InputError(f"{_FUNCTION}: {path} has image {twice} twice; expected one row per test image")
    hd95 = values[:, METRIC_COLUMNS.index("HD95_mortar")]
    hd95[hd95 == _EMPTY_HD95] = _EMPTY_HD95_REPLACEMENT
    return ids, values


def _is_numeric(row: list[str], columns: list[int]) -> bool:
    try:
        [float(row[c] or "nan") for c in columns]
    except (ValueError, IndexError):
        return False
    return True


def _in_order_of(
    wanted: tuple[str, ...], ids: tuple[str, ...], values: NDArray[np.float64], path: Path, first_path: Path
) -> NDArray[np.float64]:
    """Return `values` with its rows ordered as `wanted`, or fail if the two are not the same images."""
    if ids == wanted:
        return values
    for lacking, has, images in (
        (path, first_path, set(wanted) - set(ids)),
        (first_path, path, set(ids) - set(wanted)),
    ):
        if images:
            raise InputError(
                f"{_FUNCTION}: {lacking} lacks {len(images)} image(s) that {has} has, "
                f"the first {min(images)}; expected the same test images for every loss and seed"
            )
    row_of = {image_id: row for row, image_id in enumerate(ids)}
    return values[[row_of[image_id] for image_id in wanted]]


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
        groups.append(group)
    return tuple(groups)


def _topomortar_group(image_id: str) -> str | None:
    if not image_id.isdecimal() or int(image_id) < _FIRST_TEST_IMAGE:
        return None
    return next((group for last, group in _LAST_TEST_IMAGE.items() if int(image_id) <= last), None)


def _read_costs(folder: RunFolder) -> list[Cost]:
    path = folder.costs
    rows = read_rows(path, COST_COLUMNS)
    costs = []
    for loss in dict.fromkeys(row["loss"] for row in rows):
        members = [row for row in rows if row["loss"] == loss]
        seconds, iterations, memory = (
            read_numbers(path, members, column)
            for column in ("seconds_per_iteration", "iterations", "peak_memory_bytes")
        )
        costs.append(Cost(display_name(loss), len(members), int(iterations[0]),
                          float(seconds.mean()), float(memory.max())))  # fmt: skip
    return costs


def _read_curves(folder: RunFolder) -> list[Curve]:
    curves = []
    for path in sorted((folder.root / "curves").glob("*/*.csv")):
        rows = read_rows(path, ("iteration", "loss"))
        if not rows or not path.stem.isdecimal():
            continue
        columns = {name: read_numbers(path, rows, name) for name in rows[0]}
        curves.append(Curve(display_name(path.parent.name), int(path.stem), columns))
    return curves
