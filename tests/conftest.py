"""Fixtures and hypothesis profiles shared by all tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# The tests run in as many processes as there are cores, and their tensors are small. Set before torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, max_examples=50, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", parent=settings.get_profile("default"), max_examples=1000, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden values and real data; tests that need it skip where it is not given."""
    folder = os.environ.get("TOPODL_SHARED")
    if not folder:
        pytest.skip("TOPODL_SHARED is not set")
    return Path(folder)


@pytest.fixture
def use_threads() -> Iterator[Callable[[int], None]]:
    """A function that sets how many threads topodl uses, until the test ends."""
    from topodl.kernels.shared.pool import get_num_threads, set_num_threads

    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)
