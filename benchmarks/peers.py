"""How the benchmarks reach peers whose pins collide with topodl's: by interpreters of other environments."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Worker:
    """A script in a process of another interpreter, which answers as long as it runs; see `serve`."""

    def __init__(self, python: str, script: str, *arguments: str) -> None:
        command = [python, script, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *question: Any) -> Any:
        """Return the answer to a question, or raise the error that it met there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer


def serve(answer: Callable[..., float]) -> None:
    """Answer the questions of a `Worker`, one a line, until there are none."""
    for line in sys.stdin:
        try:
            said: Any = answer(*json.loads(line))
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        print(json.dumps(said), flush=True)


def times_of(python: str | None, program: str, data: np.ndarray) -> dict[str, float]:
    """Return the milliseconds that a program prints as name|value, run by another interpreter on an array."""
    if python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npy"
        np.save(path, data)
        command = [python, "-c", program, str(path)]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: float(value) for name, value in (line.split("|") for line in out.splitlines())}


def borrow_packages(python: str) -> None:
    """Let this process find the packages of another Python of the same version, after its own."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    sys.path.append(done.stdout.strip())


def betti_matching_3d() -> Any:
    """Return the compiled module of Betti-Matching-3D alone; it comes with topolosses."""
    package = importlib.util.find_spec("topolosses")
    if package is None or not package.submodule_search_locations:
        raise ImportError("Betti-Matching-3D comes with topolosses: pip install topolosses")
    folder = Path(package.submodule_search_locations[0]) / "losses" / "betti_matching" / "src"
    library = next(folder.glob("betti_matching.*"))
    spec = importlib.util.spec_from_file_location("betti_matching", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
