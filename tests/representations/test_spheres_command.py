"""`topodl spheres` from end to end in small: files, figures, going on after a break, what is left out."""

import importlib.util
import json
import sys
import types

import numpy as np
import pytest

from topodl.cli import main
from topodl.representations import spheres_command
from topodl.representations._training_run import TrainingRun

SMALL = ["spheres", "--samples", "8", "--epochs", "4"]
METHODS = ["--methods", "PCA", "Autoencoder", "TopoAE"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spheres")
    assert main([*SMALL, *METHODS, "--seeds", "0", "1", "--output", str(folder)]) == 0
    return folder


def test_writes_results_a_table_and_a_picture(finished):
    results = json.loads((finished / "results.json").read_text(encoding="utf-8"))
    assert {name: [run["seed"] for run in runs] for name, runs in results.items()} == {
        "PCA": [0],
        "TopoAE": [0, 1],
        "Autoencoder": [0, 1],
    }
    assert all(np.isfinite(list(run.values())).all() for runs in results.values() for run in runs)
    assert (finished / "spheres.png").read_bytes()[:4] == b"\x89PNG"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (finished / "results.md").read_text(encoding="utf-8").splitlines()
    ]
    assert rows[0][2:] == list(spheres_command._MEASURES)
    table = {row[0]: row[1:] for row in rows[2:]}
    # the paper's figures stand below ours
    assert table["TopoAE, paper"] == ["", "0.085", "0.326", "0.00694", "0.272", "0.822", "0.658", "13.5"]
    kl = [run["kl_0.1"] for run in results["TopoAE"]]
    assert table["TopoAE"][:1] == ["2"]
    assert table["TopoAE"][2] == f"{np.mean(kl):.3g} ± {np.std(kl, ddof=1):.1g}"


def test_goes_on_after_a_break_to_the_same_results(finished, tmp_path, monkeypatch, capsys):
    record, epochs = TrainingRun.record, []

    def interrupted(run, means):
        record(run, means)
        epochs.append(means)
        if len(epochs) == 6:  # in the second training
            raise KeyboardInterrupt

    command = [*SMALL, *METHODS, "--seeds", "0", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(TrainingRun, "record", interrupted)
    assert main(command) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    assert len(epochs) == 6
    assert main(command) == 0
    assert len(epochs) == 6 + 10  # no epoch twice
    assert (tmp_path / "results.json").read_text() == (finished / "results.json").read_text()


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="umap-learn is not installed")
def test_umap_where_it_is_installed(tmp_path):
    assert main([*SMALL, "--methods", "UMAP", "--seeds", "3", "--output", str(tmp_path)]) == 0
    (run,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["UMAP"]
    assert np.isfinite(list(run.values())).all()


def test_umap_has_a_row_for_each_seed(tmp_path, monkeypatch):
    class Embedding:
        def __init__(self, n_components, random_state):
            self.rows = np.random.default_rng(random_state).normal(size=(101, n_components))

        def fit(self, X):
            return self

        def transform(self, X):
            return X @ self.rows

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Embedding))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert main([*SMALL, "--methods", "UMAP", "--seeds", "3", "4", "--output", str(tmp_path)]) == 0
    runs = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["UMAP"]
    assert [run["seed"] for run in runs] == [3, 4]
    assert runs[0]["rmse"] != runs[1]["rmse"]
    assert "| UMAP, paper |" in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_what_is_not_installed_is_left_out_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([*SMALL, "--methods", "PCA", "UMAP", "--seeds", "0", "--output", str(tmp_path)]) == 0
    assert "UMAP is left out: it needs umap-learn" in capsys.readouterr().out
    assert list(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))) == ["PCA"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "7"], "samples is 7; expected an integer of at least 8"),
        (["--epochs", "0"], "epochs is 0; expected an integer of at least 1"),
        (["--seeds", "-1"], "seeds is -1"),
        (["--seeds", "1", "1"], r"seeds is [1, 1]; expected each seed once"),
        (["--device", "cuda:99"], "device is 'cuda:99'; expected a device that this torch has"),
        (["--device", "abacus"], "device is 'abacus'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_is_written(arguments, message, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main([*SMALL, "--methods", "TopoAE", *arguments, "--output", str(folder)]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not folder.exists()
