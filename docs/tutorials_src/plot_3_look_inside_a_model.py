"""
3. Look inside a model, and steer it
====================================

topodl needs no model of its own: it attaches to any submodule of any ``torch.nn.Module`` by its name, as
``named_modules()`` prints it. Here a small residual network, which knows nothing of topology, is trained on
digits; then its feature maps are measured, and a second training asks one of its layers for calmer maps.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import topodl
from topodl.layers import BettiCurve, CubicalPersistence

digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
y = torch.tensor(digits.target)
train, test = slice(0, 1000), slice(1000, None)


class Block(nn.Module):
    """Two convolutions and a shortcut, as in a ResNet."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        """Return maps (B, width, H, W) of maps of the same shape."""
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


def network():
    """Return a network whose submodules have names: stem, layer1.0, layer1.1, head."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("stem", nn.Conv2d(1, 8, 3, padding=1))
    model.add_module("layer1", nn.Sequential(Block(8), Block(8)))
    model.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)))
    return model


def fit(model, penalty=None, weight=0.0, steps=300):
    """Train the model, with a penalty that is attached to it or without; return its accuracy."""
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        chosen = torch.randint(1000, (64,))
        loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
        if penalty is not None:
            loss = loss + weight * penalty.total()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return (model(x[test]).argmax(1) == y[test]).float().mean().item()


# %%
# **Measure.** `topodl.TopologicalFeatures` makes a scikit-learn transformer of a trained model: here the
# Betti curves of the eight maps that ``layer1.1.conv2`` gives, as a row of each digit.
model = network()
accuracy = fit(model)
curves = nn.Sequential(CubicalPersistence(superlevel=True), BettiCurve(resolution=8, value_range=(-2, 2)))
features = topodl.TopologicalFeatures(
    model, {"layer1.1.conv2": curves}, transforms={"layer1.1.conv2": lambda maps: maps.flatten(0, 1)}
)
classifier = make_pipeline(features, StandardScaler(), LogisticRegression(max_iter=2000))
scores = cross_val_score(classifier, x[test][:400].numpy(), y[test][:400].numpy(), cv=3)
print(f"the network: {accuracy:.3f}; from the topology of one layer alone: {scores.mean():.3f}, chance 0.1")


# %%
# **Steer.** `topodl.attach` computes anything at each forward pass of a submodule: here the total
# persistence of its maps, which counts bumps by their height. Its gradient reaches the weights; the hook
# goes away with the block.
def bumps(maps):
    """Return the mean total persistence of maps (B, C, H, W)."""
    return topodl.cubical_persistence(maps, dims=0, superlevel=True, channels=True).total_persistence().mean()


calm = network()
with topodl.attach(calm, "layer1.1.conv2", bumps) as penalty:
    calm_accuracy = fit(calm, penalty, weight=0.01)

# %%
# The maps of one digit, before and after. The accuracy is that of all other digits.
figure, axes = plt.subplots(2, 8, figsize=(10, 3.2), layout="constrained")
for row, (name, net, right) in enumerate((("plain", model, accuracy), ("calm", calm, calm_accuracy))):
    with torch.no_grad(), topodl.attach(net, "layer1.1.conv2", lambda maps: maps) as seen:
        net(x[test][:1])
    for column, ax in enumerate(axes[row]):
        ax.imshow(seen.value[0, column], cmap="viridis", vmin=-10, vmax=10)
        ax.set(xticks=[], yticks=[])
    axes[row, 0].set_ylabel(name)
    print(f"{name}: accuracy {right:.3f}, bumps {bumps(seen.value).item():.2f}")
plt.show()

# %%
# **Next.** :doc:`/any_model` has the rules of names, shapes and totals; :doc:`/attention` does the same for
# transformers.
