"""A set transformer on bars: features of a diagram, or a token for each of its bars.

Lee et al., ICML 2019; Zaheer et al., NeurIPS 2017. Cost: bars² · width · blocks of each diagram; bars · width
without blocks.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

from topodl._checks import check_choice, check_number, fail
from topodl._jagged_checks import reject_overflow
from topodl._precision import at_least_single
from topodl._segments import segment_mean, segment_sum
from topodl.diagrams import Diagrams
from topodl.layers._bar_attention import attend, pad, pool
from topodl.layers._base import DiagramLayer
from topodl.layers._grids import given_ranges

__all__ = ["DiagramEncoder"]

Pool = Literal["attention", "mean", "sum"]
_ENDS = 4  # birth, death, length, and whether the bar is essential


class DiagramEncoder(DiagramLayer):
    """A learnable encoder of whole diagrams, in which bars of all dimensions attend to each other.

    As a module: `Diagrams` to a tensor (B, `n_outputs` · `width`), or by `tokens` one vector a bar, for the
    cross-attention of another network. Each bar enters as birth, death and length, a flag of essential bars,
    whose death and length are 0, and its dimension; bars with an infinite birth do not. Neither padding nor
    the other diagrams of a batch change a result.

    Parameters
    ----------
    width : int
        Size of the vector of a bar, a multiple of `n_heads`.
    n_heads : int
        Heads of each attention.
    n_blocks : int
        Blocks of self-attention. 0: bars do not look at each other, which with ``pool="sum"`` is a DeepSet.
    n_outputs : int
        Vectors that a diagram is pooled to; each has a query of its own with ``pool="attention"``.
    pool : {"attention", "mean", "sum"}
        What joins the bars. An empty diagram gives learnt constants.
    dims : int or sequence of int
        Homology dimensions.
    value_range : (low, high)
        Range of births and deaths, which is brought to [0, 1].
    random_state : int
        Seed of the parameters' first values.

    See Also
    --------
    PersLay : a vectorisation that takes bars one by one.

    References
    ----------
    J. Lee, Y. Lee, J. Kim, A. Kosiorek, S. Choi, Y. W. Teh. Set transformer: a framework for attention-based
    permutation-invariant neural networks. ICML 2019.

    M. Zaheer, S. Kottur, S. Ravanbakhsh, B. Póczos, R. Salakhutdinov, A. Smola. Deep sets. NeurIPS 2017.

    Examples
    --------
    >>> import torch
    >>> from topodl.layers import CubicalPersistence, DiagramEncoder
    >>> encoder = DiagramEncoder(width=16, n_outputs=2)
    >>> images = torch.rand(4, 8, 8)
    >>> torch.nn.Sequential(CubicalPersistence(), encoder)(images).shape
    torch.Size([4, 32])
    >>> tokens, mask = encoder.tokens(CubicalPersistence()(images))
    >>> tokens.shape[:2] == mask.shape
    True
    """

    embed_weight: nn.Parameter
    queries: nn.Parameter

    def __init__(
        self,
        width: int = 64,
        n_heads: int = 4,
        n_blocks: int = 2,
        n_outputs: int = 1,
        pool: Pool = "attention",
        dims: Any = (0, 1),
        value_range: tuple[float, float] = (0.0, 1.0),
        random_state: int = 0,
        *,
        chunk_size: int = 128,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.n_heads = n_heads
        self.n_blocks = n_blocks
        self.n_outputs = n_outputs
        self.pool = pool
        self.dims = dims
        self.value_range = value_range
        self.random_state = random_state
        self.chunk_size = chunk_size
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.reset_parameters()

    def _check_settings(self) -> None:
        name = "DiagramEncoder"
        for argument, least in {"width": 1, "n_heads": 1, "n_blocks": 0, "n_outputs": 1}.items():
            check_number(name, argument, getattr(self, argument), low=least, integer=True)
        if self.width % self.n_heads:
            raise fail(name, "width", f"is {self.width}", f"a multiple of n_heads = {self.n_heads}")
        check_choice(name, "pool", self.pool, ("attention", "mean", "sum"))
        check_number(name, "random_state", self.random_state, integer=True)
        low, high = given_ranges(name, "value_range", self.value_range, 1)[0]
        if low == high:
            raise fail(name, "value_range", f"is {self.value_range!r}", "(low, high) with low < high")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter; what is called "scale" starts as 1, a "bias" as 0."""
        width, n_dims = self.width, len(self._dims_out())
        shapes = _linear("embed", _ENDS + n_dims, width)
        for i in range(self.n_blocks):
            shapes |= _norm(f"block{i}_first", width) | _linear(f"block{i}_qkv", width, 3 * width)
            shapes |= _linear(f"block{i}_joined", width, width) | _norm(f"block{i}_second", width)
            shapes |= _linear(f"block{i}_wide", width, 2 * width) | _linear(f"block{i}_out", 2 * width, width)
        if self.n_blocks:
            shapes |= _norm("last", width)
        if self.pool == "attention":
            shapes |= {"queries": (self.n_outputs, width)} | _linear("pool_kv", width, 2 * width)
        return shapes | _linear("out", width, width if self.pool == "attention" else self.n_outputs * width)

    def reset_parameters(self) -> None:
        """Forget what was learnt; parameters start anew from `random_state`."""
        self._check_settings()
        device, dtype = self._place()
        self._parameters.clear()
        generator = torch.Generator().manual_seed(int(self.random_state))
        for name, shape in self._shapes().items():
            if name.endswith(("_scale", "_bias")):
                value = torch.full(shape, float(name.endswith("_scale")), device="cpu")
            else:
                bound = math.sqrt(3 / shape[-1])  # outputs vary as much as inputs do
                value = bound * (2 * torch.rand(shape, generator=generator, device="cpu") - 1)
            self.register_parameter(name, nn.Parameter(value.to(device, dtype)))

    def forward(self, d: Diagrams) -> torch.Tensor:
        """Return the features of each diagram.

        Parameters
        ----------
        d : Diagrams

        Returns
        -------
        Tensor of shape (B, n_outputs · width)

        Raises
        ------
        InputError
            If the diagrams lack a dimension that `fit` did not see, or values overflow.
        """
        bars = self._bars(d)
        features = self._pooled(self._encoded(bars), bars)
        reject_overflow("DiagramEncoder", bars, features)
        return features

    def tokens(self, d: Diagrams) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a vector for each bar, for the keys and values of a cross-attention.

        The first `n_outputs` vectors of each diagram are its features, so that there is something to attend
        to even where it has no bar.

        Parameters
        ----------
        d : Diagrams

        Returns
        -------
        tokens : Tensor of shape (B, n_outputs + M, width)
            M is the largest number of bars of a sample; 0 in the padding.
        mask : Tensor of shape (B, n_outputs + M), bool
            True where there is a token; `torch.nn.MultiheadAttention` takes ``key_padding_mask=~mask``.

        Raises
        ------
        InputError
            If the diagrams lack a dimension that `fit` did not see.
        """
        bars = self._bars(d)
        x = self._encoded(bars)
        reject_overflow("DiagramEncoder", bars, x)
        features = self._pooled(x, bars).view(bars.n_samples, self.n_outputs, self.width)
        padded = pad(x, bars.sample_offsets)
        places = torch.arange(padded.shape[1], device=x.device)
        real = places < bars.sample_offsets.diff()[:, None]
        mask = torch.cat([real.new_ones(bars.n_samples, self.n_outputs), real], 1)
        return torch.cat([features, padded], 1), mask

    def _bars(self, d: Diagrams) -> Diagrams:
        """Return the bars that are looked at: those with a birth, of the layer's dimensions."""
        if not isinstance(d, Diagrams):
            raise TypeError(f"DiagramEncoder: d is a {type(d).__name__}; expected Diagrams")
        d = self._with_fitted_dims(d)
        d = d._of_dims("DiagramEncoder", self._dims(d))
        return d._where(torch.isfinite(d.births))

    def _encoded(self, bars: Diagrams) -> torch.Tensor:
        """Return the vector (P, width) of each bar, after the blocks."""
        x = self._linear("embed", self._ends_and_dims(bars))
        if not self.n_blocks:
            return torch.relu(x)
        for i in range(self.n_blocks):
            qkv = self._linear(f"block{i}_qkv", self._norm(f"block{i}_first", x))
            attended = attend(qkv, bars.sample_offsets, self.n_heads)
            x = x + self._linear(f"block{i}_joined", attended)
            wide = self._linear(f"block{i}_wide", self._norm(f"block{i}_second", x))
            x = x + self._linear(f"block{i}_out", torch.relu(wide))
        return self._norm("last", x)

    def _ends_and_dims(self, bars: Diagrams) -> torch.Tensor:
        """Return what a bar enters as, (P, 4 + number of dimensions)."""
        low, high = given_ranges("DiagramEncoder", "value_range", self.value_range, 1)[0]
        births, deaths = at_least_single(bars.births), at_least_single(bars.deaths)
        never = torch.isinf(deaths.detach())
        deaths = torch.where(never, low, deaths)
        lengths = (deaths - births).abs().masked_fill(never, 0.0)
        columns = [births - low, deaths - low, lengths]
        ends = torch.stack([*(column / (high - low) for column in columns), bars.was_essential.to(births)], 1)
        dims = torch.tensor(self._dims_out(), device=bars.device)
        return torch.cat([ends, (bars.dims[:, None] == dims).to(births)], 1).to(self.embed_weight.dtype)

    def _pooled(self, x: torch.Tensor, bars: Diagrams) -> torch.Tensor:
        """Return the features (B, n_outputs · width) of the vectors (P, width) of bars."""
        if self.pool != "attention":
            join = segment_sum if self.pool == "sum" else segment_mean
            return self._linear("out", join(x, bars.samples, bars.n_samples))
        kv = self._linear("pool_kv", x)
        return self._linear("out", pool(self.queries, kv, bars.sample_offsets, self.n_heads)).flatten(1)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"))

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        scale, bias = (getattr(self, f"{name}_{part}") for part in ("scale", "bias"))
        return F.layer_norm(x, (self.width,), scale, bias)

    def _feature_names(self) -> list[str]:
        return [f"{i}_{j}" for i in range(self.n_outputs) for j in range(self.width)]


def _linear(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}_weight": (n_out, n_in), f"{name}_bias": (n_out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}_scale": (width,), f"{name}_bias": (width,)}
