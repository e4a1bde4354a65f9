"""Autoencoders of signed distances, and rectified flows between noise and their codes, on a condition.

Liu, Gong, Liu, "Flow Straight and Fast", ICLR 2023; what it is for: Hu, Fei et al., "Topology-Aware Latent
Diffusion for 3D Shape Generation", 2024. Cost: three blocks of linear layers, for each step of sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from topodl.diagrams import Diagrams
from topodl.layers import DiagramEncoder, PersistenceImage

__all__ = [
    "Flow",
    "ImageAutoencoder",
    "Targets",
    "VolumeAutoencoder",
    "autoencoder_of",
    "persistence_images",
    "train_flow",
]

Progress = Callable[[int], Iterable[int]]
_MOST = 10  # of a Betti number; more count as this many
_WAVES = 16  # frequencies that tell the time
_EULER_STEPS = 25
_BATCH = 128
_SHORT = 0.1  # of the largest distance: shorter bars are the grid's, half a pixel long
_FLATTENING = 0.7
_IMAGES = 64  # of a step of the autoencoder
_CHANNELS, _NOISE = 24, 0.07  # noise in codes leaves less to be put right by the flow


@dataclass(frozen=True)
class Targets:
    """The topology that n shapes are to have: Betti numbers (n, K) and diagrams of signed distances."""

    betti: torch.Tensor
    diagrams: Diagrams

    def __getitem__(self, index: torch.Tensor) -> Targets:
        return Targets(self.betti[index], self.diagrams[index.tolist()])


class ImageAutoencoder(nn.Module):
    """Convolutions between signed distances (B, H, W) and codes of mean 0 and variance 1."""

    def __init__(self, samples: torch.Tensor, n_codes: int) -> None:
        super().__init__()
        width, quarter = _CHANNELS, samples.shape[1] // 4
        size = 2 * width * quarter**2
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (1, -1)),
            nn.Conv2d(1, width, 4, 2, 1, device="cpu"),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1, device="cpu"),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(size, n_codes, device="cpu"),
            nn.BatchNorm1d(n_codes, affine=False, device="cpu"),
        ).to(samples.device)
        self.decoder = nn.Sequential(
            nn.Linear(n_codes, size, device="cpu"),
            nn.Unflatten(1, (2 * width, quarter, quarter)),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, device="cpu"),
            nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1, device="cpu"),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(width, 4, 3, padding=1, device="cpu"),
            nn.PixelShuffle(2),
            nn.Flatten(1, 2),
        ).to(samples.device)

    def encode(self, shapes: torch.Tensor) -> torch.Tensor:
        """Return the codes (B, n_codes) of signed distances (B, H, W)."""
        codes: torch.Tensor = self.encoder(shapes)
        return codes

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the signed distances (B, H, W) of codes (B, n_codes)."""
        shapes: torch.Tensor = self.decoder(codes)
        return shapes

    def fit(self, samples: torch.Tensor, steps: Progress, n_steps: int, generator: torch.Generator) -> None:
        """Train on signed distances (n, H, W); errors weigh more where these are small."""
        take_step = _optimiser(self, n_steps, 4e-3)
        for _ in steps(n_steps):
            index = torch.randint(len(samples), (_IMAGES,), generator=generator, device="cpu")
            wanted = samples[index]
            codes = self.encode(wanted)
            noise = torch.randn(codes.shape, generator=generator, device="cpu").to(codes.device)
            take_step(((self(codes + _NOISE * noise) - wanted).abs() * (1.2 - wanted.abs())).mean())


