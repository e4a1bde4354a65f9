"""Complexes to try layers of cells on, and the same ones with their vertices numbered anew."""

import torch
from hypothesis import strategies as st

from topodl.complexes import CellComplexes, Lists

from ..complexes.graphs import graphs

SQUARE_AND_TRIANGLE = torch.tensor([[0, 0, 1, 2, 0, 4, 4, 5], [1, 2, 2, 3, 3, 5, 6, 6]])


def square_with_rings():
    """Return a square with a diagonal and its three rings, and a triangle, as one batch of two."""
    rings = Lists(torch.tensor([0, 1, 2, 0, 2, 3, 0, 1, 2, 3, 4, 5, 6]), torch.tensor([0, 3, 6, 10, 13]))
    return CellComplexes([4, 3], [SQUARE_AND_TRIANGLE.T], rings=rings)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def features_of(complexes, width, max_dim=2, seed=0):
    return [drawn(complexes.n_cells(k), width, seed=seed + k) for k in range(max_dim + 1)]


def build(make, *args, seed=0, **options):
    """Return a layer of double precision with weights of that seed, which evaluates."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(*args, **options).double().eval()


@st.composite
def relabelled_graphs(draw):
    """Graphs, and a permutation of the vertices within each: the new number of each old one."""
    given = draw(graphs())
    new = torch.arange(len(given.batch))
    for graph in range(given.n_graphs):
        inside = torch.nonzero(given.batch == graph)[:, 0]
        new[inside] = inside[torch.tensor(draw(st.permutations(range(len(inside)))), dtype=torch.int64)]
    return given, new


def places_of(moved, complexes, new, k):
    """Return where each cell of dimension `k` stands after its vertices are numbered anew."""
    if k == 0:
        return new
    return moved.index_of(new[complexes.vertices(k).table()].reshape(-1, k + 1).T)
