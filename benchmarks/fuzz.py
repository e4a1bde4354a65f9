"""``python -m benchmarks.fuzz --minutes N``: every public function against inputs that nobody meant.

Tensors of the calls of `tests/public_calls.py` are drawn anew and spoiled: NaN, infinities, other dtypes,
shapes, layouts and types. A child process computes, so that a crash or a hang is seen, and is started again
behind the input that caused it. An input is a function and a number: ``--replay FUNCTION NUMBER`` computes
it again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
SLICE = 25  # inputs of a function before it is the next one's turn
BUSY = 60.0  # seconds of processor time of one input, after which it counts as a hang
IDLE = 600.0  # seconds of the clock, for what waits for itself
MEMORY = 12 * 2**30  # bytes of addresses of the child
REFUSALS = (TypeError, ValueError)  # what topodl's own errors are

_OF_MODELS = {
    *("representations.stitch", "representations.StitchedModel", "attention.record", "topodl.attach"),
    *("losses.MosinLoss", "losses.mosin_loss"),
}
_OF_READERS = {"integrations.pyg.clouds"}  # hand on the numbers they are given, for others to look at
Spoil = Callable[[random.Random, torch.Tensor], Any]


def _at_one_place(value: float) -> Spoil:
    def spoil(chance: random.Random, x: torch.Tensor) -> Any:
        x = x.clone()
        if x.numel() and (x.is_floating_point() or abs(value) < 2**62):
            x.view(-1)[chance.randrange(x.numel())] = value
        return x

    return spoil


def _as_dtype(dtype: torch.dtype) -> Spoil:
    return lambda chance, x: x.to(dtype)


def _axis(chance: random.Random, x: torch.Tensor) -> int:
    return chance.randrange(x.ndim) if x.ndim else 0


def _shorter(chance: random.Random, x: torch.Tensor) -> Any:
    axis = _axis(chance, x)
    return x.narrow(axis, 0, chance.randrange(x.shape[axis] + 1)) if x.ndim else x


def _empty(chance: random.Random, x: torch.Tensor) -> Any:
    return x.narrow(_axis(chance, x), 0, 0) if x.ndim else x


def _strided(chance: random.Random, x: torch.Tensor) -> Any:
    return x.repeat_interleave(2, -1)[..., ::2] if x.ndim else x


def _swapped(chance: random.Random, x: torch.Tensor) -> Any:
    return x.transpose(_axis(chance, x), _axis(chance, x)) if x.ndim else x


FLOATS: dict[str, Spoil] = {
    "nan": _at_one_place(float("nan")),
    "inf": _at_one_place(float("inf")),
    "-inf": _at_one_place(float("-inf")),
    "huge entry": _at_one_place(1e30),
    "huge": lambda chance, x: x * 1e30,
    "tiny": lambda chance, x: x * 1e-38,
    "large": lambda chance, x: x * 1e6,
    "shifted": lambda chance, x: x + 1e4,
    "negative": lambda chance, x: -x,
    "constant": lambda chance, x: torch.full_like(x, 0.5),
    "zero": lambda chance, x: torch.zeros_like(x),
    "ties": lambda chance, x: (x * 4).round() / 4,
    "float64": _as_dtype(torch.float64),
    "float16": _as_dtype(torch.float16),
    "bfloat16": _as_dtype(torch.bfloat16),
    "huge in float64": lambda chance, x: x.double() * 1e200,
    "integers": lambda chance, x: (x * 10).long(),
    "complex": _as_dtype(torch.complex64),
}
INTEGERS: dict[str, Spoil] = {
    "negative entry": _at_one_place(-1),
    "large entry": _at_one_place(99),
    "enormous entry": _at_one_place(2**40),
    "constant": lambda chance, x: torch.zeros_like(x),
    "int32": _as_dtype(torch.int32),
    "uint8": _as_dtype(torch.uint8),
    "bool": _as_dtype(torch.bool),
    "floats": _as_dtype(torch.float32),
    "fractions": lambda chance, x: x + 0.5,
    "permuted": lambda chance, x: x.flip(-1) if x.ndim else x,
}
ANY: dict[str, Spoil] = {
    "shorter": _shorter,
    "empty": _empty,
    "strided": _strided,
    "swapped": _swapped,
    "axis more": lambda chance, x: x.unsqueeze(_axis(chance, x)),
    "axis less": lambda chance, x: x[0] if x.ndim and len(x) else x,
    "repeated": lambda chance, x: x[:1].expand_as(x) if x.ndim else x,
    "transposed in memory": lambda chance, x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "sparse": lambda chance, x: x.to_sparse() if x.ndim else x,
    "meta": lambda chance, x: x.to("meta"),
    "array": lambda chance, x: x.numpy(),
    "list": lambda chance, x: x.tolist(),
    "none": lambda chance, x: None,
    "number": lambda chance, x: 1.5,
    "text": lambda chance, x: "text",
}


class Spoiled:
    """What `place` of the samples of a call does in one input: draws values, and spoils some."""

    def __init__(self, number: int, function: str) -> None:
        self.chance = random.Random(zlib.crc32(function.encode()) * 2**32 + number)
        self.generator = torch.Generator().manual_seed(self.chance.randrange(2**31))
        self.rate = self.chance.choice([0.0, 0.0, 0.3, 0.6, 1.0])
        self.given: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.leaves: list[torch.Tensor] = []
        self.done: list[str] = []

    def __call__(self, value: Any) -> Any:
        """Return another value in place of a tensor; modules stay."""
        if not isinstance(value, torch.Tensor):
            return value
        if value.is_floating_point() and self.chance.random() < 0.8:
            value = torch.rand(value.shape, generator=self.generator) * value.abs().amax().clamp(min=1)
        out: Any = value
        while isinstance(out, torch.Tensor) and self.chance.random() < self.rate:
            own = FLOATS if out.is_floating_point() else INTEGERS
            name, spoil = self.chance.choice([*own.items(), *own.items(), *ANY.items()])
            if out.layout is not torch.strided or out.is_meta or out.is_complex():
                break
            out = spoil(self.chance, out)
            self.done.append(name)
        if isinstance(out, torch.Tensor) and out.layout is torch.strided and not out.is_meta:
            if out.is_floating_point() and self.chance.random() < 0.5:
                out = out.detach().requires_grad_()
                self.leaves.append(out)
            self.given.append((out, out.detach().clone()))
        return out


def try_input(function: str, number: int) -> tuple[str, str]:
    """Return how one input ended ("value", the name of an error, or "FAILED"), and what was wrong."""
    from tests.public_calls import CALLS, Samples, parts

    place = Spoiled(number, function)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            results = parts(CALLS[function](Samples(place, place.chance.choice([2, 2, 4]))))
            gradients = _gradients(results, place)
        except REFUSALS as error:
            return type(error).__name__, _changed(place)
        except Exception as error:
            if not _is_ours(function, error):
                return "not a call", ""
            return "FAILED", f"{type(error).__name__}: {str(error)[:300]} after {place.done}"
    warned = any(not issubclass(each.category, DeprecationWarning) for each in caught)
    for kind, values in (("value", results), ("gradient", gradients)):
        exempt = warned or function in _OF_MODELS | _OF_READERS
        if not exempt and any(_has_nan(value) for value in values):
            return "FAILED", f"silent NaN in the {kind} after {place.done}"
    return "value", _changed(place)


def _is_ours(function: str, error: Exception) -> bool:
    """Return whether topodl raised, and neither the samples, spoiled, nor the model of the call."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    in_topodl = [i for i, file in enumerate(files) if "/topodl/" in file]
    if not in_topodl:
        return False
    below = files[in_topodl[-1] :]
    of_layers = any("/torch/nn/modules/" in file and not file.endswith("/module.py") for file in below)
    return not (function in _OF_MODELS and of_layers)


