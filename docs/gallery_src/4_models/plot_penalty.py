"""
A penalty on the topology of a middle layer
===========================================

A small convolutional network classifies noisy discs and rings. A penalty, attached to a middle layer by its
name, asks for feature maps with few extra components; the model's code does not know of it.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import topodl

torch.manual_seed(0)


def pictures(n, size=24):
    """Return n noisy pictures of discs (0) and rings (1)."""
    labels = torch.arange(n) % 2
    grid = torch.linspace(-1, 1, size)
    centre = 0.3 * torch.rand(2, n, 1, 1) - 0.15
    radius = ((grid[:, None] - centre[0]) ** 2 + (grid - centre[1]) ** 2).sqrt()
    inside = (radius < 0.7) & ((radius > 0.35) | (labels == 0).view(-1, 1, 1))
    return (inside + 0.4 * torch.randn(n, size, size))[:, None], labels


class Network(nn.Module):
    """Two convolutions and a head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.Tanh())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2), nn.Tanh())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2))

    def forward(self, x):
        """Return the logits of pictures (B, 1, H, W)."""
        return self.head(self.second(self.first(x)))


# %%
# The penalty: for each feature map, the squared lengths of all bars but the longest in each dimension.
def extra_topology(maps):
    """Return the mean over the maps of the persistence beyond their longest bars."""
    d = topodl.cubical_persistence(maps, channels=True, superlevel=True).finite()
    bars = d.persistence().square()
    longest = torch.zeros(d.n_segments).scatter_reduce(0, d.segments, bars, "amax")
    return (bars.sum() - longest.sum()) / len(d)


def train(weight, steps=120):
    """Train with a penalty of that weight; return the model, its accuracy and its extra topology."""
    torch.manual_seed(0)
    model = Network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with topodl.attach(model, "second", extra_topology) as penalty:
        for _ in range(steps):
            x, y = pictures(32)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            (loss + weight * penalty.total()).backward()
            optimizer.step()
        with torch.no_grad():
            x, y = pictures(200)
            accuracy = (model(x).argmax(1) == y).float().mean().item()
            return model, accuracy, penalty.total().item()


results = {weight: train(weight) for weight in (0.0, 0.1)}
for weight, (_, accuracy, extra) in results.items():
    print(f"penalty × {weight}: accuracy {accuracy:.1%}, extra topology {extra:.3f}")
assert results[0.1][2] < 0.5 * results[0.0][2]

# %%
# A map of the middle layer without and with the penalty.
example = pictures(2)[0]
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
axes[0].imshow(example[1, 0], cmap="gray")
axes[0].set_title("input")
for ax, (weight, (model, _, _)) in zip(axes[1:], results.items(), strict=True):
    with torch.no_grad():
        ax.imshow(model.second(model.first(example))[1, 0], cmap="gray")
    ax.set_title(f"penalty × {weight}")
plt.show()
