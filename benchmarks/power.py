"""Which encodings tell which graphs apart that message passing does not: exact spectra, untrained layers.

python benchmarks/power.py [--brec PATH]     PATH is brec_v3_s4.g6 of github.com/GraphPKU/BREC, for its 260
pairs without CFI and 4-vertex ones; CSL and two strongly regular graphs are generated. A pair counts as told
apart where results differ by more than 1e-6 of their size, in double precision; copies with vertices numbered
anew have to agree to 1e-5. "Return" and "heat" are the encodings of cells, each column in rising order.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import networkx as nx
import torch

from topodl import datasets
from topodl.complexes import CellComplexes, clique_complexes, ring_complexes
from topodl.layers import CellMessagePassing, CycleCliqueEncoding, HodgeEncoding

Edges = tuple[torch.Tensor, int]
"""End points (2, E) of the edges of a graph, and its number of vertices."""
Signature = Callable[[list[Edges]], torch.Tensor]
"""From graphs to a row for each of them."""

PARTS = {
    "BREC basic": range(60),
    "BREC simple regular": range(60, 110),
    "BREC strongly regular": range(110, 160),
    "BREC extension": range(160, 260),
}
SKIPS = (2, 3, 4, 5, 6, 9, 11, 12, 13, 16)
DIFFERENT, THE_SAME = 1e-6, 1e-5
DEPTH, WIDTH = 3, 16


def relabelled(graph: Edges, seed: int) -> Edges:
    """Return a copy with its vertices numbered anew."""
    edges, n = graph
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[edges], n


def circular_skip_links(skip: int, n: int = 41) -> Edges:
    """Return a cycle of `n` vertices with a chord from each over `skip` of them."""
    i = torch.arange(n)
    return torch.cat((torch.stack((i, (i + 1) % n)), torch.stack((i, (i + skip) % n))), 1), n


def brec_triples(path: Path, pairs: range) -> Iterator[tuple[Edges, Edges, Edges]]:
    """Yield the two graphs of each pair and a copy of the first one."""
    lines = path.read_bytes().split()
    for pair in pairs:
        graphs = [nx.from_graph6_bytes(lines[64 * pair + i]) for i in range(3)]
        a, b, copy = ((torch.tensor(list(g.edges)).T, g.number_of_nodes()) for g in graphs)
        yield a, b, copy


def lifted(graphs: list[Edges], lift: Callable[..., CellComplexes], **options: int) -> CellComplexes:
    """Return all graphs as one batch of complexes."""
    sizes = torch.tensor([n for _, n in graphs])
    starts = sizes.cumsum(0) - sizes
    edges = torch.cat([edges + start for (edges, _), start in zip(graphs, starts, strict=True)], 1)
    return lift(edges, torch.arange(len(graphs)).repeat_interleave(sizes), len(graphs), **options)


def spectra(dims: tuple[int, ...]) -> Signature:
    def signature(graphs: list[Edges]) -> torch.Tensor:
        complexes = lifted(graphs, clique_complexes)
        size = int(complexes.counts.max())
        return torch.cat(HodgeEncoding(size, dims, "spectrum", dtype=torch.float64)(complexes), 1)

    return signature


def of_cells(kind: str, dims: tuple[int, ...]) -> Signature:
    """Return the sorted encodings of the cells of each dimension."""

    def signature(graphs: list[Edges]) -> torch.Tensor:
        complexes = lifted(graphs, clique_complexes)
        rows = []
        tables = HodgeEncoding(8, dims, kind, dtype=torch.float64)(complexes)  # type: ignore[arg-type]
        for k, table in zip(dims, tables, strict=True):
            width = int(complexes.counts[:, k].max())
            parts = table.split(complexes.counts[:, k].tolist())
            rows.append(
                torch.stack(
                    [
                        torch.nn.functional.pad(part.sort(0).values, (0, 0, 0, width - len(part))).flatten()
                        for part in parts
                    ]
                )
            )
        return torch.cat(rows, 1)

    return signature


def pooled(tables: list[torch.Tensor], complexes: CellComplexes) -> torch.Tensor:
    """Return the sums over the cells of each complex, dimension by dimension."""
    sums = [
        x.new_zeros(complexes.n_samples, x.shape[1]).index_add(0, complexes.samples(k), x)
        for k, x in enumerate(tables)
    ]
    return torch.cat(sums, 1)


def messages(lift: Callable[..., CellComplexes], max_dim: int = 2, **options: int) -> Signature:
    """Return sums over cells after untrained message passing."""

    @torch.no_grad()
    def signature(graphs: list[Edges]) -> torch.Tensor:
        torch.manual_seed(0)
        layers = [
            CellMessagePassing(WIDTH if depth else 1, WIDTH, max_dim, norm=None).double()
            for depth in range(DEPTH)
        ]
        complexes = lifted(graphs, lift, **options)
        tables = [torch.ones(complexes.n_cells(k), 1).double() for k in range(max_dim + 1)]
        for layer in layers:
            tables = layer(tables, complexes)
        return pooled(tables, complexes)

    return signature


def cliques_of_cycles(max_length: int) -> Signature:
    """Return sums over nodes after untrained encodings along edges and cliques of cycles."""

    @torch.no_grad()
    def signature(graphs: list[Edges]) -> torch.Tensor:
        torch.manual_seed(0)
        layers = [CycleCliqueEncoding(WIDTH).double().eval() for _ in range(DEPTH)]
        complexes = lifted(graphs, ring_complexes, max_length=max_length)
        x = torch.ones(complexes.n_cells(0), WIDTH).double()
        for layer in layers:
            x = layer(x, complexes)
        return pooled([x], complexes)

    return signature


def methods(rings: int) -> dict[str, Signature]:
    return {
        "message passing on the graph": messages(clique_complexes, max_dim=1),
        "spectrum of L0": spectra((0,)),
        "spectra of L0 and L1": spectra((0, 1)),
        "return of L0": of_cells("return", (0,)),
        "heat of L0 and L1": of_cells("heat", (0, 1)),
        "messages, cliques": messages(clique_complexes),
        f"messages, rings of at most {rings}": messages(ring_complexes, max_length=rings),
        f"cliques of cycles of at most {rings}": cliques_of_cycles(rings),
    }


def distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the largest difference of each pair of rows, of their size."""
    return (a - b).abs().amax(1) / a.abs().amax(1)


