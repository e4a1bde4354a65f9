"""How many pixels two labellings of an image share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["joint_counts"]


def joint_counts(p: NDArray[np.integer], t: NDArray[np.integer]) -> sparse.csr_array:
    """Return how many pixels are in piece i of the target and j of the prediction."""
    shape = int(t.max(initial=0)) + 1, int(p.max(initial=0)) + 1
    table = sparse.coo_array((np.ones(len(t), dtype=np.int64), (t, p)), shape)
    return table.tocsr()  # which adds up entries of the same place
