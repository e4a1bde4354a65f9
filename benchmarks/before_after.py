"""What a change costs: two checkouts of topodl take turns, case by case, on one core each in its own process.

python benchmarks/before_after.py OLD NEW [--only TEXT …] [--rounds N]

OLD and NEW are folders of checkouts; run `python -m topodl.kernels` in each of them first. The cases are
what both have, forward, or forward and backward ("grad"). Least processor milliseconds of many short bursts,
so that a busy neighbour or a slow clock hits both sides; ratios above 1.1 are marked.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

BURST = 0.03  # seconds
Cases = dict[str, Callable[[], object]]


def with_gradient(call: Callable[..., Any], *inputs: Any) -> Callable[[], object]:
    """Return a call that also goes back to `inputs`."""

    def run() -> None:
        call(*(x.clone().requires_grad_() for x in inputs)).sum().backward()

    return run


def persistence_cases(rand: Callable[..., Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    import torch

    import topodl

    images, volume, few, many = rand(8, 128, 128), rand(1, 32, 32, 32), rand(8, 64, 3), rand(1, 500, 3)
    plane, space = rand(16, 100, 2), rand(8, 100, 3)
    graph = torch.arange(1280) // 10
    ends = (torch.rand(2, 5000, generator=torch.Generator().manual_seed(1)) * 10).long()
    edges, values = ends + (torch.arange(5000) % 128 * 10), rand(1280)
    yield "cubical, 8 x 128^2", lambda: topodl.cubical_persistence(images)
    yield (
        "cubical, grad",
        with_gradient(lambda x: topodl.cubical_persistence(x).total_persistence(), images),
    )
    yield "cubical, 32^3", lambda: topodl.cubical_persistence(volume)
    yield "Rips H0 and H1, 8 x 64", lambda: topodl.rips_persistence(few, dims=(0, 1))
    yield "Rips, grad", with_gradient(lambda x: topodl.rips_persistence(x).total_persistence(), few)
    yield "Rips H0, 500", lambda: topodl.rips_persistence(many, dims=(0,))
    yield "alpha, 16 x 100 in 2D", lambda: topodl.alpha_persistence(plane, dims=(0, 1))
    yield "alpha, 8 x 100 in 3D", lambda: topodl.alpha_persistence(space, dims=(0, 1, 2))
    yield "graphs, 128", lambda: topodl.graph_persistence(values, edges, batch=graph)
    for n in (40, 128):
        a, b = rand(n, 3), rand(n, 3)
        yield f"rtd, {n} points", lambda a=a, b=b: topodl.rtd(a, b)


def diagram_cases(rand: Callable[..., Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    from topodl import Diagrams, distances, layers

    def bars(samples: int, n: int) -> Any:
        return rand(samples, n, 2).sort(-1).values

    pairs = {f"{b} x {n}": [Diagrams.from_padded(bars(b, n)) for _ in "ab"] for b, n in ((1, 100), (32, 30))}
    for size, (a, b) in pairs.items():
        for name in ("wasserstein_distance", "sliced_wasserstein_distance", "bottleneck_distance"):
            distance = getattr(distances, name)
            yield f"{name}, {size}", lambda d=distance, a=a, b=b: d(a, b)
    ends = bars(32, 200)
    batch = Diagrams.from_padded(ends)
    yield "total_persistence", batch.total_persistence
    smooth = (
        "PersistenceImage",
        "PersistenceLandscape",
        "Silhouette",
        "PersistenceEntropy",
        "PersistenceStatistics",
    )
    for name in (*smooth, "BettiCurve", "EulerCurve"):
        layer = getattr(layers, name)().fit(batch)
        yield name, lambda layer=layer: layer(batch)
        if name in smooth:
            yield (
                f"{name}, grad",
                with_gradient(lambda x, layer=layer: layer(Diagrams.from_padded(x)), ends),
            )


def mask_cases(rand: Callable[..., Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    import inspect

    import torch.nn.functional as F

    from topodl import losses, metrics

    logits = rand(2, 2, 256, 256) * 4 - 2
    target = (F.avg_pool2d(rand(2, 1, 256, 256), 9, 1, 4) > 0.51)[:, 0].long()
    fixed = {"region_wise": {"base_weight": 0.0}, "cldice": {"iterations": 5}}
    if "plain_weight" in inspect.signature(losses.SCNP).parameters:
        fixed["scnp_ce_dice"] = {"plain_weight": 0.0}
    for name in sorted(losses.registry):
        if name not in ("cavity", "mosin", "dmt"):
            loss = losses.registry[name](**fixed.get(name, {}))
            yield f"{name}, grad", with_gradient(lambda x, loss=loss: loss(x, target), logits)
    found = (target.bool() & (rand(2, 256, 256) > 0.1)).long()
    for name in (
        "dice_score",
        "cldice_score",
        "betti_error",
        "hausdorff_distance_95",
        "variation_of_information",
        "adjusted_rand_index",
        "betti_matching_error",
    ):
        metric = getattr(metrics, name)
        yield name, lambda metric=metric: metric(found, target)


def model_cases(rand: Callable[..., Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    import torch

    from topodl import attention, layers, losses

    for n, d in ((64, 50), (256, 784)):
        x, codes = rand(n, d), rand(n, 2)
        yield (
            f"topological autoencoder, {n} x {d}, grad",
            with_gradient(lambda z, x=x: losses.topological_autoencoder_loss(x, z), codes),
        )
    maps = (rand(4, 4, 64, 64) * 4).softmax(-1)
    topology = attention.AttentionTopology().fit([maps])
    yield "AttentionTopology", lambda: topology.transform([maps])
    graph = torch.arange(1280) // 10
    ends = (torch.rand(2, 5000, generator=torch.Generator().manual_seed(1)) * 10).long()
    edges, nodes = ends + (torch.arange(5000) % 128 * 10), rand(1280, 16)
    for layer in (layers.TOGL(16), layers.RePHINE(16)):
        yield (
            f"{type(layer).__name__}, grad",
            with_gradient(lambda x, layer=layer: _first(layer(x, edges, graph)), nodes),
        )


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def all_cases() -> Cases:
    """Return every case by name; random numbers are the same in both checkouts."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    parts = (persistence_cases, diagram_cases, mask_cases, model_cases)
    return {name: call for part in parts for name, call in part(rand)}


