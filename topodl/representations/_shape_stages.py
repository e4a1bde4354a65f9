"""The experiment on generated shapes, stage by stage: data, an autoencoder, a flow for each condition.

Hu, Fei et al., "Topology-Aware Latent Diffusion for 3D Shape Generation", 2024, in kind; guidance is ours.
Cost: half a minute of one core for a flow in 2D.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from topodl.datasets import make_shapes
from topodl.distances import wasserstein_distance
from topodl.losses import BettiTargetLoss, DiagramTargetLoss
from topodl.persistence.cubical import cubical_persistence
from topodl.representations._shape_models import (
    Flow,
    Targets,
    autoencoder_of,
    persistence_images,
    train_flow,
)
from topodl.representations.guidance import guide_codes

__all__ = ["GUIDES", "SPACES", "Space", "Trial"]

GUIDES = ("betti", "diagram")
_DRAWS = 4  # samples of each condition, of which a right one may be kept
_MARGIN = 0.1  # how far from 0 guidance drives the ends of bars, in units of the largest distance
Progress = Callable[[int], Iterable[int]]


class Space(NamedTuple):
    """What shapes there are, and what is learnt of them."""

    size: int
    kinds: tuple[tuple[int, ...], ...]
    clip: float
    n_tested: int
    n_codes: int
    width: int


_SURFACES = ((1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 0, 0), (2, 1, 0), (1, 0, 1))
SPACES = {
    2: Space(32, tuple((b0, b1) for b0 in (1, 2, 3) for b1 in (0, 1, 2)), 6.0, 34, 96, 320),
    3: Space(20, _SURFACES, 4.0, 40, 192, 384),
}


@dataclass
class _Half:
    """Signed distances (n, *S) in units of the largest one, and their topology."""

    shapes: torch.Tensor
    targets: Targets


class Trial:
    """One seed of the experiment: its shapes and, once it is trained or loaded, its autoencoder."""

    def __init__(
        self, dims: int, seed: int, *, samples: int, steps: int, guide: int, device: torch.device
    ) -> None:
        self.space, self.seed, self.steps, self.guide, self.device = SPACES[dims], seed, steps, guide, device
        n_kinds = len(self.space.kinds)
        n_train = samples * n_kinds
        drawn = make_shapes(
            n_train + self.space.n_tested * n_kinds,
            self.space.size,
            self.space.kinds,
            clip=self.space.clip,
            random_state=seed,
        )
        shapes = torch.from_numpy(drawn.signed_distances).to(device) / self.space.clip
        betti = torch.from_numpy(drawn.betti).to(device)
        self.train, self.test = (
            _Half(shapes[part], Targets(betti[part], cubical_persistence(shapes[part])))
            for part in (slice(n_train), slice(n_train, None))
        )
        self.autoencoder = autoencoder_of(self.train.shapes, self.space.n_codes)

    def run_autoencoder(self, progress: Progress) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Train the autoencoder; return the measures of the controls that need no flow, and pictures."""
        before = time.process_time()
        with _seeded(self.seed, "autoencoder") as generator:
            self.autoencoder = autoencoder_of(self.train.shapes, self.space.n_codes)
            n_steps = max(2, 8 * self.steps // 15)
            self.autoencoder.fit(self.train.shapes, progress, n_steps, generator)
        seconds = time.process_time() - before
        self.autoencoder.eval()
        with torch.no_grad():
            again = self.autoencoder(self.autoencoder.encode(self.test.shapes))
        test, train = (persistence_images(half.targets.diagrams) for half in (self.test, self.train))
        found = self.train.shapes[torch.cdist(test, train).argmin(1)]
        measures = {
            "CPU": seconds,
            "reconstructed": self._measured(again, self.test.targets),
            "retrieved": self._measured(found, self.test.targets),
        }
        return measures, {"wanted": self._pictured(self.test.shapes), "reconstructed": self._pictured(again)}

    def run_condition(
        self, condition: str, progress: Progress
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Train a flow on a condition; return the measures of its samples, as they are and guided."""
        decode, targets = self.autoencoder.eval().requires_grad_(False), self.test.targets
        with torch.no_grad():
            codes = decode.encode(self.train.shapes)
        before = time.process_time()
        with _seeded(self.seed, condition) as generator:
            flow = Flow(codes.shape[1], self.space.width, condition, self.train.targets).to(self.device)
            train_flow(flow, codes, self.train.targets, progress, self.steps, generator)
        result: dict[str, Any] = {"CPU": time.process_time() - before}
        noise = self._noise(codes.shape[1])
        draws = [flow.sample(targets, each) for each in noise]
        shapes = [decode(drawn) for drawn in draws]
        result["sampled"] = self._measured(shapes[0], targets, shapes[1])
        hits = torch.stack([_hits(each, targets).all(1) for each in shapes])
        result["best"] = {str(n): _percent(hits[:n].any(0)) for n in (2, _DRAWS)}
        pictures = {"sampled": self._pictured(shapes[0])}
        result["guided"] = {}
        for guide in GUIDES:
            before = time.process_time()
            moved = [self._guided(drawn, targets, guide) for drawn in draws[:2]]
            guided = [decode(each) for each in moved]
            result["guided"][guide] = self._measured(guided[0], targets, guided[1]) | {
                "CPU": (time.process_time() - before) / 2,
                "moved": float((moved[0] - draws[0]).norm(dim=1).mean()),
            }
            if guide == "betti":
                pictures["guided"] = self._pictured(guided[0])
        edited, more = self._edited(flow, noise[0], shapes[0])
        return result | {"edited": edited}, pictures | more

    def _edited(
        self, flow: Flow, noise: torch.Tensor, before: torch.Tensor
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Take all holes out of the condition, leave the noise, and measure what becomes of the samples."""
        at = self.test.targets.betti[:, 1:].any(1).nonzero()[:, 0]
        before, wanted = before[at], _without_holes(self.test.targets[at])
        codes = flow.sample(wanted, noise[at])
        shapes = {"sampled": self.autoencoder(codes)}
        shapes["guided"] = self.autoencoder(self._guided(codes, wanted, "betti"))
        result: dict[str, Any] = {"before": self._measured(before, wanted)}
        for name, each in shapes.items():
            kept = _overlap(each < 0, before < 0).mean()
            result[name] = self._measured(each, wanted) | {"kept": float(kept)}
        n_kinds = sum(any(kind[1:]) for kind in self.space.kinds)
        return result, {f"edited, {name}": each[:n_kinds].half().cpu() for name, each in shapes.items()}

    def _noise(self, n_codes: int) -> torch.Tensor:
        """Return the noise (draws, n, n_codes) that samples start from, the same with each condition."""
        with _seeded(self.seed, "noise") as generator:
            size = (_DRAWS, len(self.test.shapes), n_codes)
            return torch.randn(size, generator=generator, device="cpu").to(self.device)

    def _guided(self, codes: torch.Tensor, targets: Targets, guide: str) -> torch.Tensor:
        loss: BettiTargetLoss | DiagramTargetLoss
        if guide == "betti":
            numbers = dict(enumerate(targets.betti.T))
            loss = BettiTargetLoss(numbers, length=_MARGIN, level=0.0, filtration=cubical_persistence)
        else:
            loss = DiagramTargetLoss(targets.diagrams, filtration=cubical_persistence)
        return guide_codes(codes, self.autoencoder, loss, n_steps=self.guide)

    def _measured(
        self, shapes: torch.Tensor, targets: Targets, others: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """Return shares in percent, distances of diagrams and overlaps; `others` are second samples."""
        hits = _hits(shapes, targets)
        given, wanted = cubical_persistence(shapes).finite(), targets.diagrams.finite()
        measures = {
            "right": _percent(hits.all(1)),
            "numbers": [_percent(column) for column in hits.T],
            "distances": wasserstein_distance(given, wanted, order=1).mean(0).tolist(),
            "nearest": float(_overlaps(shapes < 0, self.train.shapes < 0).amax(1).mean()),
        }
        if others is not None:
            measures["pair"] = float(_overlap(shapes < 0, others < 0).mean())
        return measures

    def _pictured(self, shapes: torch.Tensor) -> torch.Tensor:
        return shapes[: len(self.space.kinds)].half().cpu()


def _hits(shapes: torch.Tensor, targets: Targets) -> torch.Tensor:
    """Return which Betti numbers of {shape < 0} are those of the targets, (n, K)."""
    return cubical_persistence(shapes).betti(0.0) == targets.betti


def _percent(hits: torch.Tensor) -> float:
    return 100 * float(hits.double().mean())


def _overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return intersection over union of pairs of masks (n, *S); that of nothing with nothing is 1."""
    union = (a | b).flatten(1).sum(1)
    return torch.where(union > 0, (a & b).flatten(1).sum(1) / union.clamp(min=1), 1.0)


def _overlaps(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return intersection over union of all pairs of masks (n, *S) and (m, *S), as `_overlap` does."""
    a, b = a.flatten(1).float(), b.flatten(1).float()
    both = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1) - both
    return torch.where(union > 0, both / union.clamp(min=1), 1.0)


def _without_holes(targets: Targets) -> Targets:
    """Return targets without the bars of holes that are alive at 0."""
    betti, d = targets.betti.clone(), targets.diagrams
    betti[:, 1:] = 0
    return Targets(betti, d._where((d.dims == 0) | (d.births > 0) | (d.deaths <= 0)))


@contextmanager
def _seeded(seed: int, purpose: str) -> Iterator[torch.Generator]:
    """Give a generator, with torch's own seeded as well: weights of networks are drawn by that."""
    words = np.random.SeedSequence((seed, *purpose.encode())).generate_state(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(words[0]))
        yield torch.Generator("cpu").manual_seed(int(words[1]))
