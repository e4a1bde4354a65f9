"""Bags of events, pure background or with a share of signal, for classifiers of whole bags.

Dietterich, Lathrop, Lozano-Pérez, "Solving the multiple instance problem with axis-parallel rectangles",
Artificial Intelligence 89, 1997.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from topodl._checks import check_number, fail

__all__ = ["Bags", "draw_bags"]

Array = np.ndarray[Any, np.dtype[Any]]


class Bags(NamedTuple):
    """Bags of events (n_bags, size, d), with labels (n_bags,) and the events that they were drawn from.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.datasets import draw_bags
    >>> bags = draw_bags(np.arange(40.0)[:, None], np.arange(40) % 2, size=5, n_bags=6)
    >>> bool((bags.points == np.arange(40.0)[bags.indices][..., None]).all())
    True
    """

    points: Array
    """(n_bags, size, d) the events of each bag, in random order."""
    labels: Array
    """(n_bags,) 1 for a bag with signal, 0 for one of background alone, int64."""
    indices: Array
    """(n_bags, size) which events these are, int64."""


def draw_bags(
    events: Any, labels: Any, size: int, n_bags: int, fraction: float = 1.0, random_state: int = 0
) -> Bags:
    """Draw bags of events: every other one of background alone, the others with signal among it.

    A bag has no event twice; different bags may share some. Draw the bags for training and those for testing
    from two parts of the events, so that none is in both.

    If events are independent given their kind, the sum of the logarithms of their likelihood ratios decides
    best what a bag is (Neyman and Pearson), and no shape of the bag can add to it. The topology of a bag
    helps where its events depend on each other.

    Parameters
    ----------
    events : array of shape (N, d)
        One event a row.
    labels : array of shape (N,), integers or booleans
        1 for signal and 0 for background.
    size : int
        Events of a bag.
    n_bags : int
        Number of bags; half of them, rounded down, have signal.
    fraction : float
        Probability that an event of a bag with signal is signal: their number is binomial.
    random_state : int
        Seed.

    Returns
    -------
    Bags
        Events (n_bags, size, d), labels (n_bags,) and indices (n_bags, size), in random order.

    Raises
    ------
    InputError
        If shapes do not fit, a label is neither 0 nor 1, there are too few events of a kind for a bag, or an
        argument is out of its range.

    References
    ----------
    T. G. Dietterich, R. H. Lathrop, T. Lozano-Pérez, "Solving the multiple instance problem with
    axis-parallel rectangles", Artificial Intelligence 89, 1997. J. Neyman, E. S. Pearson, "On the problem of
    the most efficient tests of statistical hypotheses", Philosophical Transactions A 231, 1933.

    Examples
    --------
    >>> import numpy as np
    >>> from topodl.datasets import draw_bags
    >>> events = np.random.default_rng(0).normal(size=(500, 6))
    >>> bags = draw_bags(events, events[:, 0] > 0, size=30, n_bags=20, fraction=0.2)
    >>> bags.points.shape, bags.labels.sum().item()
    ((20, 30, 6), 10)
    """
    name = "draw_bags"
    events, labels = np.asarray(events), np.asarray(labels)
    if events.ndim != 2 or len(events) == 0:
        raise fail(name, "events", f"has shape {events.shape}", "shape (N, d), N at least 1")
    if labels.shape != events.shape[:1] or not np.isin(labels, (0, 1)).all():
        raise fail(name, "labels", f"has shape {labels.shape}", f"0 or 1 for each of {len(events)} events")
    for argument, value in (("size", size), ("n_bags", n_bags)):
        check_number(name, argument, value, low=1, integer=True)
    check_number(name, "fraction", fraction, low=0.0, high=1.0)
    check_number(name, "random_state", random_state, low=0, integer=True)
    rng = np.random.default_rng(random_state)
    of_bags = rng.permutation((np.arange(n_bags) % 2).astype(np.int64))
    numbers = np.where(of_bags == 1, rng.binomial(size, fraction, n_bags), 0)
    kinds = [np.flatnonzero(labels == kind) for kind in (0, 1)]
    for kind, most in zip((0, 1), (int((size - numbers).max()), int(numbers.max())), strict=True):
        if len(kinds[kind]) < most:
            came = f"have {len(kinds[kind])} of {('background', 'signal')[kind]}"
            raise fail(name, "labels", came, f"at least {most}, as one bag has so many")
    indices = np.stack([_one_bag(rng, kinds, size, int(signal)) for signal in numbers])
    return Bags(events[indices], of_bags, indices)


def _one_bag(rng: np.random.Generator, kinds: list[Array], size: int, n_signal: int) -> Array:
    background = rng.choice(kinds[0], size - n_signal, replace=False)
    signal = rng.choice(kinds[1], n_signal, replace=False)
    return rng.permutation(np.concatenate([background, signal]))
