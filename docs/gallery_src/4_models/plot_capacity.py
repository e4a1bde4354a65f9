"""
How wide a network must be for the topology of its data
=======================================================

A classifier can separate a region from its complement only if its decision region may have the same number of
components and holes. Guss and Salakhutdinov trained networks of growing size on data of growing Betti numbers
and found phase transitions: below a width that depends on the topology no network expresses it, above it most
do. This redoes one of their figures in small: eight networks for each width and each region.
"""

import itertools

import matplotlib.pyplot as plt
import torch
from torch import nn

import topodl
from topodl.datasets import make_planar_region

WIDTHS = (2, 4, 8, 12, 16, 24, 32)
N_NETWORKS = 8
GRID = [(-1.0, 1.0, 80), (-1.0, 1.0, 80)]


class Networks(nn.Module):
    """Several networks with two hidden layers of one width, trained side by side."""

    def __init__(self, width, generator):
        super().__init__()
        sizes = [2, width, width, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n_in, n_out in itertools.pairwise(sizes):
            spread = (2 / n_in) ** 0.5
            self.weights.append(spread * torch.randn(N_NETWORKS, n_in, n_out, generator=generator))
            self.biases.append(0.3 * torch.randn(N_NETWORKS, 1, n_out, generator=generator))

    def forward(self, x):
        """Return the logits of points (n, 2) by each network, (n, N_NETWORKS)."""
        x = x.expand(N_NETWORKS, -1, -1)
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x if k == 0 else x.relu(), weight)
        return x[..., 0].T


def train(data, width, steps=500):
    """Return networks of that width, trained on the data."""
    generator = torch.Generator().manual_seed(width)
    x, y = torch.tensor(data.points, dtype=torch.float32), torch.tensor(data.labels, dtype=torch.float32)
    networks = Networks(width, generator)
    optimizer = torch.optim.Adam(networks.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = torch.randint(0, len(x), (256,), generator=generator)
        optimizer.zero_grad()
        target = y[batch, None].expand(-1, N_NETWORKS)
        nn.functional.binary_cross_entropy_with_logits(networks(x[batch]), target).backward()
        optimizer.step()
        schedule.step()
    return networks


# %%
# The Betti numbers of a decision region are those of the set of points on a grid where the logit is positive.
def betti(networks):
    """Return the Betti numbers of the decision region of each network, (N_NETWORKS, 2)."""
    return torch.stack(
        [topodl.decision_region_betti(lambda x, k=k: networks(x)[:, k], GRID) for k in range(N_NETWORKS)]
    )


regions = {
    (n, holes): make_planar_region(1500, n, holes, random_state=n)
    for n, holes in ((1, 0), (1, 1), (2, 0), (3, 0), (4, 0))
}
found, widest = {}, {}
for numbers, data in regions.items():
    for width in WIDTHS:
        networks = train(data, width)
        found[numbers, width] = betti(networks)
    widest[numbers] = networks

# %%
# Left: how many of the networks have exactly the Betti numbers of their data. Right: how many components
# their decision regions have on average.
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for numbers in regions:
    exact = [(found[numbers, w] == torch.tensor(numbers)).all(1).float().mean().item() for w in WIDTHS]
    left.plot(WIDTHS, exact, marker="o", label=f"β = {numbers}")
    right.plot(WIDTHS, [found[numbers, w][:, 0].float().mean().item() for w in WIDTHS], marker="o")
    print(
        f"β = {numbers}: " + ", ".join(f"{share:.0%} at {w}" for share, w in zip(exact, WIDTHS, strict=True))
    )
left.set(xlabel="hidden units in each of two layers", ylabel="networks with the topology of the data")
right.set(xlabel="hidden units in each of two layers", ylabel="components of the decision region")
left.legend()

# %%
# What one of the widest networks has learnt, and the border of the region that it was to learn.
figure, axes = plt.subplots(1, len(regions), figsize=(11, 2.4), layout="constrained")
axis = torch.linspace(-1, 1, 80)
points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
for ax, (numbers, data) in zip(axes, regions.items(), strict=True):
    learnt = topodl.representations.decision_regions(lambda x, m=widest[numbers]: m(x)[:, 0], points)
    ax.imshow(learnt.T, origin="lower", extent=(-1, 1, -1, 1), cmap="Blues")
    ax.contour(axis, axis, data.region.contains(points).T, levels=[0.5], colors="C1")
    ax.set(title=f"β = {numbers}", xticks=[], yticks=[])
plt.show()
