"""The one thread pool over the samples of a batch; kernels release the GIL, so threads are enough."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from topodl.errors import InputError

__all__ = ["get_num_threads", "map_batch", "set_num_threads", "usable_cpus"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MOST_THREADS = 256  # unless there are more CPUs

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_num_threads: int | None = None
_inside = threading.local()


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _default_threads() -> int:
    """Return the CPUs that this process may use, or fewer where OpenMP's variable says so."""
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(usable_cpus(), int(limit)) if limit.isdecimal() and int(limit) > 0 else usable_cpus()


def get_num_threads() -> int:
    """Return how many threads work on a batch: what was set, or the CPUs that this process may use.

    The environment variable ``OMP_NUM_THREADS``, by which clusters limit threads, limits these as well.

    Examples
    --------
    >>> import topodl
    >>> topodl.get_num_threads() >= 1
    True
    """
    return _default_threads() if _num_threads is None else _num_threads


def set_num_threads(n: int) -> None:
    """Set how many threads work on the samples of a batch; results do not depend on it.

    Parameters
    ----------
    n : int
        At least 1. One thread runs everything in the caller's own thread. More than 256 are never started,
        unless there are as many CPUs.

    Raises
    ------
    InputError
        If `n` is not a positive integer.

    Examples
    --------
    >>> import topodl
    >>> before = topodl.get_num_threads()
    >>> topodl.set_num_threads(1)
    >>> topodl.get_num_threads()
    1
    >>> topodl.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"set_num_threads: n is {n!r}; expected an integer of at least 1")
    global _num_threads, _pool
    with _lock:
        _num_threads, old, _pool = n, _pool, None
    if old is not None:
        old.shutdown(wait=False)


def map_batch(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Apply `function` to every item, on the pool where that helps, and return the results in order.

    A call from inside a pool thread runs serially, so that nested batches cannot wait for each other; so does
    one whose threads cannot start.
    """
    if len(items) < 2 or get_num_threads() == 1 or getattr(_inside, "pool", False):
        return [function(item) for item in items]
    futures: list[Future[_Result]] = []
    try:
        _submit(function, items, futures)
        if len(futures) == len(items):
            return [future.result() for future in futures]
    except BaseException:  # of a bad sample or an interrupt: nobody waits for the rest
        _cancel(futures)
        raise
    _cancel(futures)
    return [function(item) for item in items]


def _submit(
    function: Callable[[_Item], _Result], items: Sequence[_Item], futures: list[Future[_Result]]
) -> None:
    """Append the future of every item, of fewer where a thread cannot start: at exit, or under a limit."""
    with _lock:  # submitting under the lock keeps set_num_threads from closing the pool in between
        for item in items:
            try:
                futures.append(_current_pool().submit(function, item))
            except RuntimeError:
                return


def _cancel(futures: Sequence[Future[_Result]]) -> None:
    for future in futures:
        future.cancel()


def _current_pool() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        n_threads = min(get_num_threads(), max(_MOST_THREADS, usable_cpus()))
        _pool = ThreadPoolExecutor(n_threads, "topodl", initializer=_mark_pool_thread)
    return _pool


def _mark_pool_thread() -> None:
    _inside.pool = True


def _forget_pool() -> None:
    """Start afresh in a forked child: the parent's threads do not exist there."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()
    _inside.pool = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
