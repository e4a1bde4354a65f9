"""Draw ``critical_pixels.png``: a line with a gap, its bars, and the pixels that a loss pulls at."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

import topodl


def main() -> None:
    """Draw probabilities of a line with a weak place, the bars of its halves, and their gradient."""
    image = torch.full((7, 15), 0.1)
    image[3, 1:14] = torch.tensor([0.8, 0.9, 0.85, 0.8, 0.75, 0.5, 0.3, 0.45, 0.7, 0.8, 0.95, 0.85, 0.8])
    image.requires_grad_()
    diagrams = topodl.cubical_persistence(image[None], dims=0, superlevel=True, construction="cell")
    shorter = diagrams.finite()
    shorter.persistence().sum().backward()  # to join the halves, the length of the second bar has to fall
    figure, (line, bars, pull) = plt.subplots(
        1, 3, figsize=(10.5, 2.6), dpi=110, layout="constrained", width_ratios=(1.2, 1, 1.2)
    )
    line.imshow(image.detach(), cmap="gray", vmin=0, vmax=1)
    line.set(title="probabilities: a line with a gap", xticks=[], yticks=[])
    for n, (birth, death) in enumerate(zip(diagrams.births.tolist(), diagrams.deaths.tolist(), strict=True)):
        bars.plot([birth, max(death, 0)], [n, n], linewidth=4, color="tab:red" if n else "black")
    bars.set(title="two bars: two halves", xlabel="threshold, falling", yticks=[])
    bars.set(xlim=(1, 0), ylim=(-0.6, 1.6))
    assert image.grad is not None
    pull.imshow(-image.grad, cmap="bwr", vmin=-1.5, vmax=1.5)
    pull.set(title="the gradient: two pixels", xticks=[], yticks=[])
    figure.savefig(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
