"""What encodings and layers of cells tell apart that message passing does not: circular skip links."""

import itertools

import torch

from topodl import datasets
from topodl.complexes import clique_complexes, ring_complexes
from topodl.layers import CellMessagePassing, HodgeEncoding

from .cells import build

SKIPS, N, COPIES = (2, 3, 4, 5, 6, 9, 11, 12, 13, 16), 41, 2


def skip_links():
    """Return copies of the ten graphs, the vertices of each numbered anew, as one batch."""
    i, graphs = torch.arange(N), []
    for skip, copy in itertools.product(SKIPS, range(COPIES)):
        edges = torch.cat((torch.stack((i, (i + 1) % N)), torch.stack((i, (i + skip) % N))), 1)
        new = torch.randperm(N, generator=torch.Generator().manual_seed(copy))
        graphs.append(new[edges] + len(graphs) * N)
    return torch.cat(graphs, 1), torch.arange(len(graphs)).repeat_interleave(N)


def assert_classes(rows, n):
    """Copies agree to 1e-5, and there are `n` different rows beyond."""
    rows = rows.view(len(SKIPS), COPIES, -1)
    for copy in range(1, COPIES):
        torch.testing.assert_close(rows[:, copy], rows[:, 0], rtol=1e-5, atol=1e-5)
    size = rows.abs().max()
    different = (rows[:, None, 0] - rows[None, :, 0]).abs().amax(-1) > 1e-5 * size
    assert len(torch.unique(different, dim=0)) == n


def sums_of_cells(lift, edges, batch, max_dim, **options):
    complexes = lift(edges, batch, **options)
    tables = [torch.ones(complexes.n_cells(k), 1).double() for k in range(max_dim + 1)]
    for depth in range(3):
        tables = build(CellMessagePassing, 16 if depth else 1, 16, max_dim, norm=None, seed=depth)(
            tables, complexes
        )
    n = complexes.n_samples
    sums = [x.new_zeros(n, 16).index_add(0, complexes.samples(k), x) for k, x in enumerate(tables)]
    return torch.cat(sums, 1).detach()


def test_spectra_tell_all_classes_of_skip_links_apart():
    complexes = clique_complexes(*skip_links())
    for dims in (0, (0, 1)):
        rows = HodgeEncoding(2 * N, dims, "spectrum", dtype=torch.float64)(complexes)
        assert_classes(torch.cat(rows, 1), 10)


def test_messages_need_rings_to_tell_skip_links_apart():
    edges, batch = skip_links()
    assert_classes(sums_of_cells(clique_complexes, edges, batch, 1), 1)
    assert_classes(sums_of_cells(clique_complexes, edges, batch, 2), 2)
    assert_classes(sums_of_cells(ring_complexes, edges, batch, 2, max_length=8), 10)


def test_strongly_regular_graphs_differ_in_the_spectrum_of_edges_alone():
    pair = datasets.make_strongly_regular_pair()
    n = pair[0].n_nodes
    edges = torch.cat([torch.from_numpy(graph.edge_index) + k * n for k, graph in enumerate(pair)], 1)
    complexes = clique_complexes(edges, torch.arange(2).repeat_interleave(n))
    vertices, links = HodgeEncoding(48, kind="spectrum", dtype=torch.float64)(complexes)
    torch.testing.assert_close(vertices[0], vertices[1])
    assert (links[0] - links[1]).abs().max() > 0.1
