"""Votes of the samples whose class is known for those around them, by diffusion over a graph.

M. Liu, T. K. Dey, D. F. Gleich, "Topological structure of complex predictions", Nature Machine Intelligence,
2023: T ← (1 − β) T₀ + β D⁻¹A T, with T₀ = 1 at (sample, its class) for known samples. Cost: one sparse
product a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from topodl.mapper._prediction_lens import averaging, smoothed

__all__ = ["VOTE_SHARE", "corrected", "error_estimate", "label_votes", "voters"]

Array = np.ndarray[Any, np.dtype[Any]]
VOTE_SHARE = 0.5  # β


def label_votes(
    adjacency: sparse.csr_array, labels: Array, known: Array, n_classes: int, n_steps: int
) -> Array:
    """Return the votes (n, C) for each class at each sample; rows of zeros where no known sample is near."""
    given = np.zeros((labels.size, n_classes))
    given[np.flatnonzero(known), labels[known]] = 1.0
    return smoothed(averaging(adjacency), given, VOTE_SHARE, n_steps)


def error_estimate(predictions: Array, votes: Array) -> Array:
    """Return for each sample the share of votes that are not for its predicted class (n,).

    Where nobody votes it is 1 − the largest probability.
    """
    total, rows = votes.sum(axis=1), np.arange(len(votes))
    share = votes[rows, predictions.argmax(axis=1)] / np.where(total > 0, total, 1.0)
    return 1.0 - np.where(total > 0, share, predictions.max(axis=1))


def corrected(predictions: Array, votes: Array) -> Array:
    """Return the class of the most votes where the estimate of an error exceeds the predicted probability."""
    predicted = predictions.argmax(axis=1)
    doubtful = (predictions.max(axis=1) < error_estimate(predictions, votes)) & (votes.sum(axis=1) > 0)
    return np.where(doubtful, votes.argmax(axis=1), predicted)


def voters(adjacency: sparse.csr_array, sample: int, known: Array, n_steps: int) -> tuple[Array, Array]:
    """Return the known samples (K,) that vote at `sample`, and their shares (K,), by falling share."""
    mean = averaging(adjacency)
    walk = sparse.csr_array(([1.0], ([0], [sample])), shape=(1, adjacency.shape[0]))
    shares = sparse.csr_array(walk.shape)
    for step in range(n_steps + 1):
        stays = 1.0 if step == n_steps else 1.0 - VOTE_SHARE
        shares = shares + walk * stays
        walk = (walk * VOTE_SHARE) @ mean
    found, weights = shares.indices[known[shares.indices]], shares.data[known[shares.indices]]
    order = np.lexsort((found, -weights))
    return found[order].astype(np.int64), weights[order] / max(weights.sum(), np.finfo(np.float64).tiny)
