"""Optimal matchings of bars: to each other, and to the diagonal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from topodl._checks import fail
from topodl.diagrams import Diagrams
from topodl.distances._input import Array, SortedBars, check_norms, chosen, same_dims
from topodl.kernels.shared.pool import map_batch

__all__ = ["Matching", "infinite_ends", "match", "optimal_matching"]


class Matching(NamedTuple):
    """Which bars of two batches of diagrams belong together.

    Attributes
    ----------
    first, second : Tensor of shape (M,), int64
        Indices of the bars of both, in the order of `Diagrams.births`; −1 is the diagonal.
    segments : Tensor of shape (M,), int64
        The (sample, dimension) pair of each match, as `Diagrams.segments` counts them.
    unequal : Tensor of shape (n_segments,), bool
        Where the numbers of essential bars differ, so that these are in no match and the distance is
        infinite.

    References
    ----------
    D. Cohen-Steiner, H. Edelsbrunner, J. Harer, Y. Mileyko. Lipschitz functions have L_p-stable persistence.
    Foundations of Computational Mathematics 10, 2010.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.distances import optimal_matching
    >>> a = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 1.5]]]))
    >>> matching = optimal_matching(a, a)
    >>> matching.segments
    tensor([0, 0])
    """

    first: torch.Tensor
    second: torch.Tensor
    segments: torch.Tensor
    unequal: torch.Tensor


def optimal_matching(
    d1: Diagrams, d2: Diagrams, order: float = 2, ground_norm: float = 2, dims: Any = None
) -> Matching:
    """Find the matching of the Wasserstein distance between the diagrams of two batches, sample by sample.

    It minimises Σ ‖x − γ(x)‖^order over the matchings γ of finite bars to each other and to the diagonal.
    Bars with an infinite end go to those with the same one, in the order of the other.

    Parameters
    ----------
    d1, d2 : Diagrams
        Batches of B samples with the same homology dimensions.
    order : float
        Exponent, at least 1.
    ground_norm : float
        Norm of the plane, at least 1; may be inf.
    dims : int or sequence of int, optional
        Homology dimensions. None: all; bars of others are in no match.

    Returns
    -------
    Matching
        Each bar of `dims` once, those that go to the diagonal with −1 as partner.

    Raises
    ------
    InputError
        If the batches differ in their number of samples or in their dimensions, or an exponent is below 1.

    References
    ----------
    R. Jonker, A. Volgenant. A shortest augmenting path algorithm for dense and sparse linear assignment
    problems. Computing 38, 1987.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.distances import optimal_matching
    >>> a = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 1.5]]]))
    >>> b = Diagrams.from_padded(torch.tensor([[[0.0, 3.0]]]))
    >>> matching = optimal_matching(a, b)
    >>> matching.first, matching.second
    (tensor([0, 1]), tensor([ 0, -1]))
    """
    name = "optimal_matching"
    check_norms(name, order, ground_norm)
    same_dims(name, d1, d2)
    if len(d1) != len(d2):
        raise fail(name, "d2", f"has {len(d2)} samples", f"{len(d1)}, as d1")
    matching = match(name, d1.at_least_single(), d2.at_least_single(), float(order), float(ground_norm))
    kept = torch.ones(len(matching.segments), dtype=torch.bool, device=d1.device)
    for d, bars in ((d1, matching.first), (d2, matching.second)):
        among = chosen(name, d, dims)
        if among is not None:
            kept &= torch.where(bars < 0, True, among[bars]) if len(among) else bars < 0
    return Matching(matching.first[kept], matching.second[kept], matching.segments[kept], matching.unequal)


def match(name: str, d1: Diagrams, d2: Diagrams, order: float, norm: float) -> Matching:
    """Return the matching of each (sample, dimension) of checked diagrams."""
    from topodl.kernels.vectors.bar_matching import match_bars

    (bars1, *rest1), (bars2, *rest2) = (SortedBars.split(name, d) for d in (d1, d2))
    infinite, unequal = _match_infinite(rest1, rest2, d1.n_segments)

    def one(s: int) -> Array:
        at1, at2 = slice(*bars1.offsets[s : s + 2]), slice(*bars2.offsets[s : s + 2])
        unit = max(bars1.units[s], bars2.units[s])
        partner = match_bars(bars1.bars[at1] / unit, bars2.bars[at2] / unit, order, norm)
        matched = partner >= 0
        places1, places2 = bars1.places[at1], bars2.places[at2]
        left, right = places1[matched], places2[partner[matched]]
        alone1, alone2 = places1[~matched], np.delete(places2, partner[matched])
        return np.stack(
            [
                np.concatenate([left, alone1, np.full(len(alone2), -1)]),
                np.concatenate([right, np.full(len(alone1), -1), alone2]),
                np.full(len(left) + len(alone1) + len(alone2), s),
            ]
        )

    table = np.concatenate([infinite, *map_batch(one, range(d1.n_segments))], 1)
    table = table[:, np.argsort(table[2], kind="stable")]
    first, second, segments = torch.from_numpy(table).to(d1.device)
    return Matching(first, second, segments, torch.from_numpy(unequal).to(d1.device))


def infinite_ends(bars: Array, keys: Array) -> tuple[Array, Array, Array]:
    """Sort bars (E, 2) with an infinite end by whose they are, by that end, and by the other one.

    Returns the order, the infinite ends (E, 2), 0 for finite ones, and the finite ends (E,), 0 where there is
    none, both in that order.
    """
    kinds = np.where(np.isinf(bars), bars, 0.0)
    others = np.where(np.isinf(bars), 0.0, bars).sum(1)
    order = np.lexsort((others, kinds[:, 1], kinds[:, 0], keys))
    return order, kinds[order], others[order]


def _match_infinite(first: list[Array], second: list[Array], n: int) -> tuple[Array, Array]:
    """Match the bars with an infinite end to those with the same one, in the order of their other ends.

    Where the numbers of any kind differ, nothing is matched, and the second value is true.
    """
    sides = []
    for bars, keys, places in (first, second):
        order, kinds, _ = infinite_ends(bars, keys)
        sides.append((np.bincount(keys, minlength=n), kinds, keys[order], places[order]))
    (counts1, kinds1, keys1, places1), (counts2, kinds2, keys2, places2) = sides
    unequal = counts1 != counts2
    kept1, kept2 = ~unequal[keys1], ~unequal[keys2]
    differ = (kinds1[kept1] != kinds2[kept2]).any(1)
    unequal[keys1[kept1][differ]] = True
    kept1, kept2 = ~unequal[keys1], ~unequal[keys2]
    return np.stack([places1[kept1], places2[kept2], keys1[kept1]]).astype(np.int64), unequal
