"""Vectors of the bars themselves: how many there are, the longest, their distances, a polynomial of them.

Carrière, Oudot, Ovsjanikov, SGP 2015 (topological vectors); Di Fabio and Ferri, ICIAP 2015 (polynomials).
Cost: a sort of the bars; the square of their number for topological vectors.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from topodl._checks import check_choice, check_number, reject_export
from topodl._host import host_array, on_host, whole_values
from topodl._segments import contiguous_sum, padded_groups
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._grids import CurveLayer

__all__ = ["ComplexPolynomial", "LongestBars", "NumberOfBars", "TopologicalVector"]

# Entries of the tables of distances that are in memory at a time.
_AT_ONCE = 2**23


class NumberOfBars(CurveLayer):
    """Number of bars that are longer than a threshold, without gradient.

    As a module: `Diagrams` to a tensor (B, K, 1).

    Parameters
    ----------
    min_persistence : float
        A bar counts if it is strictly longer.
    essential : {"keep", "drop", "clamp"}
        Kept essential bars count. See `Diagrams.with_essential`.

    See Also
    --------
    BettiCurve : the number of bars that are alive at each of many values.

    References
    ----------
    H. Edelsbrunner, D. Letscher, A. Zomorodian. Topological persistence and simplification. Discrete &
    Computational Geometry 28, 2002.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import NumberOfBars
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 1.5], [0.0, torch.inf]]]))
    >>> NumberOfBars(min_persistence=1.0)(d)
    tensor([[[2.]]])
    """

    _policies = ("keep", "drop", "clamp")
    _uses_grid = False

    def __init__(
        self,
        min_persistence: float = 0.0,
        dims: Any = None,
        essential: EssentialPolicy = "keep",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.min_persistence = min_persistence
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        check_number("NumberOfBars", "min_persistence", self.min_persistence, low=0.0)
        super()._check_settings()

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        longer = (d.persistence().detach() > self.min_persistence).to(d.dtype)
        return contiguous_sum(longer, d.sample_offsets)[:, None]

    def _columns(self) -> list[str]:
        return ["count"]


class LongestBars(CurveLayer):
    """The lengths of the longest bars, the longest first; 0 where there are fewer.

    As a module: `Diagrams` to a tensor (B, K, n_bars).

    Parameters
    ----------
    n_bars : int
        Number of bars of each homology dimension.

    See Also
    --------
    topodl.Diagrams.longest : the function behind it.
    PaddedBars : births and deaths of the longest bars.

    References
    ----------
    P. Bendich, J. S. Marron, E. Miller, A. Pieloch, S. Skwerer. Persistent homology analysis of brain artery
    trees. Annals of Applied Statistics 10, 2016.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import LongestBars
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 2.0], [1.0, 4.0]]]))
    >>> LongestBars(3)(d)
    tensor([[[3., 2., 0.]]])
    """

    _uses_grid = False

    def __init__(
        self,
        n_bars: int = 10,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_bars = n_bars
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        check_number("LongestBars", "n_bars", self.n_bars, low=1, integer=True)
        super()._check_settings()

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        if on_host(d.births):
            return _longest_by_kernel(d, int(self.n_bars))
        return d.longest(int(self.n_bars), dim=d.homology_dims[0], essential="keep")

    def _columns(self) -> list[str]:
        return [str(i) for i in range(int(self.n_bars))]


def _longest_by_kernel(d: Diagrams, k: int) -> torch.Tensor:
    """Return what `Diagrams.longest` does (B, k) of the one dimension of `d`, without a sort of all bars."""
    from topodl.kernels.vectors.longest import longest_bars

    lengths = d.persistence()
    found = longest_bars(host_array("LongestBars", lengths), host_array("LongestBars", d.sample_offsets), k)
    if not len(lengths):
        return lengths.new_zeros(found.shape) + lengths.sum()  # the graph of an empty batch
    chosen, last = torch.from_numpy(found), len(lengths) - 1
    table = lengths.index_select(0, chosen.clamp(max=last).reshape(-1)).view(-1, k)
    return table.masked_fill(chosen > last, 0.0)


class TopologicalVector(CurveLayer):
    """The largest of min(‖p − q‖∞, length of p / 2, length of q / 2) over pairs of bars, in falling order.

    As a module: `Diagrams` to a tensor (B, K, n_distances); 0 where there are fewer pairs.

    Parameters
    ----------
    n_distances : int
        Number of values that are kept.

    Notes
    -----
    GUDHI's layer of that name leaves out the length of the one of both bars that comes first, so that its
    values depend on the order of the bars; they agree where bars come by falling length.

    References
    ----------
    M. Carrière, S. Oudot, M. Ovsjanikov. Stable topological signatures for points on 3D shapes. Computer
    Graphics Forum 34 (SGP), 2015.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import TopologicalVector
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 4.0], [1.0, 3.0], [5.0, 11.0]]]))
    >>> TopologicalVector(4)(d)
    tensor([[[2., 1., 1., 0.]]])
    """

    _uses_grid = False

    def __init__(
        self,
        n_distances: int = 10,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.n_distances = n_distances
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        check_number("TopologicalVector", "n_distances", self.n_distances, low=1, integer=True)
        super()._check_settings()

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        reject_export("TopologicalVector")
        n, lengths = int(self.n_distances), d.persistence()
        vectors = lengths.new_zeros(d.n_samples, n) + lengths[:0].sum()  # the graph of an empty batch
        for which, bars, real in padded_groups(d.sample_offsets):
            width = bars.shape[1]
            bars, real = _longest_first(lengths.detach(), bars, real)
            for part in torch.arange(len(which), device=d.device).split(max(_AT_ONCE // width**2, 1)):
                first, second, kept = _best_of_longest(d, bars[part], real[part], n)
                found = torch.where(kept, _kept_apart(d, first, second), 0.0)
                vectors = vectors.index_copy(0, which[part], F.pad(found, (0, n - found.shape[1])))
        return vectors

    def _columns(self) -> list[str]:
        return [str(i) for i in range(int(self.n_distances))]


def _kept_apart(d: Diagrams, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return how far pairs of bars are from each other or, if that is less, from the diagonal."""
    apart = torch.maximum(
        (d.births[first] - d.births[second]).abs(), (d.deaths[first] - d.deaths[second]).abs()
    )
    lengths = d.persistence()
    return torch.minimum(apart, torch.minimum(lengths[first], lengths[second]) / 2)


