"""`topodl shapes`: its stages, its tables, what is not trained again, and what it measures."""

import json

import numpy as np
import pytest
import torch

import topodl
from topodl.cli import main
from topodl.representations import _shape_stages, shapes_command
from topodl.representations._shape_models import Targets
from topodl.representations._shape_stages import Space, _overlap, _overlaps, _without_holes

SMALL = ["shapes", "--samples", "3", "--steps", "4", "--guide", "2", "--seeds", "0", "--jobs", "1"]
STAGES = ["autoencoder", "none", "betti", "image", "diagram"]


@pytest.fixture(autouse=True)
def small_spaces(monkeypatch):
    images = Space(12, ((1, 0), (1, 1)), 3.0, 2, 4, 8)
    volumes = Space(12, ((1, 0, 0), (1, 1, 0)), 3.0, 2, 4, 8)
    monkeypatch.setattr(_shape_stages, "SPACES", {2: images, 3: volumes})


def runs_in(folder):
    """Return the results of a folder without processor times, which differ."""
    text = (folder / "results.json").read_text(encoding="utf-8")
    return json.loads(text, object_hook=lambda found: {k: v for k, v in found.items() if k != "CPU"})["runs"]


def leaves(value):
    """Return all numbers of nested lists and dictionaries."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for part in parts for leaf in leaves(part)]
    return [value]


@pytest.mark.parametrize("dims", [2, 3])
def test_writes_tables_and_a_picture(dims, tmp_path, capsys):
    conditions = STAGES[1:] if dims == 2 else ["image"]
    command = [*SMALL, "--dims", str(dims), "--conditions", *conditions, "--output", str(tmp_path)]
    assert main(command) == 0
    runs = runs_in(tmp_path)
    assert runs.keys() == {f"0/{stage}" for stage in ("autoencoder", *conditions)}
    assert np.isfinite(leaves(runs)).all()
    table = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert table in capsys.readouterr().out
    first, second = (part.splitlines() for part in table.split("\n\n"))
    assert len(first) == 2 + 5 * len(conditions) + 2
    assert len(second) == 2 + 3 * len(conditions)
    assert len({row.count("|") for row in first}) == len({row.count("|") for row in second}) == 1
    assert (tmp_path / "shapes.png").read_bytes().startswith(b"\x89PNG")


def test_a_stopped_run_goes_on_to_the_same_results(tmp_path, monkeypatch):
    command = [*SMALL, "--conditions", "none", "betti", "--output"]
    assert main([*command, str(tmp_path / "whole")]) == 0

    class Killed(BaseException):
        pass

    add, run_stage, trained = shapes_command.StageResults.add, shapes_command._run_stage, []

    def die(results, name, result):
        if name == "0/none":  # the last; its pictures are written, its results are not
            raise Killed
        add(results, name, result)

    monkeypatch.setattr(shapes_command.StageResults, "add", die)
    with pytest.raises(Killed):
        main([*command, str(tmp_path / "part")])
    monkeypatch.setattr(shapes_command.StageResults, "add", add)
    monkeypatch.setattr(
        shapes_command,
        "_run_stage",
        lambda args, job: trained.append(job[1]) or run_stage(args, job),
    )
    assert main([*command, str(tmp_path / "part")]) == 0
    assert trained == ["none"]
    whole, part = (runs_in(tmp_path / name) for name in ("whole", "part"))
    assert whole.keys() == part.keys()
    assert leaves(whole) == pytest.approx(leaves(part), rel=1e-4, abs=1e-4)
    assert main([*command, str(tmp_path / "part")]) == 0
    assert trained == ["none"]
    (tmp_path / "part" / "stages" / "0-betti.pt").unlink()
    assert main([*command, str(tmp_path / "part")]) == 0
    assert trained == ["none", "betti"]


def test_a_folder_has_one_experiment(tmp_path, capsys):
    (tmp_path / "results.json").write_text('{"settings": {"dims": 3}, "runs": {}}', encoding="utf-8")
    assert main([*SMALL, "--output", str(tmp_path)]) == 2
    assert "expected another folder" in capsys.readouterr().err
    (tmp_path / "results.json").write_text("{", encoding="utf-8")
    assert main([*SMALL, "--output", str(tmp_path)]) == 2
    assert "which has no results" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--guide", ["0"], "guide is 0"),
        ("--steps", ["1"], "steps is 1"),
        ("--samples", ["1"], "samples is 1"),
        ("--seeds", ["1", "1"], r"seeds is [1, 1]; expected each of them once"),
        ("--seeds", ["-1"], "seeds is -1"),
        ("--jobs", ["0"], "jobs is 0"),
        ("--conditions", ["none", "none"], "expected each of them once"),
        ("--device", ["nowhere"], "device is 'nowhere'"),
    ],
)
def test_unusable_options_are_named(option, value, message, tmp_path, capsys):
    assert main([*SMALL, "--output", str(tmp_path / "out"), option, *value]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_condition_without_holes_keeps_everything_else():
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ring = ((x - 8).hypot(y - 8) - 4).abs() - 1.5  # its centre is a hole at 0
    d = topodl.cubical_persistence(torch.stack([ring, (x - 8).hypot(y - 8) - 5]))
    targets = Targets(d.betti(0.0), d)
    assert targets.betti.tolist() == [[1, 1], [1, 0]]
    edited = _without_holes(targets)
    assert edited.betti.tolist() == edited.diagrams.betti(0.0).tolist() == [[1, 0], [1, 0]]
    assert len(d.births) - len(edited.diagrams.births) == 1
    assert torch.equal(edited.diagrams.dim(0).births, d.dim(0).births)


def test_overlaps_by_hand():
    a = torch.tensor([[True, True, False], [False, False, False]])
    b = torch.tensor([[True, False, True], [False, False, False]])
    assert _overlap(a, b).tolist() == pytest.approx([1 / 3, 1.0])
    assert _overlaps(a, b).tolist() == [pytest.approx([1 / 3, 0.0]), pytest.approx([0.0, 1.0])]
