"""What each loss costs: forward and backward on two 512 x 512 labels, one thread, as multiples of CE+Dice.

python benchmarks/losses.py [name …] [--volume] [--peers-python PATH]

TOPODL_SHARED names the folder with TopoMortar; else walls are drawn. The target's part is computed before.
With --volume there is one label of 64 x 96 x 96 voxels, tubes and sheets that fill 30 %, in place of two.
CE+Dice runs between any two runs of a loss; the best of each counts, in seconds of processor time. PATH is a
Python of the same version with topolosses, where it is not installed beside topodl. Names are those of our
losses, or parts of the rows of others (MONAI, topolosses, TopographLoss).
"""

from __future__ import annotations

import argparse
import os
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from peers import borrow_packages
from scipy import ndimage
from timing import Candidate, least, one_thread

from topodl.losses import SegmentationLoss, registry

Call = Callable[[torch.Tensor], torch.Tensor]

# row of the table, name in the registry, options, largest ratio aimed at, the original's ratio
ROWS: list[tuple[str, str, dict[str, object], float | None, str]] = [
    ("CE + Dice", "ce_dice", {}, None, "1"),
    ("Skeleton Recall", "skeleton_recall", {}, 1.4, "1.7"),
    ("clDice, foreground, 3 iterations", "cldice", {"iterations": 3}, 6.0, "17 to 36"),
    ("clDice, iterations from the label", "cldice", {}, None, "97 (10 it.)"),
    ("cbDice", "cbdice", {}, 8.0, "4,600"),
    ("RegionWise, alone", "region_wise", {"base_weight": 0.0}, 1.5, "4.9"),
    ("TopoLoss, both dimensions, whole image", "topo_loss", {"window": None}, 4.0, "17 to 52"),
    ("windowed TOPO", "windowed_topo", {}, 4.0, "10 to 14"),
    ("Warping, sound", "warping", {}, 3.0, "22"),
    ("DMT, whole image", "dmt", {}, None, ""),
    ("Betti matching, whole image", "betti_matching", {}, 6.0, "23"),
    ("Topograph", "topograph", {}, 5.0, "19 (rough: 80)"),
    ("TopoGrad, whole image", "topo_grad", {}, 4.0, "7"),
    ("SCNP(3) of CE + Dice, alone", "scnp_ce_dice", {"plain_weight": 0.0}, 2.5, "4"),
]


def labels_512() -> torch.Tensor:
    """Two labels (2, 512, 512): training labels 036 and 048 of TopoMortar, or walls that look like them."""
    shared = os.environ.get("TOPODL_SHARED")
    if shared is None:
        return torch.stack([_wall(seed) for seed in (36, 48)])
    from PIL import Image

    folder = Path(shared) / "data" / "topomortar" / "train" / "accurate"
    images = [np.array(Image.open(folder / f"{i}.png")) for i in ("036", "048")]
    return torch.from_numpy(np.stack(images) == 255).long()


def _wall(seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    y, x = (
        np.mgrid[:512, :512]
        + 3 * ndimage.gaussian_filter(rng.standard_normal((2, 512, 512)), (0, 12, 12)) * 12
    )
    row = np.floor(y / 40)
    mortar = (y % 40 < 9) | ((x + 45 * (row % 2)) % 90 < 9)
    return torch.from_numpy(mortar).long()


def label_of_volume() -> torch.Tensor:
    """One label (1, 64, 96, 96): the 30 % of a smooth field that are the highest."""
    field = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((64, 96, 96)), 3)
    return torch.from_numpy(field > np.quantile(field, 0.7)).long()[None]


def logits_for(labels: torch.Tensor, kind: str) -> torch.Tensor:
    """Logits (B, 2, *S): the blurred label plus noise, smooth (sigma 3) or rough (sigma 1)."""
    sigma, amplitude = {"smooth": (3.0, 1.6), "rough": (1.0, 1.58)}[kind]
    out = []
    for i, label in enumerate(labels.numpy()):
        noise = ndimage.gaussian_filter(np.random.default_rng(i).standard_normal(label.shape), sigma)
        z = 8 * (ndimage.gaussian_filter(label.astype(float), 2) - 0.5) + amplitude * noise / noise.std()
        out.append(np.stack([-z / 2, z / 2]))
    return torch.from_numpy(np.stack(out).astype(np.float32))


def step(call: Call, logits: torch.Tensor) -> Candidate:
    """Return the forward and backward pass of a loss."""
    z = logits.clone().requires_grad_()

    def run() -> None:
        z.grad = None
        call(z).backward()

    return run


