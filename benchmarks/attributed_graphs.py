"""What tells tori, cylinders, hollow and solid ones, apart: Mapper graphs, features of their nodes, or both.

python benchmarks/attributed_graphs.py     needs POT. Distances of graphs are fused Gromov-Wasserstein
distances; a shape is said to be what its nearest neighbour is. The experiment of Curry, Mio, Needham, Okutan,
Russold, "Topologically attributed graphs for shape discrimination", TAG-ML at ICML 2023, in small.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import ot
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from timing import one_thread

from topodl import Diagrams, Mapper, MapperGraph
from topodl.layers import PersistenceStatistics, RipsPersistence

KINDS = ("torus", "solid torus", "cylinder", "solid cylinder")
RADIUS, NOISE, WIDTH = 3.0, 0.1, 0.8  # of the torus, beside a tube of radius 1; of the points; of an interval
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the structure in a distance


def make_shape(kind: str, n_points: int, rng: np.random.Generator) -> Any:
    """Return points of a torus or of a cylinder as long as its diameter, on their surface or inside."""
    around, along = rng.uniform(0, 2 * np.pi, (2, n_points))
    depth = np.sqrt(rng.uniform(size=n_points)) if "solid" in kind else np.ones(n_points)
    across, up = depth * np.cos(around), depth * np.sin(around)
    if "torus" in kind:
        points = [(RADIUS + across) * np.cos(along), (RADIUS + across) * np.sin(along), up]
    else:
        points = [(RADIUS + 1) * (along / np.pi - 1), across, up]
    return np.stack(points, 1) + NOISE * rng.standard_normal((n_points, 3))


def longest_bar(diagrams: Diagrams) -> torch.Tensor:
    """Return the length of the longest bar of each node, 0 where it has none."""
    lengths = torch.zeros(len(diagrams), dtype=diagrams.births.dtype)
    return lengths.scatter_reduce(0, diagrams.samples, diagrams.persistence(), "amax")[:, None]


FEATURES = {"longest bar": FunctionTransformer(longest_bar), "statistics of bars": PersistenceStatistics()}


def graph_of(points: Any, features: Any) -> MapperGraph:
    """Return the attributed graph of a shape along its longest axis, with intervals of equal width."""
    n_intervals = round(np.ptp(points[:, 0]) / WIDTH)
    attributes = make_pipeline(RipsPersistence(dims=1), features)
    mapper = Mapper("pca", n_intervals=n_intervals, clusterer=1.0, min_size=5, attributes=attributes)
    return mapper.fit(points).graph_


def structures(graphs: list[MapperGraph]) -> list[Any]:
    """Return numbers of steps between all nodes of each graph, in units of the largest of all."""
    steps = []
    for graph in graphs:
        edges = tuple(graph.edge_index.numpy())
        matrix = coo_array((np.ones(len(edges[0])), edges), shape=(len(graph), len(graph)))
        paths = shortest_path(matrix, unweighted=True)
        steps.append(np.where(np.isinf(paths), len(graph), paths))
    unit = max(each.max() for each in steps)
    return [each / unit for each in steps]


def features_of(graphs: list[MapperGraph]) -> list[Any]:
    """Return the features of the nodes of each graph, standardised, in units of their largest distance."""
    sizes = np.cumsum([len(graph) for graph in graphs])[:-1]
    joined = StandardScaler().fit_transform(np.concatenate([graph.x.numpy() for graph in graphs]))
    return np.split(joined / np.linalg.norm(np.ptp(joined, 0)), sizes)


def accuracy(labels: Any, steps: list[Any], features: list[Any], share: float) -> tuple[float, Any]:
    """Return how often the nearest other shape is of the same kind, and how often each is found as which."""
    distances = np.full((len(labels), len(labels)), np.inf)
    for i, j in zip(*np.tril_indices(len(labels), -1), strict=True):
        costs = ((features[i][:, None] - features[j]) ** 2).sum(-1)
        distance = ot.gromov.fused_gromov_wasserstein2(costs, steps[i], steps[j], alpha=share)
        distances[i, j] = distances[j, i] = distance
    found = labels[distances.argmin(1)]
    table = np.zeros((len(KINDS), len(KINDS)), int)
    np.add.at(table, (labels, found), 1)
    return float((found == labels).mean()), table


def main() -> None:
    """Print a table a kind of features."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=20, help="of each kind")
    parser.add_argument("--points", type=int, default=600, help="of each shape")
    options = parser.parse_args()
    one_thread()
    rng = np.random.default_rng(0)
    labels = np.arange(len(KINDS) * options.shapes) % len(KINDS)
    shapes = [make_shape(KINDS[label], options.points, rng) for label in labels]
    for name, features in FEATURES.items():
        graphs = [graph_of(points, features) for points in shapes]
        cycles = np.array([graph.betti()[1] for graph in graphs])
        print({kind: np.bincount(cycles[labels == k]).tolist() for k, kind in enumerate(KINDS)})
        steps, values = structures(graphs), features_of(graphs)
        for share in SHARES:
            found, table = accuracy(labels, steps, values, share)
            print(f"{name}, share of structure {share}: {found:.3f}  {table.tolist()}", flush=True)


if __name__ == "__main__":
    main()
