"""A worker: a process of its own that does trainings of a study for the process that started it.

What to do comes as one line on its standard input, what its parent should know goes out as lines of JSON. It
ends when its parent does, or stops it: its standard input is closed then.
"""

from __future__ import annotations

import _thread
import base64
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import torch

from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.settings import StudySettings
from topodl.evaluation.study import work_on
from topodl.evaluation.turns import Pair

__all__ = ["Worker", "WorkerLostError", "main"]

_SECONDS_TO_END = 10.0
_STOPPED = 130


class WorkerLostError(RuntimeError):
    """A worker was killed; what it did until its last checkpoint is there."""


class Worker:
    """A worker, started, as its parent sees it.

    Parameters
    ----------
    trainings : sequence of (loss, seed)
        What it is to do, as far as nobody else does.
    settings : StudySettings
        The study.
    output : Path
        Its folder.
    threads : int
        Number of threads that torch computes with: results on a CPU depend on it.
    gpu : str or None
        What `CUDA_VISIBLE_DEVICES` is for the worker; by default what it is here.
    """

    def __init__(
        self,
        trainings: Sequence[Pair],
        settings: StudySettings,
        output: Path,
        *,
        threads: int,
        gpu: str | None,
    ) -> None:
        self._stopped = False
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        # In a session of its own, so that Ctrl-C reaches the parent alone, who then stops its workers.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        order = {"trainings": list(trainings), "settings": settings, "output": output, "threads": threads}
        try:
            self._stdin.write(base64.b64encode(pickle.dumps(order)) + b"\n")
            self._stdin.flush()
        except BrokenPipeError:  # it is dead already, as `finish` will find
            pass

    def finish(self, note: Callable[[str], None]) -> None:
        """Wait for the end, pass on what the worker notes, and raise what kept it from its work."""
        error: Exception | None = None
        for line in self._stdout:
            kind, text = json.loads(line)
            if kind == "note":
                note(text)
            else:
                error = InputError(text) if kind == "input" else RuntimeError(text)
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


def main() -> int:
    """Do what the parent sends, and return the exit status."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is not for the parent

    def say(kind: str, text: str) -> None:
        channel.write(json.dumps([kind, text]) + "\n")

    try:
        order: dict[str, Any] = pickle.loads(base64.b64decode(sys.stdin.buffer.readline()))
        threading.Thread(target=_end_with_the_parent, daemon=True).start()
        torch.set_num_threads(order.pop("threads"))
        work_on(**order, note=lambda text: say("note", text), shown=False)
    except (InputError, MissingDependencyError) as error:
        say("input", str(error))
        return 2
    except KeyboardInterrupt:
        return _STOPPED
    except Exception:
        say("failure", traceback.format_exc())
        return 1
    return 0


def _end_with_the_parent() -> None:
    # Not through `sys.stdin`, whose lock a thread may not hold when the interpreter ends.
    os.read(0, 1)
    _thread.interrupt_main()
    time.sleep(_SECONDS_TO_END)
    os._exit(_STOPPED)


if __name__ == "__main__":
    sys.exit(main())
