"""Errors in components and holes with weights on critical regions, beside weights on all wrong pixels.

python benchmarks/critical_regions.py [--output FOLDER] [--losses NAME …] [--seeds N …]

The quick protocol of `topodl evaluate`: drawn walls, 160 iterations, tests on walls like those trained with
and on six groups of others. A stopped run goes on. "wrong_ce_dice" is the control: the weights of
`critical_ce_dice`, with the same options, on all wrong pixels. It exits with 1 unless the error in holes of
`critical_ce_dice` is at most 0.6 times that of `ce_dice`, and that of the control is not.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from topodl.evaluation import RunFolder, StudySettings, run_study
from topodl.evaluation.run_folder import read_numbers, read_rows
from topodl.losses import SegmentationLoss, ce_dice_loss

LOSSES = (
    "ce_dice",
    "wrong_ce_dice",
    "critical_ce_dice",
    "critical_ce_dice:gamma=0.5",
    "wrong_ce_dice:gamma=10,normalise=constant",
    "critical_ce_dice:gamma=10,normalise=constant",
    "critical_ce_dice:gamma=100,normalise=constant",
    "warping",
)
COLUMNS = ("Dice_mortar", "Betti0Error_mortar", "Betti1Error_mortar")
CRITICAL = "critical_ce_dice"
MOST = 0.6  # share of the error in holes that is left


def wrong_ce_dice(logits, target, *, gamma=0.1, normalise="count", ignore_index=None):
    """Return CE + Dice with more weight on all pixels that are wrong."""
    wrong = logits.detach().argmax(1) != target.reshape(len(target), *logits.shape[2:])
    if normalise == "count":
        counts = wrong.flatten(1).sum(1).clamp_min(1)
        gamma = (gamma * wrong[0].numel() / counts).reshape(-1, *[1] * (wrong.ndim - 1))
    weights = 1 + gamma * wrong.to(logits.dtype)
    return ce_dice_loss(logits, target, pixel_weights=weights, ignore_index=ignore_index)


class WrongCEDiceLoss(SegmentationLoss, name="wrong_ce_dice", function=wrong_ce_dice):
    """CE + Dice with more weight on what is wrong."""


def measured(folder: RunFolder, settings: StudySettings, loss: str) -> dict[str, np.ndarray]:
    """Return the means of `COLUMNS` for each seed, over walls like those trained with and over others."""
    like = {row["ID"] for row in read_rows(folder.groups) if row["group"] == "indistr"}
    means = []
    for seed in settings.seeds:
        path = folder.result_csv(settings.framework, settings.labels, settings.training_set, loss, seed)
        rows = read_rows(path)
        known = np.array([row["ID"] in like for row in rows])
        values = np.stack([read_numbers(path, rows, column) for column in COLUMNS], 1)
        means.append([values[known].mean(0), values[~known].mean(0)])
    return dict(zip(("like", "other"), np.array(means).swapaxes(0, 1), strict=True))


def cell(values: np.ndarray, digits: int) -> str:
    """Return the mean over seeds and the deviation of single ones."""
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():.{digits}f} ± {spread:.{digits}f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", default="critical_regions")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = StudySettings.of_protocol(
        "quick", losses=args.losses, seeds=args.seeds, validation_interval=0, device="cpu"
    )
    folder = run_study(settings, Path(args.output), note=print)
    print("| loss | Dice | components | holes | other walls: Dice | components | holes |")
    print("|---" * 7 + "|")
    holes = {}
    for loss in settings.losses:
        table = measured(folder, settings, loss)
        holes[loss] = table["like"][:, 2].mean()
        columns = np.concatenate([table["like"], table["other"]], 1).T
        cells = [cell(column, 3 if i % 3 == 0 else 1) for i, column in enumerate(columns)]
        print(f"| `{loss}` | {' | '.join(cells)} |")
    pair = (holes.get(CRITICAL), holes.get("wrong_ce_dice"))
    if None in (*pair, holes.get("ce_dice")):
        return 0
    shares = [value / holes["ce_dice"] for value in pair]
    print(f"holes beside ce_dice: critical {shares[0]:.2f}, all wrong {shares[1]:.2f}; at most {MOST} asked")
    return 0 if shares[0] <= MOST < shares[1] else 1


if __name__ == "__main__":
    raise SystemExit(main())
