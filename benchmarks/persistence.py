"""Speed of the persistence of images and volumes against the peers, side by side, single-threaded.

    OMP_NUM_THREADS=1 python benchmarks/persistence.py [--peers-python PATH ...] [--quick] [--only WORD]

Peers whose pins collide with topodl's run in processes of their own: give the interpreters of their
environments with --peers-python (Betti-Matching-3D comes with topolosses' wheel, torch-topological runs
with GUDHI below 3.12). Times are CPU milliseconds, medians of interleaved rounds; a ratio is the median over
rounds of the peer's time by topodl's. Points and graphs are in `persistence_points.py`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import Worker, betti_matching_3d, serve
from timing import cpu_ms, one_thread

Call = Callable[[], Any]


# --- the images ---


def noise(shape, rng):
    return rng.random(shape)


def smooth(shape, rng):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(rng.standard_normal(shape), 4 if len(shape) == 2 else 3)


def prob(shape, rng):
    """Return a blurred random label with noise, clipped to [0, 1], as an early network predicts it."""
    from scipy.ndimage import gaussian_filter

    label = gaussian_filter(rng.standard_normal(shape), 8) > 0
    return np.clip(gaussian_filter(label.astype(float), 2) + 0.1 * rng.standard_normal(shape), 0, 1)


IMAGES = {"noise": noise, "smooth": smooth, "prob": prob}


# --- the engines: each takes an array (one sample, or a batch where the work says so) and returns a call ---


def topodl_pairs(x: np.ndarray) -> Call:
    import torch

    import topodl

    batch = torch.from_numpy(x)[None]
    return lambda: topodl.cubical_persistence(batch)


def topodl_batch(x: np.ndarray) -> Call:
    import torch

    import topodl

    batch = torch.from_numpy(x)
    return lambda: topodl.cubical_persistence(batch)


def topodl_loop(x: np.ndarray) -> Call:
    import torch

    import topodl

    batch = torch.from_numpy(x)
    return lambda: [topodl.cubical_persistence(sample[None]) for sample in batch]


def topodl_backward(x: np.ndarray) -> Call:
    import torch

    import topodl

    batch = torch.from_numpy(x.reshape(-1, *x.shape[-2:]))

    def run():
        leaf = batch.clone().requires_grad_()
        topodl.cubical_persistence(leaf).finite().persistence().sum().backward()

    return run


def cripser_pairs(x: np.ndarray) -> Call:
    import cripser

    return lambda: cripser.compute_ph(x, maxdim=x.ndim - 1)


def cripser_backward(x: np.ndarray) -> Call:
    import cripser
    import torch

    batch = torch.from_numpy(x.reshape(-1, *x.shape[-2:]))

    def run():
        leaf = batch.clone().requires_grad_()
        total = 0.0
        for image in leaf:
            table = cripser.compute_ph_torch(image, maxdim=1)
            finite = table[table[:, 2] < 1e30]
            total = total + (finite[:, 2] - finite[:, 1]).sum()
        total.backward()

    return run


def gudhi_pairs(x: np.ndarray) -> Call:
    import gudhi

    def run():
        complex_ = gudhi.CubicalComplex(vertices=x)
        complex_.compute_persistence(2, 0)
        return complex_.vertices_of_persistence_pairs()

    return run


def gudhi_no_pixels(x: np.ndarray) -> Call:
    from gudhi.sklearn.cubical_persistence import CubicalPersistence

    engine = CubicalPersistence(homology_dimensions=[0, 1])
    return lambda: engine.fit_transform([x])


def oineus_pairs(x: np.ndarray) -> Call:
    import oineus

    values = x.astype(np.float64)
    parameters = oineus.ReductionParams()
    parameters.n_threads = 1

    def run():
        filtration = oineus.cube_filtration(values, max_dim=x.ndim, n_threads=1)
        decomposition = oineus.Decomposition(filtration, True)
        decomposition.reduce(parameters)
        diagrams = decomposition.diagram(filtration)
        return [diagrams.index_diagram_in_dimension(k) for k in range(x.ndim)]

    return run


def betti_matching_pairs(x: np.ndarray) -> Call:
    module, values = betti_matching_3d(), x.astype(np.float64)
    return lambda: module.compute_barcode(values)


def torch_topological_backward(x: np.ndarray) -> Call:
    import gudhi
    import torch
    from torch_topological.nn import CubicalComplex

    if tuple(map(int, gudhi.__version__.split(".")[:2])) >= (3, 12):
        raise ImportError("torch-topological's CubicalComplex does not run with GUDHI 3.12 or later")
    torch.set_num_threads(1)
    layer, batch = CubicalComplex(dim=2), torch.from_numpy(x)

    def diagrams(out):
        return [p for part in out for p in diagrams(part)] if isinstance(out, list) else [out]

    def run():
        leaf = batch.clone().requires_grad_()
        bars = [p.diagram for p in diagrams(layer(leaf)) if p.diagram.ndim == 2 and len(p.diagram)]
        sum((d[:, 1] - d[:, 0]).sum() for d in bars).backward()

    return run


ENGINES = {
    "topodl": topodl_pairs,
    "topodl, batch": topodl_batch,
    "topodl, one by one": topodl_loop,
    "topodl, backward": topodl_backward,
    "cripser": cripser_pairs,
    "cripser, backward": cripser_backward,
    "GUDHI": gudhi_pairs,
    "gudhi.sklearn (no pixels)": gudhi_no_pixels,
    "oineus": oineus_pairs,
    "Betti-Matching-3D": betti_matching_pairs,
    "torch-topological, backward": torch_topological_backward,
}
ELSEWHERE = {"Betti-Matching-3D": "topolosses", "torch-topological, backward": "torch_topological"}


# --- timing ---


class Here:
    """Runs engines in this process."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], Call] = {}

    def ms(self, engine: str, path: str) -> float:
        """Return the time of one call, after one to warm up where that is short."""
        if (engine, path) not in self._calls:
            self._calls[engine, path] = ENGINES[engine](np.load(path))
            first = cpu_ms(self._calls[engine, path])
            if first > 5000 and not engine.startswith("topodl"):
                return first
        return cpu_ms(self._calls[engine, path])


