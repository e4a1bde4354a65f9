import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from topodl.attention import AttentionFeatures, AttentionTopology
from topodl.attention.models import load_text_model, token_classes_of
from topodl.cli import main
from topodl.errors import InputError

LINES = ["the cat sees a dog .", "it runs here , again and again .", "the old man goes home ."] * 30


def write(folder: Path, lines: list[str], name: str = "texts.txt") -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def features(model: Path, text: Path, out: Path, *more: str) -> int:
    return main(
        ["features", "attention", "--model", str(model), "--text", str(text), "--out", str(out), *more]
    )


def test_table_equals_the_layer(tiny_model, tmp_path):
    out = tmp_path / "table.csv"
    assert features(tiny_model, write(tmp_path, LINES), out, "--features", "barcode.h0", "pattern") == 0
    with out.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    model, tokenizer = load_text_model(str(tiny_model))
    topology = AttentionTopology(("barcode.h0", "pattern"), token_classes=token_classes_of(tokenizer))
    step = AttentionFeatures(model, topology, tokenizer=tokenizer).fit(LINES)
    assert header == ["line", *step.get_feature_names_out()]
    assert [row[0] for row in rows] == [str(k) for k in range(1, 91)]
    np.testing.assert_allclose(np.array(rows, float)[:, 1:], step.transform(LINES), atol=1e-5)
    assert not out.with_name("table.csv.parts").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_killed_run_goes_on_and_gives_the_same_file(kind, tiny_model, tmp_path, monkeypatch):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    text = write(tmp_path, LINES)
    whole, stopped = tmp_path / f"whole.{kind}", tmp_path / f"stopped.{kind}"
    assert features(tiny_model, text, whole) == 0
    transform = AttentionFeatures.transform
    calls = []

    def dying(self: AttentionFeatures, texts: list[str]) -> np.ndarray:
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return transform(self, texts)

    monkeypatch.setattr(AttentionFeatures, "transform", dying)
    assert features(tiny_model, text, stopped) == 130
    assert not stopped.exists()
    assert features(tiny_model, text, stopped) == 0
    assert calls == [64, 26, 26]  # the first chunk is not computed again
    assert stopped.read_bytes() == whole.read_bytes()


