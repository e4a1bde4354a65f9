"""Centred kernel alignment of two representations: a similarity, a loss, and a mean over minibatches.

Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019. Cost:
O(n² p).
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from topodl._checks import as_mask, check_choice, check_dense, check_number, fail, reject_non_finite
from topodl._docs import shares_documentation
from topodl._overflow import NON_FINITE, NonFinite, or_nan
from topodl._precision import at_least_single, full_precision, unit_of

__all__ = ["CKALoss", "MinibatchCKA", "cka", "cka_loss"]

Kernel = Literal["linear", "rbf"]


def cka(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    kernel: Kernel = "linear",
    unbiased: bool = False,
    bandwidth: float = 1.0,
    tokens: bool | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Centred kernel alignment (CKA) of two representations of the same samples, with gradient.

    HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) with the kernel matrices K of `x` and L of `y`. It is 1 where they
    agree up to rotation and scale, and 0 where a representation is constant.

    Parameters
    ----------
    x, y : Tensor of shape (n, …) and (n, …), or (B, N, d) and (B, N, e) with ``tokens=True``
        Row i of both stands for the same sample; further axes are flattened.
    kernel : {"linear", "rbf"}, default="linear"
        "rbf" is exp(−d² / 2σ²), where σ² is the square of `bandwidth` times the median squared distance of
        different samples, as in the paper, or where that is 0 their mean; neither takes part in the gradient.
    unbiased : bool, default=False
        Use the unbiased estimate of HSIC (Song et al. 2012), which needs 4 samples and may be negative.
    bandwidth : float, default=1.0
        Of the RBF kernel.
    tokens : bool, optional
        True: the alignment of the tokens of each sample, (B, N, d), averaged over the B samples. False: that
        of the samples, with their tokens flattened, which for few samples is near 1 whatever they are. It has
        to be said for three axes.
    mask : Tensor of shape (B, N), optional
        With ``tokens=True``, nonzero where there is a token; others do not count, whatever they hold.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError
        If the numbers of samples or tokens differ or are too small, a value is NaN or infinite, or it is not
        said what (B, N, d) stands for.

    References
    ----------
    S. Kornblith, M. Norouzi, H. Lee, G. Hinton, "Similarity of Neural Network Representations Revisited",
    ICML 2019. L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt, "Feature Selection via Dependence
    Maximization", JMLR 2012.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import cka
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    >>> turned = 5 * x @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    >>> torch.allclose(cka(x, turned), torch.tensor(1.0))
    True
    """
    check_choice("cka", "kernel", kernel, ("linear", "rbf"))
    check_number("cka", "bandwidth", bandwidth, low=torch.finfo(torch.float32).tiny)
    check_choice("cka", "tokens", tokens, (None, True, False))
    if tokens:
        *pair, real = _tokens(x, y, unbiased, mask)
    else:
        _reject_tokens(x, y, tokens, mask)
        pair, real = [t[None] for t in _features("cka", x, y, unbiased)], None
    first, second = (_in_own_unit(t)[0] for t in pair)
    with full_precision(first):
        if kernel == "linear" and not unbiased and max(first.shape[2], second.shape[2]) < first.shape[1]:
            return _ratio(*_feature_products(first, second)).mean()
        k, m = (_kernel_matrix(t, kernel, bandwidth, real) for t in (first, second))
        return _ratio(*_products(k, m, unbiased, real)).mean()


@shares_documentation(cka, sections=["References"])
def cka_loss(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    kernel: Kernel = "linear",
    unbiased: bool = False,
    bandwidth: float = 1.0,
    tokens: bool | None = None,
    mask: torch.Tensor | None = None,
    non_finite: NonFinite = "nan",
) -> torch.Tensor:
    """Return 1 − `cka` (x, y, …): the loss that aligns one representation with another.

    Hand in ``y.detach()`` where it is a teacher's.

    Parameters
    ----------
    non_finite : {"nan", "raise"}, default="nan"
        What becomes of NaN and infinite values: "nan" makes the loss and its gradient NaN, with a warning
        that says where, so that a scaler of gradients skips the step; "raise" is an error.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError
        As `cka` does, for values that are not finite with ``non_finite="raise"``.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import cka_loss
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    >>> round(cka_loss(x, x).item(), 6) + 0.0
    0.0
    """
    check_choice("cka_loss", "non_finite", non_finite, NON_FINITE)

    def loss() -> torch.Tensor:
        return 1.0 - cka(
            x, y, kernel=kernel, unbiased=unbiased, bandwidth=bandwidth, tokens=tokens, mask=mask
        )

    return or_nan(loss, (x, y), non_finite)


