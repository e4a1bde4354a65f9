"""Centred kernel alignment of two representations: a similarity, a loss, and a mean over minibatches.

Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019. Cost:
O(n² p).
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from topodl._checks import check_choice, check_number, check_tensor, fail, reject_non_finite
from topodl._docs import shares_documentation
from topodl._overflow import NON_FINITE, NonFinite, or_nan
from topodl._precision import at_least_single, unit_of

__all__ = ["CKALoss", "MinibatchCKA", "cka", "cka_loss"]

Kernel = Literal["linear", "rbf"]


def cka(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    kernel: Kernel = "linear",
    unbiased: bool = False,
    bandwidth: float = 1.0,
) -> torch.Tensor:
    r"""Centred kernel alignment (CKA) of two representations of the same samples, with gradient.

    HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) with the kernel matrices K of `x` and L of `y`. It is 1 where they
    agree up to rotation and scale, and 0 where a representation is constant.

    Parameters
    ----------
    x, y : Tensor of shape (n, …) and (n, …)
        Row i of both stands for the same sample; further axes are flattened.
    kernel : {"linear", "rbf"}, default="linear"
        "rbf" is exp(−d² / 2σ²), where σ² is the square of `bandwidth` times the median squared distance of
        different samples, as in the paper, or where that is 0 their mean; neither takes part in the gradient.
    unbiased : bool, default=False
        Use the unbiased estimate of HSIC (Song et al. 2012), which needs 4 samples and may be negative.
    bandwidth : float, default=1.0
        Of the RBF kernel.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    InputError
        If the numbers of samples differ or are too small, or a value is NaN or infinite.

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
    first, second = (_in_own_unit(t)[0] for t in _features("cka", x, y, unbiased))
    check_choice("cka", "kernel", kernel, ("linear", "rbf"))
    check_number("cka", "bandwidth", bandwidth, low=torch.finfo(torch.float32).tiny)
    with torch.autocast(first.device.type, enabled=False):
        if kernel == "linear" and not unbiased and max(first.shape[1], second.shape[1]) < len(first):
            return _ratio(*_feature_products(first, second))
        k, m = (_kernel_matrix(t, kernel, bandwidth) for t in (first, second))
        return _ratio(*_products(k, m, unbiased))


@shares_documentation(cka, sections=["References"])
def cka_loss(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    kernel: Kernel = "linear",
    unbiased: bool = False,
    bandwidth: float = 1.0,
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
        return 1.0 - cka(x, y, kernel=kernel, unbiased=unbiased, bandwidth=bandwidth)

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
        non_finite: NonFinite = "nan",
    ) -> None:
        super().__init__()
        check_choice("CKALoss", "non_finite", non_finite, NON_FINITE)
        self.non_finite: NonFinite = non_finite
        check_choice("CKALoss", "kernel", kernel, ("linear", "rbf"))
        check_number("CKALoss", "bandwidth", bandwidth, low=torch.finfo(torch.float32).tiny)
        self.kernel: Kernel = kernel
        self.unbiased, self.bandwidth = unbiased, bandwidth

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return 1 − CKA of two representations (n, …).

        Parameters
        ----------
        x, y : Tensor of shape (n, …)
            Representations of the same samples.

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
            non_finite=self.non_finite,
        )

    def extra_repr(self) -> str:
        """Return the options."""
        return f"kernel={self.kernel!r}, unbiased={self.unbiased}"


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
        (first, unit), (second, other) = map(_in_own_unit, _features("MinibatchCKA.update", x, y, True))
        k, m = (_kernel_matrix(t, self.kernel, self.bandwidth) for t in (first, second))
        sums = torch.stack(_products(k, m, unbiased=True)).cpu().double()
        if self.kernel == "linear":  # all minibatches count in one unit
            sums = sums * torch.stack([(unit * other) ** 2, unit**4, other**4])
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
        t = check_tensor(name, argument, value)
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


def _in_own_unit(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features in a unit of their size, whose squares neither overflow nor vanish, and the unit."""
    unit = unit_of(features.abs().amax())
    return features / unit, unit.cpu().double()


def _kernel_matrix(features: torch.Tensor, kernel: str, bandwidth: float) -> torch.Tensor:
    gram = features @ features.T
    if kernel == "linear":
        return gram
    norms = gram.diagonal()
    squares = (norms[:, None] + norms[None] - 2.0 * gram).clamp(min=0.0)
    squares = squares.masked_fill(torch.eye(len(squares), dtype=torch.bool, device=squares.device), 0.0)
    i, j = torch.triu_indices(len(squares), len(squares), 1, device=squares.device)
    between = squares.detach()[i, j]
    median = (between.median() - (-between).median()) / 2  # torch takes the lower one of two in the middle
    typical = torch.where(median > 0, median, between.mean())
    # in a cloud that is one point all squares are 0
    scale = bandwidth**2 * torch.where(typical > 0, typical, torch.ones_like(typical))
    return torch.exp(-squares / (2.0 * scale))


def _feature_products(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the biased HSIC of the linear kernel from products of features, cheaper where these are few."""
    return (x.T @ y).square().sum(), (x.T @ x).square().sum(), (y.T @ y).square().sum()


def _products(
    k: torch.Tensor, m: torch.Tensor, unbiased: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return HSIC(K, L), HSIC(K, K), HSIC(L, L), up to a common factor."""
    prepare = _without_diagonal if unbiased else _double_centred
    k, m = prepare(k), prepare(m)
    return (k * m).sum(), (k * k).sum(), (m * m).sum()


def _double_centred(k: torch.Tensor) -> torch.Tensor:
    return k - k.mean(0, keepdim=True) - k.mean(1, keepdim=True) + k.mean()


def _without_diagonal(k: torch.Tensor) -> torch.Tensor:
    """Return the U-centred matrix: its products are the unbiased estimate times n (n − 3)."""
    n = len(k)
    diagonal = torch.eye(n, dtype=torch.bool, device=k.device)
    k = k.masked_fill(diagonal, 0.0)
    rows = k.sum(1) / (n - 2)
    centred = k - rows[:, None] - rows[None] + k.sum() / ((n - 1) * (n - 2))
    return centred.masked_fill(diagonal, 0.0)


def _ratio(cross: torch.Tensor, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the alignment; 0, with gradient 0, where a representation is constant."""
    # The roots are taken one by one: the product of both would overflow or vanish in single precision.
    constant = (own <= 0) | (other <= 0)
    safe_own, safe_other = torch.where(constant, 1.0, own), torch.where(constant, 1.0, other)
    return torch.where(constant, 0.0, cross / safe_own.sqrt() / safe_other.sqrt())