class VolumeAutoencoder(nn.Module):
    """Principal components of signed distances (n, D, H, W), as codes whose mean square is 1.

    What the components spread by is divided by its power `_FLATTENING`: the shape is in few codes, which the
    flow learns better, and noise in the others changes little.
    """

    mean: torch.Tensor
    axes: torch.Tensor
    spreads: torch.Tensor

    def __init__(self, samples: torch.Tensor, n_codes: int) -> None:
        super().__init__()
        n, *self.shape = samples.shape
        size, n_codes = math.prod(self.shape), min(n_codes, n - 1)
        place: dict[str, Any] = {"device": samples.device, "dtype": samples.dtype}
        self.register_buffer("mean", torch.zeros(size, **place))
        self.register_buffer("axes", torch.zeros(n_codes, size, **place))
        self.register_buffer("spreads", torch.ones(n_codes, **place))

    def encode(self, shapes: torch.Tensor) -> torch.Tensor:
        """Return the codes (B, n_codes) of signed distances (B, D, H, W)."""
        return (shapes.flatten(1) - self.mean) @ self.axes.T / self.spreads

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the signed distances (B, D, H, W) of codes (B, n_codes)."""
        return ((codes * self.spreads) @ self.axes + self.mean).unflatten(1, self.shape)

    @torch.no_grad()
    def fit(self, samples: torch.Tensor, steps: Progress, n_steps: int, generator: torch.Generator) -> None:
        """Take the components from signed distances (n, D, H, W); there is nothing to go on with in steps."""
        flat = samples.flatten(1)
        self.mean.copy_(flat.mean(0))
        _, values, axes = torch.svd_lowrank(flat - self.mean, len(self.axes), niter=4)
        self.axes.copy_(axes.T)
        self.spreads.copy_(values.clamp(min=1e-6) ** _FLATTENING)
        self.spreads.mul_(self.encode(samples).square().mean().sqrt())


def autoencoder_of(samples: torch.Tensor, n_codes: int) -> ImageAutoencoder | VolumeAutoencoder:
    """Return an autoencoder for signed distances like `samples`, not trained."""
    return (ImageAutoencoder if samples.ndim == 3 else VolumeAutoencoder)(samples, n_codes)


def persistence_images(d: Diagrams) -> torch.Tensor:
    """Return the persistence images (n, pixels) of diagrams of signed distances in [-1, 1]."""
    return PersistenceImage(8, (-1.0, 1.0), (0.0, 2.0))(d).flatten(1)


class _Nothing(nn.Module):
    """No condition."""

    def __init__(self, targets: Targets, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width, device="cpu"))

    def read(self, targets: Targets) -> torch.Tensor:
        return targets.betti

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        return self.vector.expand(len(read), -1)


class _BettiNumbers(nn.Module):
    """A vector for each value of each Betti number."""

    def __init__(self, targets: Targets, width: int) -> None:
        super().__init__()
        n_numbers = targets.betti.shape[1]
        self.vectors = nn.ModuleList(nn.Embedding(_MOST + 1, width, device="cpu") for _ in range(n_numbers))
        self.joined = nn.Sequential(nn.SiLU(), nn.Linear(width, width, device="cpu"))

    def read(self, targets: Targets) -> torch.Tensor:
        return targets.betti.clamp(max=_MOST)

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        parts = [layer(numbers) for layer, numbers in zip(self.vectors, read.T, strict=True)]
        return self.joined(torch.stack(parts).sum(0))


class _Image(nn.Module):
    """A persistence image and a perceptron."""

    scale: torch.Tensor

    def __init__(self, targets: Targets, width: int) -> None:
        super().__init__()
        pixels = persistence_images(targets.diagrams)
        self.register_buffer("scale", pixels.std(0).clamp(min=pixels.std(0).max() / 100))
        self.layers = nn.Sequential(
            nn.Linear(pixels.shape[1], width, device="cpu"),
            nn.SiLU(),
            nn.Linear(width, width, device="cpu"),
        )

    def read(self, targets: Targets) -> torch.Tensor:
        return persistence_images(targets.diagrams) / self.scale

    def forward(self, read: torch.Tensor) -> torch.Tensor:
        return self.layers(read)


class _Diagram(nn.Module):
    """A set transformer on the bars."""

    def __init__(self, targets: Targets, width: int) -> None:
        super().__init__()
        dims = targets.diagrams.homology_dims
        self.encoder = DiagramEncoder(64, dims=dims, value_range=(-1.0, 1.0))
        self.joined = nn.Linear(64, width, device="cpu")

    def read(self, targets: Targets) -> Diagrams:
        return targets.diagrams.filter(_SHORT)

    def forward(self, read: Diagrams) -> torch.Tensor:
        return self.joined(self.encoder(read))


class Flow(nn.Module):
    """The velocity by which noise becomes codes, a perceptron with a condition."""

    def __init__(self, n_codes: int, width: int, condition: str, targets: Targets) -> None:
        super().__init__()
        self.n_codes = n_codes
        self.condition = _KINDS[condition](targets, width)
        self.first = nn.Linear(n_codes, width, device="cpu")
        self.time = nn.Linear(2 * _WAVES, width, device="cpu")
        self.blocks = nn.ModuleList(_Block(width) for _ in range(3))
        self.last = nn.Linear(width, n_codes, device="cpu")

    def forward(self, codes: torch.Tensor, time: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """Return the velocities (B, n_codes) at times (B,), with a vector (B, width) of the condition."""
        phases = time[:, None] * torch.exp(torch.linspace(0, 5, _WAVES, device=time.device))
        about = vector + self.time(torch.cat((phases.sin(), phases.cos()), 1))
        x = self.first(codes)
        for block in self.blocks:
            x = block(x, about)
        return self.last(F.silu(x))

    @torch.no_grad()
    def sample(self, targets: Targets, noise: torch.Tensor) -> torch.Tensor:
        """Return codes (B, n_codes) with the condition of each target, from noise of the same shape."""
        vector, codes = self.condition(self.condition.read(targets)), noise
        for step in range(_EULER_STEPS):
            time = noise.new_full((len(noise),), step / _EULER_STEPS)
            codes = codes + self(codes, time, vector) / _EULER_STEPS
        return codes


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, device="cpu")
        self.about, self.first, self.second = (nn.Linear(width, width, device="cpu") for _ in range(3))

    def forward(self, x: torch.Tensor, about: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.silu(self.first(self.norm(x)) + self.about(about)))


_KINDS: dict[str, Any] = {"none": _Nothing, "betti": _BettiNumbers, "image": _Image, "diagram": _Diagram}


def train_flow(
    flow: Flow, codes: torch.Tensor, targets: Targets, steps: Progress, n_steps: int, generator: Any
) -> None:
    """Train on codes (n, n_codes) and the topology of their shapes."""
    with torch.no_grad():
        read = flow.condition.read(targets)
    take_step = _optimiser(flow, n_steps, 5e-3)
    for _ in steps(n_steps):
        index = torch.randint(len(codes), (_BATCH,), generator=generator, device="cpu")
        time = torch.rand(_BATCH, generator=generator, device="cpu").to(codes.device)
        noise = torch.randn((_BATCH, codes.shape[1]), generator=generator, device="cpu").to(codes.device)
        wanted = codes[index] - noise
        vector = flow.condition(read[index.tolist()] if isinstance(read, Diagrams) else read[index])
        take_step(F.mse_loss(flow(noise + time[:, None] * wanted, time, vector), wanted))


def _optimiser(model: nn.Module, n_steps: int, rate: float) -> Callable[[torch.Tensor], None]:
    """Return a function that takes a step of a training of `n_steps` on a loss."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=n_steps)

    def take_step(loss: torch.Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()

    return take_step