@shares_documentation(cka_loss, sections=["References"])
class CKALoss(torch.nn.Module):
    """`cka_loss` as a module, ``loss(x, y)``.

    Raises
    ------
    InputError
        If an option is unusable; at the call, as `cka_loss` does.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import CKALoss
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    >>> round(CKALoss(kernel="rbf")(x, 2 * x).item(), 6) + 0.0
    0.0
    """

    def __init__(
        self,
        *,
        kernel: Kernel = "linear",
        unbiased: bool = False,
        bandwidth: float = 1.0,
        tokens: bool | None = None,
        non_finite: NonFinite = "nan",
    ) -> None:
        super().__init__()
        check_choice("CKALoss", "non_finite", non_finite, NON_FINITE)
        self.non_finite: NonFinite = non_finite
        check_choice("CKALoss", "kernel", kernel, ("linear", "rbf"))
        check_number("CKALoss", "bandwidth", bandwidth, low=torch.finfo(torch.float32).tiny)
        self.kernel: Kernel = kernel
        check_choice("CKALoss", "tokens", tokens, (None, True, False))
        self.unbiased, self.bandwidth, self.tokens = unbiased, bandwidth, tokens

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return 1 − CKA of two representations (n, …), or of the tokens (B, N, …) of each sample.

        Parameters
        ----------
        x, y : Tensor of shape (n, …), or (B, N, …) with ``tokens=True``
            Representations of the same samples.
        mask : Tensor of shape (B, N), optional
            With ``tokens=True``, nonzero where there is a token.

        Returns
        -------
        Tensor
            A scalar.
        """
        return cka_loss(
            x,
            y,
            kernel=self.kernel,
            unbiased=self.unbiased,
            bandwidth=self.bandwidth,
            tokens=self.tokens,
            mask=mask,
            non_finite=self.non_finite,
        )

    def extra_repr(self) -> str:
        """Return the options."""
        return f"kernel={self.kernel!r}, unbiased={self.unbiased}, tokens={self.tokens}"


@shares_documentation(cka)
class MinibatchCKA:
    """CKA of a data set that is seen in minibatches: unbiased HSIC, averaged over the batches.

    Raises
    ------
    InputError
        If an option is unusable.

    References
    ----------
    T. Nguyen, M. Raghu, S. Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> from topodl.losses import MinibatchCKA
    >>> running = MinibatchCKA()
    >>> for seed in range(3):
    ...     x = torch.randn(16, 4, generator=torch.Generator().manual_seed(seed))
    ...     running.update(x, 2 * x)
    >>> round(running.compute().item(), 5)
    1.0
    """

    def __init__(self, kernel: Kernel = "linear", bandwidth: float = 1.0) -> None:
        check_choice("MinibatchCKA", "kernel", kernel, ("linear", "rbf"))
        check_number("MinibatchCKA", "bandwidth", bandwidth, low=torch.finfo(torch.float32).tiny)
        self.kernel, self.bandwidth = kernel, bandwidth
        self._sums: torch.Tensor | None = None

    @torch.no_grad()
    def update(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Add a minibatch of at least 4 samples.

        Parameters
        ----------
        x, y : Tensor of shape (n, …)
            Representations of the same samples.

        Raises
        ------
        InputError
            If there are fewer than 4 samples, their numbers differ, or a value is NaN or infinite.
        """
        pair = (t[None] for t in _features("MinibatchCKA.update", x, y, True))
        (first, unit), (second, other) = map(_in_own_unit, pair)
        k, m = (_kernel_matrix(t, self.kernel, self.bandwidth) for t in (first, second))
        sums = torch.cat(_products(k, m, unbiased=True)).cpu().double()
        if self.kernel == "linear":  # all minibatches count in one unit
            sums = sums * torch.cat([(unit * other) ** 2, unit**4, other**4])
        if not bool(sums.isfinite().all()):
            raise fail("MinibatchCKA.update", "x or y", "overflows float64", "values of moderate size")
        self._sums = sums if self._sums is None else self._sums + sums

    def compute(self) -> torch.Tensor:
        """Return the CKA of all minibatches so far, a scalar in double precision.

        Raises
        ------
        InputError
            If there was no minibatch.
        """
        if self._sums is None:
            raise fail("MinibatchCKA.compute", "update", "was never called", "at least one minibatch before")
        return _ratio(*self._sums)


