"""Whose turn it is: what a process does beside others that work on the same study."""

import os
import threading

import pytest

from topodl import InputError
from topodl._claims import Claims
from topodl.evaluation import one_training
from topodl.evaluation import study as study_module
from topodl.evaluation.progress import StudyProgress
from topodl.evaluation.run_folder import RunFolder, read_rows
from topodl.evaluation.study import run_study
from topodl.evaluation.tasks import Task, is_finished, trainings_of, unfinished, work_name
from topodl.evaluation.training import Training

from .test_study import results
from .test_study import tiny as tiny_study

LOSSES = ["ce_dice", "cldice"]
CE_DICE = Task("ce_dice", 3)


def tiny(**values):
    return tiny_study(
        **({"losses": LOSSES, "seeds": [3], "iterations": 2, "validation_interval": 0} | values)
    )


def elsewhere(folder):
    return Claims(folder.claims, machine="another machine", renew_every=1e9)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_study(tiny(), tmp_path_factory.mktemp("study") / "alone")


def test_the_trainings_of_a_study_and_those_that_are_left(alone, tmp_path):
    settings = tiny(seeds=[3, 4])
    assert trainings_of(settings) == [
        Task("ce_dice", 3), Task("cldice", 3), Task("ce_dice", 4), Task("cldice", 4)
    ]  # fmt: skip
    assert unfinished(trainings_of(settings), settings, alone) == [Task("ce_dice", 4), Task("cldice", 4)]
    assert unfinished(trainings_of(tiny()), tiny(), RunFolder(tmp_path / "none")) == trainings_of(tiny())


def test_without_waiting_a_process_does_what_is_left_and_ends(tmp_path, alone):
    folder, notes = RunFolder(tmp_path / "run"), []
    with elsewhere(folder).take(work_name(CE_DICE)):
        run_study(tiny(), folder.root, note=notes.append, wait=False)
        assert unfinished(trainings_of(tiny()), tiny(), folder) == [CE_DICE]
    assert f"process {os.getpid()})" in notes[-1]
    assert notes[-1].startswith("what is left is under way elsewhere (")
    assert results(run_study(tiny(), folder.root)) == results(alone)


def test_a_process_waits_for_the_others_and_takes_over(tmp_path, alone, monkeypatch):
    monkeypatch.setattr("topodl.evaluation.turns._WAIT_SECONDS", 0.01)
    folder, notes = RunFolder(tmp_path / "run"), []
    claim = elsewhere(folder).take(work_name(CE_DICE))

    def note(text):
        notes.append(text)
        if text.endswith("waiting for them"):
            assert not is_finished(folder, tiny(), CE_DICE)
            os.utime(claim.path, (0, 0))

    run_study(tiny(), folder.root, note=note)
    assert any(text.endswith("waiting for them") for text in notes)
    assert results(folder) == results(alone)


def test_a_training_that_another_process_took_over_is_left_to_it(tmp_path, alone, monkeypatch):
    monkeypatch.setattr("topodl.evaluation.turns._WAIT_SECONDS", 0.01)
    folder, notes, taken = RunFolder(tmp_path / "run"), [], []
    genuine = StudyProgress.trained

    def slept_too_long(self, seconds):
        genuine(self, seconds)
        if not taken:
            path = Claims(folder.claims).generations(work_name(CE_DICE))[-1]
            os.utime(path, (0, 0))
            taken.append(elsewhere(folder).take(work_name(CE_DICE)))

    def note(text):
        notes.append(text)
        if text.endswith("waiting for them"):
            taken[0].release()

    monkeypatch.setattr(StudyProgress, "trained", slept_too_long)
    run_study(tiny(), folder.root, note=note)
    assert "ce_dice-3 goes on in another process: this one did not renew its claim" in notes
    assert results(folder) == results(alone)


def test_a_training_that_fails_stops_no_other_one(tmp_path, alone, monkeypatch):
    class Fails(Training):
        def run(self, advance):
            if self.task in failing:
                raise InputError(f"topodl evaluate: {self.task} failed")
            return super().run(advance)

    folder, settings = RunFolder(tmp_path / "run"), tiny(seeds=[3, 4])
    failing = {CE_DICE, Task("ce_dice", 4)}
    with monkeypatch.context() as patch:
        patch.setattr(one_training, "Training", Fails)
        with pytest.raises(
            InputError, match=r"2 trainings failed, the first of them so: ce_dice with seed 3 failed$"
        ):
            run_study(settings, folder.root)
        assert unfinished(trainings_of(settings), settings, folder) == [CE_DICE, Task("ce_dice", 4)]
        failing.remove(Task("ce_dice", 4))
        with pytest.raises(InputError, match=r"^topodl evaluate: ce_dice with seed 3 failed$"):
            run_study(settings, folder.root)
    assert results(alone).items() <= results(run_study(settings, folder.root)).items()


