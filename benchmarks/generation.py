"""What parts of generative and representation learning cost, one thread, beside what each is to stay below.

python benchmarks/generation.py     exits with 1 if a ratio is above the one that is asked for.
The least processor time of several rounds counts, in milliseconds; the candidates take turns.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable

import torch
from timing import least, least_ms, one_thread

from topodl import Diagrams
from topodl.datasets import make_shapes
from topodl.layers import DiagramEncoder, PersLay
from topodl.losses import cka

PLANAR = [(b0, b1) for b0 in (1, 2, 3) for b1 in (0, 1, 2)]
SOLID = [(1, 0, 0), (1, 1, 0), (1, 2, 0), (2, 0, 0), (2, 1, 0), (1, 0, 1)]


def drawn_diagrams(n: int, bars: int) -> Diagrams:
    """Return `n` diagrams of as many bars, half in each of two dimensions."""
    ends = torch.rand(n * bars, 2, generator=torch.Generator().manual_seed(0)).sort(1).values
    samples = torch.arange(n).repeat_interleave(bars)
    return Diagrams(
        ends[:, 0], ends[:, 1], torch.arange(n * bars) % 2, samples, n_samples=n, homology_dims=(0, 1)
    )


def step_of(layer: torch.nn.Module, d: Diagrams) -> Callable[[], None]:
    """Return a function that takes a layer forward and backward, to births and deaths."""

    def step() -> None:
        births, deaths = (ends.clone().requires_grad_() for ends in (d.births, d.deaths))
        bars = Diagrams(births, deaths, d.dims, d.samples, n_samples=len(d), homology_dims=(0, 1))
        layer(bars).square().sum().backward()

    return step


def encoders() -> bool:
    """Compare encoders of 256 diagrams of 50 bars; time the default on 135 of 16 bars."""
    d = drawn_diagrams(256, 50)
    layers = {
        "PersLay": PersLay(n_features=64),
        "DiagramEncoder as a DeepSet": DiagramEncoder(n_blocks=0, pool="sum"),
        "DiagramEncoder": DiagramEncoder(),
    }
    times = least({name: step_of(layer, d) for name, layer in layers.items()}, 5)
    small = least_ms(step_of(DiagramEncoder(), drawn_diagrams(135, 16)))
    print("encoders of 256 diagrams of 50 bars, forward and backward")
    fine = [
        ratio(times, name, "PersLay", most) for name, most in zip(list(layers)[1:], (2.0, 20.0), strict=True)
    ]
    return all(fine) and limit("DiagramEncoder, 135 diagrams of 16 bars", small, 60.0)


def alignment() -> bool:
    """Compare the alignment of the tokens of 16 samples with that of all tokens as rows."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(16, 48, 64, generator=generator).requires_grad_() for _ in range(2))
    rows = "all tokens as rows"
    times = least(
        {
            rows: lambda: cka(x.flatten(0, 1), y.flatten(0, 1)).backward(),
            "tokens of each sample": lambda: cka(x, y, tokens=True).backward(),
            "a call a sample": lambda: (
                torch.stack([cka(a, b) for a, b in zip(x, y, strict=True)]).mean().backward()
            ),
        },
        7,
    )
    print("cka of 16 samples of 48 tokens, 64 features, forward and backward")
    ratio(times, "a call a sample", rows, float("inf"))
    return ratio(times, "tokens of each sample", rows, 2.0)


def shapes() -> bool:
    """Time drawn shapes."""
    planar = least_ms(lambda: make_shapes(2000, 32, PLANAR), 2)
    solid = least_ms(lambda: make_shapes(60, 32, SOLID), 3) / 60
    fine = limit("make_shapes, 2,000 images of 32 x 32", planar, 4000.0)
    return limit("make_shapes, a volume of 32 x 32 x 32", solid, 20.0) and fine


def ratio(times: dict[str, float], name: str, reference: str, most: float) -> bool:
    """Print a time beside that of its reference, and return whether it is at most `most` times that."""
    share = times[name] / times[reference]
    print(f"  {name:40s} {times[name]:8.2f} ms, {share:.2f} times {reference}; asked {most}")
    return share <= most


def limit(name: str, took: float, most: float) -> bool:
    """Print a time, and return whether it is at most `most` milliseconds."""
    print(f"  {name:40s} {took:8.2f} ms; asked {most:.0f}")
    return took <= most


if __name__ == "__main__":
    one_thread()
    raise SystemExit(0 if all([encoders(), alignment(), shapes()]) else 1)