def test_only_line_feeds_end_a_line(tiny_model, tmp_path):
    text, out = tmp_path / "windows.txt", tmp_path / "table.csv"
    text.write_bytes("\ufeffthe cat \u2028 runs .\r\na dog \x0c runs .\r\n".encode())
    assert features(tiny_model, text, out, "--features", "barcode.h0") == 0
    plain = write(tmp_path, ["the cat runs .", "a dog runs ."])
    assert features(tiny_model, plain, tmp_path / "plain.csv", "--features", "barcode.h0") == 0
    assert out.read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_other_settings_do_not_go_on(tiny_model, tmp_path, capsys, monkeypatch):
    text, out = write(tmp_path, LINES[:3]), tmp_path / "table.csv"
    monkeypatch.setattr(
        "topodl.attention.features_command._write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert features(tiny_model, text, out) == 130
    assert features(tiny_model, text, out, "--max-length", "4") == 2
    assert "unfinished run with other settings" in capsys.readouterr().err


def test_a_run_that_finished_nothing_is_in_nobodys_way(tiny_model, tmp_path):
    text, out = write(tmp_path, LINES[:3]), tmp_path / "table.csv"
    assert features(tiny_model, text, out, "--layers", "no_such_layer") == 2
    assert features(tiny_model, text, out) == 0


def test_two_runs_of_one_output_are_not_in_each_other_s_way(tiny_model, tmp_path, capsys, monkeypatch):
    text, out, again = write(tmp_path, LINES), tmp_path / "table.csv", []
    transform = AttentionFeatures.transform

    def beside_another(self: AttentionFeatures, texts: list[str]) -> np.ndarray:
        if not again:
            again.append(None)
            again.append(features(tiny_model, text, out))
        return transform(self, texts)

    monkeypatch.setattr(AttentionFeatures, "transform", beside_another)
    assert features(tiny_model, text, out) == 0
    assert again == [None, 2]
    assert f"table.csv, which process {os.getpid()} on " in capsys.readouterr().err
    assert len(out.read_text(encoding="utf-8").splitlines()) == 91
    assert not out.with_name("table.csv.parts").exists()


def stopped_run(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return text and table of a run that was stopped after its first chunk."""
    text, out = write(folder, LINES), folder / "table.csv"
    transform = AttentionFeatures.transform

    def dying(self: AttentionFeatures, texts: list[str]) -> np.ndarray:
        if len(texts) < 64:
            raise KeyboardInterrupt
        return transform(self, texts)

    with monkeypatch.context() as patched:
        patched.setattr(AttentionFeatures, "transform", dying)
        assert features(model, text, out, "--features", "barcode.h0") == 130
    return text, out


@pytest.mark.parametrize("damage", ["cut", "too few rows", "too few columns", "objects", "folder"])
def test_a_damaged_chunk_is_computed_again(tiny_model, tmp_path, monkeypatch, damage):
    text, out = stopped_run(tiny_model, tmp_path, monkeypatch)
    chunk = out.with_name("table.csv.parts") / "000000.npy"
    table = np.load(chunk)
    if damage == "cut":
        chunk.write_bytes(chunk.read_bytes()[:200])
    elif damage == "folder":
        chunk.unlink()
    else:
        wrong = {"too few rows": table[:3], "too few columns": table[:, :1], "objects": np.array([{}])}
        np.save(chunk, wrong[damage], allow_pickle=True)
    assert features(tiny_model, text, out, "--features", "barcode.h0") == 0
    whole = tmp_path / "whole.csv"
    assert features(tiny_model, text, whole, "--features", "barcode.h0") == 0
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("plan", [None, "{", "[]"])
def test_a_run_without_a_whole_plan_is_not_gone_on_with(tiny_model, tmp_path, monkeypatch, capsys, plan):
    text, out = stopped_run(tiny_model, tmp_path, monkeypatch)
    path = out.with_name("table.csv.parts") / "plan.json"
    path.unlink()
    if plan is not None:
        path.write_text(plan, encoding="utf-8")
    assert features(tiny_model, text, out, "--features", "barcode.h0") == 2
    assert "without a whole plan.json" in capsys.readouterr().err


def test_a_finished_table_is_replaced_only_when_asked(tiny_model, tmp_path, capsys):
    text, out = write(tmp_path, LINES[:3]), tmp_path / "table.csv"
    out.write_text("mine", encoding="utf-8")
    assert features(tiny_model, text, out, "--features", "barcode.h0") == 2
    assert "table.csv, which is there already; expected a new name, or --overwrite" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == "mine"
    assert features(tiny_model, text, out, "--features", "barcode.h0", "--overwrite") == 0
    assert out.read_text(encoding="utf-8").startswith("line,")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", '{"model_type": "bert", "hidden_size": "x"}'),
        ("config.json", '{"model_type": "bert", "num_attention_heads": 0}'),
        ("model.safetensors", "no tensors"),
    ],
)
def test_a_damaged_model_is_one_line(tiny_model, tmp_path, capsys, file, content):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (model / file).write_text(content, encoding="utf-8")
    assert features(model, write(tmp_path, LINES[:2]), tmp_path / "table.csv") == 2
    assert "which could not be read (" in capsys.readouterr().err.splitlines()[-1]


def test_code_beside_a_model_is_never_run(tiny_model, tmp_path, monkeypatch):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}}
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    trace = tmp_path / "trace"
    (model / "mine.py").write_text(f"open({str(trace)!r}, 'w')\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 5))  # whoever is asked says yes
    assert features(model, write(tmp_path, LINES[:2]), tmp_path / "table.csv") == 2
    assert not trace.exists()


def test_layers_that_are_no_expression_are_named(tiny_model, tmp_path, capsys):
    assert features(tiny_model, write(tmp_path, LINES[:2]), tmp_path / "table.csv", "--layers", "(") == 2
    assert "layers is '(', which is no regular expression" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_named(tiny_model, tmp_path, capsys):
    text = write(tmp_path, LINES[:3])
    assert features(tiny_model, text, text / "table.csv") == 2
    assert "table.csv, which cannot be written (Not a directory); expected" in capsys.readouterr().err


def test_errors_are_one_line(tiny_model, tmp_path, capsys):
    text = write(tmp_path, ["the cat .", " ", "a dog ."], "hole.txt")
    cases = [
        ((tiny_model, text, tmp_path / "o.csv"), "line 2 is empty"),
        ((tiny_model, write(tmp_path, [], "empty.txt"), tmp_path / "o.csv"), "has no line"),
        ((tiny_model, tmp_path / "none.txt", tmp_path / "o.csv"), "could not be read"),
        ((tmp_path / "no_model", write(tmp_path, LINES[:2]), tmp_path / "o.csv"), "no_model"),
        ((tiny_model, write(tmp_path, LINES[:2]), tmp_path / "o.txt"), ".parquet or .csv"),
        ((tiny_model, write(tmp_path, LINES[:2]), tmp_path / "o.csv", "--features", "x"), "features has 'x'"),
        (
            (tiny_model, write(tmp_path, LINES[:2]), tmp_path / "o.csv", "--batch-size", "0"),
            "--batch-size is 0",
        ),
    ]
    for arguments, message in cases:
        assert features(*arguments) == 2, message
        error = capsys.readouterr().err.strip()
        assert message in error
        assert "Traceback" not in error


def test_missing_package_is_named():
    with pytest.raises(InputError, match="'no_such_package_here', which is not installed"):
        load_text_model("package:no_such_package_here")


def test_of_an_encoder_decoder_the_encoder_is_read(tiny_model, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(vocab_size=99, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4)
    transformers.T5Model(config).save_pretrained(tmp_path)
    load_text_model(str(tiny_model))[1].save_pretrained(tmp_path)
    model, tokenizer = load_text_model(str(tmp_path))
    step = AttentionFeatures(model, AttentionTopology("barcode.h0"), tokenizer=tokenizer)
    table = step.fit_transform(LINES[:5])
    np.testing.assert_allclose(table[2:3], step.transform(LINES[2:3]), atol=1e-5)  # without padding


def test_texts_may_be_a_column_of_a_data_frame(tiny_model):
    pandas = pytest.importorskip("pandas")
    model, tokenizer = load_text_model(str(tiny_model))
    step = AttentionFeatures(model, AttentionTopology("barcode.h0"), tokenizer=tokenizer)
    np.testing.assert_array_equal(step.fit_transform(pandas.Series(LINES[:3])), step.transform(LINES[:3]))
    for wrong in ("the cat", {"input_ids": torch.zeros(1, 3)}):
        with pytest.raises(InputError, match="a batch of inputs of the model, or a list of strings"):
            step.transform(wrong)


def test_features_in_a_pipeline_of_images():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    images = torch.randn(10, 6, 8).numpy()
    step = AttentionFeatures(model, AttentionTopology("barcode.h0.sum"), chunk_size=3)
    with pytest.raises(NotFittedError):
        step.get_feature_names_out()
    labels = np.arange(10) % 2
    pipeline = make_pipeline(step, LogisticRegression()).fit(images, labels)
    assert pipeline.predict(images).shape == (10,)
    assert model.training  # left as it was found
    one_by_one = AttentionFeatures(model, AttentionTopology("barcode.h0.sum"), chunk_size=1).fit_transform(
        images
    )
    np.testing.assert_allclose(one_by_one, step.fit_transform(images), atol=1e-5)
    with pytest.raises(InputError, match=r"X\[1\] is ''"):
        step.transform(["a", ""])
