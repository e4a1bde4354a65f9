"""Draw ``betti_numbers.png``: masks with their numbers of pieces and holes."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from topodl.metrics import betti_numbers

# What is taken out of a ring, as rows and columns.
CUTS = {
    "a ring": [],
    "opened": [(slice(5, 6), slice(1, 4))],
    "in two pieces": [(slice(5, 6), slice(1, 4)), (slice(5, 6), slice(7, 10))],
    "with a hole more": [(slice(2, 3), slice(2, 3))],
}


def main() -> None:
    """Draw the ring with each of its cuts."""
    figure, axes = plt.subplots(1, len(CUTS), figsize=(10.5, 3.2), dpi=110)
    for ax, (name, cuts) in zip(axes, CUTS.items(), strict=True):
        mask = torch.zeros(11, 11, dtype=torch.int64, device="cpu")
        mask[1:10, 1:10] = 1
        for cut in [(slice(4, 7), slice(4, 7)), *cuts]:
            mask[cut] = 0
        pieces, holes = betti_numbers(mask[None])[0].tolist()
        ax.imshow(1 - 0.75 * mask, cmap="gray", vmin=0, vmax=1)
        ax.set(title=f"{name}\nβ₀ = {pieces}, β₁ = {holes}", xticks=[], yticks=[])
    figure.subplots_adjust(0.01, 0.02, 0.99, 0.84, 0.04)
    figure.savefig(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
