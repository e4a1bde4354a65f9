"""Whole studies on tiny images: their files, going on after an interruption, and what they refuse."""

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from topodl import InputError, MissingDependencyError
from topodl.cli import main
from topodl.datasets._common import GROUPS
from topodl.evaluation import one_training, training
from topodl.evaluation.networks import SmallUNet
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.run_folder import METRIC_COLUMNS, RunFolder, read_rows
from topodl.evaluation.scoring import measure_masks
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import run_study

TINY = {
    "image_size": 32,
    "iterations": 6,
    "batch_size": 2,
    "test_images": 1,
    "training_set": "small",
    "validation_interval": 4,
    "device": "cpu",
    "seeds": [3],
    "losses": ["ce_dice"],
    "checkpoint_seconds": 0.0,
}


def tiny(**values):
    return StudySettings.of_protocol("quick", **(TINY | values))


def results(folder):
    """Return all that may not depend on interruptions: measurements, curves, predictions."""
    files = [p for sub in ("results", "curves", "predictions") for p in (folder.root / sub).rglob("*.*")]
    return {p.relative_to(folder.root): p.read_bytes() for p in files}


def weights(folder, loss="ce_dice", seed=3):
    return torch.load(folder.checkpoint(loss, seed), weights_only=True)["network"]


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def picture(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image))