def _longest_first(
    lengths: torch.Tensor, bars: torch.Tensor, real: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each row of `bars` (S, W) by falling length, those that are no bars last, and which are."""
    order = lengths[bars].masked_fill(~real, -1.0).argsort(dim=1, descending=True, stable=True)
    return bars.gather(1, order), real.gather(1, order)


def _best_of_longest(
    d: Diagrams, bars: torch.Tensor, real: torch.Tensor, n: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what `_best_pairs` does of rows by falling length: pairs of the longest bars are mostly enough.

    No pair is worth more than half of its shorter bar: what is not longer than twice the last of the best
    pairs so far cannot add a better one.
    """
    width, lengths = min(bars.shape[1], 2 * n), d.persistence().detach()
    while True:
        first, second, kept = _best_pairs(d, bars[:, :width], real[:, :width], n)
        if width == bars.shape[1]:
            return first, second, kept
        worst = _kept_apart(d.detach(), first[:, -1], second[:, -1]).masked_fill(~kept[:, -1], 0.0)
        next_lengths = lengths[bars[:, width]].masked_fill(~real[:, width], 0.0)
        if bool(whole_values(next_lengths <= 2 * worst).all()):
            return first, second, kept
        width = min(2 * width, bars.shape[1])


def _best_pairs(
    d: Diagrams, bars: torch.Tensor, real: torch.Tensor, n: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return both bars of the `n` best pairs of each row of `bars` (S, W), and which pairs there are."""
    width = bars.shape[1]
    above = torch.ones(width, width, dtype=torch.bool, device=bars.device).triu(1)
    valid = above & real[:, :, None] & real[:, None, :]
    apart = _kept_apart(d.detach(), bars[:, :, None], bars[:, None, :]).masked_fill(~valid, -1.0)
    values, places = apart.flatten(1).topk(min(n, width * width))
    row, column = torch.div(places, width, rounding_mode="floor"), places % width
    return bars.gather(1, row), bars.gather(1, column), values >= 0


class ComplexPolynomial(CurveLayer):
    """The first coefficients of the polynomial whose roots are the bars, as complex numbers.

    As a module: `Diagrams` to a tensor (B, K, n_coefficients, 2) of real and imaginary parts: of the
    monic polynomial Π (z − r) the coefficients behind the leading one; 0 where there are fewer.

    Parameters
    ----------
    roots : {"R", "S", "T"}
        The root r of a bar (b, d). "R": b + i d. "S": (d − b) / √2 · (b + i d) / α with α = ‖(b, d)‖, 0 on
        the diagonal. "T": (d − b) / 2 · (cos α − sin α + i (cos α + sin α)), 0 there, too.
    n_coefficients : int
        Number of coefficients.

    References
    ----------
    B. Di Fabio, M. Ferri. Comparing persistence diagrams through complex vectors. ICIAP 2015.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import ComplexPolynomial
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [1.0, 2.0]]]))
    >>> ComplexPolynomial(n_coefficients=3)(d).round().long()  # (z−i) (z−1−2i) = z² − (1+3i) z − 2+i
    tensor([[[[-1, -3],
              [-2,  1],
              [ 0,  0]]]])
    """

    _uses_grid = False

    def __init__(
        self,
        roots: str = "R",
        n_coefficients: int = 10,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.roots = roots
        self.n_coefficients = n_coefficients
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        check_choice("ComplexPolynomial", "roots", self.roots, ("R", "S", "T"))
        check_number("ComplexPolynomial", "n_coefficients", self.n_coefficients, low=1, integer=True)
        super()._check_settings()

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        reject_export("ComplexPolynomial")
        n = int(self.n_coefficients)
        bars, _, _ = d.padded()  # a root of 0 changes no coefficient
        coefficients = _first_coefficients(_roots(bars, self.roots), n)
        return F.pad(coefficients, (0, 0, 0, n - coefficients.shape[1]))

    def _columns(self) -> list[str]:
        return [f"{i}_{part}" for i in range(int(self.n_coefficients)) for part in ("real", "imaginary")]


def _roots(bars: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the roots (B, M, 2) of bars (B, M, 2), real and imaginary parts."""
    if kind == "R":
        return bars
    births, deaths = bars.unbind(2)
    lengths, zero = deaths - births, (bars == 0).all(2)
    # The norm has no gradient at 0, where both roots are 0.
    size = torch.hypot(births.masked_fill(zero, 1.0), deaths).masked_fill(zero, 1.0)
    if kind == "S":
        return bars * (lengths / (math.sqrt(2) * size))[..., None]
    cos, sin = size.cos(), size.sin()
    return torch.stack([cos - sin, cos + sin], 2) * lengths[..., None] / 2


