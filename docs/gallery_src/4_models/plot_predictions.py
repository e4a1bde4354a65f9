"""
Where a network errs: a map of its predictions
==============================================

A map of predictions groups samples that are near each other in a network's own embedding and predicted alike.
Its branches lead from samples that the network is sure of to those where two classes meet, and there most of
its errors lie. Labels that are known, spread over the samples, estimate which predictions are wrong.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import topodl

# %%
# A small network learns digits from 200 of the 1,797 pictures. The labels of these are known; those of the
# others serve to see what the map says of them.
digits, labels = load_digits(return_X_y=True)
pictures = torch.from_numpy(digits.astype(np.float32)).view(-1, 1, 8, 8) / 16
data = TensorDataset(pictures, torch.from_numpy(labels))
known = np.random.default_rng(0).permutation(len(labels))[:200]

torch.manual_seed(0)
model = nn.Sequential(
    nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
    nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
    nn.Linear(128, 10),
)
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
for _ in range(60):
    loss = nn.functional.cross_entropy(model(pictures[known]), data.tensors[1][known])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
# `explain` runs the network over any loader, and takes what one of its layers gives as the embedding.
mapper = topodl.PredictionMapper(max_size=25, overlap=0.05)
mapper.explain(model, DataLoader(data, batch_size=256), layer="1", known=known)
predicted = mapper.predictions_.argmax(axis=1)
unknown, wrong = ~mapper.known_, predicted != labels
print(mapper.graph_)
print(f"{wrong[unknown].mean():.1%} of the digits without a known label are predicted wrongly")

# %%
# Slices are predicted classes: most nodes have one. Errors, which the network cannot know, gather in small
# nodes at the ends of branches and where classes meet.
figure, axes = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
mapper.graph_.plot(axes[0], color={"predicted class": predicted})
mapper.graph_.plot(axes[1], color={"share of errors": wrong.astype(float)})

node_estimates = mapper.graph_.aggregate(torch.from_numpy(mapper.error_estimate_))
worst = mapper.graph_.select(node_estimates.argsort(descending=True)[:10]).numpy()
share, found = len(worst) / len(labels), wrong[worst].sum() / wrong.sum()
print(f"The ten nodes of the largest estimates hold {share:.0%} of the digits, and {found:.0%} of the errors")
assert found > 3 * share

# %%
# How well do estimates find errors? The area under the ROC curve is 1 where all errors come first, and 1/2 by
# chance. Votes over the whole graph of neighbours find more than votes over the edges within nodes. That was
# so on most data that we tried: the map is for looking, and is not what makes the estimate good.
whole = topodl.PredictionMapper(error_graph="whole")
whole.fit(mapper.adjacency_, mapper.predictions_, labels, known)
estimates = {
    "votes over the map": mapper.error_estimate_,
    "votes over the whole graph": whole.error_estimate_,
    "1 − largest probability": 1 - mapper.predictions_.max(axis=1),
}
areas = {name: roc_auc_score(wrong[unknown], estimate[unknown]) for name, estimate in estimates.items()}
for name, area in areas.items():
    print(f"{name}: {area:.3f}")
accuracies = [(classes == labels)[unknown].mean() for classes in (predicted, whole.corrected_predictions())]
print(f"right: {accuracies[0]:.1%}; after the most doubtful went with the votes: {accuracies[1]:.1%}")
assert min(areas.values()) > 0.7
assert accuracies[1] > accuracies[0]

# %%
# The most doubtful of the digits, and the known ones whose labels vote for them, the most important first.
doubtful = np.flatnonzero(unknown & wrong)[np.argsort(-whole.error_estimate_[unknown & wrong])[:4]]
figure, axes = plt.subplots(4, 6, figsize=(8, 6), layout="constrained")
for row, sample in zip(axes, doubtful, strict=True):
    voters, weights = whole.neighbours(sample)
    shown = [(sample, f"predicted {predicted[sample]}, is {labels[sample]}")]
    shown += [(i, f"{labels[i]}: {w:.0%}") for i, w in zip(voters[:5], weights[:5], strict=True)]
    for ax, (i, text) in zip(row, shown, strict=False):
        ax.imshow(digits[i].reshape(8, 8), cmap="gray_r")
        ax.set_title(text, fontsize=8)
    for ax in row:
        ax.set_axis_off()

# %%
# The report is one file that needs nothing else: colours by class and estimate, filters by whether a label is
# known or a prediction wrong, thumbnails, nodes that expand to their samples.
path = mapper.report(Path(tempfile.mkdtemp()) / "predictions.html", images=digits.reshape(-1, 8, 8))
print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
plt.show()