def mask(path):
    return (picture(path) == 255)[None, None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("study") / "run"
    return run_study(tiny(losses=["ce_dice", "cldice"], seeds=[3, 4]), root)


def test_a_study_writes_one_row_per_test_image(finished):
    ids = [f"{i:03d}" for i in range(7)]
    for loss in ("ce_dice", "cldice"):
        for seed in (3, 4):
            rows = read_rows(finished.result_csv("supervised", "accurate", "small", loss, seed))
            assert [row["ID"] for row in rows] == ids
            assert tuple(rows[0]) == ("ID", *METRIC_COLUMNS)
    groups = read_rows(finished.groups)
    assert {row["ID"]: row["group"] for row in groups} == dict(zip(ids, GROUPS, strict=True))


def test_the_measurements_are_those_of_the_written_pictures(finished):
    rows = read_rows(finished.result_csv("supervised", "accurate", "small", "cldice", 4))
    for row in rows:
        prediction = mask(finished.prediction("cldice", 4, row["ID"]))
        label = mask(finished.label_image(row["ID"]))
        assert picture(finished.input_image(row["ID"])).shape == (32, 32, 3)
        assert [float(row[name]) for name in METRIC_COLUMNS] == measure_masks(prediction, label)[0].tolist()


def test_settings_costs_and_curves_are_written(finished):
    stored = json.loads(finished.settings.read_text(encoding="utf-8"))
    assert stored["settings"] == tiny(losses=["ce_dice", "cldice"], seeds=[3, 4]).as_dict()
    assert stored["versions"]["torch"] == torch.__version__
    images = {"train": 10, "val": 6, "test": 7, "source": "drawn walls", "channels": 3}
    assert stored["images"] == {**images, "smallest": [32, 32], "largest": [32, 32]}
    assert stored["classes"] == {
        "names": ["background", "mortar"], "regions": False, "ignored_pixels": False,
        "shares": stored["classes"]["shares"],
    }  # fmt: skip
    assert sum(stored["classes"]["shares"].values()) == pytest.approx(1, abs=1e-5)
    assert stored["patch_size"] is None
    assert stored["intensities"]["scaled_by"].endswith("of the image itself")
    costs = read_rows(finished.costs)
    assert sorted((row["loss"], row["seed"]) for row in costs) == [
        (loss, seed) for loss in ("ce_dice", "cldice") for seed in "34"
    ]
    assert all(float(row["seconds_per_iteration"]) > 0 and row["iterations"] == "6" for row in costs)
    assert all(int(row["peak_memory_bytes"]) >= 0 for row in costs)
    curve = read_rows(finished.curve_csv("ce_dice", 3))
    assert [row["iteration"] for row in curve] == list("123456")
    assert [bool(row["val_dice"]) for row in curve] == [False, False, False, True, False, True]


def test_the_kept_weights_make_the_written_predictions(finished):
    network = SmallUNet().eval()
    network.load_state_dict(weights(finished, "ce_dice", 4))
    image = picture(finished.input_image("002")).permute(2, 0, 1).float()
    mean, std = image.mean((1, 2), keepdim=True), image.std((1, 2), keepdim=True, correction=0)
    with torch.no_grad():
        predicted = network(((image - mean) / std)[None]).argmax(1, keepdim=True) == 1
    assert torch.equal(predicted, mask(finished.prediction("ce_dice", 4, "002")))


def test_losses_share_initial_weights_and_batches(finished, tmp_path):
    # Untrained networks of one seed are equal, and of different seeds are not.
    kept = [run_study(tiny(losses=["ce_dice", "cldice"], seeds=[1, 2], learning_rate=1e-12, weight_decay=0.0,
                           iterations=1, validation_interval=0), tmp_path / "run")]  # fmt: skip
    first, other_loss, other_seed = (
        weights(kept[0], *key) for key in (("ce_dice", 1), ("cldice", 1), ("ce_dice", 2))
    )
    name = "down.0.0.weight"
    assert torch.allclose(first[name], other_loss[name], atol=1e-9)
    assert not torch.allclose(first[name], other_seed[name], atol=1e-3)


def test_a_finished_study_is_not_repeated(finished, monkeypatch):
    monkeypatch.setattr(one_training, "Training", None)  # would fail if it were used
    before = results(finished)
    run_study(tiny(losses=["ce_dice", "cldice"], seeds=[3, 4]), finished.root)
    assert results(finished) == before


def test_a_study_grows_by_losses_and_seeds(finished, tmp_path):
    shutil.copytree(finished.root, tmp_path / "run")
    folder = run_study(tiny(losses=["ce_dice", "cldice", "skeleton_recall"], seeds=[3, 4]), tmp_path / "run")
    assert results(finished).items() <= results(folder).items()
    assert folder.read_settings()["settings"]["losses"] == ["ce_dice", "cldice", "skeleton_recall"]
    assert len(read_rows(folder.costs)) == 6


class Interruption(Exception):
    """Stands for whatever ends a process."""


def interrupted(settings, root, after):
    """Run a study that ends `after` iterations, counted over all trainings."""
    done = []

    def trained(self, seconds):
        if len(done) == after:
            raise Interruption
        done.append(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudyProgress, "trained", trained)
        with pytest.raises(Interruption):
            run_study(settings, root)


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ({}, [1, 2]),
        ({"framework": "randhue", "optimizer": "sgd", "checkpoint_seconds": 1e9}, [3]),
        ({"framework": "selfdistillation", "losses": ["skeleton_recall"]}, [1, 2]),
        ({"framework": "selfdistillation", "labels": "noisy", "batch_size": 4}, [5]),
    ],
)
def test_an_interrupted_study_equals_an_uninterrupted_one(tmp_path, values, stops):
    settings = tiny(**values)
    whole = run_study(settings, tmp_path / "whole")
    for after in stops:
        interrupted(settings, tmp_path / "parts", after)
        assert not list((tmp_path / "parts").rglob("*.csv.*"))
    parts = run_study(settings, tmp_path / "parts")
    assert results(parts) == results(whole)
    loss = settings.losses[0]
    assert same_weights(weights(parts, loss), weights(whole, loss))
    assert len(read_rows(parts.costs)) == 1


def test_an_interruption_during_the_test_does_not_train_again(tmp_path, monkeypatch):
    settings = tiny()
    whole = run_study(settings, tmp_path / "whole")

    def fail(self, n, seconds):
        raise Interruption

    with monkeypatch.context() as patch:
        patch.setattr(StudyProgress, "tested", fail)
        with pytest.raises(Interruption):
            run_study(settings, tmp_path / "parts")
    monkeypatch.setattr(StudyProgress, "trained", None)  # would fail if it were called
    assert results(run_study(settings, tmp_path / "parts")) == results(whole)


