"""What is free: of the machine, of control groups, of the process."""

import sys

import pytest

from topodl import _memory

GIB = 2**30


def machine(root, *, available=8 * GIB, cgroup="0::/a/b\n", files=None):
    """Write the files of a Linux machine below `root`."""
    texts = {
        "proc/meminfo": f"MemTotal: 99 kB\nMemAvailable: {available // 1024} kB\n",
        "proc/self/cgroup": cgroup,
        "proc/self/statm": "1000 1 1 1 0 1 0\n",
        **(files or {}),
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")


def group(folder, limit, usage, cached=0, version=2):
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}[
        version
    ]
    statistics = f"anon 5\ninactive_file {cached}\n"
    return {f"{folder}/{names[0]}": f"{limit}\n", f"{folder}/{names[1]}": f"{usage}\n",
            f"{folder}/memory.stat": statistics}  # fmt: skip


@pytest.fixture(autouse=True)
def _on_another_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(_memory, "_ROOT", tmp_path)


def test_without_limits_it_is_what_the_machine_has(tmp_path):
    machine(tmp_path, files=group("sys/fs/cgroup/a/b", "max", 5))
    assert _memory.free_memory() == 8 * GIB


def test_the_nearest_limit_counts_and_the_file_cache_is_free(tmp_path):
    own = group("sys/fs/cgroup/a/b", 4 * GIB, 3 * GIB, cached=GIB)
    machine(tmp_path, files={**own, **group("sys/fs/cgroup/a", 6 * GIB, 5 * GIB)})
    assert _memory.free_memory() == GIB


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    files = group("sys/fs/cgroup/memory", 3 * GIB, GIB, version=1)
    machine(tmp_path, cgroup="5:cpu:/x\n4:memory:/outside/a\n0::/\n", files=files)
    assert _memory.free_memory() == 2 * GIB


def test_no_limit_of_the_first_version_is_a_large_number(tmp_path):
    files = group("sys/fs/cgroup/memory/a", 2**63 - 4096, GIB, version=1)
    machine(tmp_path, cgroup="4:memory:/a\n", files=files)
    assert _memory.free_memory() == 8 * GIB


def test_more_used_than_allowed_leaves_nothing(tmp_path):
    machine(tmp_path, files=group("sys/fs/cgroup/a/b", GIB, 2 * GIB))
    assert _memory.free_memory() == 0


def test_elsewhere_sixteen_gib_are_assumed(tmp_path):
    assert _memory.free_memory() == 16 * GIB


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_the_limit_of_the_process_counts(tmp_path, monkeypatch):
    machine(tmp_path)
    monkeypatch.setattr(_memory.resource, "getrlimit", lambda which: (2 * GIB, 2 * GIB))
    assert _memory.free_memory() == 2 * GIB - 1000 * _memory.resource.getpagesize()
