"""`topodl features benchmark`: data, recipes, peers of another Python, and what is not computed again."""

import gzip
import json
import re
import sys

import numpy as np
import pytest

from topodl.cli import main
from topodl.errors import InputError
from topodl.evaluation import feature_benchmark, feature_data, feature_peers, feature_recipes
from topodl.evaluation.feature_benchmark import _of_peer, _tables
from topodl.evaluation.feature_data import Samples, load_samples

RANDOM = np.random.default_rng(0)
EDGES = np.array([[0, 1, 2], [1, 2, 0]])
SMALL = {
    "images": Samples("images", "images", RANDOM.random((20, 6, 6)), np.arange(20) % 2),
    "clouds": Samples("clouds", "clouds", RANDOM.random((20, 12, 3)), np.arange(20) % 2),
    "graphs": Samples(
        "graphs", "graphs", [(np.ones((3 + i % 2, 1)), EDGES) for i in range(20)], np.arange(20) % 2
    ),
    "series": Samples("series", "series", RANDOM.random((20, 15)), np.arange(20) % 2),
}


@pytest.mark.parametrize("kind", [*SMALL, "meshes"])
def test_every_recipe_gives_a_row_for_each_sample(kind):
    meshes = load_samples("meshes", [])
    samples = SMALL.get(kind, meshes._replace(X=meshes.X[:20], y=meshes.y[:20]))
    tables = {name: recipe(samples.X) for name, recipe in feature_recipes.recipes(samples).items()}
    assert next(iter(tables)) == feature_recipes.PRESETS.get(kind, "EulerCharacteristicTransform")
    assert any(name.startswith("control: ") for name in tables)
    for name, table in tables.items():
        assert (table.ndim, len(table)) == (2, 20), name
        assert np.isfinite(table).all(), name


def test_controls_by_hand():
    graphs = [(np.ones((4, 1)), np.array([[0, 1, 1, 2], [1, 0, 2, 1]]))]
    controls = feature_recipes._CONTROLS
    assert controls["graphs"]["control: degree histogram"](graphs)[0, :4].tolist() == [1, 2, 1, 0]
    assert controls["series"]["control: mean and deviation"](np.array([[1.0, 3.0]])).tolist() == [[2.0, 1.0]]
    cloud = np.array([[[0.0, 0.0], [2.0, 4.0]]])
    assert controls["clouds"]["control: mean and deviation"](cloud).tolist() == [[1.0, 2.0, 1.0, 2.0]]


@pytest.mark.parametrize("kind", SMALL)
def test_the_recipe_of_gudhi_runs_by_itself(kind):
    pytest.importorskip("gudhi")
    samples = SMALL[kind]
    table, seconds = _of_peer("GUDHI", samples, sys.executable)
    assert table.shape[0] == 20
    assert np.isfinite(table).all()
    assert seconds >= 0


def test_a_peer_that_is_missing_or_breaks_is_no_row(tmp_path, capsys):
    python = tmp_path / "python"
    for status, said in ((feature_peers.MISSING, "is not installed"), (1, "failed")):
        python.write_text(f"#!/bin/sh\nexit {status}\n")
        python.chmod(0o755)
        assert _of_peer("giotto-tda", SMALL["images"], str(python)) is None
        assert f"images: giotto-tda {said} for --peers-python (status {status})" in capsys.readouterr().err
    with pytest.raises(InputError, match="--peers-python is nowhere"):
        _of_peer("giotto-tda", SMALL["images"], "nowhere")


def benchmark(tmp_path, *more):
    return main(["features", "benchmark", "--output", str(tmp_path / "out"), "--trees", "3", *more])


@pytest.fixture
def small_data(monkeypatch):
    monkeypatch.setattr(
        feature_benchmark, "load_samples", lambda name, _: SMALL["series"]._replace(name=name)
    )
    monkeypatch.setattr(feature_peers, "PEERS", {})


