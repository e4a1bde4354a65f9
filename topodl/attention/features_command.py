"""``topodl features attention``: attention features of every line of a text file, as a table on disk."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from topodl._claims import Claim, Claims
from topodl._files import atomic_path, read_text, regular_file
from topodl.errors import InputError, MissingDependencyError

__all__ = ["add_arguments", "run"]

_CHUNK = 64

_Table = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``topodl features attention``."""
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a saved model, name on the Hugging Face hub, or package:NAME",
    )
    parser.add_argument("--text", type=Path, required=True, help="text file (UTF-8), one text a line")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="table to write, .parquet or .csv; a stopped run goes on from here",
    )
    parser.add_argument(
        "--features", nargs="+", default=["graph", "barcode", "pattern"], help="groups or names of features"
    )
    parser.add_argument("--thresholds", nargs="+", type=float, help="thresholds of the graph features")
    parser.add_argument("--symmetrize", default="max", choices=["max", "upper", "mean", "min", "none"])
    parser.add_argument("--max-length", type=int, default=128, help="tokens at which a text is cut")
    parser.add_argument("--batch-size", type=int, default=16, help="texts a forward pass")
    parser.add_argument("--layers", help="regular expression for the names of the attention modules")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished table")


def run(arguments: argparse.Namespace) -> int:
    """Run ``topodl features attention`` and return its exit status."""
    if arguments.out.suffix not in (".parquet", ".csv"):
        raise InputError(f"topodl features: --out is {arguments.out}; expected a name in .parquet or .csv")
    if arguments.out.is_dir() or (arguments.out.exists() and not arguments.overwrite):
        raise InputError(
            f"topodl features: --out is {arguments.out}, which is there already; expected a new name, or "
            "--overwrite for a file"
        )
    if arguments.out.suffix == ".parquet":
        _pyarrow()  # said before the work, not after it
    for name in ("max_length", "batch_size"):
        if getattr(arguments, name) < 1:
            option = "--" + name.replace("_", "-")
            raise InputError(f"topodl features: {option} is {getattr(arguments, name)}; expected at least 1")
    texts = _read_lines(arguments.text)
    step = _feature_step(arguments)
    parts = arguments.out.with_name(arguments.out.name + ".parts")
    with _claim(parts, arguments.out) as claim:
        _open_parts(parts, arguments, step.model, texts)
        names, chunks = _compute(step, texts, parts, claim)
        _write(arguments.out, names, chunks)
        claim.finish()
        shutil.rmtree(parts)
    print(f"{len(texts)} texts, {len(names)} features: {arguments.out}")
    return 0


def _read_lines(file: Path) -> list[str]:
    try:
        # Unlike `splitlines`, leaves the rarer separators of Unicode inside a text; the mark of Windows goes.
        lines = read_text(file, "utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"topodl features: --text is {file}, which could not be read ({error})") from None
    if lines == [""]:
        raise InputError(f"topodl features: {file} has no line; expected one text a line")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise InputError(f"topodl features: {file} line {number} is empty; expected a text on every line")
    return lines


def _feature_step(arguments: argparse.Namespace) -> Any:
    from topodl.attention.models import AttentionFeatures, load_text_model, token_classes_of
    from topodl.attention.topology import PAPER_THRESHOLDS, AttentionTopology

    model, tokenizer = load_text_model(arguments.model)
    topology = AttentionTopology(
        tuple(arguments.features),
        thresholds=tuple(arguments.thresholds or PAPER_THRESHOLDS),
        symmetrize=None if arguments.symmetrize == "none" else arguments.symmetrize,
        token_classes=token_classes_of(tokenizer),
    )
    topology.feature_list()  # wrong names are said before the first forward pass
    return AttentionFeatures(
        model,
        topology,
        tokenizer=tokenizer,
        max_length=arguments.max_length,
        layers=arguments.layers,
        chunk_size=arguments.batch_size,
    )


def _claim(parts: Path, out: Path) -> Claim:
    """Return the claim to the folder of chunks, or say which other process has it."""
    claims = Claims(parts)
    try:
        claim = claims.take(out.name)
    except OSError as error:
        came = f"--out is {out}, which cannot be written ({error.strerror})"
        raise InputError(f"topodl features: {came}; expected a file that can") from error
    if claim is None:
        holder = claims.holder(out.name)
        who = "another process" if holder is None else f"process {holder.pid} on {holder.host}"
        raise InputError(
            f"topodl features: --out is {out}, which {who} computes at the moment; expected another name, "
            "or that it has ended"
        )
    return claim


def _open_parts(parts: Path, arguments: argparse.Namespace, model: Any, texts: list[str]) -> None:
    """Make the folder of finished chunks, or check that it belongs to this very command."""
    from topodl.attention.models import weights_digest

    apart = ("command", "kind", "out", "overwrite", "text")
    settings = {k: str(v) for k, v in vars(arguments).items() if k not in apart}
    settings["weights"] = weights_digest(model)
    settings["texts"] = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    plan = parts / "plan.json"
    finished = any(parts.glob("*.npy"))
    if finished and _read_plan(plan) != settings:
        raise InputError(
            f"topodl features: {parts} holds an unfinished run with other settings, another model or another "
            "text, or without a whole plan.json; expected the same command to go on, or the folder removed "
            "to start anew"
        )
    parts.mkdir(parents=True, exist_ok=True)
    with atomic_path(plan) as partial:
        partial.write_text(json.dumps(settings), encoding="utf-8")


def _read_plan(path: Path) -> Any:
    """Return what the plan says; nothing where it is missing or damaged."""
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None


def _compute(step: Any, texts: list[str], parts: Path, claim: Claim) -> tuple[list[str], list[_Table]]:
    """Return names and chunks of the table; those that are not there, or damaged, are computed."""
    from tqdm import tqdm

    step.fit(texts[:1])
    names = [str(name) for name in step.get_feature_names_out()]
    chunks = []
    starts = range(0, len(texts), _CHUNK)
    for k, start in enumerate(tqdm(starts, desc="attention features", unit="chunk")):
        file, some = parts / f"{k:06}.npy", texts[start : start + _CHUNK]
        table = _read_chunk(file, (len(some), len(names)))
        if table is None:
            table = step.transform(some)
            claim.check()
            with atomic_path(file) as partial, partial.open("wb") as stream:
                np.save(stream, table)
        chunks.append(table)
    return names, chunks


def _read_chunk(file: Path, shape: tuple[int, int]) -> _Table | None:
    """Return a chunk of the table, or None where there is none of that shape."""
    try:
        with regular_file(file).open("rb") as stream:
            table: _Table = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = isinstance(table, np.ndarray) and table.shape == shape and table.dtype.kind == "f"
    return table if fits else None


def _write(out: Path, names: list[str], chunks: list[_Table]) -> None:
    with atomic_path(out) as partial:
        if out.suffix == ".parquet":
            arrow = _pyarrow()
            table = np.concatenate(chunks)
            columns = [arrow.array(np.arange(1, len(table) + 1)), *(arrow.array(c) for c in table.T.copy())]
            arrow.parquet.write_table(arrow.table(columns, names=["line", *names]), partial)
        else:
            with partial.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(["line", *names])
                for number, row in enumerate((row for chunk in chunks for row in chunk), 1):
                    writer.writerow([number, *(f"{value:.9g}" for value in row)])


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError("pyarrow", extra="attention", purpose="writing Parquet") from None
    return pyarrow
