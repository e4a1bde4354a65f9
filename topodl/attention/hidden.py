"""Geometry of hidden states: intrinsic dimension, and neighbourhood overlap between layers.

Facco et al. (2017), two nearest neighbours; Viswanathan et al. (2025), the geometry of tokens in language
models. Cost n² distances a layer.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from topodl._checks import (
    as_tensor,
    check_choice,
    check_dense,
    check_number,
    fail,
    reject_non_finite,
)
from topodl._distance_matrices import point_distances
from topodl._docs import shares_documentation
from topodl._host import reject_mapped
from topodl._precision import at_least_single
from topodl.layers._base import FeatureLayer

__all__ = ["HiddenStateGeometry", "intrinsic_dimension", "neighborhood_overlap"]

_KEPT = 9  # tenths: the largest ratios are dominated by the boundary and by outliers (Facco et al. 2017)


def intrinsic_dimension(
    x: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    estimator: Literal["linear", "likelihood"] = "linear",
) -> torch.Tensor:
    r"""Intrinsic dimension of point clouds by the ratio of the distances to the two nearest neighbours.

    With the ratios :math:`\mu_i = r_{i2} / r_{i1}`, ``"linear"`` fits :math:`-\log(1 - F(\mu)) = d \log \mu`
    through the origin without the largest tenth of the ratios, ``"likelihood"`` is :math:`N / \sum_i \log
    \mu_i`. Points that coincide with another are left out; fewer than three points left, or none apart, give
    0.

    Parameters
    ----------
    x : Tensor of shape (N, d) or (B, N, d)
        Points, such as the hidden states of the tokens of a text.
    mask : Tensor of shape (N,) or (B, N), optional
        True or 1 for points that count.
    estimator : {"linear", "likelihood"}, default="linear"
        How the dimension is read from the ratios.

    Returns
    -------
    Tensor of shape () or (B,)
        Differentiable almost everywhere.

    Raises
    ------
    InputError
        If a shape is wrong or a point that counts has NaN or an infinite value.

    References
    ----------
    E. Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
    Scientific Reports 7, 2017.

    Examples
    --------
    >>> import torch
    >>> from topodl.attention import intrinsic_dimension
    >>> plane = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)) @ torch.randn(2, 50)
    >>> round(intrinsic_dimension(plane).item())
    2
    """
    check_choice("intrinsic_dimension", "estimator", estimator, ("linear", "likelihood"))
    clouds, masks = _clouds("intrinsic_dimension", "x", x, mask)
    dimensions = _dimensions(clouds, masks, estimator)
    return dimensions if x.ndim == 3 else dimensions[0]


def neighborhood_overlap(
    x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None, *, k: int = 10
) -> torch.Tensor:
    """Share of the k nearest neighbours that points have in common in two representations.

    Parameters
    ----------
    x, y : Tensor of shape (N, d) and (N, e), or (B, N, d) and (B, N, e)
        The same objects in both, such as the tokens of a text in two layers.
    mask : Tensor of shape (N,) or (B, N), optional
        True or 1 for points that count.
    k : int, default=10
        Number of neighbours, at most N - 1; smaller clouds use all others.

    Returns
    -------
    Tensor of shape () or (B,)
        In [0, 1]; 0 with fewer than two points. Without gradient.

    Raises
    ------
    InputError
        If shapes disagree or a point that counts has NaN or an infinite value.

    References
    ----------
    K. Viswanathan et al., "The Geometry of Tokens in Internal Representations of Large Language Models",
    2025.

    Examples
    --------
    >>> import torch
    >>> from topodl.attention import neighborhood_overlap
    >>> x = torch.randn(20, 4)
    >>> neighborhood_overlap(x, 3 * x, k=3).round(decimals=4)
    tensor(1.)
    """
    check_number("neighborhood_overlap", "k", k, low=1, integer=True)
    first, real = _clouds("neighborhood_overlap", "x", x, mask)
    second, _ = _clouds("neighborhood_overlap", "y", y, mask)
    if first.shape[:2] != second.shape[:2]:
        came = f"has shape {tuple(y.shape)}"
        raise fail("neighborhood_overlap", "y", came, f"as many samples and points as x, {tuple(x.shape)}")
    counts = (real.sum(1) - 1).clamp(max=k)
    shared = _neighbours(first, real, counts) & _neighbours(second, real, counts)
    n_pairs = counts * real.sum(1)
    overlaps = shared.sum((1, 2)).to(first.dtype) / n_pairs.clamp(min=1)
    return overlaps if x.ndim == 3 else overlaps[0]


def _clouds(
    function: str, name: str, x: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    x = check_dense(function, name, x)
    reject_mapped(function, name, x)
    if x.ndim not in (2, 3) or not x.is_floating_point():
        came = f"has shape {tuple(x.shape)} and dtype {x.dtype}"
        raise fail(function, name, came, "points of shape (N, d) or (B, N, d), floating-point")
    clouds = at_least_single(x if x.ndim == 3 else x[None])
    keep = torch.ones(clouds.shape[:2], dtype=torch.bool, device=x.device)
    if mask is not None:
        mask = as_tensor(mask)
        if tuple(mask.shape) != tuple(x.shape[:-1]):
            raise fail(function, "mask", f"has shape {tuple(mask.shape)}", f"shape {tuple(x.shape[:-1])}")
        keep = (mask.to(x.device) != 0).view(keep.shape)
    reject_non_finite(function, name, torch.where(keep[..., None], clouds, 0))
    return clouds, keep


def _distances(clouds: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Return the distances (B, N, N) of the points of each cloud, infinite to those that do not count."""
    points = torch.where(real[..., None], clouds, 0)
    matrices = [
        point_distances(cloud) for cloud in points
    ]  # one after the other: some ways take N² d of memory
    between = torch.stack(matrices) if matrices else points.new_zeros(0, points.shape[1], points.shape[1])
    return between.masked_fill(~real[:, None, :], torch.inf)


