"""The topological autoencoder loss: edges of the spanning trees of two spaces keep their lengths.

Moor, Horn, Rieck, Borgwardt, "Topological Autoencoders", ICML 2020. Cost: two distance matrices and O(B²) for
the trees; gradients pass through 2 (B − 1) edges alone.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from topodl._checks import (
    check_choice,
    check_dense,
    check_number,
    fail,
    plain_tensor,
    reject_non_finite,
)
from topodl._distance_matrices import as_distances, warn_of_distances
from topodl._docs import shares_documentation
from topodl._host import has_gradient, host_array, on_host
from topodl._overflow import NON_FINITE, NonFinite, or_nan
from topodl._precision import at_least_single, full_precision, is_ordinary, unit_of
from topodl.losses._targets import TargetCache

__all__ = ["InputPairing", "TopologicalAutoencoderLoss", "topological_autoencoder_loss"]

_NAME = "TopologicalAutoencoderLoss"
# Up to this size distances are taken from differences; beyond it from products of centred points, which is
# many times faster and off by rounding alone, except between points that almost coincide.
_EXACT_SIZE = 32

Normalisation = Literal["auto", "max", "image", "none"]
Scaling = Literal["released", "paper"]


class InputPairing(NamedTuple):
    """What the loss needs of a batch of inputs alone: `TopologicalAutoencoderLoss.precompute` makes it."""

    distances: torch.Tensor
    """(B, B) distances."""
    scale: torch.Tensor
    """What they are divided by."""
    edges: torch.Tensor
    """(2, B − 1) edges of the minimum spanning tree."""
    cycles: torch.Tensor
    """(4, K) edges of birth and death of the loops, with ``dims`` 1; else (4, 0)."""
    points: torch.Tensor | None = None
    """(B, d) inputs where they ask for a gradient, else None."""


class TopologicalAutoencoderLoss(torch.nn.Module):
    r"""Topological autoencoder loss of a batch of inputs and its latent codes, ``loss(x, z)``.

    .. math::
        L = \frac1B \left( \|A^X[\pi^X] - A^Z[\pi^X]\|_2^2 + \|A^Z[\pi^Z] - A^X[\pi^Z]\|_2^2 \right)

    with the normalised distance matrices A of both spaces and the edges π of their minimum spanning trees,
    which are the deaths of dimension 0 of Rips persistence. An edge of both trees counts twice. The latent
    scale is a parameter: hand ``loss.parameters()`` to the optimiser beside those of the encoder.

    Parameters
    ----------
    dims : {0, 1}, default=0
        1 adds the loops: the lengths of the bars of dimension 1, by their critical edges, of either space in
        both.
    normalisation : {"auto", "max", "image", "none"}, default="auto"
        What distances of inputs are divided by: the largest of the batch ("max"), or 2 √(C H W), the largest
        that images with values in [-1, 1] can have ("image"). "auto" is "image" for inputs (B, C, H, W), else
        "max".
    metric : {"euclidean", "precomputed"}, default="euclidean"
        "precomputed": the first argument of the loss is a matrix of distances (B, B).
    scaling : {"released", "paper"}, default="released"
        "released" divides by the batch size B, as the published code does; "paper" multiplies by 1/2 instead,
        as the paper writes.
    latent_norm : float, default=1.0
        What latent distances are divided by, at the start.
    learn_latent_norm : bool, default=True
        Whether the latent scale is a parameter.
    cache_bytes : int, default=2**26
        Memory for the distances and trees of the last inputs: of a batch that comes again, in the same order,
        only the latent side is computed. 0 keeps nothing. Inputs that require a gradient are never kept.
    non_finite : {"nan", "raise"}, default="nan"
        What becomes of NaN and infinite latent codes: "nan" makes the loss and its gradient NaN, with a
        warning that says where, so that a scaler of gradients skips the step; "raise" is an error.

    Attributes
    ----------
    latent_norm : Tensor of shape (1,)
        The latent scale.

    Raises
    ------
    InputError
        If an option is none of those above; at the call, if batch sizes differ or are 0, or a value is NaN or
        infinite.

    Notes
    -----
    The gradient of a length 0 is 0. Ties between edges are broken by (length, i, j), as in the published
    code. For more than 32 features, distances decide the trees with the rounding of matrix products.

    References
    ----------
    M. Moor, M. Horn, B. Rieck, K. Borgwardt, "Topological Autoencoders", ICML 2020.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import TopologicalAutoencoderLoss
    >>> loss = TopologicalAutoencoderLoss()
    >>> x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    >>> z = torch.tensor([[0.0], [1.0], [3.0]], requires_grad=True)
    >>> value = loss(x, z)  # trees: 0-1 and 1-2 in both; (0.6 - 1)² + (0.8 - 2)², twice, over 3
    >>> value
    tensor(1.0667, grad_fn=<DivBackward0>)
    >>> value.backward()
    """

    def __init__(
        self,
        *,
        dims: int = 0,
        normalisation: Normalisation = "auto",
        metric: Literal["euclidean", "precomputed"] = "euclidean",
        scaling: Scaling = "released",
        latent_norm: float = 1.0,
        learn_latent_norm: bool = True,
        cache_bytes: int = 2**26,
        non_finite: NonFinite = "nan",
    ) -> None:
        super().__init__()
        check_choice(_NAME, "non_finite", non_finite, NON_FINITE)
        self.non_finite: NonFinite = non_finite
        _check_options(dims, normalisation, metric, scaling)
        check_number(_NAME, "latent_norm", latent_norm, low=torch.finfo(torch.float32).tiny)
        check_number(_NAME, "cache_bytes", cache_bytes, low=0, integer=True)
        self.dims, self.normalisation, self.metric, self.scaling = dims, normalisation, metric, scaling
        scale = torch.tensor([float(latent_norm)], device="cpu")
        if learn_latent_norm:
            self.latent_norm = torch.nn.Parameter(scale)
        else:
            self.register_buffer("latent_norm", scale)
        self._cache = TargetCache(cache_bytes)

    def forward(
        self, x: torch.Tensor | None, z: torch.Tensor, *, precomputed: InputPairing | None = None
    ) -> torch.Tensor:
        """Return the loss.

        Parameters
        ----------
        x : Tensor of shape (B, …), or None with `precomputed`
            The inputs; with ``metric="precomputed"`` their distances (B, B). They receive a gradient if they
            ask.
        z : Tensor of shape (B, …)
            The latent codes.
        precomputed : InputPairing, optional
            What `precompute` returned for these inputs.

        Returns
        -------
        Tensor
            A scalar of the dtype of `z`, float32 for half types.
        """
        return or_nan(lambda: self._compared(x, z, precomputed), (z,), self.non_finite)

    def _compared(
        self, x: torch.Tensor | None, z: torch.Tensor, precomputed: InputPairing | None
    ) -> torch.Tensor:
        if precomputed is None:
            precomputed = self._pairing(_check_input(x, self.metric))
        return _compare(precomputed, z, self.latent_norm, self.dims, self.scaling)

    def precompute(self, x: torch.Tensor) -> InputPairing:
        """Return the distances, tree and loops of a batch of inputs, to be handed in as ``precomputed=``.

        Parameters
        ----------
        x : Tensor of shape (B, …)
            As in the call.

        Returns
        -------
        InputPairing
        """
        return _pair_input(_check_input(x, self.metric), self.dims, self.normalisation, self.metric)

    def _pairing(self, x: torch.Tensor) -> InputPairing:
        if self._cache.max_bytes == 0 or (has_gradient(x) and torch.is_grad_enabled()):
            return _pair_input(x, self.dims, self.normalisation, self.metric)
        key = _fingerprint(x)
        known = self._cache.get(key)
        if known is not None and torch.equal(known["x"], x):
            return InputPairing(**{name: value for name, value in known.items() if name != "x"})
        pairing = _pair_input(x, self.dims, self.normalisation, self.metric)
        kept = {name: value for name, value in pairing._asdict().items() if value is not None}
        self._cache.put(key, {"x": x.detach().clone(), **kept})
        return pairing

    def extra_repr(self) -> str:
        """Return the options."""
        return f"dims={self.dims}, normalisation={self.normalisation!r}, scaling={self.scaling!r}"


@shares_documentation(TopologicalAutoencoderLoss, sections=["References"])
def topological_autoencoder_loss(
    x: torch.Tensor,
    z: torch.Tensor,
    *,
    latent_norm: float | torch.Tensor = 1.0,
    dims: int = 0,
    normalisation: Normalisation = "auto",
    metric: Literal["euclidean", "precomputed"] = "euclidean",
    scaling: Scaling = "released",
    non_finite: NonFinite = "nan",
) -> torch.Tensor:
    """Return the topological autoencoder loss of inputs `x` and latent codes `z`, both (B, …).

    Parameters
    ----------
    x, z : Tensor of shape (B, …)
        As in the call of `TopologicalAutoencoderLoss`.
    latent_norm : float, or Tensor of shape () or (1,)
        What latent distances are divided by.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError
        If an option is unusable, batch sizes differ or are 0, an input, or with ``non_finite="raise"`` a
        latent code, is NaN or infinite, or distances overflow.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import topological_autoencoder_loss
    >>> x = torch.tensor([[0.0], [1.0], [4.0]])
    >>> loss = topological_autoencoder_loss(x, x / 4)  # equal but for their scale
    >>> loss.round(decimals=4)
    tensor(0.)
    """
    _check_options(dims, normalisation, metric, scaling)
    check_choice(_NAME, "non_finite", non_finite, NON_FINITE)
    pairing = _pair_input(_check_input(x, metric), dims, normalisation, metric)
    return or_nan(lambda: _compare(pairing, z, latent_norm, dims, scaling), (z,), non_finite)


def _check_options(dims: int, normalisation: str, metric: str, scaling: str) -> None:
    check_choice(_NAME, "dims", dims, (0, 1))
    check_choice(_NAME, "normalisation", normalisation, ("auto", "max", "image", "none"))
    check_choice(_NAME, "metric", metric, ("euclidean", "precomputed"))
    check_choice(_NAME, "scaling", scaling, ("released", "paper"))


def _check_input(x: Any, metric: str) -> torch.Tensor:
    x = _as_batch("x", x)
    if metric == "precomputed":
        reject_non_finite(_NAME, "x", x)
        if x.ndim != 2 or x.shape[0] != x.shape[1]:
            raise fail(_NAME, "x", f"has shape {tuple(x.shape)}", "distances of shape (B, B)")
        x = as_distances(_NAME, "x", x[None])[0]
    else:
        warn_of_distances(_NAME, "x", x, stacklevel=3)
    return x


def _as_batch(argument: str, value: Any) -> torch.Tensor:
    """Return `value` (B, …) in single or double precision, or say what is wrong with it."""
    x = check_dense(_NAME, argument, value)
    if x.ndim < 2 or 0 in x.shape:
        raise fail(_NAME, argument, f"has shape {tuple(x.shape)}", "a batch (B, …), not empty")
    if x.is_complex():
        raise TypeError(f"{_NAME}: {argument} has dtype {x.dtype}; expected real values")
    return at_least_single(x) if x.is_floating_point() else x.float()


def _pair_input(x: torch.Tensor, dims: int, normalisation: str, metric: str) -> InputPairing:
    """Return the distances, scale and pairing of the inputs, and the points if they ask for a gradient."""
    if normalisation == "auto":
        normalisation = "image" if metric == "euclidean" and x.ndim == 4 else "max"
    points = x.flatten(1)
    with full_precision(x):
        distances = points if metric == "precomputed" else _distances_of_input(points.detach())
    edges, cycles = _pairing(distances, dims)
    wants_gradient = has_gradient(points) and torch.is_grad_enabled()
    if normalisation == "max":
        scale = distances.max()
        largest = scale.item()
        if not math.isfinite(largest):
            raise fail(_NAME, "x", f"has distances that overflow {x.dtype}", "values of moderate size")
        if wants_gradient and metric == "euclidean":
            widest = torch.stack(torch.unravel_index(distances.argmax(), distances.shape))[:, None]
            scale = _lengths(points, widest, _unit_of_points("x", points))[0]
        scale = scale if largest > 0 else torch.ones_like(scale)
    else:
        scale = distances.new_tensor(2.0 * points.shape[1] ** 0.5 if normalisation == "image" else 1.0)
    kept = points if wants_gradient and metric == "euclidean" else None
    return InputPairing(distances, scale, edges, cycles, kept)


def _compare(
    pairing: InputPairing, z: torch.Tensor, latent_norm: float | torch.Tensor, dims: int, scaling: str
) -> torch.Tensor:
    """Return the loss: both signatures at the edges of both pairings."""
    z = _as_batch("z", z).flatten(1)
    if len(pairing.distances) != len(z):
        expected = f"one latent code for each of the {len(pairing.distances)} inputs"
        raise fail(_NAME, "z", f"has shape {tuple(z.shape)}", expected)
    with full_precision(z):
        unit = _unit_of_points("z", z)
        with torch.no_grad():
            latent_edges, latent_cycles = _pairing_of_points(z.detach(), unit, dims)
        edges = torch.cat((pairing.edges, latent_edges), 1)
        if dims:
            cycles = torch.cat((pairing.cycles, latent_cycles), 1)
            edges = torch.cat((edges, cycles[:2], cycles[2:]), 1)
        if pairing.points is None:
            known = pairing.distances[edges[0], edges[1]]
        else:
            known = _lengths(pairing.points, edges, _unit_of_points("x", pairing.points))
        if isinstance(latent_norm, torch.Tensor):
            latent_norm = plain_tensor(latent_norm).to(z.dtype)
        difference = (known / pairing.scale).to(z.dtype) - _lengths(z, edges, unit) / latent_norm
        if dims:
            # A bar's length is its death's minus its birth's, so the difference of lengths is that of
            # differences.
            n = cycles.shape[1]
            first = len(difference) - 2 * n
            bars = difference[first + n :] - difference[first : first + n]
            difference = torch.cat((difference[:first], bars))
        total = difference.square().sum()
        if not math.isfinite(total.detach()):
            largest = float(difference.detach().abs().max())
            came = f"has distances that are wrong by up to {largest:g}, whose squares overflow {z.dtype}"
            raise fail(_NAME, "z", came, "distances of the order of those of x; see latent_norm")
        return total / len(z) if scaling == "released" else total / 2


def _distances_of_input(points: torch.Tensor) -> torch.Tensor:
    """Return the distances between all `points` (B, d), in an ordinary unit first: that mostly serves."""
    distances = _distances_in_unit(points)
    if on_host(distances) and is_ordinary(distances.max().item()):
        return distances
    return _distances(points, _unit_of_points("x", points))


def _distances(points: torch.Tensor, unit: torch.Tensor | None) -> torch.Tensor:
    """Return the distances between all `points` (B, d), 0 on the diagonal; squares are taken in `unit`."""
    if unit is None:
        return _distances_in_unit(points)
    return _distances_in_unit(points / unit).mul_(unit)


def _unit_of_points(argument: str, points: torch.Tensor) -> torch.Tensor | None:
    """Return a power of two of the order of the extent of `points` (B, d), in which squares stay in range.

    None is a unit that would change nothing, as for points of ordinary extent, which are told on the host.
    Points that are not finite have none: an error says so.
    """
    points = points.detach()
    if on_host(points) and is_ordinary(_extent(points.numpy())):  # in a third of the time
        return None
    reject_non_finite(_NAME, argument, points)
    return unit_of((points / 2 - points[:1] / 2).abs().amax())  # the difference itself may overflow


@np.errstate(all="ignore")
def _extent(points: np.ndarray[Any, np.dtype[Any]]) -> float:
    differences = points - points[:1]
    return float(np.abs(differences, out=differences).max())


def _distances_in_unit(points: torch.Tensor) -> torch.Tensor:
    """Return the distances between all `points` (B, d)."""
    if points.shape[1] <= _EXACT_SIZE:
        return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    # Products of points far from the origin would cancel.
    centred = points - points.mean(0, keepdim=True)
    # torch.cdist does the same by longer rows, and takes twice as long.
    products = centred @ centred.T
    norms = products.diagonal()
    squares = (norms[:, None] + norms).sub_(products, alpha=2.0)  # rounds to 0 on the diagonal
    return squares.clamp_(min=0.0).sqrt_()


def _lengths(points: torch.Tensor, edges: torch.Tensor, unit: torch.Tensor | None) -> torch.Tensor:
    """Return the lengths of `edges` (2, E), squares taken in `unit`; the gradient of a length 0 is 0."""
    if unit is not None:
        return _lengths(points / unit, edges, None) * unit
    starts, ends = points.index_select(0, edges.reshape(-1)).view(2, -1, points.shape[1]).unbind()
    return torch.linalg.vector_norm(starts - ends, dim=1)


def _pairing_of_points(
    points: torch.Tensor, unit: torch.Tensor | None, dims: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `_pairing` does; the tree of few features needs no matrix of distances."""
    if dims or points.shape[1] > _EXACT_SIZE:
        return _pairing(_distances(points, unit), dims)
    from topodl.kernels.points.spanning_tree import spanning_tree_of_points

    tree, _ = spanning_tree_of_points(host_array(_NAME, points if unit is None else points / unit))
    edges = torch.from_numpy(tree.T).to(points.device)
    return edges, edges.new_empty((4, 0))


def _pairing(distances: torch.Tensor, dims: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the edges of the spanning tree, (2, B − 1), and of birth and death of the loops, (4, K)."""
    from topodl.kernels.points.spanning_tree import spanning_tree_of_matrix

    array = host_array(_NAME, distances)
    edges = torch.from_numpy(spanning_tree_of_matrix(array)[0].T).to(distances.device)
    if not dims:
        return edges, edges.new_empty((4, 0))
    from topodl.persistence.rips import rips_persistence

    matrix = torch.from_numpy(np.maximum(array, array.T))
    loops = rips_persistence(matrix[None], 1, metric="precomputed")
    assert loops.birth_cells is not None and loops.death_cells is not None  # noqa: PT018 (for the type checker)
    births, deaths = loops.birth_cells.T, loops.death_cells.T
    return edges, torch.cat((births[:1], births[1:], deaths[:1], deaths[1:])).to(distances.device)


def _fingerprint(x: torch.Tensor) -> tuple[int, tuple[int, ...], str]:
    """Return a key that few other batches share: what is found under it is compared before it is used."""
    flat = x.detach().flatten()
    values = flat[:: max(1, flat.numel() // 8)].tolist()
    return hash(tuple(values)), tuple(x.shape), f"{x.device} {x.dtype}"
