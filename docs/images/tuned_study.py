"""Draw ``tuned_study.png``: errors of topology by kind, group and loss, from the files of the tuned study.

``python docs/images/tuned_study.py walls``, the folder of the study on drawn walls, draws ``error_maps.png``
too: where the predictions of three losses for three test images are wrong.
"""

import csv
import io
import sys
import tarfile
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import numpy as np
from loss_gradients import save
from PIL import Image

from topodl.evaluation.error_kinds import FEATURES, KINDS
from topodl.evaluation.error_pictures import ERROR_STYLES, draw_overlay, find_errors
from topodl.evaluation.loss_names import loss_key
from topodl.evaluation.loss_specs import folder_name
from topodl.evaluation.pictures import read_masks

FILES = Path(__file__).parents[1] / "studies" / "tuned.tar.xz"
STUDY = "topomortar"
SHOWN = ("ce_dice", "betti_matching", "scnp(skeleton_recall):plain_weight=0")
MAPS = ("007", "010", "013")  # like the training images, graffiti, occlusion
SHORT = {
    "ce_dice": "CE + Dice",
    "scnp(skeleton_recall):plain_weight=0": "SCNP(Skel.Rec.)",
    "scnp(ce_dice):plain_weight=0": "SCNP(CE + Dice)",
    "0.5*ce_dice+0.5*scnp(ce_dice):plain_weight=0": "½ CE + ½ SCNP",
    "0.5*topograph+0.5*scnp(ce_dice):plain_weight=0": "½ Topog. + ½ SCNP",
}


def rows(archive: tarfile.TarFile, name: str) -> list[dict[str, str]]:
    """Return the rows of a table in the archive."""
    file = archive.extractfile(name)
    assert file is not None
    return list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline="")))


def means() -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean number of errors an image of each group, loss and column."""
    with tarfile.open(FILES) as archive:
        groups = {row["ID"]: row["group"] for row in rows(archive, f"{STUDY}/groups.csv")}
        chosen = [row for row in rows(archive, f"{STUDY}/search.csv") if row["chosen"] == "1"]
        losses = {loss_key(row["recipe"]): row["loss"] for row in chosen}
        found: dict[str, dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
        for name in archive.getnames():
            if name.startswith(f"{STUDY}/errors/"):
                loss = losses[loss_key(unquote(name.split("/")[2]))]
                for row in rows(archive, name):
                    found[groups[row.pop("ID")]][loss].append(row)
    return {
        group: {
            loss: {key: float(np.mean([float(row[key]) for row in table])) for key in table[0]}
            for loss in losses.values()
            for table in [by_loss[loss]]
        }
        for group, by_loss in found.items()
    }


def draw() -> None:
    """Draw a row of groups for components, and one for holes."""
    table = means()
    colors = {style.name: style.color for style in ERROR_STYLES}
    figure, axes = plt.subplots(2, len(table), figsize=(9.6, 4.2), dpi=90, sharey=False)
    for column, (group, by_loss) in enumerate(table.items()):
        names = [SHORT.get(loss, loss) for loss in by_loss]
        for axis, feature in zip(axes[:, column], FEATURES, strict=True):
            left = np.zeros(len(names))
            for kind in KINDS:
                widths = np.array([errors[f"{feature}_{kind}"] for errors in by_loss.values()])
                axis.barh(names, widths, left=left, color=colors[kind], label=kind)
                left += widths
            axis.invert_yaxis()
            axis.tick_params(labelsize=6, labelleft=column == 0)
            axis.set_title(f"{group}\n{feature}", fontsize=7)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), ncol=len(KINDS), fontsize=7, loc="lower center")
    figure.tight_layout(pad=0.4, rect=(0, 0.05, 1, 1))
    save(figure, "tuned_study.png")


def draw_maps(study: Path) -> None:
    """Draw where predictions of the first seed are wrong: a row a loss, a column a test image."""
    with (study / "search.csv").open(newline="", encoding="utf-8") as file:
        recipes = {row["loss"]: row["recipe"] for row in csv.DictReader(file) if row["chosen"] == "1"}
    figure, axes = plt.subplots(len(SHOWN), len(MAPS), figsize=(6.6, 6.6), dpi=90)
    for row, loss in zip(axes, SHOWN, strict=True):
        for axis, image in zip(row, MAPS, strict=True):
            prediction = study / "predictions" / folder_name(recipes[loss]) / "1" / f"{image}.png"
            masks = [read_masks(path, 1, 2) for path in (prediction, study / "labels" / f"{image}.png")]
            picture = np.asarray(Image.open(study / "inputs" / f"{image}.png").convert("RGB"))
            axis.imshow(draw_overlay(picture, find_errors(*masks)[0]))
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(SHORT.get(loss, loss), fontsize=8)
    figure.tight_layout(pad=0.3)
    save(figure, "error_maps.png")


if __name__ == "__main__":
    draw()
    if sys.argv[1:]:
        draw_maps(Path(sys.argv[1]))
