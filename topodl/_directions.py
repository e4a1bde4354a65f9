"""Unit vectors that look at a shape from all sides: even where that is easy, random elsewhere."""

from __future__ import annotations

import math

import torch
from torch import nn

__all__ = ["random_directions", "spread_directions"]

_ROUNDING = 1e-12


def spread_directions(ambient_dim: int, n: int, seed: int) -> torch.Tensor:
    """Return (ambient_dim, n) unit vectors: even where that is easy, random in four dimensions and above."""
    index = torch.arange(n, dtype=torch.float64, device="cpu")
    if ambient_dim == 1:
        vectors = (1 - 2 * (index % 2))[None]
    elif ambient_dim == 2:
        angle = 2 * math.pi * index / n
        vectors = torch.stack([angle.cos(), angle.sin()])
    elif ambient_dim == 3:
        height = 1 - (2 * index + 1) / n
        angle = math.pi * (3 - math.sqrt(5)) * index
        ring = (1 - height.square()).sqrt()
        vectors = torch.stack([ring * angle.cos(), ring * angle.sin(), height])
    else:
        return random_directions(ambient_dim, n, seed)
    # cos(π/2) is 0, so that pixels of a row have one height
    vectors = torch.where(vectors.abs() < _ROUNDING, 0.0, vectors)
    return vectors.to(torch.get_default_dtype())


def random_directions(ambient_dim: int, n: int, seed: int) -> torch.Tensor:
    """Return (ambient_dim, n) unit vectors, drawn from the uniform distribution on the sphere."""
    generator = torch.Generator().manual_seed(int(seed))
    vectors = torch.randn(ambient_dim, n, dtype=torch.float64, generator=generator, device="cpu")
    return nn.functional.normalize(vectors, dim=0).to(torch.get_default_dtype())