def _features(name: str, x: Any, y: Any, unbiased: bool) -> tuple[torch.Tensor, torch.Tensor]:
    out = []
    for argument, value in (("x", x), ("y", y)):
        t = check_dense(name, argument, value)
        least = 4 if unbiased else 2
        if t.ndim < 2 or 0 in t.shape or len(t) < least:
            raise fail(name, argument, f"has shape {tuple(t.shape)}", f"(n, …) with n of at least {least}")
        t = at_least_single(t.flatten(1)) if t.is_floating_point() else t.flatten(1).float()
        reject_non_finite(name, argument, t)
        out.append(t)
    if len(out[0]) != len(out[1]):
        raise fail(name, "y", f"has {len(out[1])} samples", f"{len(out[0])}, as many as x")
    # Centring changes no result, and keeps the precision of features far from the origin.
    first, second = (t - t.mean(0, keepdim=True) for t in out)
    dtype = torch.promote_types(first.dtype, second.dtype)
    return first.to(dtype), second.to(dtype)


def _reject_tokens(x: Any, y: Any, tokens: bool | None, mask: Any) -> None:
    """Raise if it is not said what three axes stand for, or a mask comes without tokens."""
    if mask is not None:
        raise fail("cka", "mask", "is given", "it with tokens=True alone")
    for argument, value in (("x", x), ("y", y)):
        if tokens is None and isinstance(value, torch.Tensor) and value.ndim == 3:
            came = f"has shape {tuple(value.shape)}"
            expected = "tokens=True to align the tokens of each sample, or tokens=False to align the samples"
            raise fail("cka", argument, came, expected)


