"""Mapper beside KeplerMapper, GUDHI, zen-mapper, tda-mapper and giotto-tda, and attributes beside ripser.

python benchmarks/mapper.py     One thread, one process; each peer is optional. giotto-tda needs an older
scikit-learn than topodl: `--giotto PYTHON` is an interpreter that has it, and times it in a process of its
own. `--memory` makes a graph of 100,000 samples alone, and prints the memory that the process took.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import os
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from sklearn.cluster import DBSCAN
from timing import Candidate, cpu_ms, least, one_thread

from topodl import Mapper, mapper_graph
from topodl.layers import PersistenceStatistics, RipsPersistence
from topodl.mapper import IntervalCover

Array = np.ndarray[Any, Any]
OVERLAP = 0.3
NEIGHBOURS = 12
MAJOR, MINOR = 2.0, 0.8

GIOTTO = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from gtda.mapper import CubicalCover, FirstHistogramGap, OneDimensionalCover, Projection, make_mapper_pipeline
from sklearn.cluster import DBSCAN
data = np.load(sys.argv[1])
job = json.loads(sys.argv[2])
kind = {1: OneDimensionalCover, 2: CubicalCover}[job["axes"]]
cover = kind(n_intervals=job["n_intervals"], overlap_frac=0.3)
clusterer = FirstHistogramGap() if job["gap"] else DBSCAN(job["eps"], min_samples=1)
pipeline = make_mapper_pipeline(
    filter_func=Projection(list(range(job["axes"]))), cover=cover, clusterer=clusterer
)
best = float("inf")
for _ in range(job["rounds"] + 1):
    start = time.process_time()
    graph = pipeline.fit_transform(data)
    best = min(best, time.process_time() - start)
print(json.dumps([1e3 * best, graph.vcount(), graph.ecount()]))
"""


def torus(n: int) -> Array:
    """Return points of a torus in space, evenly by its angles."""
    u, v = 2 * np.pi * np.random.default_rng(0).random((2, n))
    away = MAJOR + MINOR * np.cos(v)
    return np.stack([away * np.cos(u), away * np.sin(u), MINOR * np.sin(v)], 1)


def reach(n: int) -> float:
    """Return the distance within which samples have about twelve neighbours."""
    return math.sqrt(NEIGHBOURS * 4 * math.pi**2 * MAJOR * MINOR / (math.pi * n))


def by_kmapper(x: Array, lens: Array, n_intervals: int, eps: float) -> object:
    import kmapper

    cover = kmapper.Cover(n_cubes=n_intervals, perc_overlap=OVERLAP)
    return kmapper.KeplerMapper(verbose=0).map(lens, x, clusterer=DBSCAN(eps, min_samples=1), cover=cover)


def by_gudhi(x: Array, lens: Array, n_intervals: int, eps: float) -> object:
    from gudhi.cover_complex import MapperComplex

    axes = lens.shape[1]
    complex_ = MapperComplex(
        input_type="point cloud",
        min_points_per_node=0,
        clustering=DBSCAN(eps, min_samples=1),
        resolutions=[n_intervals] * axes,
        gains=[OVERLAP] * axes,
    )
    return complex_.fit(x, filters=lens, colors=lens)


def by_zen(x: Array, lens: Array, n_intervals: int, eps: float) -> object:
    from zen_mapper.adapters import sk_learn
    from zen_mapper.cover import Width_Balanced_Cover
    from zen_mapper.mapper import mapper

    cover = Width_Balanced_Cover([n_intervals] * lens.shape[1], OVERLAP)
    return mapper(x, lens, cover, sk_learn(DBSCAN(eps, min_samples=1)), dim=1)


def by_tdamapper(x: Array, lens: Array, n_intervals: int, eps: float) -> object:
    from tdamapper.cover import StandardCubicalCover
    from tdamapper.learn import MapperAlgorithm

    cover = StandardCubicalCover(n_intervals, OVERLAP)
    return MapperAlgorithm(cover, DBSCAN(eps, min_samples=1), failsafe=False, verbose=False).fit_transform(
        x, lens
    )


PEERS: dict[str, tuple[str, Callable[..., object]]] = {
    "KeplerMapper": ("kmapper", by_kmapper),
    "GUDHI": ("gudhi", by_gudhi),
    "zen-mapper": ("zen_mapper", by_zen),
    "tda-mapper": ("tdamapper", by_tdamapper),
}


def by_topodl(x: Array, axes: int, n_intervals: int, clusterer: Any, ends: str = "margin") -> object:
    cover = IntervalCover(n_intervals, OVERLAP, ends=ends)
    return mapper_graph(torch.from_numpy(x), x[:, :axes], cover=cover, clusterer=clusterer)


