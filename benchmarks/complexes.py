"""Cell complexes of graphs beside GUDHI, TopoNetX, networkx and PyTorch, one thread, one process.

python benchmarks/complexes.py     TopoNetX is optional. Data sets of graphs are not needed: graphs of the
sizes and numbers of edges and triangles of MUTAG's kin are drawn; `--data FOLDER` reads real ones
(FOLDER/PROTEINS, …).
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gudhi
import networkx as nx
import numpy as np
import torch
from timing import Candidate, least, one_thread

from topodl import Diagrams, complex_persistence
from topodl._segments import Bags, bag_sum
from topodl.complexes import clique_complexes, ring_complexes
from topodl.datasets import load_graphs

Edges = list[tuple[int, int]]
Graphs = list[tuple[int, Edges]]
N_GRAPHS = 128


def proteins(rng: np.random.Generator) -> tuple[int, Edges]:
    """Return a chain in space whose links are joined to those near them: many triangles, few tetrahedra."""
    n = max(5, round(rng.lognormal(3.4, 0.7)))
    places = np.cumsum(rng.normal(size=(n, 3)), 0)
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 99 * np.eye(n)
    nearest = np.argsort(apart, 1)[:, : min(3, n - 1)]
    pairs = {(min(i, j), max(i, j)) for i in range(n) for j in nearest[i].tolist() if apart[i, j] < 1.9}
    return n, sorted(pairs | {(i, i + 1) for i in range(n - 1)})


def nci1(rng: np.random.Generator) -> tuple[int, Edges]:
    """Return a molecule: rings of five and six, more than half of them fused, and trees on them."""
    edges: Edges = []
    sides: Edges = []  # of rings, where another may be fused
    size, n = max(8.0, rng.normal(30, 9)), 1
    for _ in range(rng.poisson(0.13 * size)):
        length = int(rng.choice([5, 6, 6, 6]))
        if sides and rng.random() < 0.55:
            ends = list(sides.pop(int(rng.integers(len(sides)))))
        else:
            edges.append((_with_free_bond(rng, n, edges), n))
            ends, n = [n], n + 1
        added = list(range(n, n + length - len(ends)))
        n += len(added)
        path = [ends[0], *added, ends[-1]]
        new = [(min(a, b), max(a, b)) for a, b in itertools.pairwise(path)]
        edges += new
        sides += new[1:-1]
    while n < size:
        edges.append((_with_free_bond(rng, n, edges), n))
        n += 1
    return n, sorted(edges)


def _with_free_bond(rng: np.random.Generator, n: int, edges: Edges) -> int:
    """Return one of the `n` vertices that has fewer than four neighbours."""
    degrees = np.bincount(np.array(edges, np.int64).ravel(), minlength=n)
    return int(rng.choice(np.flatnonzero(degrees < 4)))


def imdb(rng: np.random.Generator) -> tuple[int, Edges]:
    """Return the people around one of them, in cliques that share some: a dense graph."""
    n = max(12, round(rng.gamma(3.2, 6.2)))
    edges: set[tuple[int, int]] = set()
    for part in np.array_split(
        rng.permutation(n - 1) + 1, min(1 + rng.geometric(0.45), max(1, (n - 1) // 4))
    ):
        cast = sorted({0, *part.tolist(), *rng.integers(1, n, size=rng.integers(0, 3)).tolist()})
        edges |= {(a, b) for i, a in enumerate(cast) for b in cast[i + 1 :]}
    return n, sorted(edges)


DRAWN = {"PROTEINS": proteins, "NCI1": nci1, "IMDB-BINARY": imdb}


def graphs_of(name: str, folder: Path | None) -> Graphs:
    """Return the first graphs of a data set, or as many that are like them."""
    if folder is None:
        rng = np.random.default_rng(0)
        return [DRAWN[name](rng) for _ in range(N_GRAPHS)]
    collection = load_graphs(folder / name, name).take(range(N_GRAPHS))
    found = []
    for i in range(N_GRAPHS):
        _, edge_index, batch, _ = collection.take([i]).tensors()
        found.append((len(batch), sorted({(min(e), max(e)) for e in edge_index.T.tolist() if e[0] != e[1]})))
    return found


def joined(graphs: Graphs) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return one batch of all graphs: edges, the graph of each vertex, and their number."""
    sizes = torch.tensor([n for n, _ in graphs])
    starts = (sizes.cumsum(0) - sizes).tolist()
    pairs = [
        np.array(edges, np.int64).reshape(-1, 2) + start
        for (_, edges), start in zip(graphs, starts, strict=True)
    ]
    edge_index = torch.from_numpy(np.concatenate(pairs).T.copy())
    return edge_index, torch.repeat_interleave(sizes), len(graphs)