def _tokens(
    x: Any, y: Any, unbiased: bool, mask: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return the tokens (B, N, d) and (B, N, e) of samples, centred, and which are real; others are 0."""
    pair = [check_dense("cka", argument, value) for argument, value in (("x", x), ("y", y))]
    for argument, t in zip("xy", pair, strict=True):
        if t.ndim < 3 or 0 in t.shape or t.shape[:2] != pair[0].shape[:2]:
            expected = "(B, N, …) with the samples and tokens of x" if argument == "y" else "(B, N, …)"
            raise fail("cka", argument, f"has shape {tuple(t.shape)}", expected)
    real, counts = _real_tokens(pair[0], unbiased, mask)
    out = []
    for argument, t in zip("xy", pair, strict=True):
        t = at_least_single(t.flatten(2)) if t.is_floating_point() else t.flatten(2).float()
        if real is not None:
            t = torch.where(real[..., None], t, 0.0)
        reject_non_finite("cka", argument, t)
        t = t - t.sum(1, keepdim=True) / counts.to(t.dtype)
        out.append(t if real is None else t.masked_fill(~real[..., None], 0.0))
    dtype = torch.promote_types(out[0].dtype, out[1].dtype)
    return out[0].to(dtype), out[1].to(dtype), real


def _real_tokens(x: torch.Tensor, unbiased: bool, mask: Any) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return which tokens of `x` (B, N, …) are real, None where all are, and their numbers (B, 1, 1)."""
    least = 4 if unbiased else 2
    if mask is None:
        if x.shape[1] < least:
            raise fail("cka", "x", f"has shape {tuple(x.shape)}", f"(B, N, …) with N of at least {least}")
        return None, torch.tensor(x.shape[1], device=x.device)
    real = as_mask("cka", "mask", mask, "tokens are").to(x.device)
    if real.shape != x.shape[:2]:
        raise fail("cka", "mask", f"has shape {tuple(real.shape)}", f"{tuple(x.shape[:2])}, as x")
    counts = real.sum(1)
    few = (counts < least).nonzero()
    if len(few):
        sample = int(few[0, 0])
        raise fail("cka", f"mask[{sample}]", f"has {int(counts[sample])} tokens", f"at least {least}")
    return real, counts[:, None, None]


def _in_own_unit(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (B, n, d) in units of their size, whose squares are ordinary numbers, and these."""
    unit = unit_of(features.abs().amax((1, 2), keepdim=True))
    return features / unit, unit.flatten().cpu().double()


def _kernel_matrix(
    features: torch.Tensor, kernel: str, bandwidth: float, real: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the kernel's matrices (B, n, n)."""
    gram = features @ features.mT
    if kernel == "linear":
        return gram
    norms, n = gram.diagonal(dim1=1, dim2=2), gram.shape[1]
    squares = (norms[:, :, None] + norms[:, None] - 2.0 * gram).clamp(min=0.0)
    squares = squares.masked_fill(torch.eye(n, dtype=torch.bool, device=squares.device), 0.0)
    i, j = torch.triu_indices(n, n, 1, device=squares.device)
    between = squares.detach()[:, i, j]
    if real is not None:
        between = between.masked_fill(~(real[:, i] & real[:, j]), torch.nan)
    # torch takes the lower one of two in the middle
    median = (between.nanmedian(1).values - (-between).nanmedian(1).values) / 2
    typical = torch.where(median > 0, median, between.nanmean(1))[:, None, None]
    # in a cloud that is one point all squares are 0
    scale = bandwidth**2 * torch.where(typical > 0, typical, torch.ones_like(typical))
    return torch.exp(-squares / (2.0 * scale))


def _feature_products(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the biased HSIC of the linear kernel from products of features, cheaper where these are few."""
    return tuple((a.mT @ b).square().sum((1, 2)) for a, b in ((x, y), (x, x), (y, y)))


def _products(
    k: torch.Tensor, m: torch.Tensor, unbiased: bool, real: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """Return HSIC(K, L), HSIC(K, K), HSIC(L, L) of matrices (B, n, n), (B,) up to a common factor."""
    prepare = _without_diagonal if unbiased else _double_centred
    k, m = prepare(k, real), prepare(m, real)
    return tuple((a * b).sum((1, 2)) for a, b in ((k, m), (k, k), (m, m)))


def _double_centred(k: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    k, n = _among(k, real), _number(k, real)
    means = k.sum(1, keepdim=True) / n
    return _among(k - means - means.mT + means.sum(2, keepdim=True) / n, real)


def _without_diagonal(k: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Return the U-centred matrix: its products are the unbiased estimate times n (n − 3)."""
    diagonal, n = torch.eye(k.shape[1], dtype=torch.bool, device=k.device), _number(k, real)
    k = _among(k, real).masked_fill(diagonal, 0.0)
    rows = k.sum(1, keepdim=True) / (n - 2)
    centred = k - rows - rows.mT + k.sum((1, 2), keepdim=True) / ((n - 1) * (n - 2))
    return _among(centred, real).masked_fill(diagonal, 0.0)


def _among(k: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Return matrices with 0 where a row or a column is no real one."""
    return k if real is None else k.masked_fill(~(real[:, :, None] & real[:, None]), 0.0)


def _number(k: torch.Tensor, real: torch.Tensor | None) -> Any:
    """Return the numbers of real rows, an integer or (B, 1, 1)."""
    return k.shape[1] if real is None else real.sum(1)[:, None, None]


def _ratio(cross: torch.Tensor, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the alignment; 0, with gradient 0, where a representation is constant."""
    # The roots are taken one by one: the product of both would overflow or vanish in single precision.
    constant = (own <= 0) | (other <= 0)
    safe_own, safe_other = torch.where(constant, 1.0, own), torch.where(constant, 1.0, other)
    return torch.where(constant, 0.0, cross / safe_own.sqrt() / safe_other.sqrt())
