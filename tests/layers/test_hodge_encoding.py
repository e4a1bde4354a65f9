"""HodgeEncoding: spectra, heat and returns by published Laplacians, by hand and by walks; free of signs."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from topodl import InputError, MemoryLimitError
from topodl.complexes import CellComplexes, clique_complexes, ring_complexes
from topodl.layers import HodgeEncoding, hodge_encoding

from ..complexes.graphs import GOLDEN, graphs
from .cells import places_of, relabelled_graphs

KINDS = ("heat", "return", "spectrum")
double = {"dtype": torch.float64}


@pytest.mark.parametrize("name", GOLDEN)
def test_encodings_are_functions_of_the_published_laplacians(shared, name):
    golden = np.load(shared / "golden" / "complexes" / f"{name}.npz")
    edges = torch.from_numpy(golden["edges"].T.astype(np.int64))
    complexes = clique_complexes(edges, n_vertices=len(golden["x_0"]), max_dim=3)
    for k in range(3):
        n = complexes.n_cells(k)
        if n == 0:
            continue
        laplacian = torch.zeros(n, n, dtype=torch.float64)
        rows, columns, values = torch.from_numpy(golden[f"laplacian_{k}"].astype(np.int64))
        laplacian[rows, columns] = values.double()
        (spectrum,) = HodgeEncoding(n + 2, k, "spectrum", **double)(complexes)
        expected = torch.from_numpy(golden[f"spectrum_{k}"])
        torch.testing.assert_close(spectrum[0, :n], expected, rtol=1e-9, atol=1e-9)
        assert spectrum[0, n:].tolist() == [-1.0, -1.0]
        (heat,) = HodgeEncoding(dims=k, times=(0.3, 2.0), **double)(complexes)
        for t, column in zip((0.3, 2.0), heat.T, strict=True):
            torch.testing.assert_close(column, torch.linalg.matrix_exp(-t * laplacian).diagonal())


def walks_back(adjacency, steps):
    """Return the probability that a walk is back at its vertex after 1, 2, … steps, walk by walk."""
    n, back = len(adjacency), np.zeros((len(adjacency), steps))
    neighbours = [np.flatnonzero(row) for row in adjacency]
    for v, length in itertools.product(range(n), range(1, steps + 1)):
        for walk in itertools.product(range(n), repeat=length - 1):
            ends = (v, *walk, v)
            chance = 1.0
            for a, b in itertools.pairwise(ends):
                chance *= (b in neighbours[a]) / max(len(neighbours[a]), 1)
            back[v, length - 1] += chance
    return torch.from_numpy(back)


def test_returns_of_vertices_are_probabilities_of_walks():
    edges = torch.tensor([[0, 0, 1, 2], [1, 2, 2, 3]])
    adjacency = np.zeros((5, 5))
    adjacency[tuple(edges)] = 1
    (found,) = HodgeEncoding(4, 0, "return", **double)(clique_complexes(edges, n_vertices=5))
    torch.testing.assert_close(found[:4], walks_back(adjacency + adjacency.T, 4)[:4])
    assert found[4].tolist() == [1.0] * 4  # nothing is beside the last vertex: it stays


def test_a_hollow_and_a_filled_triangle():
    edges = torch.tensor([[0, 0, 1], [1, 2, 2]])
    hollow, filled = (clique_complexes(edges, max_dim=k) for k in (1, 2))
    spectra = [HodgeEncoding(4, 1, "spectrum", **double)(c)[0][0] for c in (hollow, filled)]
    torch.testing.assert_close(spectra[0], torch.tensor([0.0, 3.0, 3.0, -1.0]).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(spectra[1], torch.tensor([3.0, 3.0, 3.0, -1.0]).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@given(drawn_graphs=relabelled_graphs())
@settings(max_examples=25)
def test_the_numbering_of_vertices_changes_nothing(kind, drawn_graphs):
    (edges, batch, n_graphs), new = drawn_graphs
    complexes = clique_complexes(edges, batch, n_graphs)
    moved = clique_complexes(new[edges], batch[torch.argsort(new)], n_graphs)
    layer = HodgeEncoding(5, (0, 1, 2), kind, **double)
    for k, (x, y) in enumerate(zip(layer(complexes), layer(moved), strict=True)):
        at = slice(None) if kind == "spectrum" else places_of(moved, complexes, new, k)
        torch.testing.assert_close(y[at], x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_orientations_change_nothing(kind):
    complexes = ring_complexes(torch.tensor([[0, 1, 2, 0, 0, 4], [1, 2, 3, 3, 2, 3]]))
    turned = CellComplexes(
        complexes.counts[:, 0], [complexes.vertices(1).table()], rings=complexes.vertices(2)
    )
    turned._ring_signs = -turned._ring_signs
    layer = HodgeEncoding(6, (0, 1, 2), kind, **double)
    for x, y in zip(layer(complexes), layer(turned), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(drawn_graphs=graphs())
@settings(max_examples=25)
def test_a_batch_gives_what_its_graphs_give(kind, drawn_graphs):
    complexes = clique_complexes(*drawn_graphs)
    layer = HodgeEncoding(4, (0, 1), kind, **double)
    together = layer(complexes)
    for i in range(complexes.n_samples):
        for k, alone in enumerate(layer(complexes[i])):
            own = slice(i, i + 1) if kind == "spectrum" else complexes.samples(k) == i
            torch.testing.assert_close(alone, together[k][own], rtol=1e-9, atol=1e-9)


def test_types_of_results():
    square = clique_complexes(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]))
    exact = HodgeEncoding(3, **double)(square)
    for dtype in (None, torch.float32, torch.bfloat16):
        for x, y in zip(HodgeEncoding(3, dtype=dtype)(square), exact, strict=True):
            assert x.dtype == (dtype or torch.get_default_dtype())
            torch.testing.assert_close(x.double(), y, rtol=0.01, atol=0.01)
    assert [len(x) for x in HodgeEncoding(3)(clique_complexes(torch.empty(2, 0, dtype=torch.int64)))] == [
        0,
        0,
    ]


def test_unusable_input_is_named(monkeypatch):
    square = clique_complexes(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), max_dim=1)
    with pytest.raises(InputError, match="complexes have dimensions up to 1; expected them up to 2"):
        HodgeEncoding(dims=2)(square)
    monkeypatch.setattr(hodge_encoding, "_MOST_ENTRIES", 10)
    with pytest.raises(
        MemoryLimitError, match="16 entries of dense Laplacians in dimension 0, and sample 0 has 4 cells"
    ):
        HodgeEncoding()(square)
    for options, message in (
        ({"size": 0}, "size is 0"),
        ({"kind": "cold"}, "kind is 'cold'"),
        ({"dims": -1}, "dims is -1"),
        ({"times": (1.0, 0.0)}, "times has 0.0; expected positive numbers"),
        ({"times": (1.0,), "kind": "return"}, "times are given with kind='return'"),
    ):
        with pytest.raises(InputError, match=message):
            HodgeEncoding(**options)
