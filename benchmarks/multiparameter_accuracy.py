"""What two parameters tell classifiers: graphs, orbits and a spectrum, beside one parameter and the majority.

python benchmarks/multiparameter_accuracy.py --data FOLDER [FOLDER …] [--only NAME …] [--orbits N]

Each FOLDER has data sets in folders of their names: MUTAG, PROTEINS, IMDB-BINARY as TU Dortmund has them,
COX2 and DHFR so or as PersLay has them (an adjacency matrix in a .mat file for each graph), and Coffee as UCR
has it (Coffee_TRAIN.txt, Coffee_TEST.txt). ORBIT5K is drawn, N orbits of each of five classes.

Graphs are filtered by heat kernel signatures (t = 10) and 1 / degree, clouds of points by alpha radii and
codensity, spectra by their values and the places of these. Values on a grid, or persistence images, go to a
random forest of 100 trees; grids are quantiles of the training data, those of orbits even up to one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.io import loadmat
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, train_test_split

from topodl import SignedMeasures, euler_signed_measure
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
FOLDS, TREES, ORBIT_POINTS = 10, 100, 1000


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


def filtered_clouds(points: torch.Tensor, mass: float) -> CellComplexes:
    """Return alpha complexes whose cells have their radius and the largest codensity of their vertices."""
    complexes = alpha_complexes(points)
    density = complexes.with_values(codensity(points, mass=mass).flatten())
    dims = range(complexes.dim + 1)
    return complexes.with_values([torch.stack((complexes.values(k), density.values(k)), 1) for k in dims])


def quantiles_of(values: torch.Tensor, resolution: tuple[int, int]) -> list[torch.Tensor]:
    """Return grid values of both parameters, quantiles of values (n, 2) up to the largest."""
    columns = zip(values.T.numpy(), resolution, strict=True)
    return [torch.from_numpy(np.quantile(part, np.arange(1, n + 1) / n)) for part, n in columns]


def score_orbits(n: int) -> Iterator[tuple[str, str]]:
    points, y = draw_orbits(n)
    yield "majority", f"{100 / len(CLASSES):.1f}"
    train, test = train_test_split(np.arange(len(y)), test_size=0.3, stratify=y, random_state=0)
    parts, values = [], []
    for chunk in torch.arange(len(y)).split(50):
        complexes = filtered_clouds(points[chunk], mass=0.1)
        parts.append(euler_signed_measure(complexes))
        for k in (1, 2):
            seen = torch.isin(chunk[complexes.samples(k)], torch.from_numpy(train))
            values.append(complexes.values(k)[seen][::20])
    features = SignedMeasures.cat(parts)
    kinds: dict[str, Callable[[], Any]] = {
        "forest": lambda: RandomForestClassifier(TREES, random_state=0, n_jobs=2),
        "boosted trees": lambda: HistGradientBoostingClassifier(random_state=0),
    }
    ends = np.quantile(torch.cat(values).numpy(), (0.0, 0.97), axis=0)
    radii, densities = (torch.from_numpy(grid.copy()) for grid in np.linspace(*ends, 30).T)
    for name, second in (("alpha alone, Euler", densities.new_tensor([1e9])), ("Euler", densities)):
        table = features.surface(radii, second).flatten(1).numpy()
        for kind, classifier in kinds.items():
            score = classifier().fit(table[train], y[train]).score(table[test], y[test])
            yield f"{name}, {kind}", f"{100 * score:.1f}"


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
    arguments = parser.parse_args()
    for name in arguments.only:
        folder = next((root / name for root in arguments.data if (root / name).is_dir()), None)
        if folder is None and name != "ORBIT5K":
            print(f"{name}: not run, there is no such folder")
            continue
        if name == "ORBIT5K":
            scores = score_orbits(arguments.orbits)
        else:
            scores = score_coffee(folder) if name == "Coffee" else score_graphs(folder)  # type: ignore[arg-type]
        start = time.perf_counter()
        for what, score in scores:
            print(
                f"{name:12s} {what:28s} {score:>12s}   after {time.perf_counter() - start:.0f} s", flush=True
            )


if __name__ == "__main__":
    main()