def test_self_distillation_trains_on_what_the_round_before_predicts(tmp_path):
    settings = tiny(framework="selfdistillation", iterations=3)
    interrupted(settings, tmp_path / "run", after=1)
    state = torch.load(RunFolder(tmp_path / "run").checkpoint("ce_dice", 3), weights_only=True)
    assert (state["round"], state["soft_labels"]) == (0, None)
    interrupted(settings, tmp_path / "run", after=0)
    state = torch.load(RunFolder(tmp_path / "run").checkpoint("ce_dice", 3), weights_only=True)
    assert (state["round"], state["iteration"]) == (0, 1)
    run_study(settings, tmp_path / "whole")
    interrupted(settings, tmp_path / "run", after=1)
    state = torch.load(RunFolder(tmp_path / "run").checkpoint("ce_dice", 3), weights_only=True)
    soft = state["soft_labels"]
    assert [tuple(label.shape) for label in soft] == [(1, 32, 32)] * 10
    assert all(bool(((label > 0) & (label < 1)).all()) for label in soft)


COMMAND = [
    *(sys.executable, "-m", "topodl.cli", "evaluate", "--image-size", "32", "--iterations", "25"),
    *("--batch-size", "2", "--test-images", "1", "--training-set", "small", "--seeds", "1", "--losses"),
    *("ce_dice", "cldice", "--checkpoint-seconds", "0", "--validation-interval", "10", "--device", "cpu"),
]


