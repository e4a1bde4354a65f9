import json
import random
from pathlib import Path

import numpy as np
import pytest

from tests.attention.conftest import WORDS
from topodl.attention.corpora import read_artificial_text, read_cola, read_minimal_pairs
from topodl.attention.experiments import minimal_pair_table
from topodl.cli import main
from topodl.errors import InputError


def sentence(rng: random.Random, words: list[str], n: int) -> str:
    return " ".join(rng.choice(words) for _ in range(n)) + " ."


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    rng = random.Random(0)
    pairs = [
        ("the cat " + sentence(rng, WORDS[:8], 6), "the cat " + sentence(rng, WORDS[8:], 9))
        for _ in range(30)
    ]
    data = {"original": [a for a, _ in pairs], "sampled": [b for _, b in pairs]}
    (tmp_path / "toy.raw_data.json").write_text(json.dumps(data), encoding="utf-8")
    raw = tmp_path / "cola_public" / "raw"
    raw.mkdir(parents=True)
    for name, n in (("in_domain_train", 60), ("in_domain_dev", 30), ("out_of_domain_dev", 30)):
        rows = [f'x\t{k % 2}\t\t"{sentence(rng, WORDS[9 * (k % 2) :], 6)}' for k in range(n)]
        (raw / f"{name}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    rows = [{"sentence_good": a, "sentence_bad": b} for a, b in pairs] * 5
    (tmp_path / "toy.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def test_readers(corpora):
    (pairs,) = read_artificial_text(corpora)
    assert not any(text.startswith("the cat") for text in pairs.texts)
    assert pairs.labels[:4] == [0, 1, 0, 1]
    assert pairs.groups[:4] == [0, 0, 1, 1]
    cola = read_cola(corpora)
    assert [len(split.texts) for split in cola.values()] == [60, 30, 30]
    assert cola["train"].texts[0].startswith('"')  # quotes are text
    assert len(read_minimal_pairs(corpora)[0].good) == 150


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (read_artificial_text, r"no \*\.raw_data\.json"),
        (read_cola, "no in_domain_train.tsv"),
        (read_minimal_pairs, r"no \*\.jsonl"),
    ],
)
def test_missing_files_are_named(reader, message, tmp_path):
    with pytest.raises(InputError, match=message):
        reader(tmp_path)


@pytest.mark.parametrize("experiment", ["artificial-text", "cola", "minimal-pairs"])
def test_commands(experiment, corpora, tiny_model, capsys):
    out = corpora / "out"
    call = ["attention", experiment, "--data", str(corpora), "--model", str(tiny_model), "--out", str(out)]
    assert main(call) == 0
    rows = json.loads((out / f"{experiment}.json").read_text(encoding="utf-8"))
    assert any("control" in str(row.values()) for row in rows)
    assert "control" in capsys.readouterr().out
    if experiment == "artificial-text":
        assert (out / "heads_toy.png").is_file()
        best = max(row["accuracy"] for row in rows)
        assert best > 0.8  # the two halves of the toy corpus share no word
    if experiment == "cola":
        assert {"cv mcc", "in-domain dev mcc", "out-of-domain dev mcc error"} <= rows[0].keys()


def test_minimal_pairs_choose_head_and_rule_on_the_first_pairs():
    good, bad = np.zeros((300, 3)), np.ones((300, 3))
    good[:, 1], bad[:, 1] = 1, 0  # head 1 says the opposite, always
    good[:100:2, 0] = 2  # head 0 is at chance on the first hundred
    good[:50, 2] = 0.5
    bad[:50, 2] = 0.5
    row = minimal_pair_table({"score": (good, bad), "control: x": (good[:, :1], bad[:, :1])}, "toy")[0]
    assert (row["head"], row["rule"], row["accuracy"]) == (1, "larger", 1.0)
