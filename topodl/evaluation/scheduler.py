"""The trainings of a study in several processes: local workers, or the workers of a Dask cluster.

Each worker takes trainings by claims in the study's folder, as the processes do that users start. So none is
done twice, and what a lost worker had under way goes on from its checkpoint in another one. On a cluster each
training has a task, whose process goes on with others as long as some are left: to start one and to read all
images may take as long as a training.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from topodl._checks import check_number, fail
from topodl._claims import Claims
from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.crew import Crew
from topodl.evaluation.given_data import StudySplits
from topodl.evaluation.handed_over import HandedOver, Order, write_handed_over
from topodl.evaluation.networks import NetworkFactory, find_network
from topodl.evaluation.opening import refuse_other_study, require_packages
from topodl.evaluation.progress import SharedProgress
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import with_objects
from topodl.evaluation.tasks import Task, merge_results, trainings_of, unfinished, work_name

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["run_distributed_study", "settings_of_cluster"]

_NAME = "topodl evaluate"
_LOOK_SECONDS = 1.0
_GPU = "GPU"  # name of the resource, as in Dask's own documentation
_gpus_in_use: set[str] = set()
_gpus_lock = threading.Lock()


def run_distributed_study(
    settings: StudySettings,
    output: str | Path,
    *,
    data: StudySplits | None = None,
    network: NetworkFactory | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> RunFolder:
    """Run a study as `run_study` does, in several processes; on a CPU, to the same measurements.

    A worker that is killed is replaced, and its training goes on from the last checkpoint. All of them
    compute with as many threads as this process would.

    Parameters
    ----------
    settings : StudySettings
        What to train and test, each training on one device.
    output : str or Path
        A new folder, or that of the same study; all workers must see it.
    data, network : object and callable, optional
        As for `run_study`. Both go to the workers through a file in the study's folder, which lasts as long
        as this call; a network of a script or notebook with all that it is made of.
    jobs : int
        Number of local workers. They take the GPUs in turn, if the device is "cuda".
    scheduler : str or None
        Address of a Dask scheduler, or its file, to whose workers the trainings go in place of local ones.
        Where workers have the resource `GPU`, each training takes one.
    note : callable
        Gets a line of text for what the user should know but need not act on.

    Returns
    -------
    RunFolder
        Where everything lies.

    Raises
    ------
    InputError
        As `run_study` does; if there is no scheduler; if a training kills one worker after the other; if the
        network cannot be sent to another process.
    MissingDependencyError
        If the extra `eval` is not installed, or `cluster` for a scheduler.

    References
    ----------
    M. Rocklin, "Dask: Parallel computation with blocked algorithms and task scheduling", SciPy 2015.

    Examples
    --------
    >>> from topodl.evaluation import StudySettings, run_distributed_study
    >>> settings = StudySettings.of_protocol("quick", seeds=[1, 2, 3, 4])
    >>> folder = run_distributed_study(settings, "topodl-runs/walls", jobs=4)  # doctest: +SKIP
    """
    check_number(_NAME, "jobs", jobs, low=1, integer=True)
    if scheduler is not None and jobs != 1:
        raise fail(_NAME, "jobs", f"is {jobs} with scheduler={scheduler!r}", "one of the two")
    for argument in ("devices", "nodes"):
        count = getattr(settings, argument)
        if count != 1:
            raise fail(_NAME, argument, f"is {count} in a study of several workers", "1 for each training")
    settings, objects = with_objects("run_distributed_study", settings, data, network)
    require_packages(settings)
    folder = RunFolder(Path(output).expanduser().resolve())
    refuse_other_study(folder, settings)
    if scheduler is None:
        if network is None:
            find_network(settings.network)  # now, and not in each of the workers
        _run_locally(settings, folder, jobs, objects, _only_once(note))
    else:
        with _connected(scheduler, note) as client:
            _run_on_cluster(client, settings, folder, objects, _only_once(note))
    merge_results(folder, settings)  # which a worker that was killed may have left
    return folder


def settings_of_cluster(
    scheduler: str,
    protocol: str = "quick",
    *,
    note: Callable[[str], None] = lambda text: None,
    **overrides: Any,
) -> StudySettings:
    """Return `StudySettings.of_protocol` as a worker of a Dask cluster has it: its device is the one to use.

    Parameters
    ----------
    scheduler : str
        Address of a Dask scheduler, or its file.
    protocol : {"quick", "topomortar", "tuned"}
        The preset that the values are taken from.
    note : callable
        Gets a line of text if there is no worker yet, so that this waits for the first.
    **overrides : object
        Values to set otherwise than the protocol.

    Returns
    -------
    StudySettings
        For `run_distributed_study`.

    Raises
    ------
    InputError
        If there is no scheduler, or a value is unusable on its workers.
    MissingDependencyError
        If the extra `cluster` is not installed.

    References
    ----------
    M. Rocklin, "Dask: Parallel computation with blocked algorithms and task scheduling", SciPy 2015.

    Examples
    --------
    >>> from topodl.evaluation import settings_of_cluster
    >>> settings = settings_of_cluster("tcp://login:8786", "topomortar", seeds=[1, 2])  # doctest: +SKIP
    """
    with _connected(scheduler, note) as client:
        task = client.submit(
            StudySettings.of_protocol, protocol, **overrides, pure=False, resources=_resources(client)
        )
        settings: StudySettings = task.result()
        return settings


def _only_once(note: Callable[[str], None]) -> Callable[[str], None]:
    """Return a `note` to which all workers may tell the same."""
    said: set[str] = set()

    def once(text: str) -> None:
        if text not in said:
            said.add(text)
            note(text)

    return once


@contextmanager
def _command(folder: RunFolder, objects: HandedOver) -> Iterator[tuple[str, Path | None]]:
    """Give the name of a claim that lasts as long as this command, and the file with what it hands over."""
    command = Claims(folder.claims).wait_for(f"command-{uuid.uuid4().hex[:12]}")
    path = folder.claims / f"{command.name}.objects" if objects else None
    try:
        if path is not None:
            write_handed_over(path, objects)
        yield command.name, path
    finally:
        if path is not None:
            path.unlink(missing_ok=True)
        command.finish()


def _run_locally(
    settings: StudySettings,
    folder: RunFolder,
    jobs: int,
    objects: HandedOver,
    note: Callable[[str], None],
) -> None:
    trainings = tuple(trainings_of(settings))
    jobs = min(jobs, max(1, len(unfinished(trainings, settings, folder))))
    threads = _threads(settings)
    if threads is not None:
        _note_threads(jobs, threads, os.cpu_count() or 1, note)
    gpus = _visible_gpus() if settings.device == "cuda" else []
    with _command(folder, objects) as (_, path), ThreadPoolExecutor(jobs) as pool:
        crew = Crew(Order(trainings, trainings, settings, folder.root, threads, path), note)
        places = [pool.submit(crew.work, gpus[i % len(gpus)] if gpus else None) for i in range(jobs)]
        try:
            _watch(settings, folder, places)
            wait_for(places)
        except BaseException:
            crew.stop()
            raise
    _raise_first([place.exception() for place in places])


def _threads(settings: StudySettings) -> int | None:
    """Return the number of threads that all workers compute with, where the measurements depend on it."""
    return torch.get_num_threads() if settings.device == "cpu" else None


def _note_threads(workers: int, threads: int, cores: int, note: Callable[[str], None]) -> None:
    """Say so where `workers` on one machine have more threads than it has cores."""
    if threads > 1 and workers * threads > cores:
        better = f"OMP_NUM_THREADS={max(1, cores // workers)}"
        note(
            f"workers have {threads} threads each, {workers} of them {cores} cores; {better} is likely to be "
            "faster, and changes the last digits of the measurements"
        )


def _run_on_cluster(
    client: Client,
    settings: StudySettings,
    folder: RunFolder,
    objects: HandedOver,
    note: Callable[[str], None],
) -> None:
    trainings, threads = unfinished(trainings_of(settings), settings, folder), _threads(settings)
    if threads is not None:
        _note_threads(1, threads, min(client.run(os.cpu_count).values()), note)
    futures: dict[Future[list[str]], Task] = {}
    # The command's end ends the tasks that are under way; those that wait go with the connection.
    with _command(folder, objects) as (command, path):
        resources = _resources(client)
        for i, task in enumerate(trainings):
            own_first = (*trainings[i:], *trainings[:i])
            order = Order(own_first, (task,), settings, folder.root, threads, path, os.getcwd())
            key = f"topodl-{work_name(task)}-{command}"
            futures[client.submit(_train_on_cluster, order, command, key=key, resources=resources)] = task
        _watch(settings, folder, list(futures))
    errors = [_error_of(future, task) for future, task in futures.items()]
    for text in (text for future, error in zip(futures, errors, strict=True) if error is None
                 for text in future.result()):  # fmt: skip
        note(text)
    _raise_first(errors)


def _train_on_cluster(order: Order, command: str) -> list[str]:
    """Work in a process below a worker of Dask, and return the notes; end when the command does."""
    folder, notes = RunFolder(order.output), list[str]()
    claims = Claims(folder.claims)
    if not claims.generations(command):
        came = f"is {str(order.output)!r}, which the worker on {socket.gethostname()} does not see"
        raise fail(_NAME, "output", came, "a folder that the command and all workers share")
    if not unfinished(order.awaited, order.settings, folder):  # another task's process did it meanwhile
        return notes
    crew, ended = Crew(order, notes.append), threading.Event()

    def end_with_the_command() -> None:
        while not ended.wait(2 * _LOOK_SECONDS):
            if claims.holder(command) is None:
                crew.stop()

    threading.Thread(target=end_with_the_command, daemon=True).start()
    try:
        with _gpu_of_task() as gpu:
            crew.work(gpu)
    finally:
        ended.set()
    return notes


@contextmanager
def _gpu_of_task() -> Iterator[str | None]:
    """Give a GPU that no other task of this worker has, where it has several; else it sees the right one."""
    from distributed import get_worker

    count = _gpus_of_worker(get_worker())
    if count < 2:
        yield None
        return
    with _gpus_lock:
        gpu = next(gpu for gpu in _visible_gpus(count) if gpu not in _gpus_in_use)
        _gpus_in_use.add(gpu)
    try:
        yield gpu
    finally:
        with _gpus_lock:
            _gpus_in_use.discard(gpu)


def _visible_gpus(count: int | None = None) -> list[str]:
    """Return the GPUs of this process, as `CUDA_VISIBLE_DEVICES` names them."""
    named = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
    return named or [str(i) for i in range(torch.cuda.device_count() if count is None else count)]


def _resources(client: Client) -> Mapping[str, int] | None:
    """Return what a task asks for: a GPU, where any worker says that it has some."""
    return {_GPU: 1} if any(client.run(_gpus_of_worker).values()) else None


def _gpus_of_worker(dask_worker: Any) -> int:
    """Return how many GPUs a worker says that it has; `Client.run` fills in the argument by its name."""
    return int(dask_worker.state.total_resources.get(_GPU, 0))


@contextmanager
def _connected(scheduler: str, note: Callable[[str], None]) -> Iterator[Client]:
    """Give a connection to the scheduler as soon as it has a worker."""
    try:
        from distributed import Client
    except ImportError as error:
        purpose = f"{_NAME} --scheduler"
        raise MissingDependencyError("distributed", extra="cluster", purpose=purpose) from error
    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**where, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise fail(
            _NAME,
            "scheduler",
            f"is {scheduler!r}, where nothing answers ({error})",
            "address or file of a running Dask scheduler, such as 'tcp://host:8786'",
        ) from error
    with client:
        if not client.nthreads():  # type: ignore[no-untyped-call]
            note(f"waiting for the first worker of {scheduler}")
        client.wait_for_workers(1)
        yield client


def _error_of(future: Any, training: Task) -> BaseException | None:
    """Return what a task of Dask ended with, in words that say more than Dask's."""
    from distributed import KilledWorker

    if future.status in ("cancelled", "lost"):
        return InputError(f"{_NAME}: the scheduler went away; the same command goes on from here")
    error: BaseException | None = future.exception()
    if isinstance(error, KilledWorker):
        return InputError(
            f"{_NAME}: {training} was under way in several workers that were lost, one after "
            "the other; expected enough memory and time for each. The same command goes on from here"
        )
    return error


def _watch(settings: StudySettings, folder: RunFolder, tasks: Sequence[Any]) -> None:
    """Show the progress until all tasks are done, from what the folder says of trainings and of claims."""
    trainings, claims = trainings_of(settings), Claims(folder.claims)
    with SharedProgress(len(trainings), settings.iterations) as progress:
        while True:
            done = all(task.done() for task in tasks)
            left = unfinished(trainings, settings, folder)
            holders = [claims.holder(work_name(task)) for task in left]
            progress.show(len(trainings) - len(left), [h.done for h in holders if h is not None])
            if done:
                return
            time.sleep(max(_LOOK_SECONDS, len(left) / 50))  # looking asks the file system for each


def _raise_first(errors: Sequence[BaseException | None]) -> None:
    """Raise the first error, one that is a defect before one that the user can put right."""
    found = [error for error in errors if error is not None]
    for error in sorted(found, key=lambda error: isinstance(error, InputError)):
        raise error
