"""The kernel decorator: caching, the notice for slow compilation, the command that compiles ahead."""

import os
import subprocess
import sys

import pytest

KERNEL_MODULE = """
from topodl.kernels.shared.compile import kernel, subroutine

@kernel
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result

@subroutine
def add(a, b):
    return a + b

@kernel
def count(n):
    k = 0
    while k < n:
        k = add(b=1, a=k)
    return k
"""


def _run(folder, code, **environment):
    module = folder / "my_kernel.py"
    if not module.exists():  # a file that is written anew invalidates what is cached
        module.write_text(KERNEL_MODULE, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={
            **os.environ,
            "NUMBA_CACHE_DIR": str(folder / "cache"),
            "TOPODL_NUMBA_CACHE": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )


CALL = "import numpy as np, my_kernel; print(my_kernel.total(np.arange(4.0)))"


def test_machine_code_is_cached_on_disk(tmp_path):
    assert _run(tmp_path, CALL).stdout == "6.0\n"
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert _run(tmp_path, CALL).stdout == "6.0\n"


def test_the_cache_can_be_switched_off(tmp_path):
    assert _run(tmp_path, CALL, TOPODL_NUMBA_CACHE="0").stdout == "6.0\n"
    assert not list(tmp_path.rglob("*.nbc"))


def test_without_a_folder_to_write_to_kernels_compile_all_the_same(tmp_path):
    refuse = """
import numba.core.caching as caching
def refuse(self):
    raise PermissionError
caching._CacheLocator.ensure_cache_path = refuse
"""
    result = _run(tmp_path, refuse + CALL)
    assert result.stdout == "6.0\n"
    assert result.stderr.count("set NUMBA_CACHE_DIR") == 1
    assert not list(tmp_path.rglob("*.nbc"))


# No file can be opened for writing, no folder made: as on a read-only file system, for every user.
READ_ONLY = """
import errno, os, sys
def refuse(event, arguments):
    if event == "os.mkdir" or event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
sys.dont_write_bytecode = True
sys.addaudithook(refuse)
"""
COUNT_READ = "; print(sum(my_kernel.total.stats.cache_hits.values()))"


@pytest.mark.parametrize("compiled_into", ["cache", ""])  # "": beside the source, as in an installed package
def test_kernels_compiled_ahead_are_read_where_nothing_can_be_written(tmp_path, compiled_into):
    place = str(tmp_path / compiled_into) if compiled_into else ""
    _run(tmp_path, CALL, NUMBA_CACHE_DIR=place)
    assert list((tmp_path / (compiled_into or "__pycache__")).rglob("*.nbc"))
    nowhere = str(tmp_path / "home")
    read = _run(tmp_path, READ_ONLY + CALL + COUNT_READ, NUMBA_CACHE_DIR=place, HOME=nowhere)
    assert read.stdout == "6.0\n1\n"
    assert read.stderr == ""


def test_what_was_not_compiled_ahead_compiles_where_nothing_can_be_written(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    read = _run(tmp_path, READ_ONLY + CALL + COUNT_READ, NUMBA_CACHE_DIR="", HOME=str(tmp_path / "home"))
    assert read.stdout == "6.0\n0\n"
    assert read.stderr.count("cannot keep compiled kernels on disk (Read-only file system)") == 1


def test_a_subroutine_compiles_once_for_all_integers_and_stays_a_function_in_python(tmp_path):
    code = (
        "import my_kernel\n"
        "from numba.core import event\n"
        "with event.install_recorder('numba:compile') as compiled:\n"
        "    print(my_kernel.count(3), my_kernel.add('a', b='b'))\n"
        "names = [e.data['dispatcher'].py_func.__name__ for _, e in compiled.buffer if e.is_start]\n"
        "print(names.count('add'))\n"
    )
    assert _run(tmp_path, code).stdout == "3 ab\n1\n"
    assert _run(tmp_path, code).stdout == "3 ab\n0\n"  # machine code is read from the disk


def test_the_garbage_collector_rests_while_kernels_compile(tmp_path):
    code = (
        "import gc, numpy as np, my_kernel, numba\n"
        "from numba.core import event\n"
        "seen = []\n"
        "class Look(event.Listener):\n"
        "    def on_start(self, event): seen.append(gc.isenabled())\n"
        "    def on_end(self, event): pass\n"
        "event.register('numba:compile', Look())\n"
        "my_kernel.count(3); print(any(seen), gc.isenabled())\n"
        "gc.disable(); my_kernel.total(np.zeros(1)); print(gc.isenabled())\n"
    )
    assert _run(tmp_path, code).stdout == "False True\nFalse\n"


def test_slow_compilation_is_announced_once(tmp_path):
    code = (
        "import time; from topodl.kernels.shared import compile as subject\n"
        "notice = subject._CompilationNotice()\n"
        "for _ in range(2):\n"
        "    notice.on_start(None); time.sleep(1.3); notice.on_end(None)\n"
    )
    assert _run(tmp_path, code).stderr.count("compiling its kernels") == 1


def test_quick_compilation_is_not_announced(tmp_path):
    code = (
        "import time; from topodl.kernels.shared import compile as subject\n"
        "notice = subject._CompilationNotice()\n"
        "notice.on_start(None); notice.on_end(None); time.sleep(1.2)\n"
    )
    assert _run(tmp_path, code).stderr == ""


LOW = """
from topodl.kernels.shared.compile import {decorator}

@{decorator}
def step({arguments}):
    return {value}
"""
HIGH = """
from topodl.kernels.low import step
from topodl.kernels.shared.compile import kernel

@kernel
def twice(n):
    return step({arguments}) + step({arguments})
"""
CALL_HIGH = (
    "import os, topodl.kernels; topodl.kernels.__path__.append(os.path.abspath('rooms'))\n"
    "from topodl.kernels.high import twice; print(twice(3), sum(twice.stats.cache_hits.values()))"
)


@pytest.mark.parametrize("decorator", ["kernel", "subroutine", "inlined_subroutine"])
def test_a_kernel_is_compiled_anew_when_one_that_it_calls_changes(tmp_path, decorator):
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    outputs = []
    for arguments, value in (("n", "n"), ("n", "n"), ("n", "n + 1"), ("n, m", "n + m")):
        given = "n, n" if "m" in arguments else "n"
        for name, source in (
            ("low", LOW.format(decorator=decorator, arguments=arguments, value=value)),
            ("high", HIGH.format(arguments=given)),
        ):
            file = rooms / f"{name}.py"
            if not file.exists() or file.read_text(encoding="utf-8") != source:
                file.write_text(source, encoding="utf-8")
            os.utime(file, (1e9, 1e9))  # a copy or a wheel has times of its own
        outputs.append(_run(tmp_path, CALL_HIGH).stdout.split())
    assert outputs == [["6", "0"], ["6", "1"], ["8", "0"], ["12", "0"]]
