"""
Shapes from points: a learnable Euler characteristic transform
==============================================================

Points on spheres, tori, Swiss rolls and cubes, randomly turned. A transform with 16 learnt directions and a
small head is compared with a network of about as many weights in the manner of PointNet: a network on each
point, the largest value of each feature, a head.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from topodl.layers import EulerCharacteristicTransform
from topodl.plotting import plot_euler_transform

torch.manual_seed(0)


def clouds(n, n_points=128):
    """Return n clouds on one of four surfaces each, in the unit ball, and their labels."""
    labels = torch.arange(n) % 4
    u, v = torch.rand(2, n, n_points, 1) * 2 * torch.pi
    sphere = nn.functional.normalize(torch.randn(n, n_points, 3), dim=-1)
    ring = 0.7 + 0.3 * v.cos()
    torus = torch.cat([ring * u.cos(), ring * u.sin(), 0.3 * v.sin()], -1)
    t = 0.3 + 0.7 * u / (2 * torch.pi)
    roll = torch.cat([t * (9 * t).cos(), v / torch.pi - 1, t * (9 * t).sin()], -1) * 0.7
    cube = torch.rand(n, n_points, 3) * 2 - 1
    face = torch.randint(0, 3, (n, n_points, 1))
    cube = cube.scatter(-1, face, torch.randint(0, 2, face.shape) * 2.0 - 1) / 3**0.5
    x = torch.stack([sphere, torus, roll, cube])[labels, torch.arange(n)]
    turns = torch.linalg.qr(torch.randn(n, 3, 3)).Q
    return x @ turns + 0.02 * torch.randn(n, n_points, 3), labels


train, test = clouds(512), clouds(256)

# %%
# The transform is a layer like any other; its directions are parameters.
euler = nn.Sequential(
    EulerCharacteristicTransform(16, 16, radius=1.1, learnable=True, ambient_dim=3),
    nn.Flatten(),
    nn.LayerNorm(256),
    nn.Linear(256, 32),
    nn.ReLU(),
    nn.Linear(32, 4),
)


class PointNet(nn.Module):
    """A network on each point, the largest value of each feature, and a head."""

    def __init__(self):
        super().__init__()
        self.points = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 96))
        self.head = nn.Sequential(nn.Linear(96, 24), nn.ReLU(), nn.Linear(24, 4))

    def forward(self, x):
        """Return the logits of clouds (B, N, 3)."""
        return self.head(self.points(x).amax(1))


# %%
# Both are trained alike.
def accuracy_after_training(model, epochs=15):
    """Train on the training clouds and return the share of test clouds that are right."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(train[0])).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(train[0][batch]), train[1][batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return (model(test[0]).argmax(1) == test[1]).float().mean().item()


for name, model in (("Euler transform", euler), ("PointNet", PointNet())):
    n_weights = sum(p.numel() for p in model.parameters())
    print(f"{name}, {n_weights} weights: {accuracy_after_training(model):.1%}")

# %%
# What the trained transform sees of a sphere, and of a torus.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
with torch.no_grad():
    for i, ax in enumerate(axes):
        plot_euler_transform(euler[0](test[0]), radius=1.1, sample=i, ax=ax)
plt.show()
