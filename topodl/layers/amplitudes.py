"""Amplitudes: how large a diagram is, as its distance to the empty one in a metric.

Cohen-Steiner, Edelsbrunner, Harer, Mileyko, FoCM 2010. Cost: one pass over the bars, their number squared for
"heat", or that of the curve or image whose norm is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from topodl._checks import check_choice, check_number, fail, reject_export
from topodl._power import power
from topodl._segments import padded_groups, segment_amax, segment_scale, segment_sum
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.distances._input import check_norms
from topodl.layers._grids import CurveLayer
from topodl.layers.curves import BettiCurve, PersistenceLandscape, Silhouette
from topodl.layers.images import PersistenceImage

__all__ = ["Amplitude"]

_SAMPLED: dict[str, Callable[..., CurveLayer]] = {
    "betti": BettiCurve,
    "landscape": PersistenceLandscape,
    "silhouette": Silhouette,
    "persistence_image": PersistenceImage,
}
# What a metric has where `metric_params` says nothing.
_OWN: dict[str, dict[str, Any]] = {
    "wasserstein": {"order": 2.0, "ground_norm": 2.0},
    "bottleneck": {},
    "heat": {"bandwidth": 1.0},
}
_AT_ONCE = 2**23  # entries of the tables of exponentials that are in memory at a time


class Amplitude(CurveLayer):
    """The size of each diagram: its distance to the empty one, or the norm of its curve or image.

    As a module: `Diagrams` to a tensor (B, K, 1).

    Parameters
    ----------
    metric : {"wasserstein", "bottleneck", "heat", "betti", "landscape", "silhouette", "persistence_image"}
        The first three are exact, and the distances of `topodl.distances` to an empty diagram. The others are
        norms, over all grid values times their spacing, of what `BettiCurve`, `PersistenceLandscape` (without
        the factor √2), `Silhouette` (alike) or `PersistenceImage` samples.
    metric_params : dict, optional
        "wasserstein": `order` = 2 and `ground_norm` = 2. "heat": `bandwidth` = 1. The sampled ones: `order` =
        2, the exponent of the norm, that may be inf; and settings of their layer, as `resolution`, `n_layers`
        or `value_range`, which `fit` finds where it is not given.

    See Also
    --------
    topodl.distances.distance_matrix : distances between diagrams.
    topodl.Diagrams.total_persistence : the sum of powers of the lengths.

    References
    ----------
    D. Cohen-Steiner, H. Edelsbrunner, J. Harer, Y. Mileyko. Lipschitz functions have L_p-stable persistence.
    Foundations of Computational Mathematics 10, 2010.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import Amplitude
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 3.0], [1.0, 5.0]]]))
    >>> Amplitude("bottleneck")(d)
    tensor([[[2.]]])
    >>> Amplitude("wasserstein", {"order": 1, "ground_norm": float("inf")})(d)
    tensor([[[3.5000]]])
    """

    def __init__(
        self,
        metric: str = "wasserstein",
        metric_params: dict[str, Any] | None = None,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.metric = metric
        self.metric_params = metric_params
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def _uses_grid(self) -> bool:  # type: ignore[override]
        return self.metric in _SAMPLED

    def __sklearn_is_fitted__(self) -> bool:
        return not self._uses_grid or self.ranges_ is not None or self._sampler().__sklearn_is_fitted__()

    def _check_settings(self) -> None:
        name, options = "Amplitude", self._options()
        check_choice(name, "metric", self.metric, (*_OWN, *_SAMPLED))
        check_choice(name, "essential", self.essential, self._policies)
        if self._uses_grid:
            if options.get("order", 2.0) != math.inf:
                check_number(name, "order", options.get("order", 2.0), low=1.0)
            return self._sampler()._check_settings()
        strange = [option for option in options if option not in _OWN[self.metric]]
        if strange:
            known = ", ".join(_OWN[self.metric]) or "none"
            expected = f"options of metric={self.metric!r}, which are {known}"
            raise fail(name, "metric_params", f"has {strange[0]!r}", expected)
        options = _OWN[self.metric] | options
        if self.metric == "wasserstein":
            check_norms(name, options["order"], options["ground_norm"])
        if self.metric == "heat":
            tiny = torch.finfo(torch.float32).tiny
            check_number(name, "bandwidth", options["bandwidth"], low=tiny)
        return None

    def _options(self) -> dict[str, Any]:
        if self.metric_params is None:
            return {}
        if not isinstance(self.metric_params, Mapping):
            raise fail("Amplitude", "metric_params", f"is {self.metric_params!r}", "a dictionary, or None")
        return dict(self.metric_params)

    def _sampler(self) -> CurveLayer:
        """Return the layer that samples the function whose norm is taken, with ranges that `fit` found."""
        settings: dict[str, Any] = {"essential": self.essential, "dims": self.dims}
        if self.metric in ("landscape", "silhouette"):
            settings["scale"] = 1.0
        given = {option: value for option, value in self._options().items() if option != "order"}
        try:
            layer = _SAMPLED[self.metric](**settings | given)
        except TypeError as error:
            expected = f"settings of {_SAMPLED[self.metric].__name__}, and order"
            raise fail("Amplitude", "metric_params", f"is {given!r}", expected) from error
        layer.ranges_ = self.ranges_
        return layer

    def _fit(self, d: Diagrams) -> None:
        self._check_settings()
        if self._uses_grid:
            sampler = self._sampler()
            sampler._fit(d)
            self.ranges_ = None if sampler.ranges_ is None else sampler.ranges_.to(self._device())

    def _grids(self, d: Diagrams, dims: tuple[int, ...]) -> list[Any]:
        sampler = self._sampler()
        return [(sampler, grid) for grid in sampler._grids(d, dims)]

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        options = _OWN.get(self.metric, {"order": 2.0}) | self._options()
        if self.metric == "wasserstein":
            return _to_diagonal(d, float(options["order"]), float(options["ground_norm"]))[:, None]
        if self.metric == "bottleneck":
            return segment_amax(d.persistence() / 2, d.samples, d.n_samples)[:, None]
        if self.metric == "heat":
            reject_export("Amplitude")
            return _heat_norm(d, float(options["bandwidth"]))[:, None]
        sampler, places = grid
        values = sampler._curve(d, places).flatten(1)
        return _norm(values, _cell(sampler, places), float(options["order"]))[:, None]

    def _columns(self) -> list[str]:
        return [self.metric]


def _to_diagonal(d: Diagrams, order: float, norm: float) -> torch.Tensor:
    """Return (B,) the norm of order `order` of the distances of the bars to the diagonal."""
    lengths = d.persistence() * 2.0 ** (1 / norm - 1)
    unit = segment_scale(lengths, d.samples, d.n_samples, d.sample_offsets)
    powers = power(lengths / unit.index_select(0, d.samples), order)
    return power(segment_sum(powers, d.samples, d.n_samples), 1 / order) * unit


def _norm(values: torch.Tensor, cell: Any, order: float) -> torch.Tensor:
    """Return (B,) norms of functions with `values` (B, n) on cells of a grid."""
    if order == math.inf:
        return values.abs().amax(1)
    size = values.detach().abs().amax(1, keepdim=True)
    unit = torch.where(size > 0, size, 1.0)
    powers = power((values / unit).abs(), order).sum(1)
    return power(powers, 1 / order) * unit[:, 0] * cell ** (1 / order)


def _cell(sampler: CurveLayer, places: Any) -> Any:
    """Return the spacing of grid values, or the area of a pixel; 1 along an axis with one value."""
    if not isinstance(sampler, PersistenceImage):
        return places[1] - places[0] if len(places) > 1 else 1.0
    area = 1.0
    for (low, high), n in zip(places, sampler._sizes(), strict=True):
        steps = n if sampler.pixels == "integral" else n - 1
        area *= (high - low) / steps if steps and high > low else 1.0
    return area


def _heat_norm(d: Diagrams, bandwidth: float) -> torch.Tensor:
    """Return (B,) L2 norms of sums of Gaussians at the bars, minus those at their mirror images."""
    points = torch.stack([d.births, d.deaths], 1) / (2 * bandwidth)
    squares = points.new_zeros(d.n_samples) + points[:0].sum()  # the graph of an empty batch
    for which, bars, real in padded_groups(d.sample_offsets):
        width = bars.shape[1]
        for part in torch.arange(len(which), device=d.device).split(max(_AT_ONCE // width**2, 1)):
            own, there = points[bars[part]], real[part]
            direct, mirrored = (
                (own[:, :, None] - other[:, None]).square().sum(3) for other in (own, own.flip(2))
            )
            terms = ((-direct).exp() - (-mirrored).exp()) * (there[:, :, None] & there[:, None])
            squares = squares.index_copy(0, which[part], terms.sum((1, 2)))
    return power(squares.clamp(min=0.0), 0.5) / (math.sqrt(4 * math.pi) * bandwidth)
