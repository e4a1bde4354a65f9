"""Parts of an experiment in processes of their own, with a thread each.

Small networks gain little from a second thread. Cost: a start of Python and torch for each process.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import TypeVar

import torch

from topodl.kernels.shared.pool import set_num_threads

__all__ = ["side_by_side"]

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def side_by_side(
    jobs: Iterable[_Job],
    run: Callable[[_Job], _Result],
    n_processes: int,
    then: Callable[[_Job], Iterable[_Job]] = lambda job: (),
) -> Iterator[tuple[_Job, _Result]]:
    """Yield jobs with their results as they come; `then` tells which jobs had to wait for one.

    Jobs start in their order. With one process they run in this one.
    """
    if n_processes == 1:
        queue = deque(jobs)
        while queue:
            job = queue.popleft()
            yield job, run(job)
            queue.extend(then(job))
        return
    # Started afresh, as what torch and the kernels' threads hold does not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_processes, mp_context=context, initializer=_prepare)
    try:
        running = {pool.submit(run, job): job for job in jobs}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                yield job, future.result()
                running.update((pool.submit(run, each), each) for each in then(job))
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    """Take one thread, and end with the parent: a pool's processes outlive one that is killed."""
    torch.set_num_threads(1)
    set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
