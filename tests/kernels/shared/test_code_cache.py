"""Compiled kernels on disk: kept, replaced when damaged, done without when they cannot be written."""

import errno
import importlib.util
import os
import pickle
import sys

import numba
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topodl.kernels.shared import code_cache

SOURCE = """
from topodl.kernels.shared.compile import kernel

@kernel
def double(x):
    return 2 * x
"""

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def _fresh(folder, monkeypatch):
    """Keep code in the test's folder, and let every notice be said again."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("TOPODL_NUMBA_CACHE", "1")
    forget_notices()


def forget_notices():
    for notice in (code_cache._say_damaged, code_cache._say_once_without, code_cache._say_open):
        notice.cache_clear()


def run_kernel(folder):
    """Import the kernel as a new process would, call it, and return whether its code was read from disk."""
    path = folder / "doubling.py"
    if not path.exists():
        path.write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("doubling", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["doubling"] = module
    try:
        spec.loader.exec_module(module)
        assert module.double(21) == 42
        return sum(module.double.stats.cache_hits.values()) == 1
    finally:
        del sys.modules["doubling"]


def notices_with(words, caplog):
    return sum(words in record.getMessage() for record in caplog.records)


def files_of(folder):
    return sorted((folder / "cache").rglob("*.nb?"))


def test_code_is_read_from_disk_the_second_time(folder):
    run_kernel(folder)
    assert len(files_of(folder)) == 1
    assert run_kernel(folder)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_replaced_and_said_once(folder, caplog, data):
    run_kernel(folder)
    whole = files_of(folder)[0].read_bytes()
    damage = data.draw(st.sampled_from(["cut", "zeros", "flipped bit"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = {
        "cut": whole[:place],
        "zeros": bytes(len(whole)),
        "flipped bit": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
    }[damage]
    files_of(folder)[0].write_bytes(damaged)
    forget_notices()
    caplog.clear()
    assert not run_kernel(folder)
    assert notices_with("found damaged files", caplog) == 1
    assert run_kernel(folder)


def test_code_of_another_compiler_is_not_read(folder):
    run_kernel(folder)
    (file,) = files_of(folder)
    own, key, _ = pickle.loads(code_cache._checked_content(file))
    foreign = pickle.dumps((("0.1", *own[1:]), key, b"in a form that this version does not know"))
    file.write_bytes(code_cache._digest(foreign) + foreign)
    assert not run_kernel(folder)
    assert run_kernel(folder)


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_takes_nothing_costs_no_result(folder, caplog, monkeypatch, reason):
    def refuse(*paths):
        raise OSError(reason, os.strerror(reason))

    for path in files_of(folder):
        path.unlink()
    monkeypatch.setattr(code_cache.os, "replace", refuse)
    assert not run_kernel(folder)
    assert not run_kernel(folder)
    assert not files_of(folder)
    assert notices_with(os.strerror(reason), caplog) == 1


def test_a_file_that_cannot_be_read_costs_no_result(folder, caplog):
    run_kernel(folder)
    (file,) = files_of(folder)
    file.unlink()
    file.mkdir()
    try:
        assert not run_kernel(folder)
        assert notices_with("cannot keep compiled kernels", caplog) == 1
    finally:
        file.rmdir()


@pytest.mark.skipif(os.name == "nt", reason="modes say nothing there")
def test_a_folder_that_everybody_may_write_to_is_named(folder, caplog):
    run_kernel(folder)
    caplog.clear()
    (folder / "cache").chmod(0o777)
    try:
        run_kernel(folder)
        assert notices_with("everybody may write", caplog) == 1
    finally:
        (folder / "cache").chmod(0o755)
