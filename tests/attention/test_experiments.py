import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import matthews_corrcoef

from tests.attention.conftest import WORDS
from topodl.attention.corpora import MinimalPairs, read_artificial_text, read_cola, read_minimal_pairs
from topodl.attention.experiments import _correlations, extract, minimal_pair_table, pair_scores
from topodl.attention.models import load_text_model
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


def test_separators_of_unicode_are_part_of_a_sentence(tmp_path):
    row = {"sentence_good": "a\u2028dog", "sentence_bad": "dog a"}
    (tmp_path / "toy.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_minimal_pairs(tmp_path)[0].good == ["a\u2028dog"]


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


def test_a_stopped_extraction_goes_on_part_by_part(tiny_model, tmp_path, monkeypatch):
    rng = random.Random(1)
    texts = [sentence(rng, WORDS, 1 + k % 9) for k in range(50)]
    model, tokenizer = load_text_model(str(tiny_model))
    monkeypatch.setattr("topodl.attention.experiments._PART", 20)
    whole = extract(model, tokenizer, texts, max_length=16)
    calls = []

    def dying(*_: object) -> None:
        calls.append(1)
        if len(calls) == 50:  # two parts of twenty and half of the third, batch by batch
            raise KeyboardInterrupt

    monkeypatch.setattr("topodl.attention.experiments._BATCH", 1)
    handle = model.register_forward_pre_hook(dying)
    with pytest.raises(KeyboardInterrupt):
        extract(model, tokenizer, texts, max_length=16, cache=tmp_path)
    handle.remove()
    (folder,) = tmp_path.iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["0000000.npz", "0000020.npz"]
    calls.clear()
    with model.register_forward_pre_hook(lambda *_: calls.append(1)):
        again = extract(model, tokenizer, texts, max_length=16, cache=tmp_path)
    assert len(calls) == 10
    np.testing.assert_allclose(again.values, whole.values, atol=1e-4)
    np.testing.assert_allclose(again.embeddings, whole.embeddings, atol=1e-5)
    assert again.names == whole.names


def test_extractions_of_a_model_trained_further_are_not_taken_for_its_own(tiny_model, tmp_path):
    model, tokenizer = load_text_model(str(tiny_model))
    before = extract(model, tokenizer, ["the cat runs ."], max_length=16, cache=tmp_path)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(-1)
    after = extract(model, tokenizer, ["the cat runs ."], max_length=16, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert np.abs(after.embeddings - before.embeddings).max() > 0.1


def test_correlations_equal_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(2, size=(2, 6, 40))
    predicted[5] = 1
    expected = [matthews_corrcoef(a, b) for a, b in zip(truth, predicted, strict=True)]
    np.testing.assert_allclose(_correlations(truth, predicted), expected, atol=1e-12)


@pytest.mark.parametrize("place", ["cola_public/raw", "raw", ""])
def test_cola_is_found_from_each_of_its_folders(place, tmp_path):
    folder = tmp_path / place
    (tmp_path / "tokenized").mkdir()
    folder.mkdir(parents=True, exist_ok=True)
    line = 'gj04\t0\t*\tHe said "that" and, "left.\n'
    for name in ("in_domain_train", "in_domain_dev", "out_of_domain_dev"):
        (folder / f"{name}.tsv").write_text("ad03\t1\t\tThey left.\n" + line, encoding="utf-8")
    splits = read_cola(tmp_path)
    assert splits["train"].texts == ["They left.", 'He said "that" and, "left.']
    assert splits["out-of-domain dev"].labels == [1, 0]


def test_a_wrong_line_of_cola_is_named(tmp_path):
    for name in ("in_domain_train", "in_domain_dev", "out_of_domain_dev"):
        (tmp_path / f"{name}.tsv").write_text("ad03\t1\t\tThey left.\nx\t2\t\ty\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2 has 4 columns"):
        read_cola(tmp_path)


def test_minimal_pairs_choose_head_and_rule_on_the_first_pairs():
    good, bad = np.zeros((300, 3)), np.ones((300, 3))
    good[:, 1], bad[:, 1] = 1, 0  # head 1 says the opposite, always
    good[:100:2, 0] = 2  # head 0 is at chance on the first hundred
    good[:50, 2] = 0.5
    bad[:50, 2] = 0.5
    row = minimal_pair_table({"score": (good, bad), "control: x": (good[:, :1], bad[:, :1])}, "toy")[0]
    assert (row["head"], row["rule"], row["accuracy"]) == (1, "larger", 1.0)
    with pytest.raises(InputError, match="toy has 300 pairs; expected more than 300"):
        minimal_pair_table({"score": (good, bad)}, "toy", choosing=300)


def test_pair_scores_do_not_depend_on_the_side_of_the_padding(tiny_model):
    model, tokenizer = load_text_model(str(tiny_model))
    pairs = MinimalPairs("toy", ["the cat runs .", "a dog runs home again ."], ["the cat .", "it runs ."])
    right = pair_scores(model, tokenizer, pairs)
    tokenizer.padding_side = "left"
    model.register_forward_pre_hook(positions_of_the_text, with_kwargs=True)
    left = pair_scores(model, tokenizer, pairs)
    for name in right:
        np.testing.assert_allclose(left[name], right[name], atol=1e-5, err_msg=name)


def positions_of_the_text(model, args, kwargs):
    positions = (kwargs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    return args, kwargs | {"position_ids": positions}
