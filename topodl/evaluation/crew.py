"""Worker processes as their parent sees them: started, listened to, replaced when killed, stopped."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO

from topodl.errors import InputError
from topodl.evaluation.failures import TrainingFailedError
from topodl.evaluation.handed_over import Order
from topodl.evaluation.run_folder import RunFolder
from topodl.evaluation.tasks import unfinished

__all__ = ["Crew", "Worker", "WorkerLostError"]

_NAME = "topodl evaluate"
_ERRORS = {"input": InputError, "training": TrainingFailedError}
_LOSSES = 3  # workers of one place that may be killed before it is given up


class WorkerLostError(RuntimeError):
    """A worker was killed; what it did until its last checkpoint is there."""


class Worker:
    """A worker, started, as its parent sees it.

    Parameters
    ----------
    order : Order
        What it is to do.
    gpu : str or None
        What `CUDA_VISIBLE_DEVICES` is for the worker; by default what it is here.
    """

    def __init__(self, order: Order, gpu: str | None) -> None:
        self._stopped = False
        modules = [order.modules] if os.path.isdir(order.modules) else []
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, *modules]))}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        # In a session of its own, so that Ctrl-C reaches the parent alone, who then stops its workers.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "topodl.evaluation.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        try:
            self._stdin.write(base64.b64encode(pickle.dumps(order)) + b"\n")
            self._stdin.flush()
        except BrokenPipeError:  # it is dead already, as `finish` will find
            pass

    def finish(self, note: Callable[[str], None]) -> None:
        """Wait for the end, pass on what the worker notes, and raise what kept it from its work."""
        error: Exception | None = None
        for line in self._stdout:
            if not line.endswith(b"\n"):  # it was killed in the middle of a word
                break
            kind, text = json.loads(line)
            if kind == "note":
                note(text)
            else:
                error = _ERRORS.get(kind, RuntimeError)(text)
        status = self._process.wait()
        self._stdout.close()
        was_stopped = self._stopped
        self.stop()
        if error is not None:
            raise error
        if status != 0 and not was_stopped:
            raise WorkerLostError(f"signal {-status}" if status < 0 else f"exit status {status}")

    def stop(self) -> None:
        """Have the worker end: at once, or after some seconds where it cannot."""
        self._stopped = True
        try:
            self._stdin.close()
        except OSError:
            return

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout


class Crew:
    """Workers for the same trainings, each in a place where another one takes over when it is killed."""

    def __init__(self, order: Order, note: Callable[[str], None]) -> None:
        self._order, self._note = order, note
        self._stopped, self._lock, self._workers = False, threading.Lock(), set[Worker]()

    def work(self, gpu: str | None) -> None:
        """Have one worker after the other at work until one ends by itself."""
        for lost in range(1, _LOSSES + 2):
            with self._lock:
                if self._stopped:
                    return
                worker = Worker(self._order, gpu)
                self._workers.add(worker)
            try:
                worker.finish(self._note)
                return
            except WorkerLostError as error:
                if lost > _LOSSES:
                    raise InputError(
                        f"{_NAME}: {lost} workers were killed one after the other, the last by {error}; "
                        "expected enough memory for each. The same command goes on from here"
                    ) from error
                self._note(f"worker {worker.pid} was killed ({error}); another one goes on")
                if not self._is_awaited():
                    return
            finally:
                with self._lock:
                    self._workers.discard(worker)

    def _is_awaited(self) -> bool:
        """Say whether there is more to do than what others answer for."""
        order = self._order
        return bool(unfinished(order.awaited, order.settings, RunFolder(order.output)))

    def stop(self) -> None:
        """Have all workers end."""
        with self._lock:
            self._stopped = True
            for worker in self._workers:
                worker.stop()
