"""
Rings and bubbles in a volume
=============================

In three dimensions there are three kinds of features: pieces, tunnels and cavities. A noisy volume with two
pieces, three tunnels and one cavity is measured by its bars, cleaned by the bars that are long, and
segmented by a loss that counts all three.
"""

import matplotlib.pyplot as plt
import torch

import topodl
from topodl.datasets import make_volume
from topodl.losses import BettiMatchingLoss
from topodl.metrics import betti_numbers

torch.manual_seed(0)
volume = make_volume(32, n_components=2, n_tunnels=3, n_cavities=1, noise=0.15)
image = torch.as_tensor(volume.image, dtype=torch.float32)
mask = torch.as_tensor(volume.mask).long()
print("pieces, tunnels, cavities:", volume.betti)

# %%
# A threshold sees the noise, too. Bars of the superlevel filtration tell both apart: the long ones are the
# shape.
threshold = image > 0.5
print("of the threshold:", betti_numbers(threshold[None, None].long())[0].tolist())
diagrams = topodl.cubical_persistence(image[None], superlevel=True, construction="cell")
for dim, name in enumerate(("pieces", "tunnels", "cavities")):
    bars = diagrams.dim(dim).persistence()
    longest = bars[bars.isfinite()].sort(descending=True).values[:5]
    print(f"longest bars, {name}:", *(f"{bar:.2f}" for bar in longest))

# %%
# Logits that are pulled by Betti matching: the volume itself is the start, and only the topology term
# pulls.
logits = (8 * (image - 0.5))[None, None].clone().requires_grad_()
loss = BettiMatchingLoss(base_weight=0.0, topology_weight=1.0)
optimizer = torch.optim.Adam([logits], 0.3)
for step in range(40):
    value = loss(logits, mask[None])
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    if step % 13 == 0:
        found = betti_numbers((logits > 0).long().detach())[0].tolist()
        print(f"step {step}: loss {value.item():.1f}, pieces, tunnels, cavities {found}")

# %%
# The middle slices: the volume, the threshold, what the loss made of it, and the truth.
shown = (("volume", image), ("threshold", threshold), ("pulled", logits[0, 0].detach() > 0), ("truth", mask))
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for ax, (name, values) in zip(axes, shown, strict=True):
    ax.imshow(values[16], cmap="gray")
    ax.set(title=name, xticks=[], yticks=[])
plt.show()
