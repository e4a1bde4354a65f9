"""A run folder as `topodl evaluate` leaves it, whose predictions are damaged labels."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from topodl.datasets import SyntheticMortar
from topodl.evaluation.run_folder import COST_COLUMNS, METRIC_COLUMNS, RunFolder, write_rows
from topodl.evaluation.scoring import measure_masks

# How many cuts, bridges and blobs each loss makes, relative to the first; twice that out of distribution.
DAMAGE = {"ce_dice": 1.0, "cldice": 0.25, "skeleton_recall": 0.5}
SECONDS = {"ce_dice": 0.11, "cldice": 0.31, "skeleton_recall": 0.16}


def make_run(
    root: Path, *, n_images: int = 14, size: int = 64, seeds: tuple[int, ...] = (1, 2), pictures: bool = True
) -> RunFolder:
    """Write a whole run folder; `n_images` test images take the seven groups in turn."""
    folder = RunFolder(root)
    images = SyntheticMortar(n_images, size=size, group=None, seed=5, split="test")
    items = [images[i] for i in range(n_images)]
    labels = torch.stack([item["label"] for item in items])
    write_rows(folder.groups, ("ID", "group"), [{"ID": i["id"], "group": i["group"]} for i in items])
    folder.settings.write_text(json.dumps({"losses": list(DAMAGE), "seeds": seeds, "image_size": size}))
    costs = []
    for number, (loss, damage) in enumerate(DAMAGE.items()):
        for seed in seeds:
            generator = np.random.default_rng([number, seed])
            masks = [
                damaged(
                    item["label"][0].numpy() > 0, damage * (1 if item["group"] == "indistr" else 2), generator
                )
                for item in items
            ]
            write_measurements(folder, loss, seed, [item["id"] for item in items], masks, labels)
            write_curve(folder, loss, seed, damage, generator)
            costs.append({
                "loss": loss, "seed": seed, "iterations": 160, "seconds_per_iteration": SECONDS[loss],
                "peak_memory_bytes": 400 * 2**20,
            })  # fmt: skip
            if pictures:
                for item, mask in zip(items, masks, strict=True):
                    save_mask(folder.prediction(loss, seed, item["id"]), mask)
    write_rows(folder.costs, COST_COLUMNS, costs)
    if pictures:
        for item in items:
            save_mask(folder.label_image(item["id"]), item["label"][0].numpy() > 0)
            pixels = (item["image"].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            path = folder.input_image(item["id"])
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder


def damaged(label: np.ndarray, damage: float, generator: np.random.Generator) -> np.ndarray:
    """Cut mortar lines, fill corners of bricks, drop and add blobs: `damage` times a few of each."""
    mask = label.copy()
    size = label.shape[0]
    rows, columns = np.mgrid[:size, :size]
    for kind, mean in (("cut", 5), ("blob", 2), ("bridge", 1.5)):
        for _ in range(generator.poisson(mean * damage)):
            y, x = generator.integers(0, size, 2)
            here = np.hypot(rows - y, columns - x) < (size / 24 if kind != "bridge" else size / 11)
            mask[here] = kind != "cut"
    noise = ndimage.gaussian_filter(generator.standard_normal(label.shape), 2)
    return mask & ~((noise > 0.25) & ~ndimage.binary_erosion(mask, iterations=1))


def save_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def write_measurements(
    folder: RunFolder, loss: str, seed: int, ids: list[str], masks: list[np.ndarray], labels: torch.Tensor
) -> None:
    values = measure_masks(torch.from_numpy(np.stack(masks))[:, None].long(), labels)
    rows = [
        {"ID": i, **dict(zip(METRIC_COLUMNS, v.tolist(), strict=True))}
        for i, v in zip(ids, values, strict=True)
    ]
    write_rows(
        folder.result_csv("supervised", "accurate", "large", loss, seed), ("ID", *METRIC_COLUMNS), rows
    )


def write_curve(
    folder: RunFolder, loss: str, seed: int, damage: float, generator: np.random.Generator
) -> None:
    iterations = np.arange(1, 161)
    values = 0.3 * damage + 1.2 * np.exp(-iterations / 40) + 0.05 * generator.standard_normal(160)
    rows = [
        {
            "iteration": i, "loss": v, "val_dice": "" if i % 40 else 0.95 - 0.1 * v,
            "val_betti0_error": "" if i % 40 else 20 * v,
        }
        for i, v in zip(iterations.tolist(), values.tolist(), strict=True)
    ]  # fmt: skip
    write_rows(folder.curve_csv(loss, seed), ("iteration", "loss", "val_dice", "val_betti0_error"), rows)
