"""Draw ``synthetic_mortar.png``, the contact sheet of `SyntheticMortar` in the guide to the data sets."""

from pathlib import Path

import matplotlib.pyplot as plt

from topodl.datasets import SyntheticMortar

GROUPS = ("angles", "colors", "graffiti", "objects", "occlusion", "shadows")


def main() -> None:
    """Draw three walls with their three labels, and one wall of each other group with its label."""
    figure, axes = plt.subplots(4, 7, figsize=(9.6, 6.5), dpi=110, width_ratios=(1, 1, 1, 0.1, 1, 1, 1))
    plain = {labels: SyntheticMortar(12, labels=labels) for labels in ("accurate", "noisy", "pseudo")}
    rows = ("image", "accurate", "noisy", "pseudo")
    for column, index in enumerate((0, 2, 8)):
        axes[0, column].imshow(plain["accurate"][index]["image"].permute(1, 2, 0))
        for row, labels in enumerate(rows[1:], start=1):
            axes[row, column].imshow(plain[labels][index]["label"][0], cmap="gray")
        b0, b1 = plain["accurate"][index]["betti"].tolist()
        axes[0, column].set_title(f"indistr, b0 = {b0}, b1 = {b1}", fontsize=7)
    for row, name in enumerate(rows):
        axes[row, 0].set_ylabel(name, fontsize=8)
    for number, group in enumerate(GROUPS):
        row, column = 2 * (number // 3), 4 + number % 3
        item = SyntheticMortar(12, group=group)[(3, 2, 5, 1, 4, 6)[number]]
        axes[row, column].imshow(item["image"].permute(1, 2, 0))
        axes[row + 1, column].imshow(item["label"][0], cmap="gray")
        b0, b1 = item["betti"].tolist()
        axes[row, column].set_title(f"{group}, b0 = {b0}, b1 = {b1}", fontsize=7)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    figure.tight_layout(pad=0.4)
    figure.savefig(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