def trees(graphs: Graphs, dim: int, values: Sequence[Any] | None = None) -> list[Any]:
    """Return the expanded simplex tree of each graph, by arrays."""
    found = []
    for i, (n, edges) in enumerate(graphs):
        tree = gudhi.SimplexTree()
        own = np.zeros(n) if values is None else values[i]
        ends = np.array(edges, np.int64).reshape(-1, 2)
        tree.insert_batch(np.arange(n)[None], own)
        tree.insert_batch(ends.T, own[ends].max(1))
        tree.expansion(dim)
        found.append(tree)
    return found


def exported(graphs: Graphs, dim: int) -> list[Any]:
    """Return vertices and faces of all simplices by GUDHI's Python interface, as others read them."""
    found = []
    for tree in trees(graphs, dim):
        tables: list[list[list[int]]] = [[] for _ in range(dim + 1)]
        faces: list[list[list[int]]] = [[] for _ in range(dim + 1)]
        place: list[dict[tuple[int, ...], int]] = [{} for _ in range(dim + 1)]
        for simplex, _ in tree.get_simplices():
            k = len(simplex) - 1
            place[k][tuple(simplex)] = len(tables[k])
            tables[k].append(simplex)
        for k in range(1, dim + 1):
            for simplex in tables[k]:
                faces[k].append([place[k - 1][tuple(face)] for face, _ in tree.get_boundaries(simplex)])
        found.append(([torch.tensor(rows) for rows in tables], [torch.tensor(rows) for rows in faces]))
    return found


def by_toponetx(graphs: Graphs, dim: int) -> list[Any]:
    """Return TopoNetX's clique complexes, with their incidence matrices."""
    from toponetx.transform import graph_to_clique_complex

    found = []
    for n, edges in graphs:
        graph = nx.Graph(edges)
        graph.add_nodes_from(range(n))
        lifted = graph_to_clique_complex(graph, max_rank=dim)
        found.append([lifted.incidence_matrix(k) for k in range(1, lifted.dim + 1)])
    return found


def by_networkx(graphs: Graphs, length: int) -> list[Any]:
    """Return networkx's chordless cycles."""
    return [list(nx.chordless_cycles(nx.Graph(edges), length)) for _, edges in graphs]


def report(title: str, candidates: dict[str, Candidate], rounds: int = 5) -> None:
    """Print the milliseconds of each candidate, and how many times as long as the first it takes."""
    found = least(candidates, rounds, seconds=30)
    own, *others = found.items()
    ratios = ", ".join(f"{name} {ms / own[1]:.{1 if ms < 10 * own[1] else 0}f}×" for name, ms in others)
    print(f"| {title} | {own[1]:.2f} ms | {ratios} |")


def compare_lifts(name: str, graphs: Graphs) -> None:
    """Print the times of clique complexes."""
    batch = joined(graphs)
    for dim in (2, 3) if name == "PROTEINS" else (2,):
        report(
            f"{name}, cliques to dimension {dim}",
            {
                "topodl": partial(clique_complexes, *batch, max_dim=dim),
                "GUDHI without export": partial(trees, graphs, dim),
                "GUDHI and its export": partial(exported, graphs, dim),
            },
            rounds=2,
        )
    if importlib.util.find_spec("toponetx"):
        candidates: dict[str, Candidate] = {
            "topodl": partial(clique_complexes, *batch),
            "TopoNetX with matrices": lambda: by_toponetx(graphs, 2),
        }
        report(f"{name}, cliques to dimension 2", candidates, rounds=1)


def compare_rings(name: str, graphs: Graphs, length: int) -> None:
    """Print the times of chordless cycles."""
    batch = joined(graphs)
    report(
        f"{name}, rings of at most {length}",
        {
            "topodl": lambda: ring_complexes(*batch, max_length=length),
            "networkx.chordless_cycles": lambda: by_networkx(graphs, length),
        },
        rounds=3,
    )


