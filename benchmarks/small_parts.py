"""The control of the tuned study: what is left of each loss's lead when small parts are removed afterwards.

``python benchmarks/small_parts.py STUDY …`` reads the stored predictions of `topodl evaluate
--protocol tuned`. How small is decided for each loss by its predictions of the validation images; the test
images are looked at once. Prints one row a loss: errors in components / holes, and Dice, as predicted and
cleaned. ``--output`` takes the measurements of each test image for `topodl report`, beside those of CE + Dice
as predicted.
"""

import argparse
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from topodl.evaluation.loss_specs import folder_name
from topodl.evaluation.run_folder import write_rows
from topodl.evaluation.scoring import measure_masks, metric_names
from topodl.evaluation.search import BASELINE, validation_score
from topodl.metrics import betti_error, dice_score

AREAS = (0, 2, 4, 8, 16, 32, 64, 128)
EIGHT = np.ones((3, 3), dtype=bool)


def without_small(mask: np.ndarray, component: int, hole: int) -> np.ndarray:
    """Return a mask without components of fewer than `component` pixels, and then holes below `hole`."""
    cleaned = mask & ~_small(mask, component, EIGHT, inside_only=False)
    return cleaned | _small(~cleaned, hole, None, inside_only=True)


def _small(mask: np.ndarray, area: int, structure: np.ndarray | None, *, inside_only: bool) -> np.ndarray:
    places, n = ndimage.label(mask, structure)
    is_small = np.bincount(places.ravel(), minlength=n + 1) < area
    is_small[0] = False
    if inside_only:
        edges = (places[0], places[-1], places[:, 0], places[:, -1])
        is_small[np.unique(np.concatenate(edges))] = False
    return is_small[places]


def read(folder: Path, ids: list[str]) -> np.ndarray:
    """Return the stored masks of some images, (N, H, W)."""
    return np.stack([np.asarray(Image.open(folder / f"{i}.png")) > 0 for i in ids])


def measure(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the errors of both Betti numbers and the Dice of each image, (N, 3)."""
    p, t = (torch.from_numpy(masks)[:, None] for masks in (predictions, labels))
    errors = betti_error(p, t, convention="topomortar")
    return torch.cat([errors, dice_score(p, t, convention="topomortar")[:, None]], 1).numpy()


def cleaned(predictions: np.ndarray, areas: tuple[int, int]) -> np.ndarray:
    """Return the predictions without what is smaller than `areas`."""
    return np.stack([without_small(mask, *areas) for mask in predictions])


def choose(predictions: np.ndarray, labels: np.ndarray, dice: float) -> tuple[int, int]:
    """Return the two areas with the best score on validation images; `dice` is what Dice is compared with."""

    def score(areas: tuple[int, int]) -> float:
        *errors, mean_dice = measure(cleaned(predictions, areas), labels).mean(0)
        return validation_score(errors, mean_dice, dice)

    return min(itertools.product(AREAS, AREAS), key=score)


def chosen(study: Path) -> Iterator[tuple[str, str, int, float]]:
    """Yield each loss, its chosen recipe, the rung of its last trial, and the reference's Dice there."""
    with (study / "search.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    best: dict[str, float] = {}
    for row in rows:
        if row["loss"] == "ce_dice":
            best[row["rung"]] = max(best.get(row["rung"], 0.0), float(row["dice"]))
    for row in rows:
        if row["chosen"] == "1":
            yield row["loss"], row["recipe"], int(row["rung"]), best[row["rung"]]


def rows_of(study: Path, output: Path | None) -> Iterator[list[str]]:
    """Yield the cells of each loss, and write its measurements."""
    with (study / "groups.csv").open(newline="", encoding="utf-8") as file:
        groups = {row["ID"]: row["group"] for row in csv.DictReader(file)}
    ids, inside = list(groups), np.array([group == "indistr" for group in groups.values()])
    labels = read(study / "labels", ids)
    if output is not None:
        write_rows(output / "groups.csv", ("ID", "group"), [{"ID": i, "group": g} for i, g in groups.items()])
    for loss, recipe, rung, dice in chosen(study):
        areas = areas_of(study / "search" / f"rung{rung}", recipe, dice)
        seeds = sorted((study / "predictions" / folder_name(recipe)).iterdir())
        masks = {seed.name: read(seed, ids) for seed in seeds}
        clean = {seed: cleaned(predictions, areas) for seed, predictions in masks.items()}
        if output is not None:
            write(output, loss, ids, clean, labels)
            if loss == BASELINE:
                write(output, f"{loss}:as_predicted", ids, masks, labels)
        tables = [np.mean([measure(m, labels) for m in each.values()], 0) for each in (masks, clean)]
        cells = [_cell(table[here]) for table in tables for here in (inside, ~inside)]
        yield [f"`{loss}`", f"{areas[0]} / {areas[1]}", *cells]


def areas_of(search: Path, recipe: str, dice: float) -> tuple[int, int]:
    """Return the areas that suit a recipe's predictions of the validation images in a rung of the search."""
    ids = sorted(path.stem for path in (search / "labels").glob("*.png"))
    seeds = sorted((search / "predictions" / folder_name(recipe)).iterdir())
    predictions = np.concatenate([read(seed, ids) for seed in seeds])
    return choose(predictions, np.tile(read(search / "labels", ids), (len(seeds), 1, 1)), dice)


def write(output: Path, loss: str, ids: list[str], masks: dict[str, np.ndarray], labels: np.ndarray) -> None:
    """Write the measurements of each seed in the layout of a study's results."""
    columns = ("ID", *(f"{name}_mortar" for name in metric_names(2)))
    folder = output / "results" / "supervised" / "accurate" / "large" / folder_name(loss)
    for seed, predictions in masks.items():
        values = measure_masks(*(torch.from_numpy(m)[:, None] for m in (predictions, labels)))
        rows = [
            dict(zip(columns, (i, *row), strict=True)) for i, row in zip(ids, values.tolist(), strict=True)
        ]
        write_rows(folder / f"{seed}.csv", columns, rows)


def _cell(table: np.ndarray) -> str:
    components, holes, dice = table.mean(0)
    return f"{components:.1f} / {holes:.1f}, {dice:.3f}"


def main() -> None:
    """Print one table for each study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument(
        "--output", type=Path, help="folder for the measurements, one below it for each study"
    )
    args = parser.parse_args()
    for study in args.studies:
        print(f"\n{study.name}\n")
        print("| loss | areas | predicted, ID | predicted, OOD | cleaned, ID | cleaned, OOD |")
        print("|---|---|---|---|---|---|")
        output = None if args.output is None else args.output / study.name
        for cells in rows_of(study, output):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
