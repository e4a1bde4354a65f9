"""
A graph transformer that sees cycles
====================================

TIGT (Choi, Park, Lee and Woo, 2024) lets the nodes of a graph hear three things at once: their neighbours,
all nodes of a common cycle, and all nodes of the graph. Here is its layer, without dropout, upon
:class:`topodl.layers.CycleCliqueEncoding`, on circular skip links (CSL), ten graphs that message passing
cannot tell apart: circles of 41 nodes with a link from each node to the one 2, 3, 4, … or 16 steps on. The
task is to name the length of the links, however the nodes are numbered.

TIGT's own code takes the cycles of a basis, which depends on the numbers of the nodes: two copies of one
graph get different cycles. Here are all cycles without chords, which are a property of the graph, and the
basis beside them.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from topodl.complexes import numbering_dependent_cycles, ring_complexes
from topodl.layers import CycleCliqueEncoding, cycle_cliques
from topodl.representations import GIN

SKIPS = (2, 3, 4, 5, 6, 9, 11, 12, 13, 16)
N_NODES, MAX_LENGTH, N_COPIES, WIDTH = 41, 8, 3, 16
N_GRAPHS = N_COPIES * len(SKIPS)


def draw_copies(seed):
    """Return the edges (2, E) of N_COPIES copies of each graph, whose nodes are numbered at random."""
    generator = torch.Generator().manual_seed(seed)
    i, edges = torch.arange(N_NODES), []
    for k, (skip, _) in enumerate(itertools.product(SKIPS, range(N_COPIES))):
        ends = torch.stack((i.repeat(2), torch.cat((i + 1, i + skip)) % N_NODES))
        edges.append(torch.randperm(N_NODES, generator=generator)[ends] + k * N_NODES)
    return torch.cat(edges, 1)


batch = torch.arange(N_GRAPHS).repeat_interleave(N_NODES)
labels = torch.arange(len(SKIPS)).repeat_interleave(N_COPIES)


# %%
# The layer: messages along edges (A) and along the cliques of cycles (C), and attention among the nodes of
# a graph (G), each with a skip connection and a norm; then a perceptron, and gates that the graph as a
# whole sets.
def pairs_matrix(pairs, n):
    """Return pairs (2, M) of n nodes as a symmetric sparse matrix."""
    both = torch.cat((pairs, pairs.flip(0)), 1)
    ones = torch.ones(both.shape[1])
    return torch.sparse_coo_tensor(both, ones, (n, n), check_invariants=True).coalesce()


def perceptron(n_in, n_hidden, n_out):
    """Return two linear maps with a ReLU between them."""
    return nn.Sequential(nn.Linear(n_in, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_out))


class TransformerLayer(nn.Module):
    """X_A + X_C + X_G, a perceptron and the graph information layer."""

    def __init__(self, width, n_heads=4):
        super().__init__()
        self.along_edges, self.along_cliques = (perceptron(width, width, width) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.feed = perceptron(width, 2 * width, width)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(4))
        self.gates = perceptron(width, width // 4, width)

    def attend(self, x, batch):
        """Return what the nodes (N, D) of each graph say to each other."""
        sizes = batch.bincount()
        padded = nn.utils.rnn.pad_sequence(x.split(sizes.tolist()), batch_first=True)
        there = torch.arange(padded.shape[1]) < sizes[:, None]
        return self.attention(padded, padded, padded, key_padding_mask=~there, need_weights=False)[0][there]

    def forward(self, x, edges, cliques, batch):
        """Return node features (N, D) from those of before and two sparse matrices (N, N)."""
        of_edges, of_cliques, of_graph, of_feed = self.norms
        h = of_edges(x + self.along_edges(x + edges @ x.relu()))
        h = h + of_cliques(x + self.along_cliques(x + cliques @ x.relu()))
        h = h + of_graph(x + self.attend(x, batch))
        h = of_feed(h + self.feed(h))
        return h * self.gates(graph_means(h, batch)).sigmoid()[batch]


def graph_means(x, batch):
    """Return the mean (B, D) of the nodes of each graph."""
    sizes = batch.bincount()[:, None]
    return x.new_zeros(len(sizes), x.shape[1]).index_add(0, batch, x) / sizes


class TIGT(nn.Module):
    """The encoding, two layers and a linear map of each graph's mean."""

    def __init__(self, width, n_classes, depth=2):
        super().__init__()
        self.node = nn.Parameter(torch.randn(width))
        self.encoding = CycleCliqueEncoding(width)
        self.layers = nn.ModuleList(TransformerLayer(width) for _ in range(depth))
        self.out = nn.Linear(width, n_classes)

    def forward(self, complexes, cliques, batch):
        """Return the logits (B, C) of graphs with these cliques (2, M)."""
        x = self.encoding(self.node.expand(len(batch), -1), complexes, cliques)
        edges = complexes.vertices(1).table().T
        matrices = pairs_matrix(edges, len(x)), pairs_matrix(cliques, len(x))
        for layer in self.layers:
            x = layer(x, *matrices, batch)
        return self.out(graph_means(x, batch))


