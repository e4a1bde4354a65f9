"""IMDB-BINARY in TopoBench's protocol: what message passing on cliques adds to message passing on edges.

python benchmarks/imdb.py FOLDER [--models NAME …] [--folds N …]

FOLDER is IMDB-BINARY as TU Dortmund has it. The protocol: `numpy.random.seed(42)`, ten permutations into
50, 25 and 25 %, of which the folds 0, 3, 5, 7 and 9 count; one-hot degrees; Adam at 1e-3, halved every 50
epochs, batches of 128, 32 channels, 2 layers, dropout 0.5; at most 500 epochs and at least 50, a look at
the validation accuracy every 5, patience of 10 looks; the test accuracy at the best look counts. "control"
is the same network without any message. Normalisation is by batch where TopoBench's is by graph.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from topodl.complexes import CellComplexes, clique_complexes, lift_features
from topodl.datasets import GraphCollection, load_graphs
from topodl.layers import CellMessagePassing

Indices = NDArray[np.int64]
Data = tuple[torch.Tensor, CellComplexes, torch.Tensor]
"""Features of the vertices, the cells, and the classes of the graphs."""
CHANNELS, LAYERS, DROPOUT, BATCH, LOOK, PATIENCE = 32, 2, 0.5, 128, 5, 10
MAX_DIM = {"control": 0, "gin": 1, "cliques of dimension 1": 1, "cliques of dimension 2": 2}


class Gin(nn.Module):
    """Sums over neighbours and a perceptron; without messages the perceptron alone."""

    def __init__(self, messages: bool) -> None:
        super().__init__()
        self.messages = messages
        self.update = nn.Sequential(
            nn.Linear(CHANNELS, CHANNELS), nn.BatchNorm1d(CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, CHANNELS)
        )

    def forward(self, features: list[torch.Tensor], complexes: CellComplexes) -> list[torch.Tensor]:
        """Return the new features of the vertices."""
        x = features[0]
        if self.messages:
            of_both_ends = complexes.sum_cofaces(complexes.sum_faces(x, 1), 0)
            degrees = complexes.sum_cofaces(x.new_ones(complexes.n_cells(1), 1), 0)
            x = x + of_both_ends - degrees * x
        return [self.update(x)]


class Classifier(nn.Module):
    """An encoder, layers with a residual each, sums over the cells of each dimension, and a linear map."""

    def __init__(self, model: str, n_features: int) -> None:
        super().__init__()
        self.n_read = 1 if model in ("control", "gin") else MAX_DIM[model] + 1
        self.encoder = nn.Sequential(
            nn.Linear(n_features, CHANNELS), nn.BatchNorm1d(CHANNELS), nn.ReLU(), nn.Dropout(DROPOUT)
        )
        self.layers = nn.ModuleList(
            Gin(model == "gin")
            if self.n_read == 1
            else CellMessagePassing(CHANNELS, CHANNELS, MAX_DIM[model])
            for _ in range(LAYERS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(LAYERS))
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(self.n_read * CHANNELS, 2)

    def forward(self, x: torch.Tensor, complexes: CellComplexes) -> torch.Tensor:
        """Return the logits of each graph."""
        features = lift_features(self.encoder(x), complexes)[: self.n_read]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            new = layer(features, complexes)
            pairs = zip(features, new, strict=True)
            features = [norm(old + self.dropout(torch.relu(part))) for old, part in pairs]
        sums = []
        for k, table in enumerate(features):
            samples = torch.repeat_interleave(complexes.offsets(k).diff())
            sums.append(table.new_zeros(len(complexes), CHANNELS).index_add(0, samples, table))
        return self.out(torch.cat(sums, 1))


def largest_degree(graphs: GraphCollection) -> int:
    return int(np.bincount(graphs.edge_index[0]).max())


def load(graphs: GraphCollection, which: Indices, max_dim: int) -> Data:
    """Return one-hot degrees, the cliques and the class of some graphs."""
    _, edge_index, batch, y = graphs.take(np.sort(which)).tensors()  # vertices keep their order
    degrees = torch.bincount(edge_index[0], minlength=len(batch))
    one_hot = nn.functional.one_hot(degrees, largest_degree(graphs) + 1).float()
    return one_hot, clique_complexes(edge_index, batch, len(which), max_dim=max(1, max_dim)), y.long()


def run(model: str, graphs: GraphCollection, split: Sequence[Indices], seed: int) -> tuple[float, float]:
    """Train once; return the test accuracy at the best look, and the seconds of processor time an epoch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    training, *held = split
    validation, test = (load(graphs, which, MAX_DIM[model]) for which in held)
    network = Classifier(model, largest_degree(graphs) + 1)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 50, 0.5)
    best, kept, waited, start = -1.0, network.state_dict(), 0, time.process_time()
    for epoch in range(1, 501):
        network.train()
        for which in np.array_split(rng.permutation(training), -(-len(training) // BATCH)):
            x, complexes, y = load(graphs, which, MAX_DIM[model])
            loss = nn.functional.cross_entropy(network(x, complexes), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        if epoch % LOOK == 0:
            accuracy = score(network, validation)
            waited = 0 if accuracy > best else waited + 1
            if accuracy > best:
                best, kept = accuracy, copy.deepcopy(network.state_dict())
            if waited >= PATIENCE and epoch >= 50:
                break
    seconds = (time.process_time() - start) / epoch
    network.load_state_dict(kept)
    return score(network, test), seconds


@torch.no_grad()
def score(network: Classifier, data: Data) -> float:
    """Return the accuracy on data that was loaded."""
    network.eval()
    x, complexes, y = data
    return float((network(x, complexes).argmax(1) == y).float().mean())


def main() -> None:
    """Run the folds of each model and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=tuple(MAX_DIM), choices=tuple(MAX_DIM))
    parser.add_argument("--folds", nargs="+", type=int, default=(0, 3, 5, 7, 9))
    chosen = parser.parse_args()
    graphs = load_graphs(chosen.folder, "IMDB-BINARY")
    graphs.y[:] = np.unique(graphs.y, return_inverse=True)[1]
    n = graphs.n_graphs
    rng = np.random.RandomState(42)  # as the protocol has it
    orders = [rng.permutation(n) for _ in range(10)]
    print("| model | test accuracy | folds | s/epoch |\n|---|---|---|---|")
    for model in chosen.models:
        rows = []
        for fold in tqdm(chosen.folds, desc=model, leave=False):
            split = np.split(orders[fold], [n // 2, n * 3 // 4])
            rows.append(run(model, graphs, split, fold))
        found, seconds = np.array(rows).T
        listed = " ".join(f"{accuracy:.1%}" for accuracy in found)
        print(f"| {model} | {found.mean():.1%} ± {found.std():.1%} | {listed} | {seconds.mean():.2f} |")


if __name__ == "__main__":
    main()
