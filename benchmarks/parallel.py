"""Wall time of one sample on 1 to N threads: an image, volumes, matchings, a cloud. The machine must be idle.

    python benchmarks/parallel.py [--threads N …]

Least of several calls, which take turns; processor time beside it, that tells what splitting costs.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

import topodl

_ROUNDS = 9


def smooth(shape: tuple[int, ...], sigma: float, seed: int = 0) -> torch.Tensor:
    """Return blurred noise (1, *shape) of deviation 1, in float32."""
    values = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return torch.from_numpy((values / values.std()).astype(np.float32))[None]


def matching(shape: tuple[int, ...]) -> Callable[[], object]:
    """Return the loss of one prediction, forward alone, to a label."""
    loss = topodl.losses.BettiMatchingLoss()
    logits, label = 4 * smooth(shape, 3)[None], (smooth(shape, 4, 1) > 0).float()[None]
    return lambda: loss(logits, label)


def cases() -> dict[str, Callable[[], object]]:
    image, volume = smooth((1024, 1024), 2), smooth((128, 128, 128), 4)
    probability = torch.sigmoid(8 * volume)
    cloud = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 2048, 8)))
    return {
        "image 1024²": lambda: topodl.cubical_persistence(image),
        "volume 128³, smooth": lambda: topodl.cubical_persistence(volume),
        "volume 128³, sigmoid": lambda: topodl.cubical_persistence(probability),
        "Betti matching 512²": matching((512, 512)),
        "Betti matching 64 × 96 × 96": matching((64, 96, 96)),
        "Rips H0, H1, 2,048 points in R⁸": lambda: topodl.rips_persistence(cloud, dims=(0, 1)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    counts = parser.parse_args().threads
    torch.set_num_threads(1)
    print("| one sample | " + " | ".join(f"{n} threads: wall / processor, ms" for n in counts) + " | wall |")
    print("|---|" + "---|" * (len(counts) + 1))
    for name, call in cases().items():
        call()
        best = dict.fromkeys(counts, (math.inf, math.inf))
        for _ in range(_ROUNDS):
            for n in counts:
                topodl.set_num_threads(n)
                wall, cpu = time.perf_counter(), time.process_time()
                call()
                took = 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)
                best[n] = min(best[n][0], took[0]), min(best[n][1], took[1])
        cells = " | ".join(f"{best[n][0]:.1f} / {best[n][1]:.1f}" for n in counts)
        print(f"| {name} | {cells} | {best[counts[0]][0] / best[counts[-1]][0]:.2f} × |", flush=True)


if __name__ == "__main__":
    main()
