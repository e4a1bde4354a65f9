"""Ready pipelines beside GUDHI that does the same: the same filtrations, their persistence, vectors of them.

    OMP_NUM_THREADS=1 python -m benchmarks.presets [--folders FOLDER ...]

Times are processor seconds of a `fit_transform` and of GUDHI's calls. GUDHI is given the filtered data, whose
making counts for topodl alone; it has no statistics of bars, so those of clouds and graphs count for topodl
alone, too. Data are those of `topodl features benchmark`, with --folders as there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gudhi
import gudhi.representations as representations
import numpy as np
import torch
from gudhi.sklearn.rips_persistence import RipsPersistence

import topodl
from benchmarks.diagram_distances import cpu_seconds
from topodl.evaluation.feature_data import load_samples
from topodl.layers import cloud_features, graph_features, image_features, time_series_features

NAMES = ("digits", "MUTAG", "PROTEINS", "IMDB-BINARY", "GunPoint", "ItalyPowerDemand", "shapes")


def filtered(pipeline: Any, X: Any) -> Any:
    """Return what the steps before persistence make of the data."""
    for name, step in pipeline.steps:
        if name == "persistence":
            return X
        X = step.fit_transform(X)
    raise ValueError("no step is called persistence")


def betti_curves(bars: list[np.ndarray]) -> np.ndarray:
    return representations.BettiCurve(resolution=16).fit_transform(bars)


def of_images(images: np.ndarray, superlevel: bool, dims: tuple[int, ...]) -> np.ndarray:
    """Return the Betti curves of each channel (B, C, …) of images and of their dimensions."""
    values = -images if superlevel else images
    parts = []
    for channel in range(values.shape[1]):
        bars: dict[int, list[np.ndarray]] = {k: [] for k in dims}
        for image in values[:, channel]:
            complex_ = gudhi.CubicalComplex(top_dimensional_cells=image)
            complex_.compute_persistence()
            for k in dims:
                bars[k].append(complex_.persistence_intervals_in_dimension(k))
        parts += [betti_curves(bars[k]) for k in dims]
    return np.concatenate(parts, 1)


def of_clouds(clouds: Any) -> np.ndarray:
    found = RipsPersistence(homology_dimensions=[0, 1]).fit_transform(list(clouds))
    bars = [[each[k][np.isfinite(each[k][:, 1])] for each in found] for k in (0, 1)]
    image = {"bandwidth": 0.1, "resolution": [8, 8]}
    return np.concatenate([representations.PersistenceImage(**image).fit_transform(part) for part in bars], 1)


def of_graphs(graphs: list[tuple[np.ndarray, np.ndarray]]) -> list[Any]:
    """Return the extended persistence of each graph by each column of its values."""
    found = []
    for values, edges in graphs:
        for column in values.T:
            tree = gudhi.SimplexTree()
            for v, value in enumerate(column):
                tree.insert([v], value)
            for u, v in edges.T:
                tree.insert([u, v], max(column[u], column[v]))
            tree.extend_filtration()
            found.append(tree.extended_persistence(min_persistence=1e-9))
    return found


def calls(kind: str, X: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return topodl's whole pipeline and GUDHI's persistence and vectors of the same filtrations."""
    if kind == "images":
        ramps = filtered(image_features(), X)
        return lambda: image_features().fit_transform(X), lambda: of_images(ramps, True, (0, 1))
    if kind == "clouds":
        return lambda: cloud_features().fit_transform(X), lambda: of_clouds(X)
    if kind == "graphs":
        graphs = filtered(graph_features(), X)
        return lambda: graph_features().fit_transform(X), lambda: of_graphs(graphs)
    parts = dict(time_series_features().transformer_list)
    ramps, delays = filtered(parts["valleys"], X), filtered(parts["delays"], X)

    def theirs() -> object:
        sides = [of_images(np.asarray(ramps), superlevel, (0,)) for superlevel in (False, True)]
        return *sides, of_clouds(np.asarray(delays))

    return lambda: time_series_features().fit_transform(X), theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folders", nargs="*", type=Path, default=[])
    parser.add_argument("--data", nargs="*", choices=NAMES, default=NAMES)
    folders, names = parser.parse_args().folders, parser.parse_args().data
    torch.set_num_threads(1)
    topodl.set_num_threads(1)
    print("| data | topodl, s | GUDHI, s | ratio |\n|---|---|---|---|")
    for name in names:
        samples = load_samples(name, folders)
        if samples is None:
            continue
        ours, theirs = calls(samples.kind, samples.X)
        calls(samples.kind, samples.X[:4])[0]()  # loads what is loaded on first use
        with contextlib.redirect_stdout(io.StringIO()):  # GUDHI prints a line for a column of empty diagrams
            mine, yours = cpu_seconds(ours), cpu_seconds(theirs, 1)
        print(f"| {name} | {mine:.3f} | {yours:.2f} | {yours / mine:.1f} |", flush=True)


if __name__ == "__main__":
    main()
