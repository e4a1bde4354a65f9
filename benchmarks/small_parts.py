"""The control of the tuned study: what is left of each loss's lead when small parts are removed afterwards.

``python benchmarks/small_parts.py STUDY …`` reads the stored predictions of `topodl evaluate
--protocol tuned`. How small is decided for each loss by its predictions of the validation images; the test
images are looked at once. Prints one row a loss: errors in components / holes, and Dice, as predicted and
cleaned. ``--output`` takes the measurements of each test image for `topodl report`, beside those of CE + Dice
as predicted.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from topodl.evaluation.loss_specs import folder_name
from topodl.evaluation.run_folder import write_rows
from topodl.evaluation.scoring import measure_masks, metric_names
from topodl.evaluation.search import BASELINE
from topodl.evaluation.small_parts import SmallestParts, choose_sizes, without_small_parts
from topodl.metrics import betti_error, dice_score


def read(folder: Path, ids: list[str]) -> np.ndarray:
    """Return the stored masks of some images, (N, H, W)."""
    return np.stack([np.asarray(Image.open(folder / f"{i}.png")) > 0 for i in ids])


def measure(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the errors of both Betti numbers and the Dice of each image, (N, 3)."""
    p, t = (torch.from_numpy(masks)[:, None] for masks in (predictions, labels))
    errors = betti_error(p, t, convention="topomortar")
    return torch.cat([errors, dice_score(p, t, convention="topomortar")[:, None]], 1).numpy()


def cleaned(predictions: np.ndarray, smallest: SmallestParts) -> np.ndarray:
    """Return the predictions without smaller parts."""
    return np.stack([without_small_parts(mask, smallest) for mask in predictions])


def chosen(study: Path) -> Iterator[tuple[str, str, int]]:
    """Yield each loss, its chosen recipe, and the rung of its last trial."""
    with (study / "search.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["chosen"] == "1":
                yield row["loss"], row["recipe"], int(row["rung"])


def rows_of(study: Path, output: Path | None) -> Iterator[list[str]]:
    """Yield the cells of each loss, and write its measurements."""
    with (study / "groups.csv").open(newline="", encoding="utf-8") as file:
        groups = {row["ID"]: row["group"] for row in csv.DictReader(file)}
    ids, inside = list(groups), np.array([group == "indistr" for group in groups.values()])
    labels = read(study / "labels", ids)
    if output is not None:
        write_rows(output / "groups.csv", ("ID", "group"), [{"ID": i, "group": g} for i, g in groups.items()])
    for loss, recipe, rung in chosen(study):
        smallest = sizes_of(study / "search" / f"rung{rung}", recipe)
        seeds = sorted((study / "predictions" / folder_name(recipe)).iterdir())
        masks = {seed.name: read(seed, ids) for seed in seeds}
        clean = {seed: cleaned(predictions, smallest) for seed, predictions in masks.items()}
        if output is not None:
            write(output, loss, ids, clean, labels)
            if loss == BASELINE:
                write(output, f"{loss}:as_predicted", ids, masks, labels)
        tables = [np.mean([measure(m, labels) for m in each.values()], 0) for each in (masks, clean)]
        cells = [_cell(table[here]) for table in tables for here in (inside, ~inside)]
        yield [f"`{loss}`", f"{smallest.component} / {smallest.hole}", *cells]


def sizes_of(search: Path, recipe: str) -> SmallestParts:
    """Return the sizes that suit a recipe's predictions of the validation images in a rung of the search."""
    ids = sorted(path.stem for path in (search / "labels").glob("*.png"))
    (seed,) = (search / "predictions" / folder_name(recipe)).iterdir()
    images = [torch.from_numpy(read(folder, ids)).byte()[:, None] for folder in (seed, search / "labels")]
    return choose_sizes(list(images[0]), list(images[1]), "topomortar")


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
        print("| loss | pixels | predicted, ID | predicted, OOD | cleaned, ID | cleaned, OOD |")
        print("|---|---|---|---|---|---|")
        output = None if args.output is None else args.output / study.name
        for cells in rows_of(study, output):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
