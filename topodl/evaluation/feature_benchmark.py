"""`topodl features benchmark`: how well features of topology tell classes apart, beside peers and controls.

Features are computed once for all samples (they learn ranges of grids, never classes), and two classifiers
are cross-validated on them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from topodl import __version__
from topodl._files import atomic_path, read_text
from topodl.errors import InputError
from topodl.evaluation import feature_peers
from topodl.evaluation.feature_data import DATA, Samples, load_samples
from topodl.evaluation.feature_recipes import MESH_RECIPES, PRESETS, recipes
from topodl.evaluation.figures import Figure, accuracy_bars
from topodl.evaluation.rendering import render
from topodl.evaluation.tables import Cell, Row, Table

__all__ = ["add_arguments", "run"]

Array = np.ndarray[Any, np.dtype[Any]]
_NAME = "topodl features benchmark"
_FIRST = 4  # samples that a recipe sees before it is timed: what is loaded on first use is loaded then
_ATTENTION = "attention features"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `topodl features benchmark` to `parser`."""
    parser.description = (
        "Cross-validate classifiers on features of topology: topodl's ready pipelines, each vectorisation "
        "alone, recipes of giotto-tda and GUDHI where they are installed, and controls without topology. "
        "Writes results.json, results.md and results.html; what results.json has is not computed again."
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="default: all")
    parser.add_argument(
        "--folders",
        nargs="+",
        type=Path,
        default=[],
        help="where the files of MNIST, TUDataset, the UCR archive and artificial text are; without a file "
        "its data are left out",
    )
    parser.add_argument(
        "--peers-python", default=sys.executable, metavar="PATH", help="Python that has giotto-tda or GUDHI"
    )
    parser.add_argument("--model", help="language model for the text, as of topodl features attention")
    parser.add_argument(
        "--recipes", nargs="+", metavar="NAME", help="rows to compute, by their names there (default: all)"
    )
    parser.add_argument("--trees", type=int, default=100, help="trees of the random forest (default: 100)")
    parser.add_argument(
        "--output", type=Path, default=Path("features"), metavar="FOLDER", help="default: features"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing, print the table, and return the exit status."""
    if arguments.trees < 1:
        raise InputError(f"{_NAME}: --trees is {arguments.trees}; expected at least 1")
    arguments.output.mkdir(parents=True, exist_ok=True)
    file = arguments.output / "results.json"
    results = _read_results(file, {"trees": arguments.trees})
    known: set[str] = set()
    for name in arguments.data:
        samples = load_samples(name, arguments.folders)
        if samples is None:
            print(f"{name}: left out, its files are in none of the folders", flush=True)
        elif samples.kind == "texts" and arguments.model is None:
            print(f"{name}: left out without --model", flush=True)
        else:
            known.update(_complete(samples, results, file, arguments))
    unknown = sorted(set(arguments.recipes or ()) - known)
    if unknown:
        expected = f"of {', '.join(sorted(known)) or 'no recipe: all data were left out'}"
        raise InputError(f"{_NAME}: --recipes has {unknown[0]!r}; expected some {expected}")
    tables = _tables(results["rows"])
    page = {"figures": _figures(results["rows"]), "tables": tables, "version": __version__}
    written = {
        "results.md": "\n\n".join(table.markdown() for table in tables) + "\n",
        "results.html": render("features.html.j2", page, escape=True),
    }
    for name, text in written.items():
        with atomic_path(arguments.output / name) as partial:
            partial.write_text(text, encoding="utf-8")
    print("\n\n".join(table.plain() for table in tables))
    return 0


def _read_results(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    if not file.exists():
        return {"settings": settings, "rows": {}}
    try:
        results: dict[str, Any] = json.loads(read_text(file))
        known, _ = results["settings"], results["rows"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{_NAME}: {file} cannot be read; expected one of this command") from None
    if known != settings:
        raise InputError(f"{_NAME}: {file} has settings {known}; expected another --output for {settings}")
    return results


def _complete(
    samples: Samples, results: dict[str, Any], file: Path, arguments: argparse.Namespace
) -> list[str]:
    """Add the rows of some data that are missing, one after the other, save each, and return their names."""
    own = {} if samples.kind == "texts" else recipes(samples)
    texts = _text_sets(samples, arguments) if samples.kind == "texts" else {}
    peers = feature_peers.PEERS.get(samples.kind, ())
    rows = results["rows"].setdefault(samples.name, {})
    names = [*own, *texts, *peers]
    chosen = [name for name in names if arguments.recipes is None or name in arguments.recipes]
    for name in tqdm(chosen, desc=samples.name, unit="recipe"):
        if name in rows:
            continue
        if name in peers:
            found = _of_peer(name, samples, arguments.peers_python)
        else:
            found = _timed(own[name], samples.X) if name in own else texts[name]
        if found is None:
            continue
        table, seconds = found
        rows[name] = {"columns": table.shape[1], "seconds": seconds} | _scores(
            table, samples, arguments.trees
        )
        with atomic_path(file) as partial:
            partial.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return names


def _timed(recipe: Any, X: Any) -> tuple[Array, float]:
    recipe(X[:_FIRST])
    start = time.process_time()
    return recipe(X), time.process_time() - start


def _text_sets(samples: Samples, arguments: argparse.Namespace) -> dict[str, tuple[Array, float]]:
    """Return the sets of attention features of the texts, their time that of all together."""
    from topodl.attention.corpora import LabelledTexts
    from topodl.attention.experiments import extract, feature_sets
    from topodl.attention.models import load_text_model

    data = LabelledTexts(samples.name, samples.X, samples.y.tolist(), [])
    model, tokenizer = load_text_model(arguments.model)
    start = time.process_time()
    cache = arguments.output / "cache"
    features = extract(model, tokenizer, data.texts, max_length=64, cache=cache, label=data.name)
    seconds = time.process_time() - start
    names = {"all topological features": _ATTENTION, "mean-pooled embedding": "control: embedding"}
    return {names.get(name, name): (table, seconds) for name, table in feature_sets(features).items()}


def _of_peer(peer: str, samples: Samples, python: str) -> tuple[Array, float] | None:
    """Return a peer's table and its seconds, computed by a Python of its own.

    None where it is missing or fails, which is said and does not keep others from their turn.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "samples.npz", Path(folder) / "table.npz"
        np.savez(source, **_arrays(samples))
        script = str(Path(feature_peers.__file__))
        command = [python, script, peer, samples.kind, str(source), str(target)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            came = f"--peers-python is {python}, which cannot be run ({error.strerror})"
            raise InputError(f"{_NAME}: {came}; expected a Python") from None
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1:] or [f"status {ended.returncode}"]
            why = "is not installed" if ended.returncode == feature_peers.MISSING else "failed"
            tqdm.write(f"{samples.name}: {peer} {why} for --peers-python ({last[0]})", file=sys.stderr)
            return None
        with np.load(target) as found:
            # Empty diagrams give NaN or infinite numbers in some of theirs, which no classifier takes.
            return np.nan_to_num(found["table"], posinf=0, neginf=0), float(found["seconds"])


def _arrays(samples: Samples) -> dict[str, Any]:
    if samples.kind != "graphs":
        return {"X": samples.X}
    edges = [edge_index for _, edge_index in samples.X]
    lengths = [part.shape[1] for part in edges]
    sizes = [len(vertices) for vertices, _ in samples.X]
    return {"sizes": sizes, "lengths": lengths, "edges": np.concatenate(edges, 1)}


def _classifiers(trees: int) -> dict[str, Any]:
    linear = LogisticRegression(C=0.1, max_iter=1000, tol=1e-3)
    forest = RandomForestClassifier(trees, random_state=0)
    return {"logistic regression": make_pipeline(StandardScaler(), linear), "random forest": forest}


def _scores(table: Array, samples: Samples, trees: int) -> dict[str, list[float]]:
    folds = list(samples.folds())
    return {
        name: cross_val_score(model, table, samples.y, cv=folds).tolist()
        for name, model in _classifiers(trees).items()
    }


def _tables(rows: dict[str, Any]) -> list[Table]:
    """Return a table for each data set: the best of each classifier is marked, be it a control."""
    classifiers = list(_classifiers(1))
    tables = []
    for data, of_data in rows.items():
        best = {
            name: max((np.mean(row[name]) for row in of_data.values()), default=0) for name in classifiers
        }
        lines = []
        for recipe, row in of_data.items():
            cells = [Cell(_score_text(row[n]), bool(np.mean(row[n]) >= best[n] - 1e-12)) for n in classifiers]
            rest = [Cell(str(row["columns"])), Cell(f"{row['seconds']:.2g}")]
            lines.append(Row(recipe, "", (*cells, *rest)))
        tables.append(Table(data, (data, *classifiers, "columns", "seconds"), tuple(lines)))
    return tables


def _error(scores: list[float]) -> float:
    """Return the standard error of the mean over folds."""
    return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def _score_text(scores: list[float]) -> str:
    return f"{100 * np.mean(scores):.1f} ± {100 * _error(scores):.1f}"


def _figures(rows: dict[str, Any]) -> list[Figure]:
    """Return bars for each data set: the better classifier of each recipe, with standard errors."""
    figures = []
    for data, of_data in rows.items():
        if of_data:
            better = [max((row[n] for n in _classifiers(1)), key=np.mean) for row in of_data.values()]
            means, errors = (np.array([100 * f(scores) for scores in better]) for f in (np.mean, _error))
            names = [name.removeprefix("control: ") for name in of_data]
            figures.append(accuracy_bars(data, names, means, errors, [_series(name) for name in of_data]))
    return figures


def _series(name: str) -> int:
    """Return the number of the colour that the page explains."""
    if name in (*PRESETS.values(), *MESH_RECIPES, _ATTENTION):
        return 2
    if name.startswith("control: "):
        return 0
    return 1 if name in itertools.chain(*feature_peers.PEERS.values()) else 6
