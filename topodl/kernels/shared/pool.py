"""The one pool of threads, over the samples of a batch and the parts of a large sample.

Kernels release the GIL, so threads are enough. Who hands out work takes part in it, and waits for nothing
that nobody has begun: so work may be handed out from inside of work, and no more threads run than were asked
for.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from topodl.errors import InputError

__all__ = ["get_num_threads", "map_batch", "set_num_threads", "split", "usable_cpus"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_MOST_THREADS = 256  # unless there are more CPUs

_lock = threading.Lock()


class _Crew:
    """The threads beside the caller's own, and how many of them have nothing to do."""

    def __init__(self, n: int) -> None:
        self.size = self.free = n
        self._executor = ThreadPoolExecutor(max(n, 1), "topodl")

    def invite(self, work: _Work, n: int) -> None:
        """Let up to `n` free threads take part; fewer where one cannot start: at exit, or under a limit."""
        for _ in range(min(n, self.free)):
            self.free -= 1
            try:
                self._executor.submit(self._help, work)
            except RuntimeError:  # it is queued all the same: a later thread takes it, and is free again
                return

    def _help(self, work: _Work) -> None:
        try:
            work.take_part()
        finally:
            with _lock:
                self.free += 1

    def dismiss(self) -> None:
        self._executor.shutdown(wait=False)


class _Work:
    """A function and its items, which any number of threads take in turn."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self._function, self._items = function, items
        self._results: list[Any] = [None] * len(items)
        self._errors: dict[int, BaseException] = {}
        self._next, self._running, self._changed = 0, 0, threading.Condition()

    def take_part(self) -> None:
        """Do what nobody has begun, until there is no more."""
        while (i := self._claim()) is not None:
            try:
                self._results[i] = self._function(self._items[i])
            except BaseException as error:  # also an interrupt: it goes to who waits for the results
                self._errors[i] = error
                self.stop()
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify()

    def _claim(self) -> int | None:
        with self._changed:
            if self._next == len(self._items):
                return None
            self._running += 1
            self._next += 1
            return self._next - 1

    def stop(self) -> None:
        """Let nothing more begin."""
        with self._changed:
            self._next = len(self._items)

    def results(self) -> list[Any]:
        """Wait for what others have begun; return the results in order, or raise the first item's error."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0)
        if self._errors:
            raise self._errors[min(self._errors)]
        return self._results


_crew: _Crew | None = None
_num_threads: int | None = None


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
    """Return how many threads work at a time: what was set, or the CPUs that this process may use.

    The environment variable ``OMP_NUM_THREADS``, by which clusters limit threads, limits these as well.

    Examples
    --------
    >>> import topodl
    >>> topodl.get_num_threads() >= 1
    True
    """
    return _default_threads() if _num_threads is None else _num_threads


def set_num_threads(n: int) -> None:
    """Set how many threads work on a batch, and on one large sample; results do not depend on it.

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
    global _num_threads, _crew
    with _lock:
        _num_threads, old, _crew = n, _crew, None
    if old is not None:
        old.dismiss()


def map_batch(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """Apply `function` to every item, with the threads that are free, and return the results in order.

    Items begin in their order; of several that fail the first one's error is raised, as without threads.
    `function` may call this again.
    """
    if len(items) < 2 or get_num_threads() == 1:
        return [function(item) for item in items]
    work = _Work(function, items)
    try:
        with _lock:  # which keeps set_num_threads from dismissing the crew in between
            _current_crew().invite(work, len(items) - 1)
        work.take_part()
        return work.results()
    finally:  # of an interrupt: nobody waits for the rest
        work.stop()


def split(n: int, least: int) -> list[tuple[int, int]]:
    """Return ranges that part `n` things among the caller's share of the threads, `least` or more in each.

    A share is what is left for each of those who are at work. Results must not depend on it.
    """
    with _lock:
        crew = _current_crew() if get_num_threads() > 1 else None
        share = 1 if crew is None else (crew.size + 1) // (crew.size - crew.free + 1)
    n_parts = max(1, min(share, n // least))
    bounds = [n * k // n_parts for k in range(n_parts + 1)]
    return list(itertools.pairwise(bounds))


def _current_crew() -> _Crew:
    global _crew
    if _crew is None:
        _crew = _Crew(min(get_num_threads(), max(_MOST_THREADS, usable_cpus())) - 1)
    return _crew


def _forget_pool() -> None:
    """Start afresh in a forked child: the parent's threads do not exist there."""
    global _crew, _lock
    _crew, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
