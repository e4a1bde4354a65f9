"""
1. Train with a topology loss
=============================

A network that draws thin lines leaves gaps in them. Cross-entropy and Dice hardly mind: a gap is a few
pixels. Here the same small network learns once with CE + Dice and once with a loss that looks at
centrelines, on drawn brick walls, and the gaps are counted.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from topodl.datasets import SyntheticMortar
from topodl.losses import CEDiceLoss, SkeletonRecallLoss
from topodl.metrics import BettiError, Dice, TopologyError, topology_errors

# %%
# **Data.** Pictures (3, H, W) and integer labels (1, H, W), mortar 1 and bricks 0. Yours may come from any
# loader.
train = SyntheticMortar(24, size=64, seed=0)
test = SyntheticMortar(16, size=64, seed=0, split="test")
images, labels = (torch.stack([item[key] for item in train]) for key in ("image", "label"))
test_images, test_labels = (torch.stack([item[key] for item in test]) for key in ("image", "label"))


# %%
# **Training.** A loss is called with logits (B, C, H, W) and labels, and that is all that changes. It
# contains cross-entropy and Dice already, so nothing has to be added to it.
def train_with(criterion, steps=150):
    """Train a small network and return what it predicts for the test pictures."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 2, 1),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(steps):
        chosen = torch.randint(len(images), (4,))
        loss = criterion(network(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return network(test_images).argmax(1, keepdim=True)


predictions = {
    "CE + Dice": train_with(CEDiceLoss()),
    "Skeleton Recall": train_with(SkeletonRecallLoss()),
}

# %%
# **Measures.** Dice counts pixels. The Betti errors count what is broken: components too many or too few,
# and holes (bricks) that are not closed or not there.
for name, prediction in predictions.items():
    error, dice = BettiError()(prediction, test_labels), Dice()(prediction, test_labels)
    print(f"{name:16} Dice {dice:.3f}, components {error[0]:.1f}, holes {error[1]:.1f}")

# %%
# **Where.** `topodl.metrics.topology_errors` says of each pixel what it breaks: orange where mortar is
# interrupted, blue where it joins what should be apart, red and green where a whole piece is missing or is
# not there. A line that is a little too thin or too wide is no error.
COLORS = {"BROKEN": "tab:orange", "MERGED": "tab:blue", "MISSING": "tab:red", "SPURIOUS": "tab:green"}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
axes[0].imshow(test_images[0].permute(1, 2, 0))
axes[0].set(title="picture", xticks=[], yticks=[])
for ax, (name, prediction) in zip(axes[1:], predictions.items(), strict=True):
    ax.imshow(1 - 0.3 * prediction[0, 0], cmap="gray", vmin=0, vmax=1)
    errors = topology_errors(prediction[:1], test_labels[:1])[0].squeeze()
    for kind, color in COLORS.items():
        rows, columns = torch.nonzero(errors == TopologyError[kind], as_tuple=True)
        ax.scatter(columns, rows, s=9, marker="s", color=color)
    ax.set(title=name, xticks=[], yticks=[])
plt.show()

# %%
# **Next.** One run of 150 steps ranks nothing: `topodl evaluate` compares losses over several seeds, with
# tests of significance (the last tutorial). :doc:`/losses` says what each loss punishes and costs.