def test_a_killed_command_goes_on_to_the_same_files(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    settings = StudySettings.of_protocol(
        "quick", image_size=32, iterations=25, batch_size=2, test_images=1, training_set="small", seeds=[1],
        losses=["ce_dice", "cldice"], validation_interval=10, device="cpu",
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_study(settings, whole.root)
    finally:
        torch.set_num_threads(threads)

    process = subprocess.Popen(
        [*COMMAND, "--output", str(parts.root)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not parts.checkpoint("ce_dice", 1).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.uniform(0.0, 1.0))
    finally:
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        process.wait()
    done = subprocess.run(
        [*COMMAND, "--output", str(parts.root)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert results(parts) == results(whole)
    assert not list(parts.root.rglob(".*.part"))
    assert parts.report_html.is_file()
    assert str(parts.report_html) in done.stdout.splitlines()[-1]


@pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "thorough",
    reason="starts three processes; for the thorough profile",
)
def test_two_processes_train_as_one_does(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folders = []
    for devices in ("1", "2"):
        folders.append(RunFolder(tmp_path / devices))
        command = [*COMMAND, "--iterations", "4", "--devices", devices, "--output", str(folders[-1].root)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    one, two = ([float(row["loss"]) for row in read_rows(f.curve_csv("ce_dice", 1))] for f in folders)
    assert two == pytest.approx(one, abs=1e-5)
    one, two = (read_rows(f.result_csv("supervised", "accurate", "small", "ce_dice", 1)) for f in folders)
    assert [row["ID"] for row in two] == [row["ID"] for row in one]
    for first, second in zip(one, two, strict=True):
        assert float(second["Dice_mortar"]) == pytest.approx(float(first["Dice_mortar"]), abs=0.02)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_a_training_begins_anew_where_its_checkpoint_is_unusable(finished, tmp_path, damage):
    folder = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    folder.result_csv("supervised", "accurate", "small", "cldice", 4).unlink()
    checkpoint = folder.checkpoint("cldice", 4)
    if damage is not None:
        checkpoint.write_bytes(damage)
    notes = []
    run_study(tiny(losses=["ce_dice", "cldice"], seeds=[3, 4]), folder.root, note=notes.append)
    assert results(folder) == results(finished)
    reason = "holds the weights of a finished training alone" if damage is None else "cannot be read"
    assert any(f"{checkpoint} {reason}" in note and "begins anew" in note for note in notes)


@pytest.mark.parametrize(
    "state",
    [
        {"iteration": 1, "round": 0},
        {"round": 0, "iteration": [], "network": {"a": torch.zeros(1)}},
        [1, 2],
    ],
)
def test_a_training_begins_anew_where_its_checkpoint_is_of_another(finished, tmp_path, state):
    folder = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    folder.result_csv("supervised", "accurate", "small", "cldice", 4).unlink()
    torch.save(state, folder.checkpoint("cldice", 4))
    notes = []
    run_study(tiny(losses=["ce_dice", "cldice"], seeds=[3, 4]), folder.root, note=notes.append)
    assert results(folder) == results(finished)
    assert any("begins anew" in note for note in notes)


def test_a_checkpoint_of_another_network_begins_anew(finished, tmp_path):
    folder = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    folder.result_csv("supervised", "accurate", "small", "cldice", 4).unlink()
    path = folder.checkpoint("cldice", 4)
    state = dict.fromkeys(
        ("optimizer", "precision", "soft_labels", "curve", "seconds", "timed_iterations", "peak_memory_bytes")
    )
    state |= {"iteration": 3, "round": 0, "loss": {}, "loss_sum": torch.zeros(()), "loss_count": 3}
    torch.save({**state, "network": {"other.weight": torch.zeros(2)}}, path)
    notes = []
    run_study(tiny(losses=["ce_dice", "cldice"], seeds=[3, 4]), folder.root, note=notes.append)
    assert results(folder) == results(finished)
    assert any("is of another training" in note for note in notes)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
def test_a_full_disk_is_named_when_a_checkpoint_is_written(tmp_path, monkeypatch, capsys):
    @contextlib.contextmanager
    def full(path):
        yield Path("/dev/full")

    monkeypatch.setattr(training, "atomic_path", full)
    arguments = [
        "evaluate",
        "--losses",
        "ce_dice",
        "--iterations",
        "2",
        "--test-images",
        "1",
        "--image-size",
        "32",
    ]
    assert main([*arguments, "--seeds", "1", "--output", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("topodl evaluate: [Errno 28] No space left")


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "\xff", "loss,seed\nce_dice,3,fast\n", "loss,seed\nce_dice\n"]
)
def test_costs_that_are_none_are_named_before_a_training(finished, tmp_path, text):
    folder = RunFolder(Path(shutil.copytree(finished.root, tmp_path / "run")))
    folder.cost_csv("cldice", 3).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"3.csv(,| has| is not a readable) (columns|column|CSV|row)"):
        run_study(tiny(losses=["ce_dice", "cldice"], seeds=[3, 4, 5]), folder.root)


def test_another_study_is_refused(finished):
    before = {p: p.stat().st_mtime_ns for p in finished.root.rglob("*")}
    settings = tiny(losses=["ce_dice", "cldice"], seeds=[3, 4], iterations=7)
    with pytest.raises(InputError, match="iterations is 7 now and was 6; expected the same settings"):
        run_study(settings, finished.root)
    assert {p: p.stat().st_mtime_ns for p in finished.root.rglob("*")} == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="has files but no study; expected a new or empty folder"):
        run_study(tiny(), tmp_path)
    nested = json.dumps({"settings": tiny().as_dict() | {"losses": [["ce_dice"]]}})
    for text in ("{", "{}", "[]", '{"settings": 5}', nested, "[" * 100_000):
        (tmp_path / "settings.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"cannot read .*settings\.json"):
            run_study(tiny(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["settings.json", "thesis.tex"]


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    for name in ("x" * 300, "x\0y"):
        with pytest.raises(InputError, match=r"output cannot be looked into \(.*; expected a folder"):
            run_study(tiny(), tmp_path / name)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="which is a file; expected a folder"):
        run_study(tiny(), tmp_path / "file")
    with pytest.raises(InputError, match="which lies below a file; expected a folder"):
        run_study(tiny(), tmp_path / "file" / "below")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "claims").touch()
    with pytest.raises(InputError, match="which cannot be written"):
        run_study(tiny(), tmp_path / "run")


def test_a_missing_package_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "monai" else name)
    with pytest.raises(MissingDependencyError, match=r"topodl evaluate needs monai.*topodl\[eval\]"):
        run_study(tiny(augmentation="topomortar"), tmp_path / "run")
    assert not Path(tmp_path / "run").exists()


def test_a_training_that_diverges_says_so(tmp_path):
    with pytest.raises(
        InputError, match=r"ce_dice with seed 3 failed in iteration \d+: .*lower --learning-rate"
    ):
        run_study(tiny(learning_rate=1e30, clip_norm=0.0, optimizer="sgd"), tmp_path / "run")


def write_topomortar(root, *, missing=(), shapes=None):
    """Write a data set in TopoMortar's layout: 2 training, 2 validation and 4 test pictures."""
    rng = np.random.default_rng(0)
    splits = {"train": ["001", "002"], "val": ["003", "004"], "test": ["071", "072", "121", "122"]}
    groups = [("ID", "group")]
    text = ["1:"]
    for split, ids in splits.items():
        text.append(f"  {split}:")
        for i in ids:
            text.append(f"  - dataset/{split}/images/{i}.png")
            groups.append((i, "angles" if i.startswith("12") else "indistr"))
            if i in missing:
                continue
            shape = (shapes or {}).get(i, (48, 48))
            for kind in ("images", "accurate", *(("noisy", "pseudo") if split != "test" else ())):
                (root / split / kind).mkdir(parents=True, exist_ok=True)
                values = (
                    rng.integers(0, 256, (48, 48, 3)) if kind == "images" else 255 * (rng.random(shape) < 0.4)
                )
                Image.fromarray(values.astype(np.uint8)).save(root / split / kind / f"{i}.png")
    for name in ("splits.yaml", "splits_small.yaml"):
        (root / name).write_text("\n".join(text) + "\n", encoding="utf-8")
    with (root / "dataset_types.txt").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(groups)
    return root


def test_a_study_of_topomortar_skips_missing_test_images_and_says_so(tmp_path):
    data = write_topomortar(tmp_path / "data", missing=["122"])
    notes = []
    settings = tiny(data=data, labels="noisy", image_size=0)
    folder = run_study(settings, tmp_path / "run", note=notes.append)
    rows = read_rows(folder.result_csv("supervised", "noisy", "small", "ce_dice", 3))
    assert [row["ID"] for row in rows] == ["071", "072", "121"]
    assert read_rows(folder.groups)[-1] == {"ID": "121", "group": "angles"}
    assert any("1 of 4 pictures of the test split" in note for note in notes)


def test_images_are_resized_when_asked(tmp_path):
    folder = run_study(tiny(data=write_topomortar(tmp_path / "data")), tmp_path / "run")
    assert picture(folder.input_image("071")).shape == (32, 32, 3)
    assert picture(folder.label_image("071")).shape == (32, 32)


def test_a_label_of_another_size_is_named_before_anything_is_written(tmp_path):
    data = write_topomortar(tmp_path / "data", shapes={"072": (48, 40)})
    with pytest.raises(InputError, match=r"072\.png has .*48.*40"):
        run_study(tiny(data=data), tmp_path / "run")
    assert not Path(tmp_path / "run").exists()


def test_an_image_size_that_does_not_fit_the_network_is_named(tmp_path):
    data = write_topomortar(tmp_path / "data")
    settings = tiny(data=data, image_size=0, network="dynunet")
    with pytest.raises(InputError, match="image_size is 48 with network='dynunet'"):
        run_study(settings, tmp_path / "run")
    assert not Path(tmp_path / "run").exists()


def test_the_published_protocol_runs(tmp_path):
    pytest.importorskip("monai")
    settings = StudySettings.of_protocol(
        "topomortar", image_size=256, iterations=1, batch_size=1, test_images=1, training_set="small",
        seeds=[1], losses=["cldice"], device="cpu", workers=0, validation_interval=0, checkpoint_seconds=1e9,
    )  # fmt: skip
    folder = run_study(settings, tmp_path / "run")
    rows = read_rows(folder.result_csv("supervised", "accurate", "small", "cldice", 1))
    assert len(rows) == 7
    # Its layers have two names each.
    parameters = {value.data_ptr(): value.numel() for value in weights(folder, "cldice", 1).values()}
    assert sum(parameters.values()) == 46_314_030
