"""Rows of small integers in order, as the table of columns that measures are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from topodl.kernels.shared.arrays import full
from topodl.kernels.shared.compile import kernel, subroutine
from topodl.kernels.shared.radix import radix_argsort

__all__ = ["row_table", "warm_up"]


def row_table(rows: Any) -> tuple[Any, Any]:
    """Return the table (3 + 2k, m) of rows, sorted by all but weights and places, and the places.

    Rows that are alike keep their order. What is missing of the second cell is -1.

    Parameters
    ----------
    rows : ndarray of shape (m, 5 + k), int64
        A sample, a dimension, a weight, a cell of k vertices, one vertex, and a place; at least -1.
    """
    table, places = _by_keys(rows)
    if len(places) < len(rows):
        columns = [0, 1, *range(3, rows.shape[1] - 1)]
        table, places = _table(rows, np.lexsort(rows[:, columns[::-1]].T).astype(np.int32))
    return table, places


@kernel
def _by_keys(rows: Any) -> Any:
    """Return the table and the places, or of no row where a key would not fit into an integer."""
    order = _order(rows)
    return _table(rows[: len(order)], order)


@subroutine
def _order(rows: Any) -> Any:
    """Return the order, or none where a key would not fit into an integer."""
    keys, room = full(len(rows), 0, np.int64), 1.0
    for c in range(rows.shape[1] - 1):
        if c != 2:
            span = 1
            for r in range(len(rows)):
                span = max(span, rows[r, c] + 2)
            room *= span
            for r in range(len(rows)):
                keys[r] = keys[r] * span + rows[r, c] + 1
    return radix_argsort(keys) if room < 2.0**62 else np.empty(0, np.int32)


@kernel
def _table(rows: Any, order: Any) -> Any:
    m, known = len(rows), rows.shape[1] - 1
    n_columns = 2 * known - 5
    table, places = full(n_columns * m, -1, np.int64).reshape(n_columns, m), np.empty(m, np.int64)
    for k in range(m):
        places[k] = rows[order[k], known]
        for c in range(known):
            table[c, k] = rows[order[k], c]
    return table, places


def warm_up() -> None:
    """Compile every kernel of this module."""
    row_table(np.zeros((2, 7), np.int64))