def _dimensions(clouds: torch.Tensor, real: torch.Tensor, estimator: str) -> torch.Tensor:
    """Return the dimension (B,) of the points of each cloud (B, N, d) that are `real` (B, N)."""
    if clouds.numel() == 0 or clouds.shape[1] < 3:
        return clouds.new_zeros(len(clouds))
    near = _distances(clouds, real).topk(3, largest=False).values  # the first is the point itself
    counted = real & (real.sum(1, keepdim=True) >= 3)
    if bool((near.detach().isinf().any(2) & counted).any()):
        came = f"has distances that overflow {clouds.dtype}"
        raise fail("intrinsic_dimension", "x", came, "values of moderate size")
    counted = counted & (near[..., 1] > 0)
    ratios = torch.where(counted, near[..., 2], 1) / torch.where(counted, near[..., 1], 1)
    n, rank = counted.sum(1, keepdim=True), torch.arange(1, counted.shape[1] + 1, device=clouds.device)
    ordered = torch.where(counted, ratios.log(), torch.inf).sort(1).values
    ordered = torch.where(rank <= n, ordered, 0)
    if estimator == "likelihood":
        numerator, denominator = n[:, 0], ordered.sum(1)
    else:
        kept = rank <= (n * _KEPT // 10).clamp(min=2)
        heights = -torch.log1p(-torch.where(kept, rank / (n + 1), 0).to(ordered.dtype))
        some = torch.where(kept, ordered, 0)
        numerator, denominator = (heights * some).sum(1), some.square().sum(1)
    found = (n[:, 0] >= 3) & (ordered.detach().amax(1) > 0) & (denominator.detach() > 0)
    return torch.where(found, numerator / torch.where(found, denominator, 1), 0)


def _neighbours(clouds: torch.Tensor, real: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return who is among the `counts` (B,) nearest of each point, (B, N, N); of equal ones the first."""
    distances = _distances(clouds.detach(), real)
    itself = torch.eye(distances.shape[1], dtype=torch.bool, device=distances.device)
    order = distances.masked_fill(itself, torch.inf).argsort(dim=2, stable=True)
    among = torch.arange(order.shape[2], device=order.device) < counts[:, None, None]
    return (
        torch.zeros_like(among.expand_as(order)).scatter(2, order, among.expand_as(order)) & real[..., None]
    )


class HiddenStateGeometry(FeatureLayer):
    """Intrinsic dimension of each layer's tokens, and neighbourhood overlap of consecutive layers.

    Parameters
    ----------
    k : int, default=10
        Number of neighbours of the overlap.
    estimator : {"linear", "likelihood"}, default="linear"
        Estimator of the intrinsic dimension.

    References
    ----------
    E. Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood information",
    Scientific Reports 7, 2017. K. Viswanathan et al., "The Geometry of Tokens in Internal Representations of
    Large Language Models", 2025.

    Examples
    --------
    >>> import torch
    >>> from topodl.attention import HiddenStateGeometry
    >>> layer = HiddenStateGeometry(k=3)
    >>> layer.fit_transform(torch.randn(2, 3, 16, 8)).shape
    (2, 5)
    >>> list(layer.get_feature_names_out())[-2:]
    ['layer0.neighborhood_overlap', 'layer1.neighborhood_overlap']
    """

    def __init__(
        self,
        k: int = 10,
        estimator: Literal["linear", "likelihood"] = "linear",
        *,
        chunk_size: int = 32,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.k = k
        self.estimator = estimator
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def forward(self, states: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the features of hidden states.

        Parameters
        ----------
        states : Tensor of shape (B, layers, n, d)
            ``torch.stack(output.hidden_states, 1)`` of a Hugging Face model.
        mask : Tensor of shape (B, n), optional
            True or 1 where a token is real.

        Returns
        -------
        Tensor of shape (B, 2 * layers - 1)
            The dimensions of all layers, then the overlaps of layers l and l + 1.

        Raises
        ------
        InputError
            If `states` or `mask` has another shape, or a state that counts has NaN or an infinite value.
        """
        states = check_dense("HiddenStateGeometry", "states", states)
        if states.ndim != 4 or states.shape[1] == 0:
            came = f"has shape {tuple(states.shape)}"
            raise fail("HiddenStateGeometry", "states", came, "shape (B, layers, n, d), of a layer or more")
        layers = states.unbind(1)
        columns = [intrinsic_dimension(x, mask, estimator=self.estimator) for x in layers]
        pairs = itertools.pairwise(layers)
        columns += [neighborhood_overlap(x, y, mask, k=self.k).to(columns[0]) for x, y in pairs]
        return torch.stack(columns, 1)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_layers_in_")

    def _as_samples(self, X: Any, reset: bool) -> torch.Tensor:
        states = as_tensor(X)
        if states.ndim != 4:
            came = f"has shape {tuple(states.shape)}"
            raise fail("HiddenStateGeometry", "X", came, "shape (B, layers, n, d)")
        if reset:
            self.n_layers_in_ = states.shape[1]
        elif states.shape[1] != self.n_layers_in_:
            came = f"has {states.shape[1]} layers"
            raise fail("HiddenStateGeometry", "X", came, f"{self.n_layers_in_} layers, as in fit")
        return states

    def _as_input(self, chunk: torch.Tensor) -> torch.Tensor:
        return chunk

    @shares_documentation(FeatureLayer.get_feature_names_out, sections=["Returns"])
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the names of the columns, such as ``layer2.intrinsic_dimension``."""
        check_is_fitted(self)
        names = [f"layer{k}.intrinsic_dimension" for k in range(self.n_layers_in_)]
        names += [f"layer{k}.neighborhood_overlap" for k in range(self.n_layers_in_ - 1)]
        return np.array(names, dtype=object)
