"""Codes of a generative model, moved until what the decoder makes of them has the topology that is wanted.

The guidance of diffusion models by gradients of a loss, here one of persistence. Cost of a step: a decoder
and diagrams, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from topodl._checks import check_dense, check_number, fail, reject_non_finite
from topodl._precision import at_least_single

__all__ = ["guide_codes"]


def guide_codes(
    codes: torch.Tensor,
    decode: Callable[[torch.Tensor], torch.Tensor],
    loss: Callable[[torch.Tensor], torch.Tensor],
    *,
    n_steps: int = 10,
    learning_rate: float = 0.05,
    closeness: float = 0.005,
) -> torch.Tensor:
    """Move codes z from z₀ by steps of Adam on B · loss(decode(z)) + closeness · ‖z − z₀‖².

    With a loss of persistence, as `BettiTargetLoss` at a level or `DiagramTargetLoss`, samples of any trained
    generative model get the topology that is asked for. The parameters of the decoder stay as they are.

    Parameters
    ----------
    codes : Tensor of shape (B, …)
        Codes z₀, floating point.
    decode : callable
        From codes (B, …) to what `loss` takes, differentiable.
    loss : callable
        From decoded codes (B, …) to a scalar, a mean over the B samples as those of `topodl.losses`.
    n_steps : int
        Number of steps.
    learning_rate : float
        Of Adam: about how far each coordinate may move in a step.
    closeness : float
        Weight of the squared distance from the codes given.

    Returns
    -------
    Tensor of shape (B, …)
        Without gradient.

    Raises
    ------
    InputError
        If an option is unusable, the codes are no finite floating-point numbers, or the loss is no finite
        scalar that depends on them.

    See Also
    --------
    topodl.losses.BettiTargetLoss, topodl.losses.DiagramTargetLoss : losses to guide by.

    References
    ----------
    P. Dhariwal, A. Nichol. Diffusion models beat GANs on image synthesis. NeurIPS 2021 (guidance by
    gradients, in kind).

    Examples
    --------
    >>> import torch
    >>> import topodl
    >>> from topodl.losses import BettiTargetLoss
    >>> from topodl.representations import guide_codes
    >>> row = torch.tensor([[[-1.0, 0.2, -1.0]]])  # two components below 0, that should be one
    >>> def diagrams(x):
    ...     return topodl.cubical_persistence(x)
    >>> loss = BettiTargetLoss({0: 1}, length=0.05, level=0.0, filtration=diagrams)
    >>> moved = guide_codes(row, torch.nn.Identity(), loss)
    >>> diagrams(row).betti(0.0)[0, 0].item(), diagrams(moved).betti(0.0)[0, 0].item()
    (2, 1)
    """
    name = "guide_codes"
    check_number(name, "n_steps", n_steps, low=0, integer=True)
    check_number(name, "learning_rate", learning_rate, low=0.0)
    check_number(name, "closeness", closeness, low=0.0)
    start = check_dense(name, "codes", codes).detach()
    if start.ndim == 0 or not start.is_floating_point():
        came = f"has shape {tuple(start.shape)} and dtype {start.dtype}"
        raise fail(name, "codes", came, "floating-point numbers of shape (B, …)")
    reject_non_finite(name, "codes", start)
    with torch.inference_mode(False), torch.enable_grad():
        dtype = start.dtype
        start = at_least_single(start).clone()  # squares of gradients vanish in half precision
        moved = start.clone().requires_grad_()
        optimiser = torch.optim.Adam([moved], lr=learning_rate)
        for _ in range(n_steps):
            # A mean times the number of samples: each goes its own way, whatever the others are.
            (gradient,) = torch.autograd.grad(
                _scalar(name, loss(decode(moved.to(dtype)))) * len(start), moved
            )
            moved.grad = gradient + 2 * closeness * (moved - start).detach()
            optimiser.step()
    return moved.detach().to(dtype)


def _scalar(name: str, value: torch.Tensor) -> torch.Tensor:
    expected = "a finite scalar that depends on the codes"
    if not isinstance(value, torch.Tensor) or value.ndim:
        came = f"has shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"is {value!r}"
        raise fail(name, "loss", came, expected)
    if not value.requires_grad:
        raise fail(name, "loss", "does not depend on the codes", expected)
    if not bool(value.isfinite()):
        raise fail(name, "loss", f"is {value.item()}", expected)
    return value
