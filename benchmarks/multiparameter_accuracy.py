"""What two parameters tell classifiers: graphs, orbits and a spectrum, beside one parameter and the majority.

python benchmarks/multiparameter_accuracy.py --data FOLDER [FOLDER …] [--only NAME …] [--orbits N]
    [--store PLACE]

Each FOLDER has data sets in folders of their names: MUTAG, PROTEINS, IMDB-BINARY as TU Dortmund has them,
COX2 and DHFR so or as PersLay has them (an adjacency matrix in a .mat file for each graph), and Coffee as UCR
has it (Coffee_TRAIN.txt, Coffee_TEST.txt). ORBIT5K is drawn, N orbits of each of five classes; their
surfaces are kept in the folder PLACE, from where a run that was stopped goes on.

Graphs are filtered by heat kernel signatures (t = 10) and 1 / degree, clouds of points by alpha radii and
codensity, spectra by their values and the places of these. Values on a grid, or persistence images, go to a
random forest of 100 trees; grids are quantiles of the training data, those of orbits even up to one.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.io import loadmat
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, train_test_split

from topodl import euler_signed_measure
from topodl.complexes import CellComplexes, alpha_complexes
from topodl.datasets import load_graphs
from topodl.filtrations import codensity, degree_values, heat_kernel_signature
from topodl.layers import (
    CubicalPersistence,
    EulerSurface,
    FiberedPersistence,
    HilbertSurface,
    LevelPersistence,
    PersistenceImage,
    SliceFeatures,
)

Array = np.ndarray[Any, np.dtype[Any]]
GRAPHS = ("MUTAG", "COX2", "DHFR", "PROTEINS", "IMDB-BINARY")
CLASSES = (2.5, 3.5, 4.0, 4.1, 4.3)  # of orbits
FOLDS, TREES, ORBIT_POINTS, SPLITS = 10, 100, 1000, 5
CHUNK = 50  # orbits whose complexes are in memory together


class Graphs(NamedTuple):
    """Graphs as one disjoint union."""

    edge_index: torch.Tensor
    batch: torch.Tensor
    y: Array


def read_graphs(folder: Path) -> Graphs:
    """Return the graphs of a folder, TU Dortmund's text files or PersLay's matrices."""
    matrices = sorted(folder.glob("*.mat"), key=lambda path: int(part_of(path, "gid")))
    if not matrices:
        graphs = load_graphs(folder)
        return Graphs(torch.from_numpy(graphs.edge_index), torch.from_numpy(graphs.batch), graphs.y)
    edges, sizes, start = [], [], 0
    for path in matrices:
        adjacency = loadmat(path)["A"]
        edges.append(np.argwhere(adjacency).T + start)
        sizes.append(len(adjacency))
        start += len(adjacency)
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    y = np.array([int(part_of(path, "lb")) for path in matrices])
    return Graphs(torch.from_numpy(np.concatenate(edges, 1)), batch, y)


def part_of(path: Path, key: str) -> str:
    """Return what stands behind a key in a file name such as nodes_32_edges_68_gid_354_lb_1_…."""
    parts = path.stem.split("_")
    return parts[parts.index(key) + 1]


def filtered_graphs(graphs: Graphs, parameters: int) -> list[tuple[Array, Array]]:
    """Return (values, edges) of each graph: heat, and 1 / degree or, with one parameter, nothing."""
    heat = heat_kernel_signature(graphs.edge_index, 10.0, batch=graphs.batch).double()
    degrees = degree_values(graphs.edge_index, batch=graphs.batch).double()
    second = 1 / degrees.clamp(min=1) if parameters == 2 else torch.zeros_like(heat)
    values = torch.stack((heat, second), 1).numpy()
    batch, edges = graphs.batch.numpy(), graphs.edge_index.numpy()
    starts = np.searchsorted(batch, np.arange(len(graphs.y) + 1))
    parts = [edges[:, batch[edges[0]] == g] - starts[g] for g in range(len(graphs.y))]
    return [(values[starts[g] : starts[g + 1]], part) for g, part in enumerate(parts)]


def score_graphs(folder: Path) -> Iterator[tuple[str, str]]:
    graphs = read_graphs(folder)
    y = graphs.y.astype(int)
    yield "majority", f"{100 * np.bincount(y).max() / len(y):.1f}"
    quantiles: dict[str, Any] = {"spacing": "quantiles", "chunk_size": 10_000}
    both, heat = filtered_graphs(graphs, 2), filtered_graphs(graphs, 1)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for name, samples, layer in (
        ("heat alone, H0 + H1", heat, HilbertSurface(resolution=(20, 1), **quantiles)),
        ("Euler", both, EulerSurface(resolution=20, **quantiles)),
        ("H0", both, HilbertSurface(dims=0, resolution=20, **quantiles)),
        ("H0 + H1", both, HilbertSurface(resolution=20, **quantiles)),
    ):
        scores = []
        for train, test in folds.split(y, y):
            seen, unseen = ([samples[i] for i in which] for which in (train, test))
            forest = RandomForestClassifier(TREES, random_state=0).fit(layer.fit_transform(seen), y[train])
            scores.append(100 * forest.score(layer.transform(unseen), y[test]))
        yield name, f"{np.mean(scores):.1f} ± {np.std(scores):.1f}"


def draw_orbits(n: int) -> tuple[torch.Tensor, Array]:
    """Return n orbits of the linked twist map for each class, (5 n, 1000, 2)."""
    random = np.random.default_rng(0)
    r = np.repeat(CLASSES, n)
    points = np.empty((len(r), ORBIT_POINTS, 2))
    x, y = random.random((2, len(r)))
    for i in range(ORBIT_POINTS):
        x = (x + r * y * (1 - y)) % 1
        y = (y + r * x * (1 - x)) % 1
        points[:, i] = np.stack((x, y), 1)
    return torch.from_numpy(points), np.repeat(np.arange(len(CLASSES)), n)


def filtered_clouds(points: torch.Tensor, **density: float) -> CellComplexes:
    """Return alpha complexes whose cells have their radius and the largest codensity of their vertices."""
    complexes = alpha_complexes(points)
    height = complexes.with_values(codensity(points, **density).flatten())
    dims = range(complexes.dim + 1)
    return complexes.with_values([torch.stack((complexes.values(k), height.values(k)), 1) for k in dims])


def quantiles_of(values: torch.Tensor, resolution: tuple[int, int]) -> list[torch.Tensor]:
    """Return grid values of both parameters, quantiles of values (n, 2) up to the largest."""
    columns = zip(values.T.numpy(), resolution, strict=True)
    return [torch.from_numpy(np.quantile(part, np.arange(1, n + 1) / n)) for part, n in columns]


def orbit_surfaces(points: torch.Tensor, store: Path | None) -> Array:
    """Return Euler surfaces (n, 30, 30) and curves (n, 30, 1) of orbits, side by side.

    The last values of the grids are those that the published figure was found with: squared radii up to
    0.0009, minus logarithms of a kernel density of bandwidth 1 from 1.9 to 2.1.
    """
    radii, densities = torch.linspace(0, 0.0009, 30).double().sqrt(), torch.linspace(1.9, 2.1, 30).double()
    parts = []
    for start in range(0, len(points), CHUNK):
        path = None if store is None else store / f"orbits_{len(points)}_{start}.npy"
        if path is None or not path.exists():
            measures = euler_signed_measure(filtered_clouds(points[start : start + CHUNK], bandwidth=1.0))
            surfaces = measures.surface(radii, torch.cat((densities, densities.new_tensor([1e9]))))
            part = surfaces[:, 0].numpy().astype(np.float32)
            if path is not None:
                np.save(path, part)
        parts.append(part if path is None else np.load(path))
    return np.concatenate(parts)


def boosted_trees() -> tuple[str, Any]:
    """Return XGBoost's classifier, which the published figure is of, or else scikit-learn's."""
    if importlib.util.find_spec("xgboost"):
        from xgboost import XGBClassifier

        return "XGBoost", XGBClassifier(n_jobs=1)
    return "boosted trees", HistGradientBoostingClassifier(random_state=0)


def score_orbits(n: int, store: Path | None) -> Iterator[tuple[str, str]]:
    points, y = draw_orbits(n)
    yield "majority", f"{100 / len(CLASSES):.1f}"
    surfaces = orbit_surfaces(points, store)
    for name, table in (("alpha alone, Euler", surfaces[:, :, -1]), ("Euler", surfaces[:, :, :-1])):
        for kind, classifier in (
            boosted_trees(),
            ("forest", RandomForestClassifier(TREES, random_state=0)),
        ):
            scores = []
            for seed in range(SPLITS):
                parts = train_test_split(table.reshape(len(y), -1), y, test_size=0.3, random_state=seed)
                seen, unseen, y_seen, y_unseen = parts
                scores.append(100 * classifier.fit(seen, y_seen).score(unseen, y_unseen))
            yield f"{name}, {kind}", f"{np.mean(scores):.1f} ± {np.std(scores):.1f}"


def embedded(signals: Array) -> torch.Tensor:
    """Return delay embeddings (B, L - 2, 3) of signals (B, L)."""
    return torch.from_numpy(np.stack([signals[:, :-2], signals[:, 1:-1], signals[:, 2:]], 2))


def placed(signals: Array) -> torch.Tensor:
    """Return signals (B, L) as images of one row, with the place in the signal as second channel."""
    heights = torch.from_numpy(signals)
    places = torch.linspace(0, 1, heights.shape[1], dtype=heights.dtype).expand_as(heights)
    return torch.stack((heights, places), 1)[:, :, None]


def score_coffee(folder: Path) -> Iterator[tuple[str, str]]:
    tables = [np.loadtxt(folder / f"Coffee_{part}.txt") for part in ("TRAIN", "TEST")]
    y, y_test = (table[:, 0] for table in tables)
    yield "majority", f"{np.bincount(y_test.astype(int)).max()} of {len(y_test)}"

    def scored(seen: Array, unseen: Array) -> str:
        forest = RandomForestClassifier(TREES, random_state=0).fit(seen, y)
        return f"{round(forest.score(unseen, y_test) * len(y_test))} of {len(y_test)}"

    train, test = (placed(table[:, 1:]).numpy() for table in tables)
    alone, image = CubicalPersistence(dims=0), PersistenceImage(resolution=10)
    seen = image.fit_transform(alone.transform(train[:, 0]))
    yield "values alone, H0", scored(seen, image.transform(alone.transform(test[:, 0])))
    for name, slices in (
        ("and places, H0 on 16 lines", FiberedPersistence(n_lines=16, dims=0)),
        ("and places, H0 at 16 levels", LevelPersistence(levels=16, parameter=1, dims=0)),
    ):
        images = SliceFeatures(PersistenceImage(resolution=10), 16)
        seen = images.fit_transform(slices.fit(train).transform(train))
        yield name, scored(seen, images.transform(slices.transform(test)))
    clouds = [filtered_clouds(embedded(table[:, 1:]), mass=0.1) for table in tables]
    values = torch.cat([clouds[0].values(k) for k in (0, 1, 2)])
    for name, resolution in (("alpha of delays alone, Euler", (20, 1)), ("and codensity, Euler", (20, 20))):
        grids = quantiles_of(values, resolution)
        seen, unseen = (euler_signed_measure(part).surface(*grids).flatten(1).numpy() for part in clouds)
        yield name, scored(seen, unseen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", default=[])
    parser.add_argument("--only", nargs="+", default=[*GRAPHS, "Coffee", "ORBIT5K"])
    parser.add_argument("--orbits", type=int, default=1000, help="of each of five classes")
    parser.add_argument("--store", type=Path, metavar="PLACE", help="where surfaces of orbits are kept")
    arguments = parser.parse_args()
    for name in arguments.only:
        folder = next((root / name for root in arguments.data if (root / name).is_dir()), None)
        if folder is None and name != "ORBIT5K":
            print(f"{name}: not run, there is no such folder")
            continue
        if name == "ORBIT5K":
            scores = score_orbits(arguments.orbits, arguments.store)
        else:
            scores = score_coffee(folder) if name == "Coffee" else score_graphs(folder)  # type: ignore[arg-type]
        start = time.perf_counter()
        for what, score in scores:
            print(
                f"{name:12s} {what:28s} {score:>12s}   after {time.perf_counter() - start:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()
