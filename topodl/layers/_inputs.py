"""What `fit` and `transform` accept, made into what the modules take: one door for arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from topodl._checks import fail, reject_colours_last
from topodl._interchange import holds_bars
from topodl._precision import to_numpy
from topodl._pyg import with_complexes, with_graphs, with_points
from topodl.diagrams import Diagrams

__all__ = [
    "as_clouds",
    "as_complexes",
    "as_diagrams",
    "as_graphs",
    "as_images",
    "as_series",
    "move",
    "to_tensors",
]

Array = np.ndarray[Any, np.dtype[Any]]
_FLOATS = [np.float64, np.float32]


def as_images(layer: BaseEstimator, X: Any, reset: bool) -> Array | list[Array]:
    """Return images (B, *shape), or a list of images of different shapes.

    The rows of a table are images of `layer.sample_shape`, or single rows; so are signals of several lengths.
    """
    X = _opened(layer, X)
    _reject_colours(layer, X)
    signals = _signals(X) if layer.sample_shape is None else None
    images = _several(layer, X) if signals is None else signals
    if images is not None and len({image.shape for image in images}) > 1:
        return images
    X = X if images is None else np.stack(images)
    if _is_table(X):
        table = _checked_table(layer, X, reset)
        return _reshaped(layer, table, (1, -1) if layer.sample_shape is None else layer.sample_shape)
    return check_array(X, dtype=_FLOATS, allow_nd=True, ensure_all_finite=False, input_name="X")


def as_clouds(layer: BaseEstimator, X: Any, reset: bool, sparse_distances: bool = False) -> Any:
    """Return clouds (B, N, d) or a list of (N_i, d); rows of a table are clouds of `layer.sample_shape`.

    With `sparse_distances`, a list may hold sparse matrices, which stay as they are.
    """
    name = type(layer).__name__
    if issparse(X) or (isinstance(X, list | tuple) and any(map(issparse, X))):
        if not sparse_distances or issparse(X):
            came = f"has sparse matrices of type {type(X if issparse(X) else X[0]).__name__}"
            raise fail(
                name, "X", came, "dense clouds; with metric='precomputed' also a list of sparse distances"
            )
        return [matrix if issparse(matrix) else np.asarray(_without_tensors(matrix)) for matrix in X]
    X = _opened(layer, with_points(X))
    clouds = _several(layer, X)
    if clouds is not None and all(cloud.ndim == 2 for cloud in clouds):
        return clouds
    if not _is_table(X):
        return check_array(X, dtype=_FLOATS, allow_nd=True, ensure_all_finite=False, input_name="X")
    table = _checked_table(layer, X, reset)
    if layer.sample_shape is None:
        came = f"is a table of shape {table.shape}"
        wanted = "clouds (B, N, d), a list of (N_i, d), or sample_shape=(-1, d) for flattened clouds"
        raise fail(name, "X", came, wanted)
    return _reshaped(layer, table, layer.sample_shape)


def as_series(layer: BaseEstimator, X: Any, reset: bool) -> Array | list[Array]:
    """Return series (B, L) or (B, L, C), or a list of (L_i,) or (L_i, C) of several lengths."""
    X = _opened(layer, X)
    if isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype.kind == "O"):
        items = [np.asarray(item) for item in X]
        if len({item.shape for item in items}) > 1:
            return [item if item.dtype in _FLOATS else item.astype(np.float64) for item in items]
    if _is_table(X):
        return _checked_table(layer, X, reset)
    return check_array(X, dtype=_FLOATS, allow_nd=True, ensure_all_finite=False, input_name="X")


def as_complexes(layer: BaseEstimator, X: Any, reset: bool) -> Any:
    """Return clouds as `as_clouds` does, or a list of tuples (cloud, edges, faces, …)."""
    X = _opened(layer, with_complexes(X))
    if isinstance(X, list | tuple) and any(_is_complex(item) for item in X):
        items = [item if _is_complex(item) else (item,) for item in X]
        return [(_as_array(item[0]), *(_as_indices(part) for part in item[1:])) for item in items]
    return as_clouds(layer, X, reset)


def _is_complex(item: Any) -> bool:
    """Return whether an item is (cloud, edges, …), and not a cloud written as a list of points."""
    return isinstance(item, tuple) or (isinstance(item, list) and len(item) > 0 and np.ndim(item[0]) == 2)


def as_diagrams(name: str, X: Any) -> Diagrams:
    """Return `Diagrams` of `Diagrams`, a list of them, arrays as GUDHI, ripser or giotto-tda give them."""
    if isinstance(X, Diagrams):
        return X.detach()
    if isinstance(X, list | tuple) and X and all(isinstance(item, Diagrams) for item in X):
        return Diagrams.cat(X).detach()
    _reject_masked(name, "X", X)
    X = _without_tensors(X)
    if isinstance(X, np.ndarray) and (X.dtype.kind == "O" or (X.ndim == 3 and X.shape[-1] == 2)):
        X = list(X)
    if isinstance(X, list | tuple):
        by_dims = any(holds_bars(item[0] if _is_filled(item) else item) for item in X if not _is_array(item))
        return Diagrams.from_persim(X) if by_dims else Diagrams.from_gudhi(X)
    if isinstance(X, np.ndarray) and X.ndim == 3 and X.shape[-1] == 3:
        return Diagrams.from_giotto(X)
    came = f"is a {type(X).__name__}" + (f" of shape {X.shape}" if hasattr(X, "shape") else "")
    raise fail(
        name, "X", came, "Diagrams, a list of arrays (n, 2) of births and deaths, or an array (B, M, 3)"
    )


def as_graphs(name: str, X: Any) -> list[tuple[Array | None, ...]]:
    """Return a list of (vertex_values, edge_index) or (vertex_values or None, edge_index, edge_values)."""
    X = with_graphs(name, X)
    _reject_masked(name, "X", X)
    graphs: list[tuple[Array | None, ...]] = []
    for i, item in enumerate(X):
        if not isinstance(item, list | tuple) or len(item) not in (2, 3):
            came = f"is a {type(item).__name__}"
            raise fail(name, f"X[{i}]", came, "(vertex_values, edge_index) or (…, edge_values)")
        values, edges, *rest = item
        vertices = None if values is None else _as_array(values)
        graphs.append((vertices, _as_indices(edges), *map(_as_array, rest)))
    return graphs


def move(chunk: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """Return tensors, lists of them or diagrams on `device`, floating ones in `dtype` unless it is None."""
    if isinstance(chunk, list | tuple):
        return type(chunk)(move(item, device, dtype) for item in chunk)
    if isinstance(chunk, Diagrams):
        return chunk.to(device, dtype)
    if isinstance(chunk, torch.Tensor):
        return chunk.to(device, dtype if chunk.is_floating_point() else None)
    return chunk


def to_tensors(chunk: Any) -> Any:
    """Return arrays as tensors, and lists of arrays as lists of tensors."""
    if isinstance(chunk, list | tuple):
        return type(chunk)(to_tensors(item) for item in chunk)
    if chunk is None:
        return None
    return torch.from_numpy(np.require(chunk, requirements=["C", "W"]))


def _opened(layer: BaseEstimator, X: Any) -> Any:
    """Return `X` with arrays in the place of tensors, or raise the error that says what would be ignored."""
    _reject_masked(type(layer).__name__, "X", X)
    return _without_tensors(X)


def _reject_masked(name: str, argument: str, X: Any) -> None:
    """Raise the error that names the first array whose mask would be ignored."""
    if np.ma.is_masked(X):
        raise fail(name, argument, "is a masked array", "plain values: its method filled gives some")
    for i, item in enumerate(X) if isinstance(X, list | tuple) else ():
        if not isinstance(item, list) or (item and _is_array(item[0])):  # lists of numbers may be long
            _reject_masked(name, f"{argument}[{i}]", item)


def _reject_colours(layer: BaseEstimator, X: Any) -> None:
    """Raise the error that says how to hand in images whose last axis has their colours."""
    name = type(layer).__name__
    for i, image in enumerate(X) if isinstance(X, list | tuple) else ():
        if hasattr(image, "getbands"):  # of Pillow
            if len(image.getbands()) > 1:
                came = f"is an image of mode {image.mode}"
                raise fail(name, f"X[{i}]", came, "one value a pixel: image.convert('L'), or its channels")
        elif isinstance(image, np.ndarray) and image.dtype == np.uint8:
            reject_colours_last(name, "X", (len(X), *image.shape), True)
    if isinstance(X, np.ndarray):
        reject_colours_last(name, "X", X.shape, X.dtype == np.uint8)


def _signals(X: Any) -> list[Array] | None:
    """Return signals of different lengths as images of one row, None if X is something else."""
    if not isinstance(X, list | tuple) and not (isinstance(X, np.ndarray) and X.dtype.kind == "O"):
        return None
    if len({len(item) for item in X if np.ndim(item) == 1}) < 2 or any(np.ndim(item) != 1 for item in X):
        return None
    return [
        row if row.dtype in _FLOATS else row.astype(np.float64) for row in (np.asarray(x)[None] for x in X)
    ]


def _without_tensors(X: Any) -> Any:
    if isinstance(X, torch.Tensor):
        return to_numpy(X)
    if isinstance(X, list | tuple) and any(isinstance(item, torch.Tensor) for item in X):
        return [_without_tensors(item) for item in X]
    return X


def _several(layer: BaseEstimator, X: Any) -> list[Array] | None:
    """Return the arrays of floats in a list or an array of objects, None if X is none or has mere rows."""
    if not isinstance(X, list | tuple) and not (isinstance(X, np.ndarray) and X.dtype.kind == "O"):
        return None
    if len(X) == 0:
        raise fail(type(layer).__name__, "X", f"is an empty {type(X).__name__}", "at least one sample")
    if not all(np.ndim(item) >= 2 for item in X):
        return None
    items = [np.asarray(item) for item in X]
    return [item if item.dtype in _FLOATS else item.astype(np.float64) for item in items]


def _is_filled(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) > 0


def _is_array(part: Any) -> bool:
    return isinstance(part, np.ndarray)


def _as_array(part: Any) -> Array:
    return np.asarray(_without_tensors(part))


def _as_indices(part: Any) -> Array:
    """Return simplices as an array; NumPy makes floats of an empty list, which has no index to lose."""
    indices = _as_array(part)
    return indices if indices.size else indices.astype(np.int64)


def _is_table(X: Any) -> bool:
    return (X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim) < 3


def _checked_table(layer: BaseEstimator, X: Any, reset: bool) -> Array:
    return validate_data(layer, X, reset=reset, dtype=_FLOATS)


def _reshaped(layer: BaseEstimator, table: Array, shape: tuple[int, ...]) -> Array:
    try:
        return table.reshape(len(table), *shape)
    except (ValueError, TypeError):
        came = f"is {shape!r}"
        raise fail(
            type(layer).__name__, "sample_shape", came, f"a shape of {table.shape[1]} values"
        ) from None
