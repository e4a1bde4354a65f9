"""The command that compiles ahead: in processes, naming what fails, leaving none behind."""

import multiprocessing
import os
import subprocess
import sys

import numba
import pytest

from topodl.kernels.shared.ahead import failures, main

MODULES = {
    "fine": "def warm_up(): pass",
    "wrong": "def warm_up(): raise ValueError('no kernel')",
    "dying": "import os\ndef warm_up(): os._exit(3)",
    "endless": "import time\ndef warm_up(): time.sleep(3600)",
}

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")


@pytest.fixture(autouse=True)
def _modules(tmp_path, monkeypatch):
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TOPODL_NUMBA_CACHE", "1")


def test_a_module_that_fails_is_named_and_the_others_compile():
    assert list(failures(["fine", "wrong"], jobs=1)) == [("wrong", "ValueError: no kernel")]


def test_what_is_not_ready_when_a_process_dies_is_named():
    ((name, error),) = failures(["dying"], jobs=1)
    assert name == "dying"
    assert error.startswith("BrokenProcessPool")


def test_an_interrupt_leaves_no_process_behind():
    found = failures(["wrong", "endless"], jobs=2)
    assert next(found)[0] == "wrong"
    with pytest.raises(KeyboardInterrupt):
        found.throw(KeyboardInterrupt)
    assert not multiprocessing.active_children()


def test_a_number_of_processes_below_one_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--jobs", "0"])
    assert "--jobs is 0; expected at least 1" in capsys.readouterr().err


def test_compiling_ahead_without_a_cache_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("TOPODL_NUMBA_CACHE", "0")
    with pytest.raises(SystemExit):
        main([])
    assert "TOPODL_NUMBA_CACHE is 0" in capsys.readouterr().err


def test_the_command_compiles_what_is_asked_for(tmp_path):
    asked = [sys.executable, "-m", "topodl.kernels", "shared.row_tables", "mapper.neighbours"]
    done = subprocess.run(
        asked,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 kernel modules ready")
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def test_rooms_without_kernels_are_named(capsys):
    with pytest.raises(SystemExit):
        main(["image"])
    assert "no kernels are in image" in capsys.readouterr().err