def _first_coefficients(roots: torch.Tensor, n: int) -> torch.Tensor:
    """Return up to `n` coefficients (B, ≤ n, 2) of Π (1 − r z) of each row, without the leading 1.

    Neighbours are multiplied until one is left, so that what a row has does not depend on its padding.
    """
    factors = -roots[:, :, None]  # (B, M, degree, 2)
    while factors.shape[1] > 1:
        if factors.shape[1] % 2:
            factors = F.pad(factors, (0, 0, 0, 0, 0, 1))
        factors = _products(factors[:, ::2], factors[:, 1::2], n)
    return factors.sum(1)  # of one, or of none


def _products(left: torch.Tensor, right: torch.Tensor, n: int) -> torch.Tensor:
    """Return the products of polynomials 1 + Σ c_k z^k with coefficients (…, degree, 2), up to degree `n`."""
    degree = left.shape[2]
    total = F.pad(left + right, (0, 0, 0, max(min(2 * degree, n) - degree, 0)))
    for k in range(1, min(degree, n - 1) + 1):
        factor, other = left[:, :, k - 1, None], right[:, :, : n - k]
        real = factor[..., 0] * other[..., 0] - factor[..., 1] * other[..., 1]
        imaginary = factor[..., 0] * other[..., 1] + factor[..., 1] * other[..., 0]
        term = torch.stack([real, imaginary], -1)
        after = total.shape[2] - k - term.shape[2]
        total = total + F.pad(term, (0, 0, k, after))
    return total