def _gradients(results: list[Any], place: Spoiled) -> list[torch.Tensor]:
    outputs = [x for x in results if isinstance(x, torch.Tensor) and x.requires_grad and x.numel()]
    outputs = [torch.where(x.isfinite(), x, 0) for x in outputs]
    if not outputs or not place.leaves:
        return []
    total = torch.stack([x.sum().double() for x in outputs]).sum()
    found = torch.autograd.grad(total, place.leaves, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def _has_nan(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.is_meta:
        return False
    return bool(value.isnan().any())


def _changed(place: Spoiled) -> str:
    for now, before in place.given:
        same = torch.equal(torch.nan_to_num(now.detach()), torch.nan_to_num(before))
        if not same or now.shape != before.shape:
            return f"a changed input after {place.done}"
    return ""


def work(wanted: list[str] | None, diary: Path, minutes: float) -> None:
    """Try inputs one after the other, and write down before each which it is."""
    from tests.public_calls import CALLS

    functions = wanted or list(CALLS)
    start = _starts(functions, diary)
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * minutes
    with diary.open("a", buffering=1, encoding="utf-8") as out:
        while time.monotonic() < end:
            for function in functions:
                counts: Counter[str] = Counter()
                for number in range(start[function], start[function] + SLICE):
                    _place_of(diary).write_text(f"{function} {number}", encoding="utf-8")
                    outcome, wrong = try_input(function, number)
                    outcome = "FAILED" if wrong else outcome
                    counts[outcome] += 1
                    if wrong:
                        out.write(json.dumps({"function": function, "number": number, "wrong": wrong}) + "\n")
                start[function] += SLICE
                out.write(
                    json.dumps({"function": function, "next": start[function], "counts": counts}) + "\n"
                )
                if time.monotonic() > end:
                    break


def _place_of(diary: Path) -> Path:
    """Return the file that says which input is tried at present."""
    return diary.with_suffix(".now")


def watch(wanted: list[str] | None, diary: Path, minutes: float) -> None:
    """Let children try inputs until the time is over; one that dies or hangs has a successor."""
    end = time.monotonic() + 60 * minutes
    while (left := (end - time.monotonic()) / 60) > 0:
        command = [sys.executable, "-m", "benchmarks.fuzz", "--child", "--diary", str(diary)]
        command += ["--minutes", str(left), *(["--only", *wanted] if wanted else [])]
        _place_of(diary).unlink(missing_ok=True)
        child = subprocess.Popen(command, cwd=ROOT)
        end_of = "hang" if _hangs(child, diary) else f"exit status {child.returncode}"
        if child.returncode == 0:
            return
        if not _place_of(diary).exists():
            raise SystemExit(f"the child process did not begin: {end_of}")
        function, number = _place_of(diary).read_text(encoding="utf-8").split()
        entries = [
            {"function": function, "number": int(number), "wrong": end_of},
            {"function": function, "next": int(number) + 1, "counts": {"FAILED": 1}},
        ]
        with diary.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(entry) + "\n" for entry in entries)


def _hangs(child: subprocess.Popen[bytes], diary: Path) -> bool:
    """Wait for a child, and end it if it stays at one input for too long."""
    at, since, busy = "", time.monotonic(), 0.0
    while child.poll() is None:
        time.sleep(1)
        now = _place_of(diary).read_text(encoding="utf-8") if _place_of(diary).exists() else ""
        if now != at:
            at, since, busy = now, time.monotonic(), _processor_time(child.pid)
        elif now and (_processor_time(child.pid) - busy > BUSY or time.monotonic() - since > IDLE):
            child.kill()
            child.wait()
            return True
    return False


def _processor_time(pid: int) -> float:
    """Return the seconds that a process has computed, 0 where the system does not say."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _entries(diary: Path) -> list[dict[str, Any]]:
    lines = diary.read_text(encoding="utf-8").splitlines() if diary.exists() else []
    return [json.loads(line) for line in lines]


def _starts(functions: list[str], diary: Path) -> dict[str, int]:
    start = dict.fromkeys(functions, 0)
    return start | {
        e["function"]: e["next"] for e in _entries(diary) if e.get("next") and e["function"] in start
    }


def report(diary: Path) -> str:
    """Return what was tried and what failed, as Markdown."""
    entries = _entries(diary)
    outcomes: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for entry in entries:
        outcomes.update(entry.get("counts", {}))
        tried[entry["function"]] += sum(entry.get("counts", {}).values())
    least = min(tried.values(), default=0)
    lines = [
        f"{sum(tried.values())} inputs of {len(tried)} functions, {least} of each or more:",
        *(f"- {outcome}: {n}" for outcome, n in outcomes.most_common()),
    ]
    failures: dict[tuple[str, str], list[int]] = {}
    for entry in entries:
        if "wrong" in entry:
            failures.setdefault((entry["function"], entry["wrong"].partition(" after ")[0][:160]), []).append(
                entry["number"]
            )
    for (function, wrong), numbers in sorted(failures.items(), key=lambda item: -len(item[1])):
        lines.append(f"- {function}, {len(numbers)} times, first {min(numbers)}: {wrong}")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", metavar="FUNCTION", help="as losses.topo_loss; default: all")
    parser.add_argument("--diary", type=Path, default=ROOT / "out" / "fuzz.jsonl", help="seeds and counts")
    parser.add_argument("--replay", nargs=2, metavar=("FUNCTION", "NUMBER"))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay:
        print(*try_input(options.replay[0], int(options.replay[1])))
        return
    if options.child:
        work(options.only, options.diary, options.minutes)
        return
    options.diary.parent.mkdir(exist_ok=True)
    watch(options.only, options.diary, options.minutes)
    print(report(options.diary))


if __name__ == "__main__":
    main()
