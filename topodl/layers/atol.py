"""ATOL: how much of a diagram is near each of a few centres that `fit` finds among the bars.

Royer et al., AISTATS 2021. Cost: bars · centres; `fit` runs k-means on the bars of the training data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans

from topodl._checks import check_choice, check_number, fail
from topodl._power import power, within_reach
from topodl._segments import contiguous_sum
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._grids import CurveLayer

__all__ = ["Atol"]

_CONTRASTS = ("gaussian", "laplacian", "indicator")
_ROWS_AT_ONCE = 1024


class Atol(CurveLayer):
    """For each of a few centres in the plane the sum over bars of how near they are to it.

    As a module: `Diagrams` to a tensor (B, K, n_centres). A centre's width σ is half of its distance to the
    next one; of a centre alone, half of the largest distance between bars.

    Parameters
    ----------
    n_centres : int
        Number of centres in each homology dimension, which `fit` finds by k-means. Where there are fewer
        distinct bars, the other features are 0.
    contrast : {"gaussian", "laplacian", "indicator"}
        What a bar at the distance r counts: exp(−r² / σ²), exp(−r / σ), or 1 up to σ and then less, down to
        0 at 2σ.
    operation : {"sum", "mean"}
        What joins the bars; with "mean", each diagram has the same weight in `fit`, too.
    centres : array of shape (n, 2) or (K, n, 2), optional
        Births and deaths of at least two centres, the same for all homology dimensions or for each its own;
        they take the place of `n_centres` and of k-means.
    random_state : int
        Seed of k-means.

    References
    ----------
    M. Royer, F. Chazal, C. Levrard, Y. Umeda, Y. Ike. ATOL: measure vectorization for automatic
    topologically-oriented learning. AISTATS 2021.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import Atol
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 3.0]]]))
    >>> Atol(n_centres=2).fit(d)(d).round(decimals=4)
    tensor([[[2.0000, 0.0366]],
    <BLANKLINE>
            [[0.0366, 2.0000]]])
    """

    centres_: torch.Tensor | None
    widths_: torch.Tensor | None

    def __init__(
        self,
        n_centres: int = 10,
        contrast: str = "gaussian",
        operation: str = "sum",
        centres: Any = None,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        random_state: int = 0,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("centres_", None)
        self.register_buffer("widths_", None)
        self.n_centres = n_centres
        self.contrast = contrast
        self.operation = operation
        self.centres = centres
        self.dims = dims
        self.essential = essential
        self.random_state = random_state
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_is_fitted__(self) -> bool:
        return self.centres is not None or self.centres_ is not None

    def _check_settings(self) -> None:
        check_choice("Atol", "essential", self.essential, self._policies)
        check_choice("Atol", "contrast", self.contrast, _CONTRASTS)
        check_choice("Atol", "operation", self.operation, ("sum", "mean"))
        check_number("Atol", "n_centres", self.n_centres, low=1, integer=True)
        check_number("Atol", "random_state", self.random_state, low=0, integer=True)

    def _fit(self, d: Diagrams) -> None:
        self._check_settings()
        if self.centres is not None:
            return
        found = [self._clusters(d.dim(k).with_essential(self.essential)) for k in self._dims(d)]
        centres, widths = (torch.stack(part).to(self._device()) for part in zip(*found, strict=True))
        self.centres_, self.widths_ = centres, widths

    def _clusters(self, d: Diagrams) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the centres (n, 2) and widths (n,) of some bars; widths are 0 where there is no centre."""
        points = torch.stack([d.births, d.deaths], 1).double().cpu()
        counts = d.sample_offsets.diff().double().cpu()
        centres = torch.zeros(int(self.n_centres), 2, dtype=torch.float64, device="cpu")
        widths = torch.zeros(int(self.n_centres), dtype=torch.float64, device="cpu")
        n = min(len(widths), len(torch.unique(points, dim=0)))
        if n:
            weights = (1 / counts)[d.samples.cpu()] if self.operation == "mean" else None
            means = KMeans(n, n_init=10, random_state=int(self.random_state))
            means.fit(points.numpy(), sample_weight=None if weights is None else weights.numpy())
            found = means.cluster_centers_
            centres[:n] = torch.from_numpy(found[np.lexsort(found.T)])
            widths[:n] = _half_gaps(centres[:n]) if n > 1 else _diameter(points) / 2 or 1.0
        return centres, widths

    def _grids(self, d: Diagrams, dims: tuple[int, ...]) -> list[Any]:
        """Return the centres and widths of each dimension."""
        if self.centres is not None:
            centres = _given_centres(self.centres, len(dims))
            widths = torch.stack([_half_gaps(each) for each in centres])
        elif self.centres_ is None or self.widths_ is None:
            raise self._not_fitted("centres")
        else:
            centres, widths = self.centres_, self.widths_
            if len(centres) != len(dims):
                came = f"have dimensions {dims}"
                raise fail("Atol", "d", came, f"{len(centres)} dimensions, as in fit")
        return list(zip(centres.to(d.device, d.dtype), widths.to(d.device, d.dtype), strict=True))

    def _curve(self, d: Diagrams, grid: Any) -> torch.Tensor:
        centres, widths = grid
        missing = widths == 0
        # In units of the width neither squares nor exponentials vanish or overflow.
        unit = torch.where(missing, 1.0, widths)
        across, up = (
            within_reach(ends[:, None] - place, unit)
            for ends, place in zip((d.births, d.deaths), centres.unbind(1), strict=True)
        )
        near = _contrast(across.square() + up.square(), self.contrast).masked_fill(missing, 0.0)
        total = contiguous_sum(near, d.sample_offsets)
        if self.operation == "sum":
            return total
        return total / d.sample_offsets.diff().clamp(min=1)[:, None]

    def _columns(self) -> list[str]:
        n = self.n_centres if self.centres is None else np.shape(self.centres)[-2]
        return [str(i) for i in range(int(n))]


def _contrast(squares: torch.Tensor, kind: str) -> torch.Tensor:
    """Return what points count whose squared distances, in units of the width, are `squares`."""
    if kind == "gaussian":
        return (-squares).exp()
    distances = power(squares, 0.5)
    return (-distances).exp() if kind == "laplacian" else (2 - distances).clamp(0.0, 1.0)


def _given_centres(centres: Any, n_dims: int) -> torch.Tensor:
    """Return the centres (K, n, 2) that are given for all dimensions or for each."""
    table = np.asarray(centres, dtype=np.float64)
    fits = table.ndim in (2, 3) and table.shape[-1] == 2 and np.isfinite(table).all()
    if not fits or (table.ndim == 3 and len(table) != n_dims):
        expected = f"finite births and deaths (n, 2), or (K, n, 2) with K = {n_dims}"
        raise fail("Atol", "centres", f"have shape {table.shape}", expected)
    table = np.broadcast_to(table, (n_dims, *table.shape[-2:]))
    if min((len(np.unique(each, axis=0)) for each in table), default=2) < 2:
        raise fail("Atol", "centres", "have fewer than two distinct ones", "at least two")
    return torch.from_numpy(table.copy())


def _half_gaps(centres: torch.Tensor) -> torch.Tensor:
    """Return half of the distance of each centre to the nearest one that is elsewhere."""
    gaps = torch.hypot(*(centres[:, None] - centres).unbind(2))  # a norm's squares would vanish
    return gaps.masked_fill(gaps == 0, torch.inf).amin(1) / 2


def _diameter(points: torch.Tensor) -> float:
    """Return the largest distance between points (P, 2)."""
    return max(float(torch.cdist(rows, points).max()) for rows in points.split(_ROWS_AT_ONCE))
