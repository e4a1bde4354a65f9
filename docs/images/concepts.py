"""Draw ``concepts.png``: one row of pixels swept by a threshold, its bars, and its diagram."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

import topodl

VALUES = torch.tensor([4.0, 1.0, 3.0, 0.0, 2.5, 2.0, 3.5, 0.8, 4.0])
THRESHOLD = 1.5
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:purple")


def main() -> None:
    """Draw the values with the level sets of a threshold, the bars of dimension 0, and the diagram."""
    diagram = topodl.cubical_persistence(VALUES[None, None], dims=0)
    births, deaths = diagram.births.tolist(), diagram.deaths.tolist()
    cells = diagram.birth_cells[:, 0].tolist()
    figure, (sweep, bars, plane) = plt.subplots(1, 3, figsize=(10.5, 3.2), dpi=110, layout="constrained")
    sweep.step(range(len(VALUES)), VALUES, where="mid", color="black")
    sweep.axhline(THRESHOLD, color="tab:red", linestyle="--")
    low = [n for n, value in enumerate(VALUES.tolist()) if value < THRESHOLD]
    sweep.bar(low, THRESHOLD - VALUES[low], 1, VALUES[low], color="tab:red", alpha=0.3)
    sweep.set(
        title=f"threshold {THRESHOLD}: three components", xlabel="pixel", ylabel="value", ylim=(-0.3, 4.3)
    )
    top = float(VALUES.max()) + 0.5
    for n, (birth, death, cell) in enumerate(zip(births, deaths, cells, strict=True)):
        color, end = COLORS[n], min(death, top)
        sweep.plot(cell, birth, "o", color=color)
        bars.plot([birth, end], [n, n], color=color, linewidth=4)
        if death <= top:
            plane.plot(birth, death, "o", color=color)
        else:
            bars.plot(end, n, ">", color=color, markersize=9)
            plane.plot(birth, top, "^", color=color, markersize=9)
    bars.axvline(THRESHOLD, color="tab:red", linestyle="--")
    bars.set(title="one bar a component", xlabel="threshold", yticks=[])
    plane.plot([0, top], [0, top], color="grey", linewidth=0.8)
    plane.set(title="one point a bar", xlabel="birth", ylabel="death")
    figure.savefig(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
