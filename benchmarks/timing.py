"""What the benchmarks time with: processor time of one thread, candidates that take turns in one process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Candidate = Callable[[], object]


def one_thread() -> None:
    """Let torch and topodl compute on one thread."""
    import torch

    import topodl

    torch.set_num_threads(1)
    topodl.set_num_threads(1)


def cpu_ms(call: Candidate) -> float:
    """Return the milliseconds of processor time of one call."""
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


_TURN = 5.0  # milliseconds


def least(candidates: dict[str, Candidate], rounds: int, seconds: float = math.inf) -> dict[str, float]:
    """Return the least milliseconds of processor time of each candidate; they take turns.

    After three rounds none begins that is later than `seconds` after the first.
    """
    for candidate in candidates.values():
        candidate()
    best = dict.fromkeys(candidates, math.inf)
    start = time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - start > seconds:
            break
        for name, candidate in candidates.items():
            spent = 0.0
            while spent < _TURN:  # a single short call would find the caches full of what others left
                took = cpu_ms(candidate)
                best[name], spent = min(best[name], took), spent + took
    return best


def least_ms(candidate: Candidate, rounds: int = 5) -> float:
    """Return the least milliseconds of processor time of one candidate, after a first call."""
    return least({"": candidate}, rounds)[""]
