"""``python -m topodl.check``: whether topodl computes the same here, on a GPU too, and what its losses cost.

It prints a page in Markdown: versions, what was compared, step times of the losses over that of CE + Dice.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from topodl import __version__
from topodl.distances import wasserstein_distance
from topodl.errors import InputError
from topodl.kernels.shared.pool import get_num_threads, set_num_threads
from topodl.layers import BettiCurve, CubicalPersistence, PersistenceImage
from topodl.losses import registry
from topodl.metrics import BettiError, Dice
from topodl.persistence.alpha import alpha_persistence
from topodl.persistence.cubical import cubical_persistence
from topodl.persistence.rips import rips_persistence

__all__ = ["main"]

_BASELINE = "ce_dice"
_LIBRARIES = ("torch", "numpy", "numba", "gudhi", "scikit-learn", "torchmetrics")
_RELATIVE, _ABSOLUTE = 1e-3, 1e-5  # float32, summed in another order
_BATCHES = 2, 6  # what happens once a sample happens more often in the larger one

_Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class _Outcome:
    """How one function did: what is wrong, "" if nothing, and its synchronisations, None if unknown."""

    name: str
    wrong: str
    synchronisations: tuple[int, ...] | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and return 0, or 1 if anything differs.

    Every function is compared, value and gradient, with what one thread of the CPU computes; on a GPU its
    hidden synchronisations are counted in two batches, where those of the larger must not be more.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line; by default those of the process.

    Raises
    ------
    InputError
        If the device is not there.

    Examples
    --------
    >>> main(["--size", "8", "--repeats", "0", "--losses", "ce_dice"])  # doctest: +ELLIPSIS
    # topodl ...
    0
    """
    options = _parser().parse_args(arguments)
    device = _device(options.device)
    calls = _calls(options.losses)
    print("\n".join(_versions(device)), flush=True)
    outcomes = [_compare(name, call, device, options.size) for name, call in calls.items()]
    print("\n".join(_comparison(outcomes, device)), flush=True)
    if options.repeats:
        print("\n".join(_step_times(options.losses, device, options)), flush=True)
    return int(any(outcome.wrong for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m topodl.check", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--device", default="auto", help="auto (default: a GPU if there is one), cpu, cuda, …"
    )
    parser.add_argument("--size", type=int, default=32, help="side of the images that are compared")
    parser.add_argument("--time-size", type=int, default=256, help="side of the images that are timed")
    parser.add_argument("--batch", type=int, default=2, help="images in a step that is timed")
    parser.add_argument("--repeats", type=int, default=5, help="steps that are timed; 0: none")
    parser.add_argument("--losses", nargs="+", default=_losses(), metavar="NAME")
    return parser


def _losses() -> list[str]:
    """Return the losses that need no option, CE + Dice first."""
    return [_BASELINE, *sorted(registry.keys() - {_BASELINE, "mosin"})]


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"topodl.check: --device is {name!r} ({error}); expected one that is here") from None


def _calls(losses: Sequence[str]) -> dict[str, _Call]:
    """Return what is compared: functions of images (B, H, W) in [0, 1] and labels (B, H, W)."""
    unknown = next((name for name in losses if name not in registry), None)
    if unknown is not None:
        known = ", ".join(sorted(registry))
        raise InputError(f"topodl.check: --losses has {unknown!r}; expected some of {known}")

    def of_diagrams(function: Callable[[Any], torch.Tensor]) -> _Call:
        return lambda x, labels: function(cubical_persistence(x))

    def of_loss(name: str) -> _Call:
        loss = registry[name]()
        if 2 in loss.spatial_dims:
            return lambda x, labels: loss(torch.stack([-x, x], 1) * 4, labels)
        return lambda x, labels: loss(_volumes(torch.stack([-x, x], 1)) * 4, _volumes(labels))

    persistence, unit = CubicalPersistence(), (0.0, 1.0)
    image = PersistenceImage(resolution=8, birth_range=unit, persistence_range=unit)
    curve = BettiCurve(resolution=8, value_range=unit)
    return {
        "cubical_persistence": of_diagrams(lambda d: d.total_persistence()),
        "rips_persistence": lambda x, labels: rips_persistence(x[:, :12, :3]).total_persistence(),
        "alpha_persistence": lambda x, labels: alpha_persistence(x[:, :12, :2]).total_persistence(),
        "wasserstein_distance": of_diagrams(lambda d: wasserstein_distance(d, d[::-1])),
        "PersistenceImage": lambda x, labels: image(persistence(x)),
        "BettiCurve": lambda x, labels: curve(persistence(x)),
        "BettiError": lambda x, labels: BettiError()((x > 0.5).long(), labels),
        "Dice": lambda x, labels: Dice()((x > 0.5).long(), labels),
        **{f"loss {name}": of_loss(name) for name in losses},
    }


