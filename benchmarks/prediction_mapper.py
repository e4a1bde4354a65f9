"""Maps of predictions beside the original program of Liu, Dey and Gleich, one thread, one process.

python benchmarks/prediction_mapper.py [--original FOLDER] [--sizes 10000 …]

FOLDER is a checkout of MengLiuPurdue/Graph-Topological-Data-Analysis or of a fork: its `GTDA` has to import
(it needs seaborn and PyTorch Geometric), and its `dataset/precomputed` has the data of the paper. Without it
topodl stands beside the slow twin of its tests.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from timing import cpu_ms, least, one_thread

from tests.naive import prediction_net as naive
from topodl import PredictionMapper

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """Predictions on a graph, and what the paper set."""

    name: str
    adjacency: sparse.csr_array
    predictions: Array
    labels: Array
    known: Array
    extra_lens: Array | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    error_steps: int = 10


def embeddings_like_imagenette(n: int, dim: int = 512, n_classes: int = 10) -> tuple[Array, Array, Array]:
    """Return embeddings around the centres of classes, a linear classifier's probabilities, the classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_classes, n)
    centres = rng.normal(scale=0.25, size=(n_classes, dim))
    # Beside noise, all classes vary along the same few directions.
    points = centres[labels] + rng.normal(size=(n, 12)) @ rng.normal(size=(12, dim)) / np.sqrt(12)
    points += rng.normal(scale=0.3, size=(n, dim))
    weights = np.exp(4.0 * points @ (centres + rng.normal(scale=0.1, size=centres.shape)).T / np.sqrt(dim))
    return points.astype(np.float32), weights / weights.sum(axis=1, keepdims=True), labels


def drawn_case(n: int) -> tuple[Case, Array]:
    points, predictions, labels = embeddings_like_imagenette(n)
    known = np.arange(n) < 0.9 * n
    adjacency = PredictionMapper().fit(points, predictions).adjacency_
    settings = {"max_size": 25, "overlap": 0.01, "min_range": 0.001, "smoothing_steps": 10}
    return Case(
        f"like Imagenette, {n:,} × 512", adjacency, predictions, labels, known, None, settings
    ), points


# The data of the paper


def read_case(folder: Path, name: str, settings: dict[str, Any], error_steps: int = 10) -> Case:
    """Read a data set of the paper, of which everything but the test samples is known."""
    data = folder / "dataset" / "precomputed" / name
    ends = np.loadtxt(data / "edge_list.txt", skiprows=1, usecols=(0, 1), dtype=np.int64).T
    predictions = np.load(data / "prediction_lens.npy")
    n = len(predictions)
    adjacency = sparse.csr_array((np.ones(ends.shape[1]), tuple(ends)), shape=(n, n))
    adjacency = sparse.csr_array(((adjacency + adjacency.T) > 0).astype(np.float64))
    known = np.zeros(n, dtype=bool)
    for part in ("train", "val"):
        path = data / f"{part}_nodes.txt"
        if path.exists() and path.stat().st_size:
            known[np.loadtxt(path, dtype=np.int64)] = True
    extra = data / "extra_lens.npy"
    return Case(
        name,
        adjacency,
        predictions,
        np.load(data / "labels.npy").astype(np.int64),
        known,
        np.load(extra) if extra.exists() else None,
        settings,
        error_steps,
    )


def paper_cases(folder: Path) -> list[Case]:
    pictures = {"max_size": 25, "overlap": 0.01, "min_range": 0.001, "smoothing_steps": 10}
    return [
        read_case(folder, "swiss_roll", {"max_size": 20, "overlap": 0.1, "min_range": 0.0}),
        read_case(folder, "imagenette", pictures),
        read_case(
            folder, "variants", {"max_size": 30, "overlap": 0.05, "min_range": 0.0, "smoothing_steps": 10}, 20
        ),
    ]


# Candidates


def by_topodl(case: Case, **changes: Any) -> PredictionMapper:
    mapper = PredictionMapper(**case.settings, error_steps=case.error_steps, **changes)
    return mapper.fit(case.adjacency, case.predictions, case.labels, case.known, case.extra_lens)