def serve() -> None:
    """Answer each name that comes in with the least milliseconds of a burst of calls."""
    cases = all_cases()
    print(*cases, sep="\t", flush=True)
    for line in sys.stdin:
        call = cases[line.rstrip("\n")]
        best, start, n = float("inf"), time.perf_counter(), 0
        while n < 2 or time.perf_counter() - start < BURST:
            before = time.process_time_ns()
            call()
            best, n = min(best, 1e-6 * (time.process_time_ns() - before)), n + 1
        print(best, flush=True)


class Side:
    """One checkout, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--serve"]
        environment = os.environ | {"PYTHONPATH": str(folder.resolve())}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, cwd=folder, env=environment
        )
        self.names = self._read().split("\t")
        self.least = dict.fromkeys(self.names, float("inf"))

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.process.args} ended")
        return line.rstrip("\n")

    def measure(self, name: str) -> None:
        """Take one burst of a case into account."""
        assert self.process.stdin is not None
        print(name, file=self.process.stdin, flush=True)
        self.least[name] = min(self.least[name], float(self._read()))


def main() -> None:
    """Let both sides take turns, and print what each case takes."""
    if sys.argv[1:] == ["--serve"]:
        serve()
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names of cases")
    parser.add_argument("--rounds", type=int, default=20)
    chosen = parser.parse_args()
    old, new = Side(chosen.old), Side(chosen.new)
    names = [n for n in new.names if n in old.names and any(text in n for text in chosen.only)]
    for _ in range(chosen.rounds):
        for name in names:
            old.measure(name)
            new.measure(name)
    print("| | before | after | ratio |\n|---|---|---|---|")
    for name in names:
        before, after = old.least[name], new.least[name]
        mark = " !" if after > 1.1 * before else ""
        print(f"| {name} | {before:.3g} | {after:.3g} | {after / before:.2f}{mark} |")


if __name__ == "__main__":
    main()