def with_unit(call: Call, unit: Call, logits: torch.Tensor) -> tuple[float, float]:
    """Return the milliseconds of forward and backward of `call` and of `unit`, by turns."""
    times = least({"loss": step(call, logits), "unit": step(unit, logits)}, 40, seconds=2.0)
    return times["loss"], times["unit"]


def study_ce_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """CE + Dice written down naively, as the study's code has it: another yardstick."""
    p = torch.softmax(logits, 1)
    y = F.one_hot(labels, 2).movedim(-1, 1).to(p.dtype)
    p, y = p.flatten(2), y.flatten(2)
    dice = (2 * (p * y).sum(2) + 1e-5) / (y.sum(2) + p.sum(2) + 1e-5).clamp_min(1e-8)
    return -(y * (p + 1e-15).log()).mean((0, 2)).sum() - dice.mean()


def own_calls(labels: torch.Tensor, wanted: list[str]) -> dict[str, tuple[Call, float | None, str]]:
    """Return the losses of this package by their row, with the target's part computed beforehand."""
    calls: dict[str, tuple[Call, float | None, str]] = {}
    for row, name, options, limit, original in ROWS:
        if name not in registry or (wanted and name not in wanted and name != "ce_dice"):
            continue
        loss = registry[name](**options)
        calls[row] = (partial(_apply, loss, labels, loss.precompute(labels)), limit, original)
    return calls


def _apply(
    loss: SegmentationLoss, labels: torch.Tensor, parts: dict[str, torch.Tensor], logits: torch.Tensor
) -> torch.Tensor:
    return loss(logits, labels, precomputed=parts)


def peer_calls(labels: torch.Tensor) -> dict[str, Call]:
    """Return the losses of MONAI and topolosses, as far as they are installed."""
    y = F.one_hot(labels, 2).movedim(-1, 1).float()
    calls: dict[str, Call] = {"CE + Dice, written naively": lambda z: study_ce_dice(z, labels)}
    try:
        from monai.losses import DiceCELoss, SoftDiceclDiceLoss

        dice_ce = DiceCELoss(softmax=True)
        cldice = SoftDiceclDiceLoss(softmax=True, include_background=False)
        calls["MONAI DiceCELoss"] = lambda z: dice_ce(z, y)
        calls["MONAI SoftDiceclDiceLoss, 3 iterations"] = lambda z: cldice(z, y)
    except ImportError:
        print("MONAI is not installed", file=sys.stderr)
    try:
        import topolosses.losses as peers
    except ImportError:
        print("topolosses is not installed", file=sys.stderr)
        return calls
    for name in ("DiceLoss", "CLDiceLoss", "HutopoLoss", "BettiMatchingLoss", "TopographLoss", "WarpingLoss"):
        peer = getattr(peers, name)(softmax=True)
        calls[f"topolosses {name}"] = lambda z, peer=peer: peer(z, y)
    return calls


def main() -> None:
    """Print one table: seconds and ratio on smooth and on rough logits."""
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("--volume", action="store_true")
    parser.add_argument("--peers-python", metavar="PATH")
    arguments = parser.parse_args()
    if arguments.peers_python:
        borrow_packages(arguments.peers_python)
        # topolosses imports them for one loss that needs the weights of a network, and for another's contours
        for unused in ("torchvision", "cv2"):
            sys.modules.setdefault(unused, types.ModuleType(unused))
    labels = label_of_volume() if arguments.volume else labels_512()
    smooth, rough = logits_for(labels, "smooth"), logits_for(labels, "rough")
    rows = own_calls(labels, arguments.names)
    unit = rows["CE + Dice"][0]
    for row, call in peer_calls(labels).items():
        if not arguments.names or any(name in row for name in arguments.names):
            rows[row] = (call, None, "")
    print(
        "| loss | ms smooth | ratio | ms rough | ratio | at most | original |\n|---|---|---|---|---|---|---|"
    )
    for row, (call, limit, original) in rows.items():
        (s, unit_s), (r, unit_r) = with_unit(call, unit, smooth), with_unit(call, unit, rough)
        bound = "" if limit is None else f"{limit:g}"
        ratios = f"{s / unit_s:.2f} | {r:.1f} | {r / unit_r:.2f}"
        print(f"| {row} | {s:.1f} | {ratios} | {bound} | {original} |", flush=True)


if __name__ == "__main__":
    main()
