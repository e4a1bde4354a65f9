"""Time the Betti matching loss on volumes beside Betti-Matching-3D.

python benchmarks/betti_matching3d.py [--peers-python PATH]     a Python of the same version with topolosses,
where it is not installed beside topodl.

Forward and backward of one volume, CPU seconds of one thread, the least of several rounds. The other one is
the compiled module of topolosses, on the same pair of volumes, with gather and gradient done by torch.
"""

import argparse
from typing import Any

import numpy as np
import torch
from peers import betti_matching_3d, borrow_packages
from scipy import ndimage
from timing import least, one_thread

from topodl.losses import betti_matching_loss


def draw(kind: str, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return probabilities (1, 1, *S) and labels (1, *S): tubes and sheets, and a prediction of them."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(side,) * 3), 3)
    label = field > np.quantile(field, 0.7)
    if kind == "noise":
        p = rng.random(label.shape)
    else:
        p = ndimage.gaussian_filter(label.astype(float), 1.5)
        blobs = ndimage.gaussian_filter(rng.normal(size=label.shape), 2)
        p = p + 0.3 * (blobs - blobs.min()) / np.ptp(blobs)
        p = (p - p.min()) / np.ptp(p)
    return torch.from_numpy(p)[None, None], torch.from_numpy(label.astype(np.int64))[None]


def peer_loss(peer: Any, p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the loss without essential classes, from the pairs of Betti-Matching-3D."""
    ours, theirs = p[0, 0], target[0].to(p.dtype)
    found = peer.compute_matching(-ours.detach().numpy(), -theirs.numpy(), True, True)

    def ends(values: torch.Tensor, name: str) -> torch.Tensor:
        sides = [np.concatenate(getattr(found, f"{name}_{end}_coordinates")) for end in ("birth", "death")]
        return torch.stack([values[tuple(torch.from_numpy(side).T)] for side in sides])

    loss = 2 * (ends(ours, "input1_matched") - ends(theirs, "input2_matched")).square().sum()
    for values, name in ((ours, "input1_unmatched"), (theirs, "input2_unmatched")):
        birth, death = ends(values, name)
        loss = loss + (birth - death).square().sum()
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", metavar="PATH")
    arguments = parser.parse_args()
    one_thread()
    if arguments.peers_python:
        borrow_packages(arguments.peers_python)
    peer = betti_matching_3d()
    print("volume     | topodl 6  | topodl 26 | Betti-Matching-3D | ratio (6) | loss 6, both")
    for kind in ("smooth", "noise"):
        for side in (32, 64):
            p, target = draw(kind, side)
            p.requires_grad_()

            def ours(connectivity: int, p: torch.Tensor = p, target: torch.Tensor = target) -> torch.Tensor:
                loss = betti_matching_loss(
                    p, target, activation="none", base_weight=0, topology_weight=1, essential="drop",
                    connectivity=connectivity,
                )  # fmt: skip
                loss.backward()
                return loss.detach()

            def theirs(p: torch.Tensor = p, target: torch.Tensor = target) -> torch.Tensor:
                loss = peer_loss(peer, p, target)
                loss.backward()
                return loss.detach()

            values = ours(6), theirs()
            candidates = {"6": lambda run=ours: run(6), "26": lambda run=ours: run(26), "peer": theirs}
            times = least(candidates, 5 if side == 32 else 3)
            six, corners, other = (ms / 1e3 for ms in times.values())
            print(
                f"{kind:6} {side}³ | {six:9.3f} | {corners:9.3f} | {other:17.3f} | {other / six:9.1f} | "
                f"{values[0]:.6f} {values[1]:.6f}"
            )


if __name__ == "__main__":
    main()