def by_giotto(python: str, x: Array, **job: Any) -> tuple[float, int, int]:
    """Return the least milliseconds of giotto-tda, and its nodes and edges."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        np.save(file, x)
        command = [python, "-c", GIOTTO, str(file), json.dumps(job)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    ms, nodes, edges = json.loads(out.stdout.splitlines()[-1])
    return ms, nodes, edges


def row(title: str, own: float, others: dict[str, float]) -> None:
    """Print the milliseconds of topodl, and how many times as long the others take."""
    ratios = ", ".join(f"{name} {ms / own:.1f}×" for name, ms in others.items())
    print(f"| {title} | {own:.1f} ms | {ratios} |", flush=True)


def compare_linkage(n: int, axes: int, giotto: str | None, slowest: int) -> None:
    """Print the times of single linkage up to a distance."""
    x, eps, n_intervals = torus(n), reach(n), {1: 20, 2: 10}[axes]
    own: dict[str, Candidate] = {"topodl": partial(by_topodl, x, axes, n_intervals, eps)}
    found = {**own}
    for name, (module, run) in PEERS.items():
        if importlib.util.find_spec(module) and (name != "tda-mapper" or n <= slowest):
            found[name] = partial(run, x, x[:, :axes], n_intervals, eps)
    times = least(found, rounds=3, seconds=60)
    if giotto is not None and n <= slowest:
        job = {"axes": axes, "n_intervals": n_intervals, "eps": eps, "gap": False, "rounds": 2}
        times["giotto-tda"], *_ = by_giotto(giotto, x, **job)
    row(f"n = {n}, {axes}-D lens, distance", times.pop("topodl"), times)


def compare_gap(n: int, giotto: str | None) -> None:
    """Print the times of the cut at the first gap of a histogram."""
    x = torus(n)
    own = least({"topodl": partial(by_topodl, x, 1, 20, "gap", "tight")}, rounds=3)["topodl"]
    others = {}
    if giotto is not None:
        ms, nodes, edges = by_giotto(giotto, x, axes=1, n_intervals=20, eps=0.0, gap=True, rounds=2)
        graph: Any = by_topodl(x, 1, 20, "gap", "tight")
        assert (len(graph), graph.n_edges) == (nodes, edges), (graph, nodes, edges)
        others["giotto-tda"] = ms
    row(f"n = {n}, 1-D lens, gap", own, others)


def compare_attributes(n: int) -> None:
    """Print the times of H0 and H1 of all nodes, those with statistics, and those of a loop of ripser."""
    if not importlib.util.find_spec("ripser"):
        return
    from ripser import ripser

    warnings.filterwarnings("ignore", module="ripser")  # of clouds that look like matrices
    x = torch.from_numpy(torus(n))
    graph = mapper_graph(x, x[:, :1], 10, OVERLAP, reach(n), min_size=10)
    clouds = [cloud.numpy() for cloud in graph.clouds(x)]
    persistence, statistics = RipsPersistence(dims=(0, 1)), PersistenceStatistics()
    candidates: dict[str, Candidate] = {
        "topodl": lambda: persistence(list(graph.clouds(x))),
        "with statistics": lambda: statistics(persistence(list(graph.clouds(x)))),
        "a loop of ripser": lambda: [ripser(cloud, maxdim=1) for cloud in clouds],
    }
    times = least(candidates, rounds=3, seconds=60)
    sizes = sorted(len(cloud) for cloud in clouds)
    title = f"H0 and H1 of {len(clouds)} nodes of {sizes[0]} to {sizes[-1]} samples"
    row(title, times.pop("topodl"), times)


def measure_memory(n: int) -> None:
    """Print what a graph of many samples takes."""
    x = torus(n)
    mapper = Mapper(lens=0, n_intervals=20, clusterer=reach(n))
    mapper.fit(x[:100])  # compiles
    ms = cpu_ms(lambda: mapper.fit(x))
    print(
        f"{mapper.graph_}: {ms:.0f} ms, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB"
    )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--giotto", help="a Python interpreter that has giotto-tda")
    parser.add_argument("--memory", action="store_true", help="measure 100,000 samples alone")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10000])
    options = parser.parse_args()
    one_thread()
    logging.disable(logging.INFO)  # zen-mapper tells of each step
    if options.memory:
        measure_memory(100_000)
        return
    print("| torus in space | topodl | takes as long |\n|---|---|---|")
    for n in options.sizes:
        for axes in (1, 2):
            compare_linkage(n, axes, options.giotto, slowest=1000)
        compare_gap(n, options.giotto)
    for n in (1000, 4000):
        compare_attributes(n)


if __name__ == "__main__":
    sys.exit(main())
