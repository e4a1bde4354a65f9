"""Draw ``loss_gradients.png`` and ``study_variants.png``, the pictures of the guide to the losses.

Red pixels are pulled towards the foreground, blue ones away from it, by the topology term alone.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from topodl.losses import registry

FOLDER = Path(__file__).parent
CASES = ("broken line", "wrong bridge", "hole", "spurious blob")
LOSSES = {
    "ce_dice": {},
    "region_wise": {"base_weight": 0.0},
    "scnp_ce_dice": {"plain_weight": 0.0},
    "cldice": {"base_weight": 0.0, "iterations": 4},
    "skeleton_recall": {"base_weight": 0.0},
    "cbdice": {"base_weight": 0.0},
    "warping": {"base_weight": 0.0},
    "windowed_topo": {"base_weight": 0.0},
    "topo_loss": {"base_weight": 0.0},
    "betti_matching": {"base_weight": 0.0},
    "topograph": {"base_weight": 0.0},
    "topo_grad": {"base_weight": 0.0},
}


def draw_case(case: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (1, 2, 48, 48) of a prediction with one mistake, and the label (1, 48, 48)."""
    label = np.zeros((48, 48))
    label[:, 9:15] = label[:, 31:37] = 1
    predicted = label.copy()
    if case == "broken line":
        predicted[21:27, 9:15] = 0
    elif case == "wrong bridge":
        predicted[21:26, 15:31] = 1
    elif case == "hole":
        predicted[21:27, 10:14] = 0
    else:
        predicted[20:26, 20:26] = 1
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(label.shape), 2)
    z = torch.from_numpy(6 * (ndimage.gaussian_filter(predicted, 0.8) - 0.5) + 0.1 * noise / noise.std())
    return torch.stack([-z / 2, z / 2])[None], torch.from_numpy(label).long()[None]


def pull(loss: torch.nn.Module, logits: torch.Tensor, label: torch.Tensor) -> Any:
    """Return the negative gradient by the last channel, so that it can be seen."""
    z = logits.clone().requires_grad_()
    loss(z, label).backward()
    return visible(-z.grad[0, -1].numpy())


def visible(values: Any) -> Any:
    """Return `values` scaled to [-1, 1]; where few pixels are pulled, each one is drawn three pixels wide."""
    size = np.abs(values)
    strong = size[size > 0.02 * size.max()]
    if len(strong) == 0:
        return values
    scaled = np.clip(values / np.quantile(strong, 0.95), -1, 1)
    if len(strong) < 0.01 * size.size:
        up, down = (ndimage.grey_dilation(np.maximum(part, 0), 3) for part in (scaled, -scaled))
        return np.where(up >= down, up, -down)
    return scaled


def show(axis: Any, arrows: Any, foreground: Any, label: Any, width: float = 0.7) -> None:
    """Draw the pull over the prediction, in grey, with the outline of the label."""
    axis.imshow(1 - 0.16 * foreground, cmap="gray", vmin=0, vmax=1)
    axis.imshow(arrows, cmap="seismic", vmin=-1, vmax=1, alpha=np.minimum(1, 1.4 * np.abs(arrows)))
    axis.contour(label, [0.5], colors="black", linewidths=width)
    axis.set_xticks([])
    axis.set_yticks([])


def draw_gradients() -> None:
    """Draw the pull of each loss on the four cases, two losses in a row."""
    figure, axes = plt.subplots(6, 9, figsize=(9.6, 7.0), dpi=90, width_ratios=(1,) * 4 + (0.25,) + (1,) * 4)
    for row in axes:
        row[4].set_visible(False)
    for k, (name, options) in enumerate(LOSSES.items()):
        row, first = k % 6, 5 * (k // 6)
        loss = registry[name](**options)
        for j, case in enumerate(CASES):
            logits, label = draw_case(case)
            axis = axes[row, first + j]
            show(axis, pull(loss, logits, label), (logits[0, 1] > 0).numpy(), label[0])
            if row == 0:
                axis.set_title(case, fontsize=8)
        axes[row, first].set_ylabel(name, fontsize=8)
    figure.tight_layout(pad=0.3)
    save(figure, "loss_gradients.png")


def save(figure: Any, name: str) -> None:
    """Write a figure with 64 colours, which takes a third of the bytes."""
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    image.quantize(64, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)


def draw_wall() -> torch.Tensor:
    """Return a label (1, 128, 128) of thick mortar between bent rows of bricks."""
    noise = np.random.default_rng(1).standard_normal((2, 128, 128))
    y, x = np.mgrid[:128, :128] + 40 * ndimage.gaussian_filter(noise, (0, 12, 12))
    row = np.floor((y + 8) / 46)
    mortar = ((y + 8) % 46 < 15) | ((x + 75 * row + 115) % 150 < 15)
    return torch.from_numpy(mortar).long()[None]


def topology_pull(name: str, logits: torch.Tensor, label: torch.Tensor, **options: Any) -> Any:
    """Return the pull of the topology term, also where the loss has a base that cannot be switched off."""
    weights = {"topo_loss": 1.0, "warping": 0.1, "windowed_topo": 0.1}
    z = logits.clone().requires_grad_()
    with_term, without = (
        registry[name](topology_weight=weight, **options)(z, label) for weight in (weights[name], 0.0)
    )
    (gradient,) = torch.autograd.grad(with_term - without, z, allow_unused=True)
    return -gradient[0, -1].numpy()


def draw_variants() -> None:
    """Draw the critical pixels of both variants of the losses whose released code differs from the paper."""
    label = draw_wall()
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((128, 128)), 3)
    z = 8 * (ndimage.gaussian_filter(label[0].numpy().astype(float), 2) - 0.5) + 2.0 * noise / noise.std()
    z[:40, 90:96] = 2 + noise[:40, 90:96]  # a wrong bridge
    z = torch.from_numpy(z)
    two = torch.stack([-z / 2, z / 2])[None]
    figure, axes = plt.subplots(2, 4, figsize=(9.6, 5.1), dpi=90)
    axes[0, 0].imshow(1 - label[0], cmap="gray")
    axes[1, 0].imshow(z <= 0, cmap="gray")
    axes[0, 0].set_title("label", fontsize=8)
    axes[1, 0].set_title("prediction", fontsize=8)
    for axis in axes[:, 0]:
        axis.set_xticks([])
        axis.set_yticks([])
    titles = {"topo_loss": "TopoLoss", "warping": "Warping", "windowed_topo": "windowed TOPO"}
    for column, (name, title) in enumerate(titles.items(), start=1):
        for row, variant in enumerate(("paper", "topomortar")):
            # the study's windowed TOPO regresses the depth in one channel
            one = name == "windowed_topo" and variant == "topomortar"
            found = topology_pull(name, 1.5 * z[None, None] if one else two, label, variant=variant)
            show(axes[row, column], visible(found), (z > 0).numpy(), label[0], width=0.5)
            axes[row, column].set_title(f'{title}, "{variant}"', fontsize=8)
    figure.tight_layout(pad=0.8, h_pad=1.2)
    save(figure, "study_variants.png")


if __name__ == "__main__":
    draw_gradients()
    draw_variants()
