"""How time and memory grow per pixel, voxel, point, edge and token, over two decades of sizes; one thread.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [--only UNIT …] [--peers-python PATH] [--seconds S]

Each size is a process of its own, forked from one that has computed the smallest. Time is the least processor
time of several calls, memory what the peak of the first call lies above what was resident before it. The
exponent is the slope of the logarithms, of time over all sizes and of memory over the three largest, before
which fixed costs show: 1 is linear. Needs Linux. Peers: gudhi.sklearn (values without pixels), cripser, GUDHI
and ripser; giotto-ph for points where --peers-python names the Python of an environment that has it.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from timing import cpu_ms

Call = Callable[[], Any]
Array = np.ndarray[Any, Any]

_ROUNDS_MS = 500  # of one size


# --- inputs: of a size, with how many units they have ---


def probabilities(side: int, n_dims: int) -> Array:
    """Return a blurred random label with noise, clipped to [0, 1], as an early network predicts it."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    label = gaussian_filter(rng.standard_normal((side,) * n_dims), 4) > 0
    noise = 0.1 * rng.standard_normal(label.shape)
    return np.clip(gaussian_filter(label.astype(float), 2) + noise, 0, 1).astype(np.float32)


def cube(n: int) -> Array:
    return np.random.default_rng(0).random((n, 3))


def sparse_distances(n: int) -> Any:
    """Return the distances of n points of the plane below the length that leaves each about 20 neighbours."""
    from scipy import sparse
    from scipy.spatial import cKDTree

    points = np.random.default_rng(0).random((n, 2))
    edges = cKDTree(points).query_pairs((20 / (math.pi * n)) ** 0.5, output_type="ndarray")
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    upper = sparse.coo_array((lengths, tuple(edges.T)), shape=(n, n))
    return sparse.coo_array(upper + upper.T)


def attention_map(n: int) -> Array:
    """Return a map of n tokens that attend by content, to their neighbours and to the first one."""
    rng = np.random.default_rng(0)
    queries, keys, places = rng.standard_normal((n, 64)), rng.standard_normal((n, 64)), np.arange(n)
    scores = queries @ keys.T * 0.19 - 0.02 * np.abs(places[:, None] - places)
    scores[:, 0] += 2
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


# --- engines: an input becomes a call ---


def topodl_images(image: Array) -> Call:
    import torch

    import topodl

    batch = torch.from_numpy(image)[None]
    return lambda: topodl.cubical_persistence(batch)


def gudhi_values(image: Array) -> Call:
    from gudhi.sklearn.cubical_persistence import CubicalPersistence

    engine = CubicalPersistence(homology_dimensions=range(image.ndim))
    return lambda: engine.fit_transform([image])


def cripser_pairs(image: Array) -> Call:
    import cripser

    return lambda: cripser.compute_ph(image, maxdim=image.ndim - 1)


def topodl_rips(points: Array) -> Call:
    import torch

    import topodl

    batch = torch.from_numpy(points)[None]
    return lambda: topodl.rips_persistence(batch)


def giotto_ph(points: Array) -> Call:
    from gph import ripser_parallel

    return lambda: ripser_parallel(points, maxdim=1, n_threads=1, return_generators=True)


def topodl_alpha(points: Array) -> Call:
    import torch

    import topodl

    batch = torch.from_numpy(points)[None]
    return lambda: topodl.alpha_persistence(batch, (0, 1, 2))


def gudhi_alpha(points: Array) -> Call:
    import gudhi

    def run() -> Any:
        tree = gudhi.AlphaComplex(points=points, precision="safe").create_simplex_tree()
        return tree.compute_persistence(homology_coeff_field=2)

    return run


def topodl_sparse(distances: Any) -> Call:
    import topodl

    return lambda: topodl.rips_persistence(distances, metric="precomputed")


def ripser_pairs(distances: Any) -> Call:
    import ripser

    return lambda: ripser.ripser(distances, distance_matrix=True, maxdim=1)


def topodl_tokens(attention: Array) -> Call:
    import torch

    from topodl.attention import AttentionTopology

    batch, layer = torch.from_numpy(attention)[None, None, None], AttentionTopology("barcode")
    return lambda: layer(batch)


def ripser_tokens(attention: Array) -> Call:
    weights = np.maximum(attention, attention.T)
    distances = 1 - np.where(weights > 1e-3, weights, 0)  # the default of topodl's layer
    np.fill_diagonal(distances, 0)
    return ripser_pairs(distances)


class Work(NamedTuple):
    """What is measured for one unit."""

    title: str
    make: Callable[[int], Any]
    units: Callable[[Any], int]
    sizes: tuple[int, ...]
    engines: dict[str, Callable[[Any], Call]]


def _half_of_entries(distances: Any) -> int:
    return int(distances.nnz) // 2


