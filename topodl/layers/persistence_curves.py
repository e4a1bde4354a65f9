"""Persistence curves: sums, over the bars that are alive at a value, of what each bar has.

Chung and Lawson, Advances in Computational Mathematics 48, 2022. Cost: bars + grid, not their product.
"""

from __future__ import annotations

from typing import Any

import torch

from topodl._checks import check_choice, fail
from topodl._host import whole_values
from topodl._segments import contiguous_sum
from topodl.diagrams import Diagrams, EssentialPolicy
from topodl.layers._grids import CurveLayer, alive, oriented

__all__ = ["PersistenceCurve"]

_QUANTITIES = ("life", "midlife", "ratio", "count")
_FORMS = ("plain", "share", "entropy")


class PersistenceCurve(CurveLayer):
    """Sum of a quantity of the bars that are alive at each grid value, birth ≤ t < death.

    As a module: `Diagrams` to a tensor (B, K, resolution). In superlevel diagrams death < t ≤ birth.

    Parameters
    ----------
    quantity : {"life", "midlife", "ratio", "count"}
        Of a bar from b to d: d − b; (b + d) / 2; d / b, which no factor on the values changes and for which
        they have to be positive; or 1. Superlevel bars are turned round.
    form : {"plain", "share", "entropy"}
        The quantity itself; its share s in the sum over all bars of the diagram; or −s log s. The last two
        are for quantities of at least 0.

    See Also
    --------
    BettiCurve : the plain count, with smooth ends and essential bars.
    PersistenceEntropy : the entropy of the whole diagram.

    References
    ----------
    Y.-M. Chung, A. Lawson. Persistence curves: a canonical framework for summarizing persistence diagrams.
    Advances in Computational Mathematics 48, 2022.

    Examples
    --------
    >>> import torch
    >>> from topodl import Diagrams
    >>> from topodl.layers import PersistenceCurve
    >>> d = Diagrams.from_padded(torch.tensor([[[0.0, 3.0], [1.0, 2.0]]]))
    >>> PersistenceCurve(resolution=4, value_range=(0, 3))(d)
    tensor([[[3., 4., 3., 0.]]])
    >>> PersistenceCurve("midlife", "share", resolution=4, value_range=(0, 3))(d)
    tensor([[[0.5000, 1.0000, 0.5000, 0.0000]]])
    """

    def __init__(
        self,
        quantity: str = "life",
        form: str = "plain",
        resolution: int = 100,
        value_range: Any = None,
        dims: Any = None,
        essential: EssentialPolicy = "drop",
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.quantity = quantity
        self.form = form
        self.resolution = resolution
        self.value_range = value_range
        self.dims = dims
        self.essential = essential
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_settings(self) -> None:
        check_choice("PersistenceCurve", "quantity", self.quantity, _QUANTITIES)
        check_choice("PersistenceCurve", "form", self.form, _FORMS)
        super()._check_settings()

    def _curve(self, d: Diagrams, grid: torch.Tensor) -> torch.Tensor:
        d = d.filter(0.0)
        values = self._values(d)
        if self.form == "plain":
            return alive(d, grid, values)
        _reject_below(self, d, values, 0.0, "quantity", "quantities of at least 0")
        total = contiguous_sum(values, d.sample_offsets)
        share = values / torch.where(total > 0, total, 1.0).index_select(0, d.samples)
        if self.form == "share":
            return alive(d, grid, share)
        return alive(d, grid, -share * torch.where(share > 0, share, 1.0).log())

    def _values(self, d: Diagrams) -> torch.Tensor:
        if self.quantity == "count":
            return torch.ones_like(d.births)
        if self.quantity == "life":
            return d.persistence()
        low, high = oriented(d)
        if self.quantity == "midlife":
            return low / 2 + high / 2
        tiny = torch.finfo(d.dtype).tiny
        _reject_below(self, d, low, tiny, "value", 'values above 0 with quantity="ratio"')
        return high / low


def _reject_below(
    layer: PersistenceCurve, d: Diagrams, values: torch.Tensor, low: float, noun: str, expected: str
) -> None:
    """Raise the error that names the first sample with a value below `low`."""
    if torch.compiler.is_compiling():
        return
    below = whole_values(values) < low
    if bool(below.any()):
        first = int(below.nonzero()[0, -1])
        came = f"has a {noun} of {float(values[first].detach()):g} in sample {int(d.samples[first])}"
        raise fail(type(layer).__name__, "d", came, expected)
