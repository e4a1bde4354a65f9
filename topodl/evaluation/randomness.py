"""Random numbers by key: what is drawn depends on (seed, purpose, iteration, …) and on nothing drawn before.

So a resumed training needs no generator's state, and worker processes cannot change a result.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = [
    "BATCH",
    "INITIALISATION",
    "INTENSITIES",
    "ORDER",
    "PLACES",
    "SPLIT",
    "STEP",
    "generator",
    "private_randomness",
    "seed_all",
]

# Purposes
INITIALISATION, ORDER, BATCH, STEP, SPLIT, PLACES, INTENSITIES = range(7)


def generator(*key: int) -> np.random.Generator:
    """Return the generator that belongs to `key`."""
    return np.random.default_rng(key)


def seed_all(*key: int) -> None:
    """Set the seeds of Python, NumPy and torch (all devices) to what belongs to `key`."""
    value = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 (libraries that draw from the old global generator)
    torch.manual_seed(value)


@contextmanager
def private_randomness() -> Iterator[None]:
    """Put back the states of all global generators when the block ends."""
    python, old_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(old_numpy)  # noqa: NPY002
