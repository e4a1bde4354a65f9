"""What TOGL and RePHINE cost, one thread, beside torch-topological's TOGL, in one run; and neighbour sums.

python benchmarks/graph_layers.py     torch-topological and torch_geometric are optional; torch_scatter, which
has to be compiled, is replaced by PyTorch's own scatter. The least processor time of several rounds counts.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from timing import Candidate, least, one_thread

import topodl
from topodl._graph_input import simple_edges
from topodl._segments import Bags
from topodl.layers import TOGL, RePHINE
from topodl.representations import GIN

WIDTH, HIDDEN = 16, 32


def random_graphs(n_graphs: int, n_nodes: tuple[int, int], edges_a_node: float) -> list[tuple[Any, Any]]:
    """Return features and edges, each once, of graphs whose nodes are joined at random."""
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for _ in range(n_graphs):
        n = int(torch.randint(*n_nodes, (), generator=generator))
        ends = torch.randint(0, n, (2, round(edges_a_node * n)), generator=generator).sort(0).values
        graphs.append(
            (torch.randn(n, WIDTH, generator=generator), torch.unique(ends[:, ends[0] != ends[1]], dim=1))
        )
    return graphs


def joined(graphs: list[tuple[Any, Any]]) -> tuple[Any, Any, Any]:
    """Return one batch of all graphs."""
    sizes = torch.tensor([len(x) for x, _ in graphs])
    starts = sizes.cumsum(0) - sizes
    edges = torch.cat([edges + start for (_, edges), start in zip(graphs, starts, strict=True)], 1)
    return torch.cat([x for x, _ in graphs]), edges, torch.arange(len(graphs)).repeat_interleave(sizes)


def peer(graphs: list[tuple[Any, Any]], n_filtrations: int) -> Candidate:
    """Return a step of torch-topological's TOGL: its own code, with PyTorch's scatter for torch_scatter's."""
    import torch_geometric.loader
    from torch_geometric.data import Batch, Data

    scatter = types.ModuleType("torch_scatter")
    scatter.scatter = _scatter  # type: ignore[attr-defined]
    sys.modules.setdefault("torch_scatter", scatter)
    # The module runs a demonstration when it is imported; with no data it is a short one.
    loader, torch_geometric.loader.DataLoader = torch_geometric.loader.DataLoader, lambda *a, **k: []
    try:
        from torch_topological.nn.graphs import TOGL as Peer
    finally:
        torch_geometric.loader.DataLoader = loader
    batch = Batch.from_data_list([Data(x=x, edge_index=edges) for x, edges in graphs])

    def step(layer: torch.nn.Module) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer(batch.x, batch).sum().backward()

    for seed in range(100):
        torch.manual_seed(seed)
        layer = Peer(WIDTH, n_filtrations, 24, HIDDEN, "mean").eval()
        # It raises an IndexError as soon as one filtration of one graph has no bar that ends.
        with contextlib.suppress(IndexError):
            step(layer)
            return lambda: step(layer)
    raise ImportError("its TOGL stops at these graphs with all weights tried")


def _scatter(x: torch.Tensor, index: torch.Tensor, dim: int, reduce: str) -> torch.Tensor:
    assert dim == 0
    out = x.new_zeros((int(index.max()) + 1, x.shape[1]))
    return out.scatter_reduce(0, index[:, None].expand_as(x), x, reduce, include_self=False)


def compare(name: str, graphs: list[tuple[Any, Any]], n_filtrations: int, rounds: int) -> None:
    x, edges, batch = joined(graphs)
    torch.manual_seed(0)

    def step(layer: torch.nn.Module) -> Candidate:
        return lambda: layer(x, edges, batch).sum().backward()

    candidates: dict[str, Candidate] = {}
    for kind in (TOGL, RePHINE):
        for triangles in (True, False):
            layer = kind(WIDTH, n_filtrations, triangles=triangles).eval()
            candidates[kind.__name__ + ("" if triangles else ", triangles=False")] = step(layer)
    values = torch.randn(len(x), n_filtrations)
    candidates["topodl.graph_persistence alone"] = lambda: topodl.graph_persistence(
        values, edges, batch=batch
    )
    try:
        candidates["torch-topological TOGL"] = peer(graphs, n_filtrations)
    except ImportError as error:
        print(f"torch-topological: {error}")
    times = least(candidates, rounds)
    print(
        f"\n{name}: {len(graphs)} graphs, {len(x)} nodes, {edges.shape[1]} edges, {n_filtrations} filtrations"
    )
    for candidate, value in times.items():
        print(f"  {candidate:35s} {value:10.2f} ms {value / times['TOGL']:8.2f} times TOGL")


def compare_networks(name: str, graphs: list[tuple[Any, Any]], widths: tuple[int, ...], rounds: int) -> None:
    """Time whole steps of networks that sum over neighbours, and making the bags of these."""
    x, edges, batch = joined(graphs)
    edges = simple_edges(edges, len(x))
    candidates: dict[str, Candidate] = {"bags of all neighbours made": lambda: Bags.neighbours(edges, len(x))}
    for width in widths:
        model = GIN(WIDTH, 2, hidden=width).eval()
        candidates[f"GIN, {width} hidden"] = lambda m=model: m(x, edges, batch).sum().backward()  # type: ignore[misc]
    print(f"\n{name}: {len(x)} nodes, {edges.shape[1]} edges")
    for candidate, value in least(candidates, rounds).items():
        print(f"  {candidate:35s} {value:10.2f} ms")


if __name__ == "__main__":
    one_thread()
    compare_networks("GIN, sparse", random_graphs(128, (15, 30), 1.5), (32, 64, 128), 15)
    compare_networks("GIN, dense", random_graphs(32, (60, 100), 8.0), (32, 64, 128), 15)
    compare("sparse, forward and backward", random_graphs(128, (15, 30), 1.5), 8, 5)
    compare("dense, forward and backward", random_graphs(32, (60, 100), 8.0), 8, 3)
