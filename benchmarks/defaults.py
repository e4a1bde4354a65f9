"""What networks learn with the default options of each loss: Dice and Betti errors on thin and thick lines.

python benchmarks/defaults.py TABLE.csv [--losses NAME …] [--data NAME …] [--steps N] [--size N] [--seeds N …]
python benchmarks/defaults.py TABLE.csv --show

One row of TABLE.csv a training, written when it ends; trainings that have a row are not run again, so that a
stopped table goes on. Without --size drawn walls and tiles have 128 pixels a side, TopoMortar's pictures 256.
Network, optimiser and batch are those of `topodl evaluate`. A loss is a name of the registry, with options
after a colon: "cldice:iterations=3,include_background=True".

"retina": tiles of scikit-image's fundus picture at half its size. The label is the 13 % of the field of view
with the highest response of a Sato filter (sigma 1.5 to 3) on the green channel divided by its surroundings;
test tiles come from the rows that no training tile has. "walls1", "walls2", "walls6": walls with mortar of
that many pixels. "lines2", "lines10", "lines50": drawn lines that cover that many percent; not by default.
"topomortar": training and validation pictures, resized, in the folder that TOPODL_SHARED names.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from topodl.datasets import SyntheticMortar, TopoMortar
from topodl.evaluation.loss_specs import parse_loss
from topodl.evaluation.networks import SmallUNet
from topodl.kernels.masks.thinning import thin
from topodl.losses import SegmentationLoss
from topodl.metrics import betti_error, dice_score

Pictures = tuple[torch.Tensor, torch.Tensor]  # images (N, 3, H, W) in [0, 1], labels (N, H, W)
COLUMNS = ("data", "loss", "seed", "steps", "size", "batch", "share", "dice", "betti0", "betti1", "seconds")
LOSSES = (
    "ce_dice",
    "cldice",
    "skeleton_recall",
    "cbdice",
    "betti_matching",
    "topo_loss",
    "topograph",
    "warping",
)
SIZES = {"walls1": 128, "walls2": 128, "walls6": 128, "retina": 128, "topomortar": 256}
TRAINING, TEST = 32, 12


def retina(size: int) -> tuple[Pictures, Pictures]:
    """Return tiles at random places: of the upper two thirds to train with, of the rest to test."""
    from skimage.data import retina as fundus
    from skimage.filters import sato

    picture = fundus()[:1410, :1410].reshape(705, 2, 705, 2, 3).mean((1, 3)) / 255
    green = picture[..., 1]
    surroundings = ndimage.gaussian_filter(green, 15)
    field = ndimage.binary_erosion(surroundings > 0.1, iterations=15)
    response = sato(green / surroundings.clip(0.05), sigmas=(1.5, 2, 2.5, 3), black_ridges=True)
    label = (response > np.quantile(response[field], 0.87)) & field
    border = min(len(picture) * 2 // 3, len(picture) - size)
    rng = np.random.default_rng(0)

    def tiles(n: int, top: int, bottom: int) -> Pictures:
        corners: list[tuple[int, int]] = []
        while len(corners) < n:
            y = int(rng.integers(top, bottom - size + 1))
            x = int(rng.integers(len(picture) - size + 1))
            if field[y : y + size, x : x + size].mean() > 0.75:
                corners.append((y, x))
        images = np.stack([picture[y : y + size, x : x + size] for y, x in corners])
        labels = np.stack([label[y : y + size, x : x + size] for y, x in corners])
        return torch.from_numpy(images).float().movedim(-1, 1), torch.from_numpy(labels).long()

    return tiles(TRAINING, 0, border), tiles(TEST, border, len(picture))


def walls(size: int, width: int) -> tuple[Pictures, Pictures]:
    """Return the walls of `SyntheticMortar` with mortar of `width` pixels around its centre lines."""

    def draw(n: int, split: str) -> Pictures:
        items = [SyntheticMortar(n, size=size, seed=0, split=split)[i] for i in range(n)]
        pairs = [_redraw(item["image"].numpy(), item["label"][0].numpy() > 0, width) for item in items]
        return torch.stack([p for p, _ in pairs]), torch.stack([q for _, q in pairs])

    return draw(TRAINING, "train"), draw(TEST, "test")


def _redraw(
    image: NDArray[np.float32], mortar: NDArray[np.bool_], width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the wall mortar of another width; each pixel takes the colour of the nearest of its kind."""
    line = thin(mortar)
    narrow = ndimage.binary_dilation(line, np.ones((width, width), bool)) if width > 1 else line
    redrawn = np.empty_like(image)
    for kind in (True, False):
        nearest = ndimage.distance_transform_edt(mortar != kind, return_distances=False, return_indices=True)
        redrawn[:, narrow == kind] = image[:, nearest[0], nearest[1]][:, narrow == kind]
    return torch.from_numpy(redrawn), torch.from_numpy(narrow).long()