# %%
# Trained on three copies of each graph, tested on three others: a network of message passing (GIN), the
# transformer with no cycles at all, with cycles without chords, and with TIGT's basis; three seeds each.
def no_cliques(complexes):
    """Return no pair of nodes, whatever the cycles."""
    return torch.zeros(2, 0, dtype=torch.int64)


def chordless(edge_index):
    """Return graphs with their cycles without chords."""
    return ring_complexes(edge_index, batch, max_length=MAX_LENGTH)


def basis(edge_index):
    """Return graphs with the cycles that TIGT's code takes."""
    return numbering_dependent_cycles(edge_index, batch)


def train(model, inputs, steps=50):
    """Train a model on what it takes, and return it for evaluation."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(*inputs), labels).backward()
        optimizer.step()
    # Where nodes are all alike a norm divides by almost nothing, so its mean has to be the one of now.
    for norm in (each for each in model.modules() if isinstance(each, nn.BatchNorm1d)):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        model(*inputs)
    return model.eval()


def accuracies(make, read, seed):
    """Return the shares of copies that are named right: those of the training, others."""
    torch.manual_seed(seed)
    seen, new = (read(draw_copies(2 * seed + k)) for k in range(2))
    model = train(make(), seen)
    with torch.no_grad():
        return [(model(*inputs).argmax(1) == labels).double().mean().item() for inputs in (seen, new)]


def with_cycles(lift, cliques_of=cycle_cliques):
    """Return what makes the input of the transformer from edges."""

    def read(edge_index):
        complexes = lift(edge_index)
        return complexes, cliques_of(complexes), batch

    return read


def make_gin():
    """Return the control."""
    return GIN(1, len(SKIPS), hidden=WIDTH, depth=2, dropout=0.0, norm="layer")


def make_tigt():
    """Return the transformer."""
    return TIGT(WIDTH, len(SKIPS))


methods = {
    "GIN": (make_gin, lambda edge_index: (torch.ones(len(batch), 1), edge_index, batch)),
    "no cycles": (make_tigt, with_cycles(chordless, no_cliques)),
    "chordless cycles": (make_tigt, with_cycles(chordless)),
    "TIGT's basis": (make_tigt, with_cycles(basis)),
}
found = {name: np.array([accuracies(*method, seed) for seed in range(3)]) for name, method in methods.items()}
for name, shares in found.items():
    means, lows, highs = shares.mean(0), shares.min(0), shares.max(0)
    print(
        f"{name:17s} copies of the training {means[0]:.0%}, "
        f"others {means[1]:.0%} ({lows[1]:.0%} to {highs[1]:.0%})"
    )

# %%
# Blue: who shares a cycle without chords, of at most eight nodes, with the red node. All nodes of such a
# graph are alike, so their number is all that the cliques say; graphs with the same number stay one,
# whatever the training. Message passing and attention alone guess, since they see ten graphs of 41 equal
# nodes with four neighbours each. With TIGT's basis, which is another one for each copy, the network learns
# the copies of its training by heart and others less well. Given as cells to
# :class:`topodl.layers.CellMessagePassing`, the same cycles without chords tell all ten apart.
circle = torch.stack((torch.arange(N_NODES), (torch.arange(N_NODES) + 1) % N_NODES))
angle = torch.arange(N_NODES) * 2 * np.pi / N_NODES
places = torch.stack((angle.sin(), angle.cos()))
figure = plt.figure(figsize=(11, 7), layout="constrained")
axes = figure.subplot_mosaic([[*SKIPS[:5]], [*SKIPS[5:]], ["share"] * 5], height_ratios=(1, 1, 0.7))
numbers = []
for skip in SKIPS:
    links = torch.stack((circle[0], (circle[0] + skip) % N_NODES))
    mates = cycle_cliques(ring_complexes(torch.cat((circle, links), 1), max_length=MAX_LENGTH))
    mates = mates[1, mates[0] == 0]
    numbers.append(len(mates))
    ax = axes[skip]
    ax.plot(*places[:, circle], color="0.75", linewidth=1)
    ax.plot(*places[:, links], color="0.85", linewidth=0.7)
    ax.plot(*places, "o", color="0.75", markersize=3)
    ax.plot(*places[:, mates], "o", color="C0", markersize=5)
    ax.plot(*places[:, :1], "o", color="C3", markersize=8)
    ax.set(title=f"links over {skip}: {len(mates)}", aspect="equal")
    ax.axis("off")
ceiling = len(set(numbers)) / len(SKIPS)
ax = axes["share"]
for k, shares in enumerate(found.values()):
    ax.barh([k - 0.2, k + 0.2], shares.mean(0), height=0.35, color=["0.8", "C0"])
    ax.plot(shares[:, 1], [k + 0.2] * 3, "k.", markersize=4)
ax.axvline(0.1, color="0.5", linestyle=":")
ax.axvline(ceiling, color="C3", linestyle="--")
caption = "graphs that are named right: copies of the training (grey), others (blue), each seed (dots)"
ax.set(yticks=range(len(found)), yticklabels=found, xlim=(0, 1), xlabel=caption)
ax.text(ceiling + 0.005, 0, f"{len(set(numbers))} numbers for 10 graphs", color="C3", va="center")
ax.invert_yaxis()
assert max(found["GIN"].max(), found["no cycles"].max()) < 0.3
assert found["chordless cycles"].min() > 0.5
plt.show()
