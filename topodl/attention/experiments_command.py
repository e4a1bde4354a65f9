"""``topodl attention``: the experiments, from the published data folders to tables and plots."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from topodl.errors import InputError

__all__ = ["add_arguments", "run"]

_EXPERIMENTS = {
    "artificial-text": "human against machine-written text: accuracy in 5 folds grouped by pair",
    "cola": "grammatical acceptability: MCC on CoLA's two dev sets",
    "minimal-pairs": "BLiMP: which of two sentences is acceptable, by one head's score",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``topodl attention``."""
    parser.add_argument(
        "experiment", choices=_EXPERIMENTS, help="; ".join(f"{k}: {v}" for k, v in _EXPERIMENTS.items())
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the published files")
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a saved model, name on the Hugging Face hub, or package:NAME",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for tables, plots and cached features"
    )
    parser.add_argument("--max-length", type=int, default=64, help="tokens at which a text is cut")


def run(arguments: argparse.Namespace) -> int:
    """Run an experiment, print its table and write ``<experiment>.json`` and ``.md``."""
    if not arguments.data.is_dir():
        raise InputError(f"topodl attention: --data is {arguments.data}; expected an existing folder")
    from topodl.attention.models import load_text_model

    steps = {"artificial-text": _artificial_text, "cola": _cola, "minimal-pairs": _minimal_pairs}
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = steps[arguments.experiment](arguments, *load_text_model(arguments.model))
    table = _markdown(rows)
    file = arguments.out / f"{arguments.experiment}.json"
    file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    file.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    print(table)
    return 0


def _artificial_text(arguments: argparse.Namespace, model: Any, tokenizer: Any) -> list[dict[str, Any]]:
    from topodl.attention.corpora import read_artificial_text
    from topodl.attention.experiments import artificial_text_table, extract, head_scores
    from topodl.attention.plotting import plot_head_scores

    rows = []
    for data in read_artificial_text(arguments.data):
        features = extract(
            model,
            tokenizer,
            data.texts,
            max_length=arguments.max_length,
            cache=arguments.out / "cache",
            label=data.name,
        )
        rows += [{"data": data.name} | row for row in artificial_text_table(features, data)]
        figure = plot_head_scores(head_scores(features, data), title=f"{data.name}: each head alone")
        figure.savefig(arguments.out / f"heads_{data.name}.png", dpi=150)
    return rows


def _cola(arguments: argparse.Namespace, model: Any, tokenizer: Any) -> list[dict[str, Any]]:
    from topodl.attention.corpora import read_cola
    from topodl.attention.experiments import cola_table, extract

    data = read_cola(arguments.data)
    features = {
        split: extract(
            model,
            tokenizer,
            texts.texts,
            max_length=arguments.max_length,
            cache=arguments.out / "cache",
            label=split,
        )
        for split, texts in data.items()
    }
    return cola_table(features, data)


def _minimal_pairs(arguments: argparse.Namespace, model: Any, tokenizer: Any) -> list[dict[str, Any]]:
    from topodl.attention.corpora import read_minimal_pairs
    from topodl.attention.experiments import minimal_pair_table, pair_scores

    rows = []
    for pairs in read_minimal_pairs(arguments.data):
        rows += minimal_pair_table(pair_scores(model, tokenizer, pairs), pairs.name)
        done = arguments.out / "minimal-pairs.partial.json"
        done.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    done.unlink()
    return rows


def _markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, values with their errors in brackets."""
    keys = [key for key in rows[0] if not key.endswith("error")]
    lines = ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
    for row in rows:
        cells = []
        for key in keys:
            value = row[key]
            text = f"{value:.3f}" if isinstance(value, float) else str(value)
            error = row.get(f"{key} error", row.get("error") if key == "accuracy" else None)
            cells.append(text if error is None else f"{text} ({error:.3f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
