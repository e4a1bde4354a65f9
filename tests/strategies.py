"""Hypothesis strategies shared by the tests: batches of diagrams with every awkward shape."""

import torch
from hypothesis import strategies as st

from topodl import Diagrams


def make_diagrams(seed, counts, homology_dims=(0, 1), essential=0.2, superlevel=False, dtype=torch.float64):
    """Return random diagrams with `counts[i][j]` bars in sample i and dimension homology_dims[j]."""
    g = torch.Generator().manual_seed(seed)
    table = torch.tensor(counts, dtype=torch.int64).reshape(-1, len(homology_dims))
    n, k = table.shape
    segments = torch.repeat_interleave(table.flatten())
    births = torch.rand(len(segments), generator=g, dtype=dtype)
    deaths = births + torch.rand(len(segments), generator=g, dtype=dtype) + 1e-3
    deaths = deaths.masked_fill(torch.rand(len(segments), generator=g) < essential, torch.inf)
    if superlevel:
        births, deaths = -births, -deaths
    dims = torch.tensor(homology_dims)[segments % k]
    return Diagrams(
        births,
        deaths,
        dims,
        segments // k,
        n_samples=n,
        homology_dims=homology_dims,
        birth_cells=torch.arange(len(segments))[:, None],
    )


@st.composite
def diagrams(draw, essential=0.2, max_samples=5, max_bars=6):
    """Batches of up to `max_samples` diagrams in dimensions 0 and 1, empty ones among them."""
    row = st.tuples(st.integers(0, max_bars), st.integers(0, max_bars))
    counts = draw(st.lists(row, min_size=0, max_size=max_samples))
    return make_diagrams(
        draw(st.integers(0, 2**31)), counts, essential=essential, superlevel=draw(st.booleans())
    )


def shuffled(graphs, random):
    """Return vertex values, edges and the graph of each vertex of a batch, in any order."""
    values, edges, graph_of = [], [], []
    for g, (v, e) in enumerate(graphs):
        edges += [(a + len(values), b + len(values)) for a, b in e]
        values += v
        graph_of += [g] * len(v)
    order = list(range(len(values)))
    random.shuffle(order)
    random.shuffle(edges)
    place = {v: k for k, v in enumerate(order)}
    moved = [(place[a], place[b]) for a, b in edges]
    return [values[v] for v in order], moved, torch.tensor([graph_of[v] for v in order])