def test_what_others_write_is_left_alone_and_what_the_dead_left_is_removed(tmp_path, alone):
    folder = RunFolder(tmp_path / "run")
    ours, theirs = [
        [
            folder.checkpoint(loss, 3).with_name(".3.pt.00ff.part"),
            folder.curve_csv(loss, 3).with_name(".3.csv.00ff.part"),
            folder.prediction(loss, 3, "000").with_name(".000.png.00ff.part"),
        ]
        for loss in LOSSES
    ]
    shared = [
        folder.input_image("000").with_name(".000.png.00ff.part"),
        folder.root / ".groups.csv.00ff.part",
    ]
    report = folder.root / ".report.html.00ff.part"
    first = tiny(losses=LOSSES[:1])
    with elsewhere(folder).take(work_name(CE_DICE)):
        run_study(first, folder.root, wait=False)
    for path in [*ours, *theirs, *shared, report]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run_study(first, folder.root)
    assert not any(path.exists() for path in [*ours, *shared])
    assert all(path.exists() for path in [*theirs, report])  # nobody had the claim to them
    os.utime(report, (0, 0))
    with elsewhere(folder).take(work_name(Task("cldice", 3))):
        run_study(tiny(), folder.root, wait=False)
        assert all(path.exists() for path in theirs)
    run_study(tiny(), folder.root)
    assert not list(folder.root.rglob(".*.part"))
    assert results(folder) == results(alone)


def test_what_a_process_left_that_died_after_its_last_file_is_removed(tmp_path, alone):
    folder = run_study(tiny(), tmp_path / "run")
    claim, command = (elsewhere(folder).take(name) for name in (work_name(CE_DICE), "command-00ff"))
    left = folder.checkpoint("ce_dice", 3).with_name(".3.pt.00ff.part")
    left.touch()
    run_study(tiny(), folder.root)
    assert left.exists()
    assert command.path.exists()
    for path in (claim.path, command.path):
        os.utime(path, (0, 0))
    run_study(tiny(), folder.root)
    assert not left.exists()
    assert not command.path.exists()
    assert Claims(folder.claims).generations(work_name(CE_DICE)) == []


def test_two_different_studies_cannot_begin_in_one_folder_at_once(tmp_path, monkeypatch):
    """Both find an empty folder; who opens it second is refused."""
    monkeypatch.setattr(one_training, "predict_and_measure", None)  # would fail if one of them trained
    barrier, errors = threading.Barrier(2), []
    genuine = study_module.load_data

    def load(settings, note, given):
        data = genuine(settings, note, given)
        barrier.wait(60)
        return data

    def run(iterations):
        try:
            run_study(tiny(iterations=iterations), tmp_path / "run")
        except Exception as error:
            errors.append(error)

    monkeypatch.setattr(study_module, "load_data", load)
    monkeypatch.setattr(one_training, "Training", None)
    threads = [threading.Thread(target=run, args=(i,)) for i in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [error for error in errors if isinstance(error, InputError)]
    assert len(refused) == 1
    assert "holds a study with other settings: iterations is" in str(refused[0])


def test_costs_are_one_table_of_all_processes_in_the_order_of_the_losses(tmp_path):
    folder = run_study(tiny(losses=["cldice"]), tmp_path / "run")
    other = run_study(tiny(losses=["cldice", "ce_dice"], seeds=[3, 10]), tmp_path / "run")
    rows = read_rows(other.costs)
    assert [(row["loss"], row["seed"]) for row in rows] == [
        ("cldice", "3"), ("cldice", "10"), ("ce_dice", "3"), ("ce_dice", "10")
    ]  # fmt: skip
    assert [read_rows(folder.cost_csv(row["loss"], row["seed"])) for row in rows] == [[row] for row in rows]
    folder.costs.unlink()  # it is made of the others
    run_study(tiny(losses=["cldice", "ce_dice"], seeds=[3, 10]), tmp_path / "run")
    assert read_rows(folder.costs) == rows


def test_progress_counts_what_others_finish_and_takes_back_what_is_left_to_them():
    pending = [Task("a", 1), Task("b", 1), Task("c", 1)]
    progress = StudyProgress(
        pending, 3, iterations=10, test_images=[0], known={"b": 1.0, "c": 1.0}, shown=False
    )
    progress.begin(Task("a", 1), done=0)
    for _ in range(4):
        progress.trained(1.0)
    assert progress.seconds_left() == pytest.approx(26.0)
    progress.abandon()
    assert progress.seconds_left() == pytest.approx(30.0)
    progress.finished_elsewhere(Task("b", 1))
    progress.finished_elsewhere(Task("b", 1))
    assert progress.seconds_left() == pytest.approx(20.0)
    progress.begin(Task("c", 1), done=0)
    progress.end()
    assert progress.seconds_left() == pytest.approx(10.0)
