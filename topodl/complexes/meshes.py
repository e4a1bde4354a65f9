"""Meshes of triangles as complexes, for a whole batch at once."""

from __future__ import annotations

import numpy as np
import torch

from topodl._checks import fail
from topodl._host import host_array
from topodl.complexes._input import check_integers, read_graphs
from topodl.complexes.cell_complexes import CellComplexes

__all__ = ["mesh_complexes"]

_NAME = "mesh_complexes"


def mesh_complexes(
    face: torch.Tensor,
    batch: torch.Tensor | None = None,
    n_graphs: int | None = None,
    *,
    n_vertices: int | None = None,
) -> CellComplexes:
    """Return the complex of each mesh of a batch: its triangles, their sides, and all vertices.

    Values of vertices make the lower-star filtration of it, `CellComplexes.with_values`, which
    `complex_persistence` pairs: a side or a triangle enters with the last of its vertices.

    Parameters
    ----------
    face : Tensor of shape (3, F), integers
        Vertices of the triangles, in any order (PyTorch Geometric's convention); a triangle that comes again
        counts once.
    batch : Tensor of shape (N,), integers, optional
        The mesh of each vertex, rising. One mesh by default.
    n_graphs : int, optional
        Number of meshes, where the last ones may have no vertex.
    n_vertices : int, optional
        Number of vertices N of one mesh without `batch`; by default one more than the largest in `face`.

    Returns
    -------
    CellComplexes
        On the device of `face`.

    Raises
    ------
    InputError
        If a shape is another one, vertices are out of range or not mesh after mesh, or a triangle joins two
        meshes or has a vertex twice.
    TypeError
        If an argument is no tensor, or has no integers.

    References
    ----------
    H. Edelsbrunner, J. Harer, "Computational topology: an introduction", 2010 (lower stars).

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.complexes import mesh_complexes
    >>> tetrahedron = mesh_complexes(torch.tensor([[0, 0, 0, 1], [1, 1, 2, 2], [2, 3, 3, 3]]))
    >>> tetrahedron
    CellComplexes(1 sample; 4 vertices, 6 edges, 4 triangles; cpu)
    >>> heights = tetrahedron.with_values(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    >>> topodl.complex_persistence(heights, dims=2).births  # when the surface closes
    tensor([3.])
    """
    faces = check_integers(_NAME, "face", face)
    if faces.ndim != 2 or len(faces) != 3:
        raise fail(_NAME, "face", f"has shape {tuple(faces.shape)}", "shape (3, F)")
    sides = torch.cat((faces[[0, 1]], faces[[0, 2]], faces[[1, 2]]), 1)
    twice = ((faces[0] == faces[1]) | (faces[0] == faces[2]) | (faces[1] == faces[2])).nonzero()
    if len(twice):
        came = f"has the triangle {tuple(faces[:, int(twice[0, 0])].tolist())}"
        raise fail(_NAME, "face", came, "triangles of three vertices")
    graphs = read_graphs(_NAME, sides, batch, n_graphs, n_vertices, "face")
    triangles = np.unique(np.sort(host_array(_NAME, faces).T, axis=1), axis=0)
    edges = np.unique(np.sort(graphs.ends.T, axis=1), axis=0)
    tables = [torch.from_numpy(np.ascontiguousarray(table)).to(graphs.device) for table in (edges, triangles)]
    return CellComplexes(np.diff(graphs.offsets).tolist(), tables)
