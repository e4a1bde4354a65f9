"""Generation of shapes in a linear latent space by a rectified flow, on a condition.

Liu, Gong, Liu, "Flow Straight and Fast", ICLR 2023; what it is for: Hu, Fei et al., "Topology-Aware Latent
Diffusion for 3D Shape Generation", 2024. Cost: three blocks of linear layers, for each step of sampling.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from topodl.diagrams import Diagrams
from topodl.layers import DiagramEncoder, PersistenceImage

__all__ = ["Flow", "ShapeAutoencoder", "Targets", "persistence_images", "train_autoencoder", "train_flow"]

Progress = Callable[[int], Iterable[int]]
_MOST = 10  # of a Betti number; more count as this many
_WAVES = 16  # frequencies that tell the time
_EULER_STEPS = 25
_BATCH, _RATE = 128, 3e-3
_IMAGES = 64  # of a step of the autoencoder
_CHANNELS = 24
_NOISE = 0.25  # in codes, as flows leave some


@dataclass(frozen=True)
class Targets:
    """The topology that n shapes are to have: Betti numbers (n, K) and diagrams of signed distances."""

    betti: torch.Tensor
    diagrams: Diagrams

    def __getitem__(self, index: torch.Tensor) -> Targets:
        return Targets(self.betti[index], self.diagrams[index.tolist()])


class ShapeAutoencoder(nn.Module):
    """Principal components of signed distances (n, *S); in images, convolutions correct what they decode to.

    Codes have a mean square of 1, and each the square root of the spread of its component: so the shape is
    in few of them, and noise in the others changes little.
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
        self.correction = _Correction().to(samples.device) if len(self.shape) == 2 else None

    def encode(self, shapes: torch.Tensor) -> torch.Tensor:
        """Return the codes (B, n_codes) of signed distances (B, *S)."""
        return (shapes.flatten(1) - self.mean) @ self.axes.T / self.spreads

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the signed distances (B, *S) of codes (B, n_codes)."""
        shapes = ((codes * self.spreads) @ self.axes + self.mean).unflatten(1, self.shape)
        return shapes if self.correction is None else self.correction(shapes)

    @torch.no_grad()
    def fit_components(self, samples: torch.Tensor) -> None:
        """Take the components from samples (n, *S)."""
        flat = samples.flatten(1)
        self.mean.copy_(flat.mean(0))
        _, values, axes = torch.svd_lowrank(flat - self.mean, len(self.axes), niter=4)
        self.axes.copy_(axes.T)
        self.spreads.copy_(values.clamp(min=1e-6).sqrt())
        self.spreads.mul_(self.encode(samples).square().mean().sqrt())


class _Correction(nn.Module):
    """Convolutions at half the resolution, whose output is added."""

    def __init__(self) -> None:
        super().__init__()
        widths = [4, *[_CHANNELS] * 3, 4]
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1, device="cpu"), nn.SiLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.PixelShuffle(2))

    def forward(self, shapes: torch.Tensor) -> torch.Tensor:
        return shapes + self.layers(shapes[:, None])[:, 0]


def train_autoencoder(
    autoencoder: ShapeAutoencoder, samples: torch.Tensor, steps: Progress, n_steps: int, generator: Any
) -> None:
    """Fit to signed distances (n, *S), where they are small more than elsewhere; codes have noise."""
    autoencoder.fit_components(samples)
    if autoencoder.correction is None:
        return
    codes = autoencoder.encode(samples)
    take_step = _optimiser(autoencoder.correction, n_steps)
    for _ in steps(n_steps):
        index = torch.randint(len(samples), (_IMAGES,), generator=generator, device="cpu").to(samples.device)
        noise = torch.randn((_IMAGES, codes.shape[1]), generator=generator, device="cpu").to(samples.device)
        wanted = samples[index]
        given = autoencoder(codes[index] + _NOISE * noise)
        take_step(((given - wanted).abs() * (1.2 - wanted.abs())).mean())


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
        return targets.diagrams

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
    take_step = _optimiser(flow, n_steps)
    for _ in steps(n_steps):
        index = torch.randint(len(codes), (_BATCH,), generator=generator, device="cpu")
        time = torch.rand(_BATCH, generator=generator, device="cpu").to(codes.device)
        noise = torch.randn((_BATCH, codes.shape[1]), generator=generator, device="cpu").to(codes.device)
        wanted = codes[index] - noise
        vector = flow.condition(read[index.tolist()] if isinstance(read, Diagrams) else read[index])
        take_step(F.mse_loss(flow(noise + time[:, None] * wanted, time, vector), wanted))


def _optimiser(model: nn.Module, n_steps: int) -> Callable[[torch.Tensor], None]:
    """Return a function that takes a step of a training of `n_steps` on a loss."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=n_steps)

    def take_step(loss: torch.Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()

    return take_step
