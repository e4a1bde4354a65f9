"""Reads the golden values of the original implementations and compares with them."""

from pathlib import Path

import numpy as np
import torch


def load(shared: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "seg" / f"{name}.npz") as arrays:
        return dict(arrays)


def case(shared: Path, which: str, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits (requiring gradient) and the labels (B, H, W) of golden case "A" or "B"."""
    arrays = load(shared, "inputs")
    logits = torch.from_numpy(arrays[f"logits_{which}"]).to(dtype).requires_grad_()
    return logits, torch.from_numpy(arrays[f"labels_{which}"].astype(np.int64))


def check(
    shared: Path, name: str, value: torch.Tensor, variable: torch.Tensor, rtol=1e-6, grad_rtol=1e-5
) -> None:
    """Compare value and gradient with the golden file `name`; a stored gradient may be of channel 1 alone."""
    golden = load(shared, name)
    np.testing.assert_allclose(value.item(), golden["loss"], rtol=rtol)
    (gradient,) = torch.autograd.grad(value, variable)
    check_gradient(golden, gradient.double().numpy(), grad_rtol)


def check_gradient(golden: dict[str, np.ndarray], gradient: np.ndarray, rtol: float) -> None:
    np.testing.assert_allclose(np.linalg.norm(gradient), golden["grad_l2"], rtol=rtol)
    stored = golden["grad"]
    if golden["grad_antisym"]:
        np.testing.assert_allclose(gradient[:, 0], -gradient[:, 1], atol=rtol * np.abs(gradient).max())
        gradient = gradient[:, 1]
    np.testing.assert_allclose(
        gradient.reshape(stored.shape), stored, rtol=0, atol=rtol * np.abs(stored).max()
    )
