"""What walks on cells and layers of cells cost, one thread, beside walks in plain PyTorch, in one run.

python benchmarks/cell_layers.py     Drawn graphs. The least processor time of several rounds counts.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from graph_layers import joined, random_graphs
from timing import Candidate, least, one_thread

from topodl.complexes import CellComplexes, clique_complexes, ring_complexes
from topodl.layers import (
    CellMessagePassing,
    CycleCliqueEncoding,
    HodgeEncoding,
    PersistentMessagePassing,
    SimplicialWalkConv,
    cycle_cliques,
    simplicial_walks,
)

CHANNELS, LENGTH, WINDOW = 32, 50, 8


def walks_in_torch(complexes: CellComplexes, generator: torch.Generator) -> torch.Tensor:
    """Walk on vertices as CRaWl does, all walks at once, step by step; windows by shifts of the walks."""
    ends = complexes.vertices(1).table().T
    both = torch.cat((ends, ends.flip(0)), 1)
    n = complexes.n_cells(0)
    keys = (both[0] * n + both[1]).sort().values
    neighbours, degrees = keys % n, torch.bincount(both[0], minlength=n)
    first = degrees.cumsum(0) - degrees
    cells = [torch.nonzero(degrees)[:, 0]]
    for _ in range(LENGTH):
        chosen = (torch.rand(len(cells[0]), generator=generator) * degrees[cells[-1]]).long()
        cells.append(neighbours[first[cells[-1]] + chosen])
    walks = torch.stack(cells, 1)
    windows = torch.zeros(len(walks), 2 * WINDOW - 1, LENGTH + 1)
    for back in range(1, WINDOW + 1):
        now, before = walks[:, back:], walks[:, :-back]
        windows[:, WINDOW - back, back:] = (now == before).to(windows)
        if back > 1:
            pairs = now * n + before
            there = torch.searchsorted(keys, pairs).clamp(max=len(keys) - 1)
            windows[:, 2 * WINDOW - back, back:] = (keys[there] == pairs).to(windows)
    return windows


def features_of(complexes: CellComplexes) -> list[torch.Tensor]:
    return [torch.randn(complexes.n_cells(k), CHANNELS).requires_grad_() for k in range(3)]


def total(out: Any) -> torch.Tensor:
    return out.sum() if isinstance(out, torch.Tensor) else torch.stack([total(x) for x in out]).sum()


def compare(name: str, graphs: list[tuple[Any, Any]], rounds: int) -> None:
    _, edges, batch = joined(graphs)
    cliques = clique_complexes(edges, batch, len(graphs))
    rings = ring_complexes(edges, batch, len(graphs), max_length=4)
    print(f"\n{name}: {cliques}, {rings.n_cells(2)} rings")
    generator = torch.Generator().manual_seed(0)
    walks = [simplicial_walks(cliques, k, LENGTH) for k in range(3)]
    x, of_rings = features_of(cliques), features_of(rings)
    pairs = cycle_cliques(rings)

    def step(layer: torch.nn.Module, *given: Any) -> Candidate:
        return lambda: total(layer(*given)).backward()

    candidates: dict[str, Candidate] = {
        "walks on vertices": lambda: simplicial_walks(cliques, 0, LENGTH),
        "walks on vertices, PyTorch": lambda: walks_in_torch(cliques, generator),
        "walks on edges": lambda: simplicial_walks(cliques, 1, LENGTH),
        "walks on edges, neighbours evenly": lambda: simplicial_walks(
            cliques, 1, LENGTH, sampling="neighbour"
        ),
        "SimplicialWalkConv": step(SimplicialWalkConv(CHANNELS), x, cliques, walks),
        "CellMessagePassing, cliques": step(CellMessagePassing(CHANNELS, CHANNELS), x, cliques),
        "CellMessagePassing, rings": step(CellMessagePassing(CHANNELS, CHANNELS), of_rings, rings),
        "PersistentMessagePassing": step(PersistentMessagePassing(CHANNELS, CHANNELS), x, cliques),
        "CycleCliqueEncoding": step(CycleCliqueEncoding(CHANNELS), of_rings[0], rings, pairs),
        "HodgeEncoding, heat of L0 and L1": lambda: HodgeEncoding()(cliques),
    }
    for candidate, value in least(candidates, rounds).items():
        print(f"  {candidate:36s} {value:10.2f} ms")


if __name__ == "__main__":
    one_thread()
    compare("sparse", random_graphs(128, (15, 30), 1.5), 4)
    compare("dense", random_graphs(32, (30, 60), 4.0), 4)
