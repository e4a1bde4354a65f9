"""`topodl graphs`: GIN with and without TOGL and RePHINE, where message passing is blind and on real data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

__all__ = ["add_arguments", "run"]

_METHODS = {"GIN": None, "GIN+TOGL": "togl", "GIN+RePHINE": "rephine"}
_HEADER = (
    "| data | method | runs | accuracy, epoch by validation | accuracy, one epoch for all folds |\n"
    "|---|---|---|---|---|\n"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `topodl graphs` to `parser`."""
    parser.description = (
        "Cross-validate a GIN alone, with TOGL and with RePHINE, and write results.json and results.md. "
        "Without --data: on pairs of graphs that message passing cannot tell apart. A stopped run goes on."
    )
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        help="folders of TUDataset, or files as GIN reads them (default: three kinds of synthetic graphs)",
    )
    parser.add_argument(
        "--methods", nargs="+", choices=list(_METHODS), default=list(_METHODS), help="default: all"
    )
    parser.add_argument("--folds", type=int, default=10, help="folds of the cross-validation (default: 10)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds (default: 0)")
    parser.add_argument("--epochs", type=int, default=100, help="epochs (default: 100)")
    parser.add_argument("--batch-size", type=int, default=32, help="graphs in a batch (default: 32)")
    parser.add_argument("--hidden", type=int, default=32, help="width of the network (default: 32)")
    parser.add_argument("--device", default="cpu", help="where to train (default: cpu)")
    parser.add_argument(
        "--output", default="graphs", metavar="FOLDER", help="where to write (default: graphs)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the experiment, print the table, and return the exit status."""
    import numpy as np
    from tqdm import tqdm

    from topodl._checks import check_number
    from topodl._files import atomic_path
    from topodl.representations.graph_classification import TrainingSettings, classify_graphs, fold_of

    for name in ("epochs", "batch_size", "hidden"):
        check_number("topodl graphs", name, getattr(args, name), low=1, integer=True)
    collections = _collections(args.data)
    file = Path(args.output) / "results.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    wanted = [
        (data, method, seed, fold)
        for data in collections
        for seed in args.seeds
        for fold in range(args.folds)
        for method in args.methods
    ]
    keys = {}
    for data, method, seed, fold in tqdm(wanted, desc="folds"):
        settings = TrainingSettings(
            _METHODS[method],
            args.epochs,
            args.batch_size,
            hidden=args.hidden,
            # All nodes of the synthetic graphs are alike.
            norm="batch" if args.data else "layer",
            device=args.device,
        )
        key = f"{data} {method} seed={seed} fold={fold}/{args.folds} {settings}"
        keys[key] = (data, method, seed)
        if key not in results:
            graphs = collections[data]
            # Of a pair that looks alike, one graph in training would give the wrong answer for the other.
            pairs = None if args.data else np.arange(graphs.n_graphs) // 2
            parts = fold_of(graphs.y, fold, args.folds, seed, pairs)
            results[key] = classify_graphs(graphs, parts, settings, seed)
            with atomic_path(file) as partial:
                partial.write_text(json.dumps(results, indent=1), encoding="utf-8")
    table = _table({key: (*names, results[key]) for key, names in keys.items()})
    (file.parent / "results.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def _collections(paths: list[str] | None) -> dict[str, Any]:
    """Return the data by name: those of the files, or graphs that message passing cannot tell apart."""
    from topodl.datasets import load_graphs
    from topodl.datasets.graph_pairs import collect_blind_pairs

    if paths is None:
        return collect_blind_pairs()
    return {Path(path).stem: load_graphs(path) for path in paths}


def _table(results: dict[str, tuple[str, str, int, dict[str, Any]]]) -> str:
    """Return the table: mean ± standard deviation over folds and seeds, in percent."""
    import numpy as np

    lines = []
    for data, method in dict.fromkeys(each[:2] for each in results.values()):
        runs = [each[3] for each in results.values() if each[:2] == (data, method)]
        chosen = 100 * np.array([each["accuracy"] for each in runs])
        curves = 100 * np.array([each["curve"] for each in runs])
        common = curves[:, curves.mean(0).argmax()]
        cells = [f"{part.mean():.1f} ± {part.std():.1f}" for part in (chosen, common)]
        lines.append(f"| {data} | {method} | {len(runs)} | {cells[0]} | {cells[1]} |\n")
    return _HEADER + "".join(lines)
