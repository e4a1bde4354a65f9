"""How sure a difference to the baseline is: intervals by the bootstrap over seeds and over images.

Efron, Tibshirani, "An Introduction to the Bootstrap", 1993. Both are drawn anew: the seeds of the two losses
by themselves, as their trainings have nothing in common, and the images for both, within their groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topodl.evaluation.comparison import DOMAINS, SettingComparison, rounded
from topodl.evaluation.statistics import FloatArray
from topodl.evaluation.tables import Cell, Row, Table

__all__ = ["difference_interval", "interval_table"]

_DRAWS = 2000
_SHARES = (2.5, 97.5)


def difference_interval(
    values: FloatArray, baseline: FloatArray, groups: Sequence[str], generator: np.random.Generator
) -> tuple[float, float, float]:
    """Return the mean difference of two losses and the ends of its 95 % interval.

    Parameters
    ----------
    values, baseline : array of shape (seeds, images)
        One measurement for each seed and image; NaN where it is undefined and left out.
    groups : sequence of str, of length images
        Group of each image; groups are weighted alike.
    generator : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    difference, low, high : float
        NaN where nothing is defined.

    Examples
    --------
    >>> ones = np.ones((3, 4))
    >>> difference_interval(3 * ones, ones, list("aabb"), np.random.default_rng(0))
    (2.0, 2.0, 2.0)
    """
    labels = np.asarray(groups)
    rows = [_draws(len(matrix), generator) for matrix in (values, baseline)]
    means: list[list[FloatArray]] = [[], []]
    for group in dict.fromkeys(groups):
        members = labels == group
        columns = _draws(int(members.sum()), generator)
        for of_loss, matrix, seeds in zip(means, (values, baseline), rows, strict=True):
            of_loss.append(_weighted_means(matrix[:, members], seeds, columns))
    differences = np.mean(means[0], axis=0) - np.mean(means[1], axis=0)
    drawn = differences[1:][~np.isnan(differences[1:])]
    low, high = np.percentile(drawn, _SHARES) if drawn.size else (np.nan, np.nan)
    return float(differences[0]), float(low), float(high)


def _draws(n: int, generator: np.random.Generator) -> FloatArray:
    """Return how often each of `n` things is drawn in each draw; in the first row each is there once."""
    counts = generator.multinomial(n, np.full(n, 1.0 / n), size=_DRAWS).astype(np.float64)
    return np.concatenate([np.ones((1, n)), counts])


def _weighted_means(matrix: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Return the mean of `matrix` under each draw of rows and columns; NaN where nothing defined is drawn."""
    defined = ~np.isnan(matrix)
    total = ((rows @ np.where(defined, matrix, 0.0)) * columns).sum(1)
    count = ((rows @ defined.astype(np.float64)) * columns).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def interval_table(result: SettingComparison, domain: str, *, seed: int) -> Table | None:
    """Return the differences to the baseline of every tested metric with their intervals, of one domain.

    An interval that leaves out 0 is not marked: it is not corrected for the number of comparisons.
    """
    setting, baseline = result.setting, result.baseline
    others = [loss for loss in setting.losses if loss is not baseline]
    if baseline is None or not others:
        return None
    members, groups = setting.domain(domain), setting.groups_in(domain)
    rows: list[Row] = []
    for loss in others:
        cells = []
        for metric in setting.tested_metrics:
            mine, theirs = (setting.values(x, metric)[:, members] for x in (loss, baseline))
            found = difference_interval(mine, theirs, groups, np.random.default_rng([seed, len(rows)]))
            cells.append(Cell(_shown(*found)))
        role = "collapsed" if loss.name in result.collapsed else ""
        rows.append(Row(loss.name, role, tuple(cells)))
    caption = f"Differences to {baseline.name} with 95 % intervals, {DOMAINS[domain].lower()}"
    return Table(caption, ("Loss", *(metric.name for metric in setting.tested_metrics)), tuple(rows))


def _shown(difference: float, low: float, high: float) -> str:
    if np.isnan(low):
        return "n/a"
    return f"{rounded(difference):+} ({rounded(low)} to {rounded(high)})"
