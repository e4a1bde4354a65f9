"""One file of measurements: the metrics of every class, image by image, under the columns `Metric_class`."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topodl._files import read_text
from topodl.errors import InputError

__all__ = ["METRICS", "Measurements", "Metric", "aligned", "read_measurements", "spatial_dims"]

_FUNCTION = "topodl report"
_EMPTY_HD95 = 9999999.0  # TopoMortar's mark for an empty prediction
_EMPTY_HD95_REPLACEMENT = 511 * math.sqrt(2)  # the diagonal of its 512 × 512 images


@dataclass(frozen=True)
class Metric:
    """One measured quantity: the start of its columns, its name in tables, and whether more is better."""

    column: str
    name: str
    description: str
    higher_is_better: bool = False
    tested: bool = True
    required: bool = False

    def is_better(self, difference: float) -> bool:
        """Return whether a value that is larger by `difference` is a better one."""
        return difference > 0 if self.higher_is_better else difference < 0


METRICS = (
    Metric("Betti0Error", "Betti0", "error in the number of components", required=True),
    Metric("Betti1Error", "Betti1", "error in the number of holes", required=True),
    Metric("Betti2Error", "Betti2", "error in the number of cavities of volumes"),
    Metric("Dice", "Dice", "overlap", higher_is_better=True, required=True),
    Metric("HD95", "HD95", "95th percentile of the border distance", required=True),
    Metric("Betti0ErrorLocal", "Betti0 local", "the same error over windows", tested=False),
    Metric("Betti1ErrorLocal", "Betti1 local", "the same error over windows", tested=False),
    Metric("Betti2ErrorLocal", "Betti2 local", "the same error over windows", tested=False),
    Metric("clDice", "clDice", "overlap of the skeletons", higher_is_better=True, tested=False),
)


@dataclass(frozen=True, eq=False)
class Measurements:
    """What one file has: `values` has shape (images, classes, metrics), NaN where a value is undefined."""

    path: Path
    image_ids: tuple[str, ...]
    classes: tuple[str, ...]
    metrics: tuple[Metric, ...]
    values: NDArray[np.float64]


def spatial_dims(metrics: Sequence[Metric]) -> int:
    """Return 3 if the metrics are those of volumes, the only images with cavities, else 2."""
    return 3 if any(metric.name == "Betti2" for metric in metrics) else 2


def read_measurements(path: Path) -> Measurements:
    """Return the measurements of one file: of all classes, of the metrics in `METRICS` that it has.

    Raises
    ------
    InputError
        If the file is no table of numbers, lacks a metric for a class, or has an image twice.
    """
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, "utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{_FUNCTION}: {path} is not a readable CSV file ({error})") from None
    header = rows[0] if rows else []
    classes, metrics = _classes_and_metrics(path, header)
    columns = [header.index(f"{metric.column}_{name}") for name in classes for metric in metrics]
    body = [row for row in rows[1:] if row]
    if not body:
        raise InputError(f"{_FUNCTION}: {path} has no rows; expected one per test image")
    values = np.array([_numbers(path, line, row, columns) for line, row in enumerate(body, start=2)])
    infinite = np.isinf(values).any(axis=1)
    if infinite.any():
        raise InputError(
            f"{_FUNCTION}: {path}, line {infinite.argmax() + 2} has an infinite value; "
            "expected a number, or nothing where it is undefined"
        )
    ids = tuple(row[header.index("ID")] for row in body)
    twice = next((image_id for image_id, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{_FUNCTION}: {path} has image {twice} twice; expected one row per test image")
    values = values.reshape(len(ids), len(classes), len(metrics))
    for hd95 in (values[..., n] for n, metric in enumerate(metrics) if metric.column == "HD95"):
        hd95[hd95 == _EMPTY_HD95] = _EMPTY_HD95_REPLACEMENT
    return Measurements(path, ids, classes, metrics, values)


def _classes_and_metrics(path: Path, header: list[str]) -> tuple[tuple[str, ...], tuple[Metric, ...]]:
    """Return which classes and metrics a header has, or fail if a class lacks one that others have."""
    known = {metric.column for metric in METRICS}
    found = [(column, name) for column, _, name in (h.partition("_") for h in header) if column in known]
    classes = tuple(dict.fromkeys(name for _, name in found if name))
    present = {column for column, name in found if name}
    metrics = tuple(metric for metric in METRICS if metric.required or metric.column in present)
    wanted = [f"{metric.column}_{name}" for name in classes or ("<class>",) for metric in metrics]
    missing = next((column for column in ("ID", *wanted) if column not in header), None)
    if missing is not None:
        raise InputError(f"{_FUNCTION}: {path} has no column {missing}; expected ID, {', '.join(wanted)}")
    repeated = next((column for column in wanted if header.count(column) > 1), None)
    if repeated is not None:
        raise InputError(f"{_FUNCTION}: {path} has the column {repeated} twice; expected it once")
    return classes, metrics


def _numbers(path: Path, line: int, row: list[str], columns: list[int]) -> list[float]:
    try:
        return [float(row[column] or "nan") for column in columns]
    except (ValueError, IndexError):
        raise InputError(f"{_FUNCTION}: {path}, line {line} is not a row of numbers") from None


def aligned(measurements: Measurements, first: Measurements) -> NDArray[np.float64]:
    """Return the values in the order of images, classes and metrics of `first`, or fail if it has others."""
    for what, mine, wanted in (
        ("classes", measurements.classes, first.classes),
        (
            "metrics",
            tuple(metric.name for metric in measurements.metrics),
            tuple(metric.name for metric in first.metrics),
        ),
    ):
        if set(mine) != set(wanted):
            raise InputError(
                f"{_FUNCTION}: {measurements.path} has the {what} {', '.join(mine)}; "
                f"expected {', '.join(wanted)} as in {first.path}"
            )
    for lacking, has in ((measurements, first), (first, measurements)):
        images = set(has.image_ids) - set(lacking.image_ids)
        if images:
            raise InputError(
                f"{_FUNCTION}: {lacking.path} lacks {len(images)} image(s) that {has.path} has, "
                f"the first {min(images)}; expected the same test images for every loss and seed"
            )
    row_of = {image_id: row for row, image_id in enumerate(measurements.image_ids)}
    rows = [row_of[image_id] for image_id in first.image_ids]
    return measurements.values[rows][:, [measurements.classes.index(name) for name in first.classes]]
