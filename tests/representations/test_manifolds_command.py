"""`topodl manifolds`: its data, its table, and what is not trained again."""

import json

import numpy as np
import pytest
import torch

from topodl.cli import main
from topodl.representations import manifolds_command
from topodl.representations.manifolds_command import _bars, _draw

SMALL = ["manifolds", "--data", "torus", "--latents", "T2", "R4", "--samples", "100", "--epochs", "1"]
ALONE = [*SMALL, "--jobs", "1"]


def test_writes_a_table_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    output = ["--output", str(tmp_path / "out")]
    assert main([*ALONE, "--starts", "1", *output]) == 0
    runs = json.loads((tmp_path / "out" / "results.json").read_text())["runs"]
    assert sorted(runs) == ["torus/R4/0", "torus/T2/0"]
    assert all(np.isfinite(np.hstack(list(run.values()))).all() for run in runs.values())
    table = (tmp_path / "out" / "results.md").read_text()
    assert [line.split(" | ")[1] for line in table.splitlines()[2:]] == ["(the data)", "T2", "T2", "R4", "R4"]
    assert "[2/2] torus on R4, start 0" in capsys.readouterr().out
    trained = []
    monkeypatch.setattr(
        manifolds_command, "_trained", lambda args, job: trained.append(job) or runs["torus/T2/0"]
    )
    assert main([*ALONE, "--starts", "2", *output]) == 0
    assert trained == [("torus", "T2", 1), ("torus", "R4", 1)]
    assert main([*SMALL, "--epochs", "2", *output]) == 2
    assert "expected another folder" in capsys.readouterr().err


def test_two_trainings_side_by_side_give_what_they_give_one_by_one(tmp_path):
    assert main([*ALONE, "--starts", "1", "--output", str(tmp_path / "one")]) == 0
    assert main([*SMALL, "--starts", "1", "--jobs", "2", "--output", str(tmp_path / "two")]) == 0
    one, two = (json.loads((tmp_path / name / "results.json").read_text())["runs"] for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key, measures in one.items():
        for name, value in measures.items():
            assert two[key][name] == pytest.approx(value, rel=1e-3, abs=1e-3)


def test_the_data_have_their_topology():
    bars = _bars(_draw("torus", 250, 1))
    assert bars["H1 bars"][1] > 1.5 * bars["H1 bars"][2]
    assert bars["H2 bars"][0] > 4 * bars["H2 bars"][1]
    sphere = _bars(_draw("sphere", 250, 1))
    assert sphere["H2 bars"][0] > 0.2
    disc = _bars(_draw("disc", 250, 1))
    assert disc["H2 bars"][0] < 0.1
    for data in ("torus", "sphere", "disc"):
        assert (_draw(data, 5, 0)[:3] != _draw(data, 5, 1)[:3]).any()
        assert torch.from_numpy(_draw(data, 5, 0)).dtype == torch.float32


@pytest.mark.parametrize(
    ("option", "value"), [("--starts", "0"), ("--samples", "10"), ("--epochs", "0"), ("--jobs", "0")]
)
def test_unusable_options_are_named(option, value, capsys):
    assert main([*SMALL, option, value]) == 2
    assert f"{option.strip('-')} is {value}" in capsys.readouterr().err