WORKS = {
    "pixel": Work(
        "probability map, all dimensions",
        lambda side: probabilities(side, 2),
        np.size,
        (64, 128, 256, 512, 1024),
        {"topodl": topodl_images, "gudhi.sklearn": gudhi_values},
    ),
    "voxel": Work(
        "probability map, all dimensions",
        lambda side: probabilities(side, 3),
        np.size,
        (16, 32, 64, 96),
        {"topodl": topodl_images, "cripser": cripser_pairs},
    ),
    "point": Work(
        "Rips, dimensions 0 and 1, cube",
        cube,
        len,
        (40, 130, 400, 1300, 4000),
        {"topodl": topodl_rips, "giotto-ph": giotto_ph},
    ),
    "point, alpha": Work(
        "alpha, dimensions 0 to 2, cube",
        cube,
        len,
        (200, 650, 2000, 6500, 20000),
        {"topodl": topodl_alpha, "GUDHI": gudhi_alpha},
    ),
    "edge": Work(
        "sparse Rips, dimensions 0 and 1, plane",
        sparse_distances,
        _half_of_entries,
        (1000, 3200, 10000, 32000, 100000),
        {"topodl": topodl_sparse, "ripser": ripser_pairs},
    ),
    "token": Work(
        "attention, bars of dimensions 0 and 1",
        attention_map,
        len,
        (20, 64, 200, 640, 2048),
        {"topodl": topodl_tokens, "ripser": ripser_tokens},
    ),
}
ELSEWHERE = {"giotto-ph"}


# --- measuring ---


def resident(field: str) -> int:
    """Return the bytes of this process that are resident (VmRSS), or the most that ever were (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{field}:\s+(\d+)", status)
    assert found is not None
    return 1024 * int(found[1])


def measure(unit: str, engine: str, size: int) -> tuple[int, float, int]:
    """Return how many units an input of `size` has, the milliseconds of a call, and the bytes it takes."""
    work = WORKS[unit]
    data = work.make(size)
    call = work.engines[engine](data)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak
    before = resident("VmRSS")
    times = [cpu_ms(call)]
    memory = resident("VmHWM") - before
    start = time.process_time()
    while times[0] < _ROUNDS_MS and 1e3 * (time.process_time() - start) < _ROUNDS_MS:
        times.append(cpu_ms(call))
    return int(work.units(data)), min(times), memory


def measure_all(unit: str, engine: str, seconds: float) -> list[tuple[int, float, int]]:
    """Return `measure` of every size, the last one that which takes longer than `seconds`."""
    one_thread_of(engine)
    work, rows = WORKS[unit], []
    work.engines[engine](work.make(work.sizes[0]))()  # loads and compiles what the children inherit
    for size in work.sizes:
        with multiprocessing.get_context("fork").Pool(1) as child:
            rows.append(child.apply(measure, (unit, engine, size)))
        if rows[-1][1] > 1e3 * seconds:
            break
    return rows


def one_thread_of(engine: str) -> None:
    if engine == "topodl":
        from timing import one_thread

        one_thread()


def measured_apart(
    unit: str, engine: str, seconds: float, peers_python: str | None
) -> list[tuple[int, float, int]]:
    """Return `measure_all`, run in a process of its own, which may be of another interpreter."""
    python = peers_python if engine in ELSEWHERE else sys.executable
    if python is None:
        print(f"{engine} is left out: no --peers-python", flush=True)
        return []
    command = [python, __file__, "--measure", unit, engine, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{engine} is left out: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return []
    return [tuple(row) for row in json.loads(done.stdout)]


# --- the table ---


def exponent(units: list[int], values: list[float]) -> float:
    """Return the slope of the logarithms of `values` over those of `units`."""
    return float(np.polyfit(np.log(units), np.log(np.maximum(values, 1e-9)), 1)[0])


def shown(values: list[float]) -> str:
    return " / ".join(f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values)


def print_rows(unit: str, seconds: float, peers_python: str | None) -> None:
    """Print a row for every engine of one unit."""
    work = WORKS[unit]
    for engine in work.engines:
        rows = measured_apart(unit, engine, seconds, peers_python)
        if not rows:
            continue
        units, times, memory = (list(column) for column in zip(*rows, strict=True))
        per_unit = [1e6 * ms / n for ms, n in zip(times, units, strict=True)]
        bytes_each = [peak / n for peak, n in zip(memory, units, strict=True)]
        cells = [
            f"{unit}: {work.title}",
            engine,
            " / ".join(f"{n:,}" for n in units),
            shown(per_unit),
            f"{exponent(units, times):.2f}",
            shown(bytes_each),
            f"{exponent(units[-3:], memory[-3:]):.2f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=WORKS, default=list(WORKS))
    parser.add_argument("--peers-python", default=os.environ.get("TOPODL_PEERS_PYTHON"))
    parser.add_argument("--seconds", type=float, default=10, help="no size follows one that takes longer")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure_all(*chosen.measure, chosen.seconds)))
        return
    print("| unit: work | engine | units | ns a unit | exponent | bytes a unit | exponent |")
    print("|---|---|---|---|---|---|---|")
    for unit in chosen.only:
        print_rows(unit, chosen.seconds, chosen.peers_python)


if __name__ == "__main__":
    main()
