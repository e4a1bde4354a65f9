"""Studies of several processes, some of them killed: the files of one process, byte for byte."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from topodl import InputError, MissingDependencyError
from topodl._claims import Claims
from topodl.evaluation import crew as crew_module
from topodl.evaluation import scheduler as scheduler_module
from topodl.evaluation.crew import Crew, WorkerLostError
from topodl.evaluation.handed_over import HandedOver, Order, read_handed_over, write_handed_over
from topodl.evaluation.progress import SharedProgress
from topodl.evaluation.run_folder import RunFolder, read_rows
from topodl.evaluation.scheduler import run_distributed_study, settings_of_cluster
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import run_study
from topodl.evaluation.tasks import Task, is_finished, trainings_of, work_name

from .case_folders import pairs
from .given_images import splits
from .test_study import results

LOSSES = ["ce_dice", "cldice", "skeleton_recall"]
SIZES = {"image_size": 32, "iterations": 12, "batch_size": 2, "test_images": 1, "training_set": "small",
         "validation_interval": 6, "device": "cpu", "checkpoint_seconds": 0.0}  # fmt: skip
OPTIONS = [word for name, value in SIZES.items() for word in (f"--{name.replace('_', '-')}", str(value))]

can_stop = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops processes by POSIX signals")


def study(**values):
    return StudySettings.of_protocol("quick", **({"losses": LOSSES, "seeds": [1, 2]} | SIZES | values))


@contextmanager
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    with one_thread():
        return run_study(study(), tmp_path_factory.mktemp("study") / "serial")


def kill_in_the_middle(folder, settings, victim_of=lambda pid: pid):
    """Kill, as `kill -9` does, a process that has trained and not finished; return its number and training.

    `victim_of` names the process to kill for the one that has the claim.
    """
    claims, deadline = Claims(folder.claims), time.monotonic() + 900
    while time.monotonic() < deadline:
        time.sleep(0.02)
        for task in trainings_of(settings):
            holder = claims.holder(work_name(task))
            if holder is None or not folder.checkpoint(*task).exists():
                continue
            with stopped(holder.pid):  # it cannot end the training between the look and the kill
                again = claims.holder(work_name(task))
                if again is not None and again.pid == holder.pid and not is_finished(folder, settings, task):
                    victim = victim_of(holder.pid)
                    os.kill(victim, signal.SIGKILL)
                    return victim, task
    raise AssertionError("no process had a training under way")


@contextmanager
def stopped(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Killer(threading.Thread):
    """Kills one process of a study while the test runs it."""

    def __init__(self, folder, settings, victim_of=lambda pid: pid):
        super().__init__(daemon=True)
        self.arguments, self.killed = (folder, settings, victim_of), None

    def run(self):
        self.killed = kill_in_the_middle(*self.arguments)


def assert_as_one_process_did_it(folder, serial, losses=LOSSES, seeds=(1, 2)):
    expected = {
        path: content
        for path, content in results(serial).items()
        if any(loss in path.parts for loss in losses)
        and any(str(seed) in (*path.parts, path.name.partition(".")[0]) for seed in seeds)
    }
    assert results(folder) == expected
    assert not list(folder.root.rglob(".*.part"))
    assert {path.name.partition(".")[0] for path in folder.claims.iterdir()} == {"study", "costs"}
    assert [(row["loss"], row["seed"]) for row in read_rows(folder.costs)] == [
        (loss, str(seed)) for loss in losses for seed in seeds
    ]


@can_stop
def test_two_commands_on_one_folder_one_killed(tmp_path, serial):
    folder, settings = RunFolder(tmp_path / "run"), study()
    command = [
        *(sys.executable, "-m", "topodl.cli", "evaluate", "--losses", *LOSSES, "--seeds", "1", "2"),
        *(*OPTIONS, "--output", str(folder.root)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    reaper = None
    try:
        pid, _ = kill_in_the_middle(folder, settings)
        victim = next(process for process in processes if process.pid == pid)
        survivor = next(process for process in processes if process is not victim)
        reaper = threading.Thread(target=victim.communicate, daemon=True)
        reaper.start()
        out, err = survivor.communicate(timeout=300)
    finally:
        for process in processes:
            process.kill()
    assert survivor.returncode == 0, err
    assert victim.wait() == -signal.SIGKILL
    assert_as_one_process_did_it(folder, serial)
    assert str(folder.report_html) in out.splitlines()[-1]


@can_stop
def test_local_workers_one_killed(tmp_path, serial):
    folder, notes = RunFolder(tmp_path / "run"), []
    settings = study(losses=LOSSES[:2], seeds=[1])
    killer = Killer(folder, settings)
    killer.start()
    run_distributed_study(settings, folder.root, jobs=2, note=notes.append)
    killer.join()
    assert f"worker {killer.killed[0]} was killed (signal 9); another one goes on" in notes
    assert notes.count(f"study in {folder.root}") == 1
    assert_as_one_process_did_it(folder, serial, LOSSES[:2], [1])


@can_stop
def test_a_dask_cluster_trains_folds_one_worker_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    psutil = pytest.importorskip("psutil")
    sizes = {"image_size": 0, "patch_size": 16, "training_set": "large", "iterations": 8, "folds": 2}
    settings = study(data=pairs(tmp_path / "data", 4), **sizes)
    with one_thread():
        serial = run_study(settings, tmp_path / "serial")
    folder = RunFolder(tmp_path / "run")
    killer = Killer(folder, settings, lambda pid: psutil.Process(pid).ppid())
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", resources={"GPU": 1}
        ) as cluster,
        one_thread(),
    ):
        assert settings_of_cluster(cluster.scheduler_address, "quick", seeds=[4], note=print).seeds == (4,)
        killer.start()
        run_distributed_study(settings, folder.root, scheduler=cluster.scheduler_address)
    killer.join()
    assert killer.killed is not None
    assert_as_one_process_did_it(folder, serial)
    tested = [path.name for path in (folder.results / "supervised/accurate/large/cldice").iterdir()]
    assert sorted(tested) == sorted(f"{seed}{fold}.csv" for seed in "12" for fold in ("", ".fold0", ".fold1"))


def test_data_and_network_of_the_caller_reach_the_workers(tmp_path):
    width = 4

    def network(in_channels, out_channels, spatial_dims):
        return nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.Conv2d(width, out_channels, 1))

    settings = study(losses=["ce_dice"], seeds=[1], image_size=0, patch_size=16, iterations=2)
    own = {"data": splits(), "network": network}
    with one_thread():
        serial = run_study(settings, tmp_path / "serial", **own)
        folder = run_distributed_study(settings, tmp_path / "run", jobs=2, **own)
    assert_as_one_process_did_it(folder, serial, ["ce_dice"], [1])
    assert folder.read_settings()["settings"] == serial.read_settings()["settings"]


def test_a_network_that_cannot_be_sent_is_named(tmp_path):
    lock = threading.Lock()
    with pytest.raises(InputError, match=r"run_distributed_study: network cannot be sent .*'_thread.lock'"):
        run_distributed_study(study(), tmp_path / "run", jobs=2, network=lambda *sizes: lock)
    assert not RunFolder(tmp_path / "run").settings.exists()


def test_a_network_of_a_module_that_is_not_there_is_named(tmp_path, monkeypatch):
    module = ModuleType("elsewhere_only")
    exec("def make(i, o, d): ...", module.__dict__)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "elsewhere_only", module)
        write_handed_over(tmp_path / "objects", HandedOver(network=module.make))
        assert read_handed_over(tmp_path / "objects").network is module.make
    with pytest.raises(InputError, match=r"network comes from a module that a worker does not .*elsewh"):
        read_handed_over(tmp_path / "objects")


def test_workers_find_modules_beside_which_the_command_was_given(tmp_path):
    (tmp_path / "only_here.py").write_text("make = 5\n")
    there = dataclasses.replace(order(tmp_path / "run"), modules=str(tmp_path))
    there = dataclasses.replace(there, settings=study(network="only_here:make"))
    with pytest.raises(InputError, match="network is 'only_here:make', which is a int"):
        Crew(there, print).work(None)
    with pytest.raises(InputError, match="network is 'only_here:make', which cannot be imported"):
        run_distributed_study(there.settings, tmp_path / "run", jobs=2)


def test_a_task_whose_training_another_one_did_starts_nobody(tmp_path, serial, killed_workers):
    folder = RunFolder(Path(shutil.copytree(serial.root, tmp_path / "run")))
    with Claims(folder.claims).take("command-1"):
        assert scheduler_module._train_on_cluster(order(folder.root), "command-1") == []
    assert started == []


def order(output):
    return Order((Task("ce_dice", 1),), (Task("ce_dice", 1),), study(), output, threads=1)


class Ended(Exception):
    """Stands for a task that went wrong."""


class FakeWorker:
    """A worker that is killed each time, or does what a test says."""

    pid = 1234

    def __init__(self, order, gpu):
        started.append(gpu)

    def finish(self, note):
        raise WorkerLostError("signal 9")

    def stop(self):
        return


started = []


@pytest.fixture
def killed_workers(monkeypatch):
    started.clear()
    monkeypatch.setattr(crew_module, "Worker", FakeWorker)


def test_workers_that_are_killed_again_and_again_are_given_up(tmp_path, killed_workers):
    notes = []
    with pytest.raises(InputError, match=r"4 workers were killed one after the other, the last by signal 9"):
        Crew(order(tmp_path), notes.append).work(None)
    assert len(started) == 4
    assert notes == ["worker 1234 was killed (signal 9); another one goes on"] * 3


def test_who_is_killed_with_a_training_of_others_leaves_it_to_them(serial, killed_workers):
    Crew(order(serial.root), print).work(None)
    assert len(started) == 1


def test_a_crew_that_is_stopped_starts_nobody(tmp_path, killed_workers):
    crew = Crew(order(tmp_path), print)
    crew.stop()
    crew.work(None)
    assert started == []


def test_what_ends_a_worker_is_what_ends_the_study(tmp_path):
    crew = Crew(order(tmp_path / "file" / "below"), print)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="which lies below a file"):
        crew.work(None)


def test_local_workers_take_the_gpus_in_turn(tmp_path, monkeypatch, killed_workers):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    monkeypatch.setattr(FakeWorker, "finish", lambda self, note: None)
    settings = dataclasses.replace(study(), device="cuda")
    run_distributed_study(settings, tmp_path / "run", jobs=3)
    assert sorted(started) == ["5", "5", "7"]
    started.clear()
    run_distributed_study(dataclasses.replace(settings, device="cuda:1"), tmp_path / "run", jobs=2)
    assert started == [None, None]


def test_tasks_of_a_worker_with_several_gpus_have_one_each(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    gpus = {"GPU": 2}
    worker = SimpleNamespace(state=SimpleNamespace(total_resources=gpus))
    monkeypatch.setattr(pytest.importorskip("distributed"), "get_worker", lambda: worker)
    with scheduler_module._gpu_of_task() as first:
        with scheduler_module._gpu_of_task() as second:
            assert (first, second) == ("5", "7")
        with scheduler_module._gpu_of_task() as third:
            assert third == "7"
    gpus["GPU"] = 1
    with scheduler_module._gpu_of_task() as alone:
        assert alone is None


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        ({"jobs": 0}, {}, "jobs is 0; expected an integer of at least 1"),
        ({"jobs": 2, "scheduler": "tcp://x:1"}, {}, "jobs is 2 with scheduler='tcp://x:1'; expected one of"),
        ({"jobs": 2}, {"devices": 2}, "devices is 2 in a study of several workers; expected 1"),
        ({"jobs": 2}, {"nodes": 2}, "nodes is 2 in a study of several workers; expected 1"),
        ({"scheduler": "nonsense://x"}, {}, "scheduler is 'nonsense://x', where nothing answers"),
    ],
)
def test_what_cannot_be_is_named_before_anything_is_written(tmp_path, options, values, message):
    with pytest.raises(InputError, match=message):
        run_distributed_study(study(**values), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_scheduler_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"--scheduler needs distributed.*topodl\[cluster\]"):
        run_distributed_study(study(), tmp_path / "run", scheduler="tcp://127.0.0.1:1")


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path):
    with pytest.raises(InputError, match=r"which the worker on .* does not see; expected a folder that"):
        scheduler_module._train_on_cluster(order(tmp_path), "command-1")


def test_a_task_that_lost_its_workers_is_explained():
    distributed = pytest.importorskip("distributed")

    class Future:
        def __init__(self, status, error=None):
            self.status, self.exception = status, lambda: error

    lost = distributed.KilledWorker("key", None, 3)
    assert "ce_dice with seed 1 was under way in several workers that were lost" in str(
        scheduler_module._error_of(Future("error", lost), Task("ce_dice", 1))
    )
    assert "the scheduler went away" in str(scheduler_module._error_of(Future("lost"), Task("ce_dice", 1)))
    assert isinstance(scheduler_module._error_of(Future("error", Ended()), Task("ce_dice", 1)), Ended)
    assert scheduler_module._error_of(Future("finished"), Task("ce_dice", 1)) is None


def test_a_defect_is_raised_before_what_the_user_can_put_right():
    with pytest.raises(Ended):
        scheduler_module._raise_first([None, InputError("x"), Ended()])
    scheduler_module._raise_first([None, None])


def test_the_estimate_follows_what_was_done_since_the_first_look():
    with SharedProgress(4, 100) as progress:
        assert progress.seconds_left(100, now=10.0) is None
        assert progress.seconds_left(150, now=20.0) == pytest.approx(50.0)
        assert progress.seconds_left(400, now=40.0) == 0.0
        progress.show(1, [20, 30])
        progress.show(1, [0, 30])  # one of them began anew
        assert progress._bar.n == 130


def test_too_many_threads_are_told():
    notes = []
    for workers, threads, cores in ((4, 8, 8), (1, 8, 8), (4, 1, 2), (2, 4, 8)):
        scheduler_module._note_threads(workers, threads, cores, notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("workers have 8 threads each, 4 of them 8 cores; OMP_NUM_THREADS=2 is likely")