class There:
    """Runs engines in a process with another interpreter, and answers as `Here` does."""

    def __init__(self, python: str) -> None:
        self._worker = Worker(python, __file__, "--serve")

    def ms(self, engine: str, path: str) -> float:
        """Return the time of one call in the other process."""
        return self._worker.ask(engine, path)


class Runners:
    """Finds a process in which an engine runs, and says once which engines have none."""

    def __init__(self, pythons: list[str]) -> None:
        self._here, self._others = Here(), [There(python) for python in pythons]
        self._found: dict[str, Any] = {}

    def runner(self, engine: str, path: str) -> Any:
        """Return the process in which `engine` runs, None if there is none."""
        if engine not in self._found:
            self._found[engine], reasons = None, []
            for runner in self._others if engine in ELSEWHERE else [self._here]:
                try:
                    runner.ms(engine, path)
                    self._found[engine] = runner
                    break
                except Exception as error:
                    reasons.append(str(error))
            if self._found[engine] is None:
                print(f"{engine} is left out: {'; '.join(reasons) or 'no --peers-python'}", flush=True)
        return self._found[engine]


# --- the table ---


def compare(runners: Runners, work: str, path: str, engines: list[str]) -> None:
    """Print one row of the table for each peer."""
    present = {engine: runner for engine in engines if (runner := runners.runner(engine, path)) is not None}
    first = {engine: runner.ms(engine, path) for engine, runner in present.items()}
    times = {engine: [ms] for engine, ms in first.items()}
    rounds = int(min(15, max(0, 4000 // sum(first.values()))))
    for _ in range(rounds):
        for engine, runner in present.items():
            times[engine].append(runner.ms(engine, path))
    if rounds:  # the first round warms up what the peer's process has not yet seen
        times = {engine: ms[1:] for engine, ms in times.items()}
    base = engines[0]
    for engine in list(present)[1:]:
        ratio = statistics.median(b / a for a, b in zip(times[base], times[engine], strict=True))
        ours, theirs = statistics.median(times[base]), statistics.median(times[engine])
        print(f"| {work} | {ours:.3g} | {engine} | {theirs:.3g} | {ratio:.1f} |", flush=True)


def works(quick: bool) -> list[tuple[str, str, tuple[int, ...], list[str]]]:
    """Return (name, kind of image, shape, engines), the engine that the others are compared to first."""
    flat = ["topodl", "cripser", "gudhi.sklearn (no pixels)", "Betti-Matching-3D", "GUDHI", "oineus"]
    deep = ["topodl", "cripser", "Betti-Matching-3D", "GUDHI", "oineus"]
    backward = ["topodl, backward", "cripser, backward", "torch-topological, backward"]
    rows = []
    for n in (128, 256) if quick else (128, 256, 512, 1024):
        rows += [(f"2D {kind} {n}²", kind, (n, n), flat) for kind in IMAGES]
    for n in (32,) if quick else (32, 64, 128):
        rows += [(f"3D {kind} {n}³", kind, (n, n, n), deep) for kind in ("noise", "smooth")]
    rows.append(("batch of 32 × 128² prob", "prob", (32, 128, 128), ["topodl, batch", "topodl, one by one"]))
    for n in (256,) if quick else (256, 512):
        shape = (1, 1, n, n)
        rows += [(f"forward+backward {kind} {n}²", kind, shape, backward[:2]) for kind in IMAGES]
    rows.append(("forward+backward prob 16×1×256²", "prob", (16, 1, 256, 256), backward))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", nargs="*", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(Here().ms)
        return
    one_thread()
    runners, rng = Runners(arguments.peers_python), np.random.default_rng(0)
    print("| work | topodl ms | peer | peer ms | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, kind, shape, engines in works(arguments.quick):
            if arguments.only not in name:
                continue
            single = shape if len(shape) < 4 and "batch" not in name else shape[-2:]
            samples = [IMAGES[kind](single, rng) for _ in range(int(np.prod(shape)) // int(np.prod(single)))]
            path = str(Path(folder) / f"{name.replace(' ', '-')}.npy")
            np.save(path, np.stack(samples).reshape(shape).astype(np.float32))
            compare(runners, name, path, engines)


if __name__ == "__main__":
    main()
