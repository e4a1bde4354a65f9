"""Parts are linked into the kernels that call them: in any order, with their errors, never by themselves."""

import os
import subprocess
import sys

import numba
import pytest

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")

# `lowest` is reached on four ways, one of them through a kernel, and `sum_to` calls itself.
PARTS = """
import numpy as np
from topodl.kernels.shared.compile import borrowing_subroutine, inlined_subroutine, kernel, subroutine

@borrowing_subroutine
def lowest(values):
    if values.size == 0:
        raise ValueError("no values")
    low = values[0]
    for value in values:
        low = min(low, value)
    return low

@inlined_subroutine
def with_lowest(values, more):
    return lowest(values) + more

@subroutine
def shifted(values):
    moved = np.empty_like(values)
    for i in range(values.size):
        moved[i] = with_lowest(values, values[i])
    return moved

@kernel
def twice_lowest(values):
    return 2 * lowest(shifted(values))

@subroutine
def sum_to(n):
    if n == 0:
        return 0
    return n + sum_to(n - 1)

@kernel
def all_together(values):
    return lowest(values), twice_lowest(values), shifted(values), sum_to(values.size)
"""
CALL = """
import numpy as np, parts
for values in (np.array([3.0, -1.0, 2.0]), np.array([5, 7])):
    print(*(np.asarray(part).tolist() for part in parts.all_together(values)))
for kernel in (parts.all_together, parts.twice_lowest):
    try:
        kernel(np.empty(0))
    except ValueError as error:
        print(error)
print(sum(kernel.stats.cache_hits.total() for kernel in (parts.all_together, parts.twice_lowest)))
"""


def run(folder):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "TOPODL_NUMBA_CACHE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CALL], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """What the kernels print when they are compiled, when they are read from disk, and their files."""
    folder = tmp_path_factory.mktemp("linking")
    (folder / "parts.py").write_text(PARTS, encoding="utf-8")
    first, second = run(folder), run(folder)
    return first, second, sorted((folder / "cache").rglob("*.nbc"))


def test_kernels_compute_with_their_parts_and_pass_on_their_errors(two_runs):
    first, second, _ = two_runs
    by_hand = ["-1.0 -4.0 [2.0, -2.0, 1.0] 6", "5 20 [10, 12] 3", "no values", "no values"]
    assert first[:4] == by_hand
    assert second[:4] == by_hand


def test_kernels_alone_are_kept_on_disk_with_all_of_their_parts(two_runs):
    first, second, files = two_runs
    assert (first[4], second[4]) == ("0", "3")
    assert {file.name.split("-")[0] for file in files} == {"parts.all_together", "parts.twice_lowest"}