def lines(size: int, percent: int) -> tuple[Pictures, Pictures]:
    """Return noisy pictures of straight lines, drawn until they cover `percent` of the picture."""
    width = {2: 1, 10: 2}.get(percent, 6)

    def draw(n: int, seed: int) -> Pictures:
        rng = np.random.default_rng(seed)
        labels = np.zeros((n, size, size), bool)
        for label in labels:
            while label.mean() < percent / 100:
                ends = rng.integers(0, size, (2, 2))
                points = np.linspace(*ends, 4 * size).round().astype(int)
                line = np.zeros_like(label)
                line[tuple(points.T)] = True
                label |= ndimage.binary_dilation(line, np.ones((width, width), bool)) if width > 1 else line
        images = np.repeat(labels[:, None] * 0.5, 3, 1) + rng.normal(0.25, 0.08, (n, 3, size, size))
        return torch.from_numpy(images.clip(0, 1)).float(), torch.from_numpy(labels).long()

    return draw(TRAINING, 0), draw(TEST, 1)


def topomortar(size: int) -> tuple[Pictures, Pictures]:
    """Return training and in-distribution test images of TopoMortar, resized."""
    root = Path(os.environ["TOPODL_SHARED"]) / "data" / "topomortar"

    def read(split: str, n: int) -> Pictures:
        items = [TopoMortar(root, split=split)[i] for i in range(n)]
        images = F.interpolate(torch.stack([i["image"] for i in items]), (size, size), mode="area")
        labels = F.interpolate(torch.stack([i["label"] for i in items]).float(), (size, size), mode="area")
        return images, (labels[:, 0] > 0.5).long()

    return read("train", TRAINING), read("val", TEST)


def pictures(name: str, size: int) -> tuple[Pictures, Pictures]:
    """Return what to train and to test with."""
    if name.startswith("walls"):
        return walls(size, int(name.removeprefix("walls")))
    if name.startswith("lines"):
        return lines(size, int(name.removeprefix("lines")))
    return {"retina": retina, "topomortar": topomortar}[name](size)


def standardise(images: torch.Tensor) -> torch.Tensor:
    """Give each channel of each image mean 0 and deviation 1."""
    return (images - images.mean((2, 3), keepdim=True)) / images.std((2, 3), keepdim=True).clamp_min(1e-6)


def train(loss: SegmentationLoss, data: Pictures, seed: int, steps: int, batch: int) -> torch.nn.Module:
    """Train the small U-Net as the quick protocol of `topodl evaluate` does."""
    torch.manual_seed(seed)
    network = SmallUNet()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.006, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 - step / steps) ** 0.9)
    generator = torch.Generator().manual_seed(seed)
    images, labels = standardise(data[0]), data[1]
    for step in range(steps):
        chosen = torch.randint(len(images), (batch,), generator=generator)
        flips = [d for d in (-2, -1) if torch.rand((), generator=generator) < 0.5]
        loss.set_progress(step / steps)
        value = loss(network(images[chosen].flip(flips)), labels[chosen].flip(flips))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    return network


def measure(network: torch.nn.Module, data: Pictures) -> list[float]:
    """Return the means of Dice and of the errors in components and holes."""
    with torch.no_grad():
        found = torch.cat([network(standardise(image[None])) for image in data[0]]).argmax(1)
    betti = betti_error(found, data[1])
    return [float(dice_score(found, data[1]).mean()), *betti.double().mean(0).tolist()[:2]]


def run(arguments: argparse.Namespace) -> None:
    """Run every training that has no row yet."""
    known = set()
    if arguments.results.exists():
        with arguments.results.open() as file:
            known = {tuple(row[name] for name in COLUMNS[:6]) for row in csv.DictReader(file)}
    else:
        arguments.results.write_text(",".join(COLUMNS) + "\n")
    for seed, data in product(arguments.seeds, arguments.data):
        size = arguments.size or SIZES.get(data, 128)
        training, test = pictures(data, size)
        for loss in arguments.losses:
            key = (data, loss, seed, arguments.steps, size, arguments.batch)
            if tuple(map(str, key)) in known:
                continue
            start = time.perf_counter()
            network = train(parse_loss(loss).build(), training, seed, arguments.steps, arguments.batch)
            values = [float(test[1].double().mean()), *measure(network, test), time.perf_counter() - start]
            with arguments.results.open("a", newline="") as file:
                csv.writer(file).writerow([*key, *(f"{value:.4f}" for value in values)])


def table(results: Path) -> str:
    """Return the means over seeds of what was measured, as a table of losses by data."""
    with results.open() as file:
        rows = list(csv.DictReader(file))
    cells: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        cells.setdefault((row["loss"], row["data"]), []).append(row)
    losses, data = (list(dict.fromkeys(row[name] for row in rows)) for name in ("loss", "data"))
    lines = [["loss", *data], ["---"] * (1 + len(data))]
    for loss in losses:
        lines.append([f"`{loss}`", *(_cell(cells.get((loss, d), [])) for d in data)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(rows: list[dict[str, str]]) -> str:
    """Return Dice, the errors in components and holes, and how many seeds they are means of."""
    if not rows:
        return ""
    dice, *betti = (sum(float(r[k]) for r in rows) / len(rows) for k in ("dice", "betti0", "betti1"))
    return f"{dice:.3f} ({betti[0]:.1f} / {betti[1]:.1f}; {len(rows)})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--losses", nargs="+", default=LOSSES)
    parser.add_argument("--data", nargs="+", default=tuple(SIZES))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--show", action="store_true", help="print the table of what is there, and end")
    chosen = parser.parse_args(arguments)
    if chosen.show:
        print(table(chosen.results))
    else:
        run(chosen)


if __name__ == "__main__":
    main()
