"""The decorators that compile every kernel, and the notice that says so when it takes long.

Kernels compile lazily, are cached on disk, release the GIL, and use neither ``parallel`` (two threads that
enter Numba's default threading layer abort the process) nor ``fastmath`` (order, inf and NaN carry meaning).
"""

from __future__ import annotations

import functools
import gc
import hashlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import types
from numba.core import event
from numba.extending import models, register_model, typeof_impl

from topodl.kernels.shared.code_cache import CodeCache
from topodl.kernels.shared.linking import KernelCompiler, PartCompiler

__all__ = ["borrowing_subroutine", "digest_of", "inlined_subroutine", "kernel", "subroutine"]

_logger = logging.getLogger("topodl")
_IMPORT = re.compile(rb"^\s*(?:from|import) (topodl\.kernels[\w.]*)", re.MULTILINE)
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _CompilationNotice(event.Listener):
    """Says once per process that kernels are being compiled, when that takes over a second."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None
        self._depth = 0
        self._lock = threading.Lock()
        self._announced = False

    def on_start(self, event: Any) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1 and not self._announced:
                self._timer = threading.Timer(1.0, self._announce)
                self._timer.daemon = True
                self._timer.start()

    def on_end(self, event: Any) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _announce(self) -> None:
        self._announced = True
        _logger.warning(
            "topodl is compiling its kernels; this happens once, later runs read them from the cache "
            "(`python -m topodl.kernels` compiles all of them ahead)"
        )


class _PausedCollector(event.Listener):
    """Keeps the collector of cyclic garbage, which takes a twelfth of the time, out of compilations."""

    def __init__(self) -> None:
        self._depth = 0
        self._was_enabled = False
        self._lock = threading.Lock()

    def on_start(self, event: Any) -> None:
        with self._lock:
            if self._depth == 0:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._depth += 1

    def on_end(self, event: Any) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._was_enabled:
                gc.enable()


event.register("numba:compile", _CompilationNotice())
event.register("numba:compile", _PausedCollector())


def kernel(function: _Function) -> _Function:
    """Compile `function` with Numba at its first call and cache the machine code on disk.

    Set ``TOPODL_NUMBA_CACHE=0`` to keep nothing on disk, ``NUMBA_CACHE_DIR`` to choose the folder.
    """
    compiled: Any = numba.njit(nogil=True, pipeline_class=KernelCompiler)(function)
    if _keeps_code() and compiled is not function:  # a compiler switched off
        try:
            compiled._cache = CodeCache(function, _stamp_of(function.__module__))
        except RuntimeError as error:  # neither the package's folder nor the user's can be written to
            if "no locator" not in str(error):
                raise
            _say_uncached()
    typed: _Function = compiled
    return typed


def _keeps_code() -> bool:
    return os.environ.get("TOPODL_NUMBA_CACHE", "1") != "0"


def subroutine(function: _Function) -> _Function:
    """Let kernels call `function`; for the rest of Python it stays the function that it is.

    It compiles in less time than a kernel: only inside those that call it, without the code that takes
    arguments from Python, and once for ``int64``, where a kernel compiles anew for every literal.
    """
    callable_from_kernels: Any = _Subroutine(function)
    return callable_from_kernels


def borrowing_subroutine(function: _Function) -> _Function:
    """Let kernels call `function`, which makes no array: it counts no references to those that it is given.

    Counting is atomic, and takes longer than short work does.
    """
    callable_from_kernels: Any = _Subroutine(function, _nrt=False)
    return callable_from_kernels


def inlined_subroutine(function: _Function) -> _Function:
    """Let kernels contain `function`, which makes no array, for work so short that a call would cost more."""
    callable_from_kernels: Any = _Subroutine(function, forceinline=True, _nrt=False)
    return callable_from_kernels


def _stamp_of(module: str) -> str | None:
    """Return what lets the cache hold as long as the source of a kernel and of all that it is made of.

    Numba looks at the time of one file alone: a kernel would go on with the old code of those that it calls.
    None for a package without files.
    """
    try:
        return digest_of(module)
    except OSError:
        return None


@functools.cache
def digest_of(module: str) -> str:
    """Return a digest of the source of a module and of all kernels that it imports."""
    text = Path(_file_of(module)).read_bytes()
    parts = [
        text,
        *(digest_of(name).encode() for name in sorted({*map(bytes.decode, _IMPORT.findall(text))})),
    ]
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def _file_of(module: str) -> str:
    """Return the file of a module, which may be in the middle of its import."""
    spec = sys.modules[module].__spec__
    if spec is None or spec.origin is None:
        raise FileNotFoundError(module)
    return spec.origin


@functools.cache
def _say_uncached() -> None:
    _logger.warning(
        "topodl finds no folder that it may keep compiled kernels in, and compiles them in every process; "
        "set NUMBA_CACHE_DIR to one"
    )


class _Subroutine:
    """A Python function that Numba takes for a compiled one where it meets it as a global of a kernel."""

    def __init__(self, function: Callable[..., Any], **options: bool) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self.compiled = numba.njit(
            nogil=True, pipeline_class=PartCompiler, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options
        )(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.py_func(*args, **kwargs)


class _SubroutineType(types.Dispatcher):
    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        args = tuple(types.unliteral(arg) for arg in args)
        kws = {name: types.unliteral(arg) for name, arg in kws.items()}
        return super().get_call_type(context, args, kws)


@typeof_impl.register(_Subroutine)
def _type_of_subroutine(value: _Subroutine, context: Any) -> _SubroutineType:
    return _SubroutineType(value.compiled)


register_model(_SubroutineType)(models.OpaqueModel)
