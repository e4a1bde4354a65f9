"""The graph of samples that predictions are mapped on: given, or of nearest neighbours of embeddings.

Whitening divides principal components by their singular values; rows are then brought to unit length, so that
the Euclidean neighbours are those of the cosine. Cost: O(n² d) for the neighbours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from topodl._checks import as_real, as_tensor, fail, reject_non_finite
from topodl._precision import is_ordinary, to_numpy
from topodl.mapper._nearest import nearest_by_direction

__all__ = ["graph_of_edges", "graph_of_neighbours", "read_graph"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "PredictionMapper"
_MANY_DIMS = 16  # from which on trees of boxes do not pay
_STEEP = 0.03  # squared, far above the rounding errors of single precision


def read_graph(X: Any, n: int) -> sparse.csr_array | None:
    """Return the graph that `X` is, a sparse matrix or the ends of edges; None where it holds embeddings."""
    if sparse.issparse(X) or (isinstance(X, torch.Tensor) and X.layout is not torch.strided):
        return _graph_of_matrix(X, n)
    if hasattr(X, "iloc"):  # a data frame of embeddings
        return None
    values = as_tensor(X)
    if values.ndim != 2 or len(values) != 2 or values.is_floating_point() or values.dtype == torch.bool:
        return None
    if n == 2:
        raise fail(_NAME, "X", "is (2, d) integers of 2 samples", "floats for embeddings, or a sparse matrix")
    return graph_of_edges(values.detach().cpu().numpy().astype(np.int64), n)


def graph_of_edges(edge_index: Array, n: int) -> sparse.csr_array:
    """Return the graph of `n` samples with edges (2, E) in any direction; loops and repeats do not count."""
    if edge_index.size and not 0 <= edge_index.min() <= edge_index.max() < n:
        came = f"has edges of samples from {edge_index.min()} to {edge_index.max()}"
        raise fail(_NAME, "X", came, f"samples from 0 to {n - 1}, as there are predictions")
    ones = np.ones(edge_index.shape[1])
    return _simple(sparse.coo_array((ones, tuple(edge_index)), shape=(n, n)))


def _graph_of_matrix(matrix: Any, n: int) -> sparse.csr_array:
    """Return the graph whose edges are the entries other than 0 of a sparse matrix (n, n), either way."""
    if isinstance(matrix, torch.Tensor):
        entries = matrix.detach().cpu().to_sparse_coo().coalesce()
        values, places = to_numpy(entries.values()), tuple(entries.indices().numpy())
        matrix = sparse.coo_array((values, places), shape=tuple(matrix.shape))
    if matrix.shape != (n, n):
        raise fail(_NAME, "X", f"is a sparse matrix of shape {matrix.shape}", f"shape ({n}, {n}), of a graph")
    matrix = sparse.coo_array(matrix)
    if not np.isfinite(matrix.data).all():
        row = int(matrix.coords[0][~np.isfinite(matrix.data)][0])
        raise fail(_NAME, f"X[{row}]", "has an entry that is not finite", "finite weights")
    return _simple(matrix)


def _simple(entries: sparse.coo_array) -> sparse.csr_array:
    """Return the entries other than 0, and their mirror images, as ones; none on the diagonal."""
    rows, columns = entries.coords
    is_edge = (entries.data != 0) & (rows != columns)
    rows, columns = rows[is_edge], columns[is_edge]
    ends = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    adjacency = sparse.csr_array((np.ones(2 * rows.size), ends), shape=entries.shape)
    adjacency.sum_duplicates()
    adjacency.data[:] = 1.0
    return adjacency


def graph_of_neighbours(
    embeddings: Any, n: int, n_neighbors: int, metric: Any, whiten: int | None, random_state: Any
) -> sparse.csr_array:
    """Return the graph in which each sample is joined to its nearest neighbours."""
    values = embeddings.to_numpy() if hasattr(embeddings, "to_numpy") else embeddings
    values = as_real(_NAME, "X", as_tensor(values))
    if values.ndim != 2 or len(values) != n or values.shape[1] == 0:
        came = f"has shape {tuple(values.shape)}"
        raise fail(_NAME, "X", came, f"embeddings ({n}, d) as there are predictions, or a graph of them")
    reject_non_finite(_NAME, "X", values)
    points = to_numpy(values)
    k = min(n_neighbors, n - 1)
    if k == 0:
        return sparse.csr_array((n, n))
    if whiten is not None and metric != "precomputed":
        points = _whitened(points, whiten, random_state)
    points = points.astype(np.float64, copy=False)
    if metric == "cosine":
        lengths = np.linalg.norm(points, axis=1, keepdims=True)
        points, metric = points / np.where(lengths > 0, lengths, 1.0), "euclidean"
        if points.shape[1] >= _MANY_DIMS and (lengths > 0).all():
            return _joined(nearest_by_direction(points, k))
    nearest = NearestNeighbors(n_neighbors=k, metric=metric).fit(points).kneighbors(return_distance=False)
    return _joined(nearest)


def _joined(nearest: Array) -> sparse.csr_array:
    """Return the graph in which each sample is joined to its `nearest` (n, k)."""
    n, k = nearest.shape
    return graph_of_edges(np.stack([np.repeat(np.arange(n), k), nearest.ravel()]), n)


def _whitened(points: Array, n_components: int, random_state: Any) -> Array:
    """Return the principal components (n, at most `n_components`), each divided by its singular value.

    They are computed in the precision of the points, in double where small components would suffer.
    """
    if (points[:, 0] == points[0, 0]).all() and (points == points[0]).all():
        return np.zeros((len(points), 1))
    largest = float(max(points.max(), -points.min()))
    if not is_ordinary(largest):
        points = np.ldexp(points.astype(np.float64), -math.frexp(largest)[1])
    # scikit-learn subtracts the mean from squares: of a large one, their rounding errors would be left.
    pca = PCA(n_components=min(n_components, *points.shape), random_state=random_state)
    scores = pca.fit_transform(points - points[0])
    size = pca.singular_values_
    if points.dtype != np.float64 and not size.min(initial=np.inf) > _STEEP * size.max(initial=0.0):
        return _whitened(points.astype(np.float64), n_components, random_state)
    rounding = size.max(initial=0.0) * max(points.shape) * np.finfo(np.float64).eps
    return scores[:, size > rounding] / size[size > rounding]
