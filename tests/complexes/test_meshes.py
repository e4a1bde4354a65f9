"""Meshes as complexes: their cells, lower-star filtrations against GUDHI's, known surfaces."""

import gudhi
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError, complex_persistence
from topodl.complexes import mesh_complexes


def torus(n, m):
    """Return the triangles (3, 2 n m) of a torus of n times m squares."""
    i, j = np.divmod(np.arange(n * m), m)
    here, right = i * m + j, i * m + (j + 1) % m
    below, across = (i + 1) % n * m + j, (i + 1) % n * m + (j + 1) % m
    return torch.from_numpy(np.concatenate(([here, right, across], [here, below, across]), 1))


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(0, 8), st.booleans())
def test_lower_stars_equal_those_of_gudhi(seed, n, n_faces, superlevel):
    g = torch.Generator().manual_seed(seed)
    rows = [torch.randperm(n, generator=g)[:3] for _ in range(n_faces)]
    face = torch.stack(rows, 1) if rows else torch.zeros(3, 0, dtype=torch.int64)
    values = torch.rand(n, generator=g, dtype=torch.float64)
    complexes = mesh_complexes(face, n_vertices=n)
    filtered = complexes.with_values(values, "min" if superlevel else "max")
    d = complex_persistence(filtered, (0, 1, 2), superlevel)
    sign = -1.0 if superlevel else 1.0
    tree = gudhi.SimplexTree()
    for v in range(n):
        tree.insert([v], sign * float(values[v]))
    for triangle in face.T.tolist():
        tree.insert(triangle, max(sign * float(values[v]) for v in triangle))
    for simplex, _ in list(tree.get_simplices()):
        tree.assign_filtration(simplex, max(sign * float(values[v]) for v in simplex))
    tree.compute_persistence(2, 0.0, persistence_dim_max=True)
    for dim in range(3):
        part = d.dim(dim)
        ours = sorted(zip((sign * part.births).tolist(), (sign * part.deaths).tolist(), strict=True))
        theirs = sorted(map(tuple, tree.persistence_intervals_in_dimension(dim)))
        np.testing.assert_allclose(np.reshape(ours, (-1, 2)), np.reshape(theirs, (-1, 2)))


def test_a_batch_of_tori():
    first, second = torus(4, 5), torus(3, 6)
    batch = torch.repeat_interleave(torch.tensor([20, 18]))
    complexes = mesh_complexes(torch.cat((first, second + 20, second[[2, 0, 1]] + 20), 1), batch)
    assert complexes.counts.tolist() == [[20, 60, 40], [18, 54, 36]]
    assert complexes.betti_numbers().tolist() == [[1, 2, 1], [1, 2, 1]]
    height = torch.rand(38, dtype=torch.float64).requires_grad_()
    d = complex_persistence(complexes.with_values(height), (0, 1, 2))
    assert d.dim(2).samples.tolist() == [0, 1]
    torch.testing.assert_close(d.dim(2).births, torch.stack([height[:20].max(), height[20:].max()]))
    d.dim(2).births.sum().backward()
    assert height.grad.sum() == 2


@pytest.mark.parametrize(
    ("face", "options", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), {}, r"face has shape \(2, 3\); expected shape \(3, F\)"),
        (
            torch.tensor([[0], [1], [1]]),
            {},
            r"face has the triangle \(0, 1, 1\); expected triangles of three",
        ),
        (torch.tensor([[0], [1], [7]]), {"n_vertices": 3}, "face has an edge"),
        (torch.tensor([[0], [1], [2]]), {"batch": torch.tensor([0, 0, 1])}, "from graph 0 to graph 1"),
    ],
)
def test_unusable_meshes_are_named(face, options, message):
    with pytest.raises(InputError, match=message):
        mesh_complexes(face, **options)