def _data(batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return smooth images (B, size, size) in [0, 1] on the CPU, and labels cut from others."""
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.rand(2 * batch, 1, size + 4, size + 4, generator=generator, device="cpu")
    smooth = torch.nn.functional.avg_pool2d(noise, 5, stride=1)[:, 0]
    low, high = smooth.amin((1, 2), keepdim=True), smooth.amax((1, 2), keepdim=True)
    images = (smooth - low) / (high - low)
    return images[:batch], (images[batch:] > 0.5).long()


def _volumes(images: torch.Tensor) -> torch.Tensor:
    """Return volumes (…, 8, H, W), each layer its image moved one pixel farther."""
    return torch.stack([images.roll(k, -2) for k in range(8)], -3)


def _compare(name: str, call: _Call, device: torch.device, size: int) -> _Outcome:
    threads = get_num_threads()
    try:
        x, labels = _data(_BATCHES[-1], size)
        set_num_threads(1)
        expected = _value_and_gradient(call, x, labels)
        set_num_threads(max(threads, 2))
        found = _value_and_gradient(call, x.to(device), labels.to(device))
        for kind, here, there in zip(("value", "gradient"), found, expected, strict=True):
            _refuse_difference(kind, here.cpu(), there)
        counts = _synchronisations(call, device, size)
        wrong = (
            f"{counts} synchronisations: more in the larger batch" if counts and counts[0] < counts[1] else ""
        )
        return _Outcome(name, wrong, counts)
    except Exception as error:  # whatever goes wrong is what this is to find
        reason = " ".join(str(error).split()) or "no message"
        return _Outcome(name, f"{type(error).__name__}: {reason[:200]}", None)
    finally:
        set_num_threads(threads)


def _refuse_difference(kind: str, found: torch.Tensor, expected: torch.Tensor) -> None:
    try:
        torch.testing.assert_close(found, expected, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)
    except AssertionError as error:
        raise InputError(f"{kind}: {error}") from None


def _value_and_gradient(
    call: _Call, x: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    value = call(x, labels)
    if value.device != x.device:
        raise InputError(f"the result is on {value.device}; expected {x.device}")
    if not value.requires_grad:  # of a metric
        return value, torch.zeros_like(x)
    value.sum().backward()
    assert x.grad is not None
    return value.detach(), x.grad


def _synchronisations(call: _Call, device: torch.device, size: int) -> tuple[int, ...] | None:
    """Return how often the host waits for a GPU in a forward and backward pass of either batch."""
    if device.type != "cuda":
        return None
    counts = []
    for batch in _BATCHES:
        x, labels = (part.to(device) for part in _data(batch, size))
        with _counted() as waits:
            _value_and_gradient(call, x, labels)
        counts.append(len(waits))
    return tuple(counts)


@contextmanager
def _counted() -> Iterator[list[Any]]:
    """Give the list of warnings of synchronisations, which is filled at the end of the block."""
    waits: list[Any] = []
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.synchronize()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            yield waits
    finally:
        torch.cuda.set_sync_debug_mode(before)
    waits += [each for each in caught if "synchroniz" in str(each.message)]


def _versions(device: torch.device) -> list[str]:
    threads = get_num_threads()
    place = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type}, {threads} thread{'s' * (threads > 1)}"
    )
    rows = {
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
        **{library: metadata.version(library) for library in _LIBRARIES},
        "device": place,
    }
    return [f"# topodl {__version__}", "", "| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]


def _comparison(outcomes: Sequence[_Outcome], device: torch.device) -> list[str]:
    """Return what differs; on a GPU also how often each function waits for it."""
    wrong = [f"- {outcome.name}: {outcome.wrong}" for outcome in outcomes if outcome.wrong]
    here = "on it" if device.type == "cuda" else "on several threads"
    equal = f"{len(outcomes) - len(wrong)} of {len(outcomes)} functions give {here}"
    lines = ["", f"{equal} the value and the gradient that one thread of the CPU gives.", *wrong]
    if device.type == "cuda":
        lines += ["", "| function | waits for the GPU in a step |", "|---|---|"]
        lines += [f"| {o.name} | {o.synchronisations[-1]} |" for o in outcomes if o.synchronisations]
    return lines


def _step_times(losses: Sequence[str], device: torch.device, options: argparse.Namespace) -> list[str]:
    """Return the table of step times; the losses take turns, so that a busy machine slows all of them."""
    x, labels = (part.to(device) for part in _data(options.batch, options.time_size))
    of_volumes = [name for name in losses if 2 not in registry[name].spatial_dims]
    of_images = [name for name in dict.fromkeys([_BASELINE, *losses]) if name not in of_volumes]
    made = {name: registry[name]().to(device) for name in of_images}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for repeat in range(options.repeats + 1):
        for name, loss in made.items():
            logits = (torch.stack([-x, x], 1) * 4).requires_grad_()
            start = _now(device)
            loss(logits, labels).backward()
            if repeat:  # the first compiles
                seconds[name].append(_now(device) - start)
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in seconds.items()}
    size = f"{options.batch} images of {options.time_size} × {options.time_size}"
    return [
        "", f"Forward and backward, {size}, median of {options.repeats}:", "",
        "| loss | ms | over CE + Dice |", "|---|---|---|",
        *(f"| {name} | {ms:.2f} | {ms / milliseconds[_BASELINE]:.1f} |" for name, ms in milliseconds.items()),
        *(f"| {name} | takes volumes, not timed | |" for name in of_volumes),
    ]  # fmt: skip


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main())