def table_of_pairs(name: str, triples: list[tuple[Edges, Edges, Edges]], rings: int) -> None:
    print(f"\n{name}: {len(triples)} pairs")
    flat = [graph for triple in triples for graph in triple]
    for method, signature in methods(rings).items():
        rows = signature(flat)
        apart = int((distances(rows[0::3], rows[1::3]) > DIFFERENT).sum())
        copies = int((distances(rows[0::3], rows[2::3]) < THE_SAME).sum())
        print(f"  {method:36s} {apart:4d} told apart, {copies:4d} copies agree")


def table_of_classes(rings: int, n_copies: int = 3) -> None:
    graphs = [relabelled(circular_skip_links(skip), seed) for skip in SKIPS for seed in range(n_copies)]
    print(f"\nCSL: {len(SKIPS)} classes of {n_copies} copies")
    for method, signature in methods(rings).items():
        rows = signature(graphs)
        found: list[torch.Tensor] = []
        for row in rows:
            if not any(float(distances(row[None], other[None])) < DIFFERENT for other in found):
                found.append(row)
        print(f"  {method:36s} {len(found):4d} classes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--brec", type=Path, help="brec_v3_s4.g6")
    path = parser.parse_args().brec
    table_of_classes(8)
    pair = [
        (torch.from_numpy(graph.edge_index), graph.n_nodes) for graph in datasets.make_strongly_regular_pair()
    ]
    table_of_pairs("the rook's graph and Shrikhande's", [(pair[0], pair[1], relabelled(pair[0], 0))], 4)
    if path is not None:
        for name, pairs in PARTS.items():
            table_of_pairs(name, list(brec_triples(path, pairs)), 4 if "strongly" in name else 6)


if __name__ == "__main__":
    main()
