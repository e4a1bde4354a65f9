"""What ``batch[index]`` asks of a jagged batch, be it of diagrams or of complexes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from topodl._checks import fail, plain_tensor

__all__ = ["sample_indices"]


def sample_indices(kind: str, index: Any, n_samples: int, device: torch.device) -> slice | torch.Tensor:
    """Return the samples that `index` asks of a `kind`: neighbours as a slice from start to stop, or (M,).

    An index is an integer, a slice, a mask (n_samples,) or a list of integers, also negative ones.
    """
    if isinstance(index, torch.Tensor) and index.ndim == 0 and not index.is_floating_point():
        index = index.item()
    if isinstance(index, int | np.integer) and not isinstance(index, bool):
        if not -n_samples <= index < n_samples:
            raise IndexError(f"{kind}: sample {index} is out of range; there are {n_samples} samples")
        index = slice(int(index) % n_samples, int(index) % n_samples + 1)
    if isinstance(index, slice):
        start, stop, step = index.indices(n_samples)
        if step == 1:
            return slice(start, max(start, stop))
        index = list(range(start, stop, step))
    return _listed(kind, index, n_samples, device)


def _listed(kind: str, index: Any, n_samples: int, device: torch.device) -> torch.Tensor:
    """Return the samples (M,) of a mask or a list."""
    wrong = f"{kind}: an index is an int, a slice, a mask (B,) or a 1-D list of sample indices"
    try:
        which = torch.as_tensor(plain_tensor(index), device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(wrong) from error
    if which.ndim != 1 or (len(which) and (which.is_floating_point() or which.is_complex())):
        raise TypeError(wrong)
    if which.dtype == torch.bool:
        if len(which) != n_samples:
            came, expected = f"has {len(which)} entries", f"one of the {n_samples} samples each"
            raise fail(kind, "the mask of samples", came, expected)
        return which.nonzero()[:, 0]
    which = which.to(torch.int64)
    if bool(((which < -n_samples) | (which >= n_samples)).any()):
        raise IndexError(f"{kind}: an index is out of range; there are {n_samples} samples")
    return torch.where(which < 0, which + n_samples, which)