def laplacian_of(below: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
    """Return the Hodge Laplacian of two boundary matrices by PyTorch's products."""
    down, up = torch.sparse.mm(below.t(), below), torch.sparse.mm(above, above.t())
    return (down + up).coalesce()


def compare_laplacians(name: str, graphs: Graphs) -> None:
    """Print the times of the Hodge Laplacian of edges."""
    complexes = clique_complexes(*joined(graphs), max_dim=3)
    below, above = complexes.boundary(1), complexes.boundary(2)
    report(
        f"{name}, Hodge Laplacian of edges",
        {
            "topodl": partial(complexes.hodge_laplacian, 1),
            "torch.sparse.mm": partial(laplacian_of, below, above),
        },
    )


def compare_sums(name: str, graphs: Graphs, channels: int) -> None:
    """Print the times of sums over neighbours, forward and backward; bags are made once for all layers."""
    _, batch, _ = given = joined(graphs)
    edges = clique_complexes(*given, max_dim=1).vertices(1).table().T
    bags = Bags.neighbours(edges, len(batch))
    sources, targets = torch.cat((edges, edges.flip(0)), 1)
    table, gradient = torch.randn(len(batch), channels).requires_grad_(), torch.randn(len(batch), channels)

    def by_index() -> torch.Tensor:
        return torch.zeros_like(table).index_add(0, targets, table[sources])

    report(
        f"{name}, sums over neighbours, {channels} channels",
        {
            "topodl": lambda: torch.autograd.grad(bag_sum(table, bags), table, gradient),
            "gather and index_add": lambda: torch.autograd.grad(by_index(), table, gradient),
        },
    )


def filtered_persistence(
    batch: tuple[torch.Tensor, torch.Tensor, int], dim: int, values: torch.Tensor
) -> Diagrams:
    """Return the diagrams of clique complexes, filtered by values of vertices."""
    return complex_persistence(clique_complexes(*batch, max_dim=dim).with_values(values))


def compare_persistence(name: str, graphs: Graphs) -> None:
    """Print the times of persistence, lift included; GUDHI's export is what a gradient needs."""
    batch = joined(graphs)
    values = torch.rand(len(batch[1]), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = [part.numpy() for part in values.split([n for n, _ in graphs])]

    def by_gudhi(dim: int, exports: bool) -> None:
        for tree in trees(graphs, dim, own):
            if exports:
                list(tree.get_filtration())
            tree.compute_persistence(homology_coeff_field=2)
            tree.persistence_pairs()

    for dim in (2, 3) if name == "PROTEINS" else (2,):
        report(
            f"{name}, persistence of cliques to dimension {dim}",
            {
                "topodl": partial(filtered_persistence, batch, dim, values),
                "GUDHI without export": partial(by_gudhi, dim, False),
                "GUDHI and export": partial(by_gudhi, dim, True),
            },
            rounds=2,
        )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="a folder of data sets of graphs in the text format of TU Dortmund"
    )
    folder = parser.parse_args().data
    one_thread()
    data = {name: graphs_of(name, folder) for name in DRAWN}
    for name, graphs in data.items():
        complexes = clique_complexes(*joined(graphs), max_dim=3)
        means = ", ".join(f"{complexes.n_cells(k) / N_GRAPHS:.1f}" for k in range(4))
        print(f"{name}: {means} vertices, edges, triangles, tetrahedra a graph")
    print(f"\n| {N_GRAPHS} graphs | topodl | takes as long |\n|---|---|---|")
    compare_lifts("PROTEINS", data["PROTEINS"])
    compare_lifts("IMDB-BINARY", data["IMDB-BINARY"])
    compare_rings("NCI1", data["NCI1"], 6)
    compare_rings("PROTEINS", data["PROTEINS"], 6)
    compare_laplacians("PROTEINS", data["PROTEINS"])
    compare_laplacians("IMDB-BINARY", data["IMDB-BINARY"])
    for name, graphs in data.items():
        for channels in (32, 128):
            compare_sums(name, graphs, channels)
    compare_persistence("PROTEINS", data["PROTEINS"])
    compare_persistence("IMDB-BINARY", data["IMDB-BINARY"])


if __name__ == "__main__":
    main()
