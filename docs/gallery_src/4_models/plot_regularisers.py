"""
Asking a latent space for clusters
==================================

Regularisers take any tensor, and `topodl.attach` hangs them on any submodule by its name. Here one asks the
latent codes of an autoencoder of handwritten digits, whose code does not know of it, for three components
that are far apart; the codes of a batch are one point cloud.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import topodl
from topodl.losses import BettiTargetLoss

digits = load_digits(n_class=3)
x = torch.tensor(digits.data, dtype=torch.float32) / 16
N_CLUSTERS, GAP = 3, 2.0


def train(weight, steps=600):
    """Train an autoencoder, return the latent codes of all digits and the error of reconstruction."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("encoder", nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)))
    model.add_module("decoder", nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64)))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with topodl.attach(model, "encoder", BettiTargetLoss({0: N_CLUSTERS}, length=GAP)) as penalty:
        for _ in range(steps):
            batch = x[torch.randint(0, len(x), (128,))]
            optimizer.zero_grad()
            error = nn.functional.mse_loss(model(batch), batch)
            (error + weight * penalty.total()).backward()
            optimizer.step()
    with torch.no_grad():
        return model.encoder(x), nn.functional.mse_loss(model(x), x).item()


# %%
# A component of Rips persistence dies when its gap to an older one is closed, so the two longest finite bars
# are the gaps between three clusters. The penalty makes them about as long as asked for, at little cost to
# the reconstruction. Not all clusters need be digits: a few odd ones are a component of their own, as
# the number of components says nothing of their sizes.
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, weight in zip(axes, (0.0, 0.001), strict=True):
    codes, error = train(weight)
    deaths = topodl.rips_persistence(codes[None], 0).finite().deaths.sort(descending=True).values
    print(f"penalty × {weight}: error {error:.4f}, longest gaps {deaths[:4].tolist()}")
    ax.scatter(*codes.T, c=digits.target, s=6, cmap="viridis")
    ax.set(title=f"penalty × {weight}", xlabel=f"error {error:.3f}")
plt.show()
