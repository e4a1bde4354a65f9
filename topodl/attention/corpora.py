"""Text data of the experiments, read from the folders in which they are published; none comes with topodl."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

from topodl._checks import fail
from topodl._files import read_text
from topodl.errors import InputError

__all__ = ["LabelledTexts", "MinimalPairs", "read_artificial_text", "read_cola", "read_minimal_pairs"]

_COLA_FILES = {
    "train": "in_domain_train.tsv",
    "in-domain dev": "in_domain_dev.tsv",
    "out-of-domain dev": "out_of_domain_dev.tsv",
}


class LabelledTexts(NamedTuple):
    """Texts with a label each, and the group that must stay in one fold."""

    name: str
    texts: list[str]
    labels: list[int]
    groups: list[int]


class MinimalPairs(NamedTuple):
    """Pairs of an acceptable and an unacceptable sentence."""

    name: str
    good: list[str]
    bad: list[str]


def read_artificial_text(folder: Path) -> list[LabelledTexts]:
    """Read human and sampled texts from every ``*.raw_data.json`` with lists ``original`` and ``sampled``.

    The prompt that a pair shares is cut at the last word boundary; label 1 is machine-written.
    """
    files = sorted(Path(folder).glob("*.raw_data.json"))
    if not files:
        raise fail(
            "read_artificial_text", "folder", f"{folder} has no *.raw_data.json", "the published files"
        )
    return [_read_pairs(file) for file in files]


def _read_pairs(file: Path) -> LabelledTexts:
    data = _json(file, read_text(file))
    if not isinstance(data, dict) or len(data.get("original", [])) != len(data.get("sampled", [0])):
        raise fail("read_artificial_text", file.name, "has other content", "lists original and sampled")
    texts, labels, groups = [], [], []
    for group, (human, machine) in enumerate(zip(data["original"], data["sampled"], strict=True)):
        shared = _shared_prefix(human, machine)
        for label, text in enumerate((human, machine)):
            rest = text[shared:].strip()
            if rest:  # a text that is nothing but the prompt has nothing to classify
                texts.append(rest)
                labels.append(label)
                groups.append(group)
    return LabelledTexts(file.name.removesuffix(".raw_data.json"), texts, labels, groups)


def _shared_prefix(a: str, b: str) -> int:
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return a.rfind(" ", 0, n) + 1


def read_cola(folder: Path) -> dict[str, LabelledTexts]:
    """Read CoLA's train, in-domain and out-of-domain dev sets from its public folder ``cola_public``."""
    root = Path(folder)
    for inside in ("", "raw", "cola_public/raw"):
        if (root / inside / _COLA_FILES["train"]).is_file():
            root = root / inside
            break
    out = {}
    for split, name in _COLA_FILES.items():
        file = root / name
        if not file.is_file():
            raise fail("read_cola", "folder", f"{folder} has no {name}", "CoLA's public folder cola_public")
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        for line, row in enumerate(rows, 1):
            if len(row) != 4 or row[1] not in ("0", "1") or not row[3].strip():
                came = f"line {line} has {len(row)} columns, label {row[1:2]}"
                raise fail("read_cola", str(file), came, "source, label 0 or 1, original label, sentence")
        labels = [int(row[1]) for row in rows]
        out[split] = LabelledTexts(split, [row[3] for row in rows], labels, list(range(len(rows))))
    return out


def read_minimal_pairs(folder: Path) -> list[MinimalPairs]:
    """Read BLiMP paradigms: every ``*.jsonl`` with ``sentence_good`` and ``sentence_bad`` on each line."""
    files = sorted(Path(folder).glob("*.jsonl"))
    if not files:
        raise fail("read_minimal_pairs", "folder", f"{folder} has no *.jsonl", "BLiMP's paradigms")
    out = []
    for file in files:
        rows: list[Any] = [_json(file, line) for line in read_text(file).split("\n") if line.strip()]
        if not all(isinstance(r, dict) and r.get("sentence_good") and r.get("sentence_bad") for r in rows):
            raise fail("read_minimal_pairs", str(file), "has other lines", "sentence_good and sentence_bad")
        good, bad = [r["sentence_good"] for r in rows], [r["sentence_bad"] for r in rows]
        out.append(MinimalPairs(file.stem, good, bad))
    return out


def _json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}: line {error.lineno} is not JSON ({error.msg}); expected JSON") from None
