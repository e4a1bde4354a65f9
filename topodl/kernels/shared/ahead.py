"""Compiling kernels ahead of their first use, in several processes: what ``python -m topodl.kernels`` does.

A module whose kernels Python calls has a function ``warm_up()``: it runs them on tiny input of every type.
Those with most source come first, so that none runs alone at the end. A process that starts afresh finds the
functions that it is given by their module, which must not be a ``__main__``.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

from topodl import kernels
from topodl.kernels.shared.pool import usable_cpus

__all__ = ["compile_module", "failures", "main", "modules_to_warm_up"]

_MOST_PROCESSES = 16  # with more, the longest module is what one waits for


def modules_to_warm_up() -> list[ModuleType]:
    """Return every module in the rooms of `topodl.kernels` that has a function ``warm_up()``."""
    found = pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}.")
    modules = [importlib.import_module(name) for _, name, is_room in found if not is_room]
    return [module for module in modules if hasattr(module, "warm_up")]


def compile_module(name: str) -> None:
    """Compile the kernels of the module called `name`."""
    importlib.import_module(name).warm_up()


def failures(names: Sequence[str], jobs: int) -> Iterator[tuple[str, str]]:
    """Compile the modules called `names` in `jobs` processes; yield those that fail, each with its error."""
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(jobs, context, initializer=_leave_interrupts_to_parent) as processes,
        tqdm(total=len(names), desc="compiling", unit="module") as progress,
    ):
        compiling = {processes.submit(compile_module, name): name for name in names}
        try:
            for done in as_completed(compiling):
                error = done.exception()
                if error is not None:
                    yield compiling[done], f"{type(error).__name__}: {error}"
                progress.set_postfix_str(compiling[done].removeprefix(f"{kernels.__name__}."))
                progress.update()
        except BaseException:
            processes.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
                process.join()
            raise


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Call each ``warm_up()``; say how long they took together, or which failed."""
    parser = argparse.ArgumentParser(prog="python -m topodl.kernels", description="Compile all kernels.")
    parser.add_argument("rooms", nargs="*", help="compile only these, such as images or graphs.graph")
    parser.add_argument("--jobs", type=int, help="how many processes (default: one a CPU, at most 16)")
    parsed = parser.parse_args(arguments)
    jobs = parsed.jobs
    if jobs is not None and jobs < 1:
        parser.error(f"--jobs is {jobs}; expected at least 1")
    if os.environ.get("TOPODL_NUMBA_CACHE", "1") == "0":
        parser.error("TOPODL_NUMBA_CACHE is 0, so that nothing is kept; expected it unset")
    start = time.perf_counter()
    modules = sorted(modules_to_warm_up(), key=_length_of_source, reverse=True)
    names = [module.__name__ for module in modules if _is_in(module.__name__, parsed.rooms)]
    if not names:
        parser.error(f"no kernels are in {' or '.join(parsed.rooms)}; expected rooms such as images")
    try:
        failed = sorted(failures(names, jobs or min(usable_cpus(), _MOST_PROCESSES)))
    except KeyboardInterrupt:
        print("interrupted; what is compiled so far is kept", file=sys.stderr)
        return 130
    for name, error in failed:
        print(f"{name} failed: {error}", file=sys.stderr)
    print(f"{len(names) - len(failed)} kernel modules ready after {time.perf_counter() - start:.1f} s")
    return 1 if failed else 0


def _length_of_source(module: ModuleType) -> int:
    return Path(str(module.__file__)).stat().st_size


def _is_in(name: str, rooms: Sequence[str]) -> bool:
    """Return whether a module is one of `rooms`, or in one of them, or there are none."""
    own = name.removeprefix(f"{kernels.__name__}.")
    return not rooms or any(own == room or own.startswith(f"{room}.") for room in rooms)
