"""Columns of pandas' and polars' data frames whose cells are samples, and the labels of their rows.

Neither library is imported for that: what its frames can do tells them apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn

from topodl._checks import fail

__all__ = ["cells_of", "labelled", "row_labels"]


def cells_of(function: str, X: Any) -> Any:
    """Return the cells of a column of samples, or of a frame of one, as a list; anything else as it is."""
    if not hasattr(X, "to_numpy") or getattr(X, "ndim", len(getattr(X, "shape", ()))) not in (1, 2):
        return X
    columns = [X] if len(X.shape) == 1 else _columns(X)
    of_samples = [column for column in columns if _holds_samples(column)]
    if not of_samples:
        return X
    if len(columns) > 1:
        came = f"has {len(columns)} columns, of which {len(of_samples)} hold arrays"
        raise fail(function, "X", came, "one column of arrays; a ColumnTransformer takes each by itself")
    cells = of_samples[0].to_numpy()
    if cells.dtype != object:  # of an array type of polars
        return cells
    missing = next((i for i, cell in enumerate(cells) if not _is_sample(cell)), None)
    if missing is not None:
        raise fail(function, f"X[{missing}]", f"is {cells[missing]!r}", "a sample, as in other rows")
    return [_dense(cell) for cell in cells]


def row_labels(X: Any) -> Any:
    """Return the index of a pandas object, or the one that diagrams of such an object carry."""
    return X.index if hasattr(X, "iloc") else getattr(X, "_row_labels", None)


def labelled(features: Any, labels: Any, transformer: Any) -> Any:
    """Return features as a data frame with the rows' `labels`, where pandas' frames are the chosen output.

    scikit-learn does so itself for data frames that a transformer is given; for diagrams of them it would
    number the rows anew, and a ColumnTransformer would join these to rows of other samples.
    """
    chosen = getattr(transformer, "_sklearn_output_config", {})
    if labels is None or chosen.get("transform", sklearn.get_config()["transform_output"]) != "pandas":
        return features
    import pandas as pd

    return pd.DataFrame(features, index=labels)


def _columns(frame: Any) -> list[Any]:
    by_place = frame.iloc if hasattr(frame, "iloc") else frame
    return [by_place[:, k] for k in range(frame.shape[1])]


def _holds_samples(column: Any) -> bool:
    cells = column.to_numpy()
    return cells.ndim > 1 or (cells.dtype == object and any(map(_is_sample, cells)))


def _is_sample(cell: Any) -> bool:
    if isinstance(cell, str | bytes) or np.isscalar(cell):
        return False
    return hasattr(cell, "__len__") or hasattr(cell, "__array_interface__")  # Pillow's images have no length


def _dense(cell: Any) -> Any:
    """Return an array of arrays, which Arrow makes of nested lists, as one array; other cells as they are."""
    if not isinstance(cell, np.ndarray) or cell.dtype != object or not len(cell):
        return cell
    parts = [_dense(part) for part in cell]
    return np.array(parts) if len({np.shape(part) for part in parts}) == 1 else parts
