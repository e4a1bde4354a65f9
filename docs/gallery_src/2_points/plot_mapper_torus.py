"""
Mapper: the shape of a torus as a graph
=======================================

Mapper cuts points into overlapping slabs by the values of a function, the lens, splits each slab into
clusters, and joins clusters with common points. Of a torus that lies across the slabs a graph with one cycle
remains. What the graph forgets, that the tube is hollow, comes back as features of its nodes.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from topodl import Mapper
from topodl.datasets import make_torus
from topodl.layers import RipsPersistence

torus = make_torus(2000, noise=0.05, random_state=0).points
graph_of_torus = Mapper(lens=0, n_intervals=12, overlap=0.35, clusterer=0.6).fit(torus).graph_
print(graph_of_torus)
print("components and cycles:", graph_of_torus.betti())

# %%
# The lens is the first coordinate; colours are its mean in each node. At both ends a slab is one piece of the
# tube, in the middle it falls into two. Areas grow with the number of points.
figure, axes = plt.subplots(1, 2, figsize=(11, 4), width_ratios=(1, 1.3))
axes[0].scatter(torus[:, 0], torus[:, 1], c=torus[:, 0], s=4)
axes[0].set(aspect="equal", xlabel="first coordinate, the lens", ylabel="second coordinate")
axes[1] = graph_of_torus.plot(axes[1], color={"first coordinate": torus[:, 0]})

# %%
# How fine the cover is decides what is seen: few intervals close the hole, and many see holes
# between single points.
figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
for ax, n_intervals in zip(axes, (4, 16, 48), strict=True):
    graph = Mapper(lens=0, n_intervals=n_intervals, overlap=0.35, clusterer=0.6).fit(torus).graph_
    graph.plot(ax, color={"first coordinate": torus[:, 0]})
    ax.set_title(f"{n_intervals} intervals, Betti numbers {graph.betti()}")

# %%
# A solid torus has the same graph. Persistence of the points in each node tells them apart: across the hollow
# tube runs a loop, whose bar is long (mind the scales). Any layer or pipeline of layers makes such features,
# for all nodes at once.
rng = np.random.default_rng(0)
angle, around = rng.uniform(0, 2 * np.pi, (2, 2000))
inside = 0.8 * np.sqrt(rng.uniform(size=2000))
ring = 2 + inside * np.cos(around)
solid = np.stack([ring * np.cos(angle), ring * np.sin(angle), inside * np.sin(around)], 1)


def longest_bar(diagrams):
    """Return the length of the longest bar of each node, 0 where it has none."""
    lengths = torch.zeros(len(diagrams), dtype=diagrams.births.dtype)
    return lengths.scatter_reduce(0, diagrams.samples, diagrams.persistence(), "amax")[:, None]


figure, axes = plt.subplots(1, 2, figsize=(11, 4))
for ax, (name, points) in zip(axes, {"hollow": torus, "solid": solid}.items(), strict=True):
    attributes = make_pipeline(RipsPersistence(dims=1), FunctionTransformer(longest_bar))
    mapper = Mapper(lens=0, n_intervals=12, overlap=0.35, clusterer=0.6, attributes=attributes)
    graph = mapper.fit(points).graph_
    print(name, graph, graph.betti())
    graph.plot(ax, node_color={"longest loop": graph.x[:, 0]})
    ax.set_title(name)

# %%
# The graph goes into graph networks as it is, by ``to_pyg``; and to people as one file, which needs nothing
# else: a picture to move and zoom, coloured by any column, with the points of a node or of a lasso as a list.
path = graph_of_torus.view(
    Path(tempfile.mkdtemp()) / "torus.html",
    color={name: torus[:, axis] for axis, name in enumerate(("first", "second", "third"))},
    points=torus,
    title="Torus",
)
print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")

# %%
# A notebook shows a graph as a picture.
graph_of_torus
