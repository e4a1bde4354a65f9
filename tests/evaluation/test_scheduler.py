"""Studies of several processes, some of them killed: the files of one process, byte for byte."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import torch

from topodl.evaluation.claims import Claims
from topodl.evaluation.run_folder import RunFolder, read_rows
from topodl.evaluation.scheduler import run_distributed_study, settings_of_cluster
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import run_study
from topodl.evaluation.turns import is_finished, trainings_of, work_name

from .test_study import results

LOSSES = ["ce_dice", "cldice", "skeleton_recall"]
SIZES = {"image_size": 32, "iterations": 12, "batch_size": 2, "test_images": 1, "training_set": "small",
         "validation_interval": 6, "device": "cpu", "checkpoint_seconds": 0.0}  # fmt: skip
OPTIONS = [word for name, value in SIZES.items() for word in (f"--{name.replace('_', '-')}", str(value))]

can_stop = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops processes by POSIX signals")


def study(**values):
    return StudySettings.of_protocol("quick", **({"losses": LOSSES, "seeds": [1, 2]} | SIZES | values))


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run_study(study(), tmp_path_factory.mktemp("study") / "serial")
    finally:
        torch.set_num_threads(threads)


def kill_in_the_middle(folder, settings, victim_of=lambda pid: pid):
    """Kill, as `kill -9` does, a process that has trained and not finished; return its number and training.

    `victim_of` names the process to kill for the one that has the claim.
    """
    claims, deadline = Claims(folder.claims), time.monotonic() + 300
    while time.monotonic() < deadline:
        time.sleep(0.02)
        for pair in trainings_of(settings):
            holder = claims.holder(work_name(*pair))
            if holder is None or not folder.checkpoint(*pair).exists():
                continue
            with stopped(holder.pid):  # it cannot end the training between the look and the kill
                again = claims.holder(work_name(*pair))
                if again is not None and again.pid == holder.pid and not is_finished(folder, settings, *pair):
                    victim = victim_of(holder.pid)
                    os.kill(victim, signal.SIGKILL)
                    return victim, pair
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
        and any(str(seed) in path.parts or path.stem == str(seed) for seed in seeds)
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
def test_a_dask_cluster_one_worker_killed(tmp_path, serial):
    distributed = pytest.importorskip("distributed")
    psutil = pytest.importorskip("psutil")
    folder, settings = RunFolder(tmp_path / "run"), study()
    killer = Killer(folder, settings, lambda pid: psutil.Process(pid).ppid())
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, resources={"GPU": 1}
    ) as cluster:
        assert settings_of_cluster(cluster.scheduler_address, "quick", seeds=[4], note=print).seeds == (4,)
        killer.start()
        run_distributed_study(settings, folder.root, scheduler=cluster.scheduler_address)
    killer.join()
    assert killer.killed is not None
    assert_as_one_process_did_it(folder, serial)
