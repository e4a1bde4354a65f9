"""Means, standard deviations and paired permutation tests of per-image measurements.

Pitman 1937; Holm 1979. Swaps are matrix products: 10,000 of them on 3,000 pairs × 28 columns take a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from topodl.errors import InputError

__all__ = [
    "Correction",
    "FloatArray",
    "adjust_p_values",
    "group_mean_std",
    "group_weights",
    "mean_of_defined",
    "paired_permutation_test",
    "percent",
]

FloatArray = NDArray[np.float64]
Correction = Literal["holm", "bonferroni", "none"]
_CHUNK = 1 << 22  # signs held at once: 32 MB


def mean_of_defined(values: FloatArray, axis: int) -> FloatArray:
    """Return the mean along an axis of the values that are not NaN; NaN where all are.

    Examples
    --------
    >>> mean_of_defined(np.array([[1.0, np.nan], [3.0, np.nan]]), axis=0)
    array([ 2., nan])
    """
    defined = ~np.isnan(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def percent(share: float) -> str:
    """Return a share in words, less than a hundredth with one digit more.

    Examples
    --------
    >>> percent(0.753), percent(0.0021)
    ('75 %', '0.2 %')
    """
    return f"{100 * share:.{1 if abs(share) < 0.01 else 0}f} %"


def group_mean_std(values: FloatArray, groups: Sequence[str]) -> tuple[float, float]:
    """Return the mean and the standard deviation of a table cell: of each group, then averaged over groups.

    Parameters
    ----------
    values : array of shape (seeds, images)
        One measurement for each seed and image. NaN means that it is undefined there and is left out.
    groups : sequence of str, of length images
        Group of each image. With a single group these are the plain mean and standard deviation
        (with n - 1) of all seeds × images.

    Returns
    -------
    mean, std : float
        NaN where a group has too few defined values: none for the mean, fewer than two for the deviation.

    Examples
    --------
    >>> group_mean_std(np.array([[1.0, 3.0, 10.0, 10.0]]), ["a", "a", "b", "b"])
    (6.0, 0.7071067811865476)
    """
    labels = np.asarray(groups)
    means, deviations = [], []
    for group in dict.fromkeys(groups):
        members = values[:, labels == group]
        members = members[~np.isnan(members)]
        means.append(members.mean() if members.size else np.nan)
        deviations.append(members.std(ddof=1) if members.size > 1 else np.nan)
    return float(np.mean(means)), float(np.mean(deviations))


def group_weights(differences: FloatArray, groups: Sequence[str]) -> FloatArray:
    """Return weights that turn a sum over images into the mean over groups of the groups' means.

    Parameters
    ----------
    differences : array of shape (images, comparisons)
        Rows with NaN have weight 0 and are not counted in their group.
    groups : sequence of str, of length images
        Group of each image.

    Examples
    --------
    >>> group_weights(np.zeros((3, 1)), ["a", "a", "b"]).ravel()
    array([0.25, 0.25, 0.5 ])
    """
    defined = ~np.isnan(differences)
    labels = np.asarray(groups)
    weights = np.zeros_like(differences)
    for group in dict.fromkeys(groups):
        members = labels == group
        count = defined[members].sum(axis=0)
        weights[members] = defined[members] / np.maximum(count, 1)
    n_groups = np.stack([weights[labels == g].any(axis=0) for g in dict.fromkeys(groups)]).sum(axis=0)
    return weights / np.maximum(n_groups, 1)


def paired_permutation_test(
    differences: FloatArray,
    *,
    generator: np.random.Generator,
    weights: FloatArray | None = None,
    alternative: Literal["two-sided", "topomortar"] = "two-sided",
    n_permutations: int = 10_000,
    nan: Literal["raise", "omit"] = "raise",
) -> FloatArray:
    """Test by random swaps within pairs whether the mean difference of each column is zero.

    Parameters
    ----------
    differences : array of shape (pairs, comparisons)
        Measurement of one loss minus that of the other, one row a pair. All columns see the same swaps.
    generator : numpy.random.Generator
        Source of the swaps.
    weights : array of shape (pairs, comparisons), optional
        The statistic is the weighted sum of the differences; by default their mean.
    alternative : {"two-sided", "topomortar"}
        `"two-sided"`: share of swaps with absolute statistic at least as large as observed, the observed one
        included; exact (all 2^pairs swaps) where that is no more than `n_permutations`.
        `"topomortar"`: the TopoMortar study's, which compares the *signed* statistic of a swap with the
        absolute value of the observed one, strictly, and may be 0: half of the two-sided p-value.
    n_permutations : int
        Number of random swaps.
    nan : {"raise", "omit"}
        What to do with NaN, an undefined measurement: refuse it, or leave that pair out of that column.

    Returns
    -------
    array of shape (comparisons,)
        p-values. A column without a difference has p = 1 (`"topomortar"`: 0 swaps exceed 0, and p = 0,
        as in the study, where the mark needs a better mean as well).

    Raises
    ------
    InputError
        If `differences` is not a matrix with a row, has NaN with `nan="raise"`, or has an infinite value.

    References
    ----------
    E. J. G. Pitman, "Significance tests which may be applied to samples from any populations", 1937.

    Examples
    --------
    >>> differences = np.array([[1.0, 1.0], [2.0, -2.0], [3.0, 0.5], [0.5, 1.0]])
    >>> paired_permutation_test(differences, generator=np.random.default_rng(0))
    array([0.125, 1.   ])
    """
    differences = _checked(differences, nan)
    if weights is None:
        weights = 1.0 / np.maximum((~np.isnan(differences)).sum(axis=0, keepdims=True), 1)
    # A pair without a value adds nothing to any sum, which is the same as leaving it out.
    terms = np.nan_to_num(differences * weights, nan=0.0)
    observed = np.abs(terms.sum(axis=0))
    n_pairs = len(terms)
    if alternative == "topomortar":
        swapped = _random_sums(terms, n_permutations, generator)
        return sum((s > observed).sum(axis=0) for s in swapped) / n_permutations
    # Sums of the same numbers in another order differ by rounding, which must not break a tie.
    threshold = observed - 1e-12 * np.abs(terms).sum(axis=0)
    if n_pairs < 63 and 2**n_pairs <= n_permutations:
        return (np.abs(_all_sums(terms)) >= threshold).mean(axis=0)
    swapped = _random_sums(terms, n_permutations, generator)
    return (1 + sum((np.abs(s) >= threshold).sum(axis=0) for s in swapped)) / (1 + n_permutations)


def _checked(differences: FloatArray, nan: str) -> FloatArray:
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 2 or len(differences) == 0:
        raise InputError(
            f"paired_permutation_test: differences has shape {differences.shape}; "
            "expected (pairs, comparisons) with at least one pair"
        )
    unusable = np.isinf(differences) if nan == "omit" else ~np.isfinite(differences)
    if unusable.any():
        row, column = np.argwhere(unusable)[0]
        raise InputError(
            f"paired_permutation_test: differences[{row}, {column}] is {differences[row, column]}; "
            + ("expected finite values or NaN" if nan == "omit" else "expected finite values")
        )
    return differences


def _random_sums(
    terms: FloatArray, n_permutations: int, generator: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield the column sums of `terms` under random sign flips, a chunk of flips at a time."""
    n_pairs = len(terms)
    total = terms.sum(axis=0)
    rows = max(1, _CHUNK // n_pairs)
    for start in range(0, n_permutations, rows):
        n_rows = min(rows, n_permutations - start)
        random_bytes = generator.integers(0, 256, (n_rows, -(-n_pairs // 8)), dtype=np.uint8)
        swapped = np.unpackbits(random_bytes, axis=1, count=n_pairs).astype(np.float64)
        yield total - 2.0 * (swapped @ terms)


def _all_sums(terms: FloatArray) -> FloatArray:
    """Return the column sums of `terms` under each of the 2^pairs sign flips."""
    n_pairs = len(terms)
    swapped = (np.arange(2**n_pairs)[:, None] >> np.arange(n_pairs)) & 1
    return terms.sum(axis=0) - 2.0 * (swapped.astype(np.float64) @ terms)


def adjust_p_values(p_values: FloatArray, correction: Correction = "holm") -> FloatArray:
    """Correct p-values for their number.

    Parameters
    ----------
    p_values : array of shape (comparisons,)
        One family of p-values.
    correction : {"holm", "bonferroni", "none"}
        `"holm"` and `"bonferroni"` bound the chance of any false mark in the family; Holm's is never
        weaker and needs no assumption either.

    Returns
    -------
    array of shape (comparisons,)
        Adjusted p-values, to be compared with the level of the whole family.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", 1979.

    Examples
    --------
    >>> adjust_p_values(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    count = len(p_values)
    if correction == "none" or count == 0:
        return p_values.copy()
    if correction == "bonferroni":
        return np.minimum(p_values * count, 1.0)
    if correction != "holm":
        raise InputError(
            f"adjust_p_values: correction is {correction!r}; expected 'holm', 'bonferroni' or 'none'"
        )
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(count, 0, -1)), 1.0)
    return adjusted