def test_writes_tables_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch, small_data):
    assert benchmark(tmp_path, "--data", "GunPoint") == 0
    file = tmp_path / "out" / "results.json"
    rows = json.loads(file.read_text())["rows"]["GunPoint"]
    assert {"time_series_features", "PersistenceImage", "control: values"} < rows.keys()
    for row in rows.values():
        assert len(row["logistic regression"]) == len(row["random forest"]) == 5
        assert row["columns"] > 0
        assert row["seconds"] >= 0
    table = (tmp_path / "out" / "results.md").read_text()
    assert table.startswith("| GunPoint | logistic regression | random forest | columns | seconds |")
    page = (tmp_path / "out" / "results.html").read_text(encoding="utf-8")
    for name in ("time_series_features", "PersistenceImage", "values"):
        assert len(re.findall(rf">\s*(control: )?{name}\s*<", page)) == 2  # in the picture and in the table
    assert page.count('<td class="better">') >= 2
    assert "http" not in page  # nothing is loaded from elsewhere
    assert "control: values" in capsys.readouterr().out
    del rows["PersistenceImage"]
    file.write_text(json.dumps({"settings": {"trees": 3}, "rows": {"GunPoint": rows}}))
    computed = []
    monkeypatch.setattr(
        feature_benchmark, "_timed", lambda recipe, X: computed.append(recipe) or (np.ones((20, 1)), 0.0)
    )
    assert benchmark(tmp_path, "--data", "GunPoint") == 0
    assert len(computed) == 1
    assert main(["features", "benchmark", "--output", str(tmp_path / "out"), "--trees", "4"]) == 2
    assert "expected another --output" in capsys.readouterr().err
    file.write_text("{")
    assert benchmark(tmp_path) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_rows_are_chosen_by_name(tmp_path, capsys, small_data):
    assert (
        benchmark(tmp_path, "--data", "GunPoint", "--recipes", "control: values", "PersistenceEntropy") == 0
    )
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]["GunPoint"]
    assert set(rows) == {"control: values", "PersistenceEntropy"}
    capsys.readouterr()
    assert benchmark(tmp_path, "--data", "GunPoint", "--recipes", "control: pixels") == 2
    assert "--recipes has 'control: pixels'; expected some of Amplitude, Atol," in capsys.readouterr().err


def test_the_best_of_each_classifier_is_marked_be_it_a_control():
    row = {"columns": 2, "seconds": 0.123}
    rows = {
        "preset": row | {"logistic regression": [0.5, 0.7], "random forest": [0.9, 0.9]},
        "control: pixels": row | {"logistic regression": [0.8, 0.8], "random forest": [0.9, 0.7]},
    }
    (table,) = _tables({"digits": rows})
    assert table.markdown().splitlines()[2:] == [
        "| preset | 60.0 ± 10.0 | **90.0 ± 0.0** | 2 | 0.12 |",
        "| control: pixels | **80.0 ± 0.0** | 80.0 ± 10.0 | 2 | 0.12 |",
    ]


def test_what_has_no_files_is_left_out(tmp_path, capsys):
    assert benchmark(tmp_path, "--data", "MNIST", "MUTAG", "text") == 0
    said = capsys.readouterr().out
    for name in ("MNIST", "MUTAG", "text"):
        assert f"{name}: left out, its files are in none of the folders" in said
    (tmp_path / "a.raw_data.json").write_text(json.dumps({"original": ["a b c"], "sampled": ["a b d"]}))
    assert benchmark(tmp_path, "--data", "text", "--folders", str(tmp_path)) == 0
    assert "text: left out without --model" in capsys.readouterr().out
    assert benchmark(tmp_path, "--data", "digits", "--trees", "0") == 2


def test_files_are_read(tmp_path):
    pixels = np.arange(2 * 28 * 28, dtype=np.uint8)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(bytes(16) + pixels.tobytes())
    )
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(bytes(8) + bytes([7, 2]))
    mnist = load_samples("MNIST", [tmp_path])
    np.testing.assert_array_equal(mnist.X.ravel(), pixels)
    assert mnist.y.tolist() == [7, 2]
    for half, line in (("TRAIN", "1.0,2.0:b"), ("TEST", "3,4:a")):
        (tmp_path / f"GunPoint_{half}.ts").write_text(f"@classLabel true\n@data\n{line}\n")
    series = load_samples("GunPoint", [tmp_path])
    np.testing.assert_array_equal(series.X, [[1, 2], [3, 4]])
    assert series.y.tolist() == [1, 0]
    (tmp_path / "GunPoint_TEST.ts").write_text("@data\n1.0,x:b\n")
    with pytest.raises(InputError, match=re.escape("GunPoint_TEST.ts, line 2, is '1.0,x:b'")):
        load_samples("GunPoint", [tmp_path])
    (tmp_path / "GunPoint_TEST.ts").write_text("1.0:b\n")
    with pytest.raises(InputError, match="no series behind @data"):
        load_samples("GunPoint", [tmp_path])


def test_shapes_have_their_folds_and_size():
    samples = load_samples("shapes", [])
    assert samples.X.shape == (5 * feature_data._PER_SHAPE, feature_data._POINTS, 3)
    np.testing.assert_allclose(np.square(samples.X).sum(2).mean(1), 1)
    assert np.bincount(samples.y).tolist() == [feature_data._PER_SHAPE] * 5
    assert len(list(samples.folds())) == 5
    assert len(list(SMALL["graphs"].folds())) == 10
    meshes = load_samples("meshes", []).X
    characters = [len(points) - edges.shape[1] + faces.shape[1] for points, edges, faces in meshes[:8]]
    assert characters == [2, 1, 0, 0] * 2
    grouped = SMALL["series"]._replace(groups=np.arange(20) // 2)
    for train, test in grouped.folds():
        assert not set(train // 2) & set(test // 2)
