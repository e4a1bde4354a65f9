"""Signed measures and surfaces of two parameters beside multipers 2.3.0, in one process, on one thread.

python -m venv ENV && ENV/bin/pip install multipers==2.3.0 gudhi==3.12.0
ENV/bin/python benchmarks/multiparameter.py --borrow PYTHON [--data FOLDER]

multipers crashes with newer GUDHI, so it has an environment of its own, which borrows topodl's packages from
the interpreter PYTHON. FOLDER/MUTAG has the graphs in TU's format; without it, trees with rings of that size
are drawn. Rows without the peer run anywhere.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(os.fspath(Path(__file__).parents[1]))

if "--borrow" in sys.argv:  # before anything that may be there alone is imported
    from peers import borrow_packages

    borrow_packages(sys.argv[sys.argv.index("--borrow") + 1])

import numpy as np
import torch
from timing import Candidate, least, one_thread

from topodl import (
    SignedMeasures,
    fibered_persistence,
    graph_signed_measure,
    image_signed_measure,
    rips_signed_measure,
)
from topodl.layers import EulerSurface

Array = np.ndarray[Any, Any]
Graphs = tuple[Array, Array, Array]  # values of vertices, edges u < v, graph of each vertex


def mutag(folder: Path | None, rng: np.random.Generator) -> Graphs:
    """Return 188 molecules with a random value and 1 / degree at each vertex."""
    if folder is None:
        n = 188 * 18
        ends = np.arange(n)
        pairs = np.stack((ends, np.where(ends % 6 == 5, ends - 5, ends + 1)), 1)
        pairs, graph_of = np.sort(pairs, axis=1), ends // 18
    else:
        path = folder / "MUTAG" / "MUTAG_"
        pairs = np.loadtxt(f"{path}A.txt", delimiter=",", dtype=np.int64) - 1
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        graph_of = np.loadtxt(f"{path}graph_indicator.txt", dtype=np.int64) - 1
    degrees = np.bincount(pairs.reshape(-1), minlength=len(graph_of))
    values = np.stack((rng.random(len(graph_of)), 1 / np.maximum(degrees, 1)), 1)
    return values, np.ascontiguousarray(pairs.T), graph_of


def graph_rows(folder: Path | None, rng: np.random.Generator) -> dict[str, dict[str, Candidate]]:
    """Return the measures of all graphs, in dimensions 0 and 1, and the longest way that there is."""
    values, edges, graph_of = mutag(folder, rng)
    x, index, batch = map(torch.from_numpy, (values, edges, graph_of))
    rows: dict[str, dict[str, Candidate]] = {
        "MUTAG, 188 graphs, H0 and H1": {"topodl": lambda: graph_signed_measure(x, index, batch=batch)}
    }
    n = 20_000
    path = torch.stack((torch.arange(n - 1), torch.arange(1, n)))
    rising = torch.arange(float(n))[:, None] * torch.tensor([1.0, -1.0])
    rows["monotone path of 20,000 vertices"] = {"topodl": lambda: graph_signed_measure(rising, path)}
    if importlib.util.find_spec("multipers"):
        import multipers as mp

        trees = []
        for g in range(graph_of.max() + 1):
            own = np.flatnonzero(graph_of == g)
            tree = mp.SimplexTreeMulti(num_parameters=2, dtype=np.float64)
            tree.insert_batch(np.arange(len(own))[None], values[own])
            pairs = edges[:, graph_of[edges[0]] == g]
            tree.insert_batch(pairs - own[0], values[pairs].max(0))
            trees.append(tree)
        peer = {
            "multipers": lambda: [mp.signed_measure(tree, degrees=[0, 1], n_jobs=1) for tree in trees],
            "multipers, Euler": lambda: [mp.signed_measure(tree, degree=None, n_jobs=1) for tree in trees],
        }
        rows["MUTAG, 188 graphs, H0 and H1"].update(peer)
    return rows


def cloud_rows(rng: np.random.Generator) -> dict[str, dict[str, Candidate]]:
    """Return function-Rips in dimension 0, from the points on, of one cloud and of eight at once."""
    rows: dict[str, dict[str, Candidate]] = {}
    for n, batch in ((50, 1), (100, 1), (100, 8)):
        points, function = rng.random((batch, n, 2)), rng.random((batch, n))
        x, f = torch.from_numpy(points), torch.from_numpy(function)
        row: dict[str, Candidate] = {"topodl": lambda x=x, f=f: rips_signed_measure(x, f)}  # type: ignore[misc]
        if importlib.util.find_spec("multipers"):
            import multipers as mp
            from multipers.filtrations import RipsLowerstar

            def trees(points: Any = points, function: Any = function) -> list[Any]:
                return [
                    RipsLowerstar(points=p, function=v, threshold_radius=np.inf)
                    for p, v in zip(points, function, strict=True)
                ]

            row["multipers, by slices"] = lambda trees=trees: [  # type: ignore[misc]
                mp.signed_measure(tree, degree=0, n_jobs=1) for tree in trees()
            ]
            if hasattr(mp, "ops"):  # from 2.6 on with mpfree in it
                row["multipers, by mpfree"] = lambda trees=trees: [  # type: ignore[misc]
                    mp.signed_measure(mp.Slicer(tree).minpres(0), degree=0, n_jobs=1) for tree in trees()
                ]
        rows[f"function-Rips H0, {batch} of {n} points"] = row
    return rows


def image_rows(rng: np.random.Generator) -> dict[str, dict[str, Candidate]]:
    """Return Euler surfaces of 32 x 32 values, hard and with a ramp, and exact measures."""
    rows: dict[str, dict[str, Candidate]] = {}
    surface = EulerSurface((32, 32), (0, 1))
    for side, n_images in ((32, 1), (64, 1), (64, 8)):
        images = rng.random((n_images, 2, side, side))
        x = torch.from_numpy(images)
        row: dict[str, Candidate] = {"topodl": lambda x=x: surface(x)}  # type: ignore[misc]
        if importlib.util.find_spec("multipers"):
            import multipers as mp
            from multipers.filtrations import Cubical

            several = [Cubical(np.ascontiguousarray(image.transpose(1, 2, 0))) for image in images]
            row["multipers, exact measure"] = lambda several=several: [  # type: ignore[misc]
                mp.signed_measure(cells, degree=None, n_jobs=1) for cells in several
            ]
        rows[f"Euler surface, {n_images} of {side} x {side}"] = row
        exact: dict[str, Candidate] = {"topodl": lambda x=x: image_signed_measure(x)}  # type: ignore[misc]
        rows[f"exact measures H0 and H1, {n_images} of {side} x {side}"] = exact
    batch = torch.from_numpy(rng.random((8, 2, 128, 128)).astype(np.float32)).requires_grad_()
    ramp = EulerSurface((32, 32), (0, 1), width=1.0)
    rows["Euler surfaces, 8 of 128 x 128"] = {
        "topodl": lambda: surface(batch.detach()),
        "topodl, ramp, forward and backward": lambda: ramp(batch).sum().backward(),
    }
    return rows


def line_rows(rng: np.random.Generator) -> dict[str, dict[str, Candidate]]:
    """Return the bars of an image of 64 x 64 along 32 lines of slopes at equal angles."""
    image = rng.random((2, 64, 64))
    angles = (np.arange(32) + 0.5) * (np.pi / 64)
    base, direction = np.zeros((32, 2)), np.stack((np.cos(angles), np.sin(angles)), 1)
    x = torch.from_numpy(image)[None]
    lines = torch.from_numpy(base), torch.from_numpy(direction)
    row: dict[str, Candidate] = {"topodl": lambda: fibered_persistence(x, lines)}
    if importlib.util.find_spec("multipers"):
        import multipers as mp
        from multipers.filtrations import Cubical

        pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
        slicer = mp.Slicer(Cubical(pixels))
        row["multipers"] = lambda: mp.Slicer(Cubical(pixels)).persistence_on_lines(base, direction)
        row["multipers, lines alone"] = lambda: slicer.persistence_on_lines(base, direction)
    return {"32 lines of an image, 64 x 64, H0 and H1": row}


def convolution_rows(rng: np.random.Generator) -> dict[str, dict[str, Candidate]]:
    """Return the convolution of 32 measures of 200 points on 50 x 50 values."""
    points, weights = rng.random((32, 200, 2)), rng.integers(-2, 3, (32, 200))
    samples = torch.arange(32).repeat_interleave(200)
    flat = torch.from_numpy(points).flatten(0, 1), torch.from_numpy(weights).flatten()
    m = SignedMeasures(*flat, torch.zeros_like(samples), samples, n_samples=32, homology_dims=[0])
    grid = torch.linspace(0, 1, 50, dtype=torch.float64)
    row: dict[str, Candidate] = {"topodl": lambda: m.convolve(grid, grid, 0.1)}
    if importlib.util.find_spec("multipers"):
        from multipers.ml.convolutions import convolution_signed_measures

        theirs = [[(x, w)] for x, w in zip(points, weights, strict=True)]
        for backend in ("sklearn", "pykeops"):
            row[f"multipers, {backend}"] = lambda b=backend: convolution_signed_measures(  # type: ignore[misc]
                theirs, [grid.numpy()] * 2, 0.1, flatten=False, backend=b
            )
    return {"convolution, 32 x 200 points, 50 x 50": row}


def main() -> None:
    """Print a table of the least processor times, in milliseconds, and of ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--borrow", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    one_thread()
    rng = np.random.default_rng(0)
    rows = graph_rows(arguments.data, rng) | cloud_rows(rng) | image_rows(rng)
    rows |= convolution_rows(rng) | line_rows(rng)
    for title, candidates in rows.items():
        times = least(candidates, arguments.rounds, seconds=20.0)
        parts = [f"{name} {ms:.2f} ms ({ms / times['topodl']:.0f} ×)" for name, ms in times.items()]
        print(f"{title}: {', '.join(parts)}", flush=True)


if __name__ == "__main__":
    main()