def by_original(case: Case) -> Any:
    """Run the original with its defaults, but for what the paper set."""
    modules = importlib.import_module("GTDA.GTDA"), importlib.import_module("GTDA.GTDA_utils")
    model = modules[1].NN_model()
    model.preds, model.A, model.labels = case.predictions, sparse.csr_matrix(case.adjacency), case.labels
    model.train_mask, model.val_mask = case.known, np.zeros_like(case.known)
    model.test_mask = ~case.known
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return modules[1].compute_reeb(
            modules[0].GTDA,
            model,
            list(range(case.predictions.shape[1])),
            case.settings["max_size"],
            case.settings["overlap"],
            extra_lens=case.extra_lens,
            split_thd=case.settings["min_range"],
            nsteps_preprocess=case.settings.get("smoothing_steps", 5),
            nsteps_mixing=case.error_steps,
            device="cpu",
        )


def neighbours_by_original(points: Array) -> Any:
    """Return the graph of nearest neighbours as the scripts of the paper make it, on the processor."""
    utils = importlib.import_module("GTDA.GTDA_utils")
    pca = PCA(n_components=128, random_state=42)
    reduced = utils.normalize(pca.fit_transform(points) / pca.singular_values_)
    with contextlib.redirect_stderr(io.StringIO()):
        return utils.knn_cuda_graph(torch.tensor(reduced), 5, 256)


def from_embeddings(points: Array, case: Case) -> PredictionMapper:
    return PredictionMapper(**case.settings).fit(points, case.predictions, case.labels, case.known)


def from_embeddings_by_original(points: Array, case: Case) -> Any:
    return by_original(replace(case, adjacency=neighbours_by_original(points)))


def by_twin(case: Case) -> Any:
    """Build the net by the slow twin, on the lens of topodl."""
    mapper = by_topodl(case)
    adjacency = mapper.adjacency_
    bounds = itertools.pairwise(adjacency.indptr.tolist())
    neighbours = {v: set(adjacency.indices[a:b].tolist()) for v, (a, b) in enumerate(bounds)}
    return naive.net(neighbours, mapper.lens_.tolist(), mapper._settings())


# Tables


def compare_times(title: str, own: Callable[[], Any], peer: Callable[[], Any]) -> None:
    """Print the milliseconds of both, the least of three of topodl and one of the other."""
    ours, theirs = least({"": own}, 3)[""], cpu_ms(peer)
    print(f"| {title} | {ours / 1e3:.2f} s | {theirs / 1e3:.1f} s | {theirs / ours:.1f} |", flush=True)


def describe(case: Case) -> None:
    """Print counts of the map, and how well each estimate finds errors among samples with unknown labels."""
    mapper, whole = by_topodl(case), by_topodl(case, error_graph="whole")
    unknown = ~mapper.known_
    wrong = (mapper.predictions_.argmax(axis=1) != case.labels)[unknown]
    estimates = mapper.error_estimate_, whole.error_estimate_, 1 - mapper.predictions_.max(axis=1)
    found = " | ".join(f"{roc_auc_score(wrong, estimate[unknown]):.3f}" for estimate in estimates)
    graph = mapper.graph_
    counts = f"{len(graph):,}, {graph.n_edges:,}, {graph.n_components}, {mapper.extra_edges_.shape[1]:,}"
    right = " → ".join(
        f"{(classes == case.labels)[unknown].mean():.3f}"
        for classes in (
            mapper.predictions_.argmax(axis=1),
            mapper.corrected_predictions(),
            whole.corrected_predictions(),
        )
    )
    print(f"| {case.name} | {counts} | {wrong.mean():.3f} | {found} | {right} |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--original", type=Path, help="a checkout of the original program")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10000], help="samples of drawn embeddings")
    options = parser.parse_args()
    one_thread()
    peer = "original" if options.original else "slow twin, the net alone"
    print(f"| | topodl | {peer} | ratio |\n|---|---|---|---|")
    papers = []
    if options.original:
        sys.path.insert(0, str(options.original.resolve()))
        importlib.import_module("GTDA.GTDA")  # takes seconds, which are nobody's
        papers = paper_cases(options.original)
    by_peer = by_original if options.original else by_twin
    for case, points in map(drawn_case, options.sizes):
        if options.original:
            compare_times(
                f"{case.name}, from embeddings",
                partial(from_embeddings, points, case),
                partial(from_embeddings_by_original, points, case),
            )
        compare_times(f"{case.name}, from a graph", partial(by_topodl, case), partial(by_peer, case))
    for case in papers:
        compare_times(f"{case.name}, from a graph", partial(by_topodl, case), partial(by_original, case))
    if papers:
        print(
            "\n| | nodes, edges, parts, joins | wrong | projected | whole | 1 − max p | right |\n"
            + "|---" * 7
            + "|"
        )
    for case in papers:
        describe(case)


if __name__ == "__main__":
    main()
