"""The files that keep machine code between processes: checked before they are read, and not depended on.

A file is replaced when it is damaged, and a disk that is full or away costs time, never a result: Numba's own
cache raises the error of whichever goes wrong, in every process until the files are deleted by hand.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import inspect
import logging
import os
import stat
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

__all__ = ["CodeCache"]

_logger = logging.getLogger("topodl")
_DIGEST_BYTES = 16


def _folders_to_read(source: str) -> list[Path]:
    """Return the folders that may hold the code of a source file, though they may be read-only."""
    chosen = numba.config.CACHE_DIR
    shared = [Path(chosen, caching._CacheLocator.get_suitable_cache_subpath(source))] if chosen else []
    return [*shared, Path(source).parent / "__pycache__"]


class _ReadOnlyFolder(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """A folder with the code of a source file, where none can be written to."""

    def __init__(self, function: Callable[..., Any], source: str) -> None:
        self._py_file = source
        self._lineno = function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        """Return the folder, the last of those that may be read where there is none."""
        folders = _folders_to_read(self._py_file)
        return str(next(filter(Path.is_dir, folders), folders[-1]))

    def ensure_cache_path(self) -> None:
        """Refuse to write."""
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _ReadOnlyFolder | None:
        """Return the place of a function, where there is the folder."""
        place = cls(py_func, py_file)
        return place if Path(place.get_cache_path()).is_dir() else None


class _ReadableCode(caching.CompileResultCacheImpl):
    """Numba's choice of a folder to write to, and one to read from where there is none."""

    _locator_classes = (*caching.CompileResultCacheImpl._locator_classes, _ReadOnlyFolder)


class CodeCache(caching.FunctionCache):
    """The machine code of one function on disk.

    It is read from ``NUMBA_CACHE_DIR``, from beside the function's file, or from the user's own folder, and
    written to the first of these that takes it. All may be read-only, as in a container or on a cluster.

    Parameters
    ----------
    function : callable
        What is compiled.
    stamp : str or None
        What is kept holds as long as this stays the same; None for the content of the function's file.

    Raises
    ------
    RuntimeError
        If no folder can be written to, and none can be there to read.
    """

    _impl_class = _ReadableCode

    def __init__(self, function: Callable[..., Any], stamp: str | None) -> None:
        super().__init__(function)
        own_stamp = self._impl.locator.get_source_stamp() if stamp is None else stamp
        folders = [*_folders_to_read(inspect.getfile(function)), Path(self._cache_path)]
        self._cache_file = _CheckedFiles(folders, self._impl.filename_base, own_stamp)
        for folder in folders:
            _warn_of_open_folder(folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kept code, or None where there is none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except OSError as error:
            _say_without(error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code, if the disk takes it."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_without(error)


class _CheckedFiles:
    """One file for each signature, with the digest of the rest before it: a damaged one is as if not there.

    Flipped bits could otherwise pass for machine code. Numba's index of all signatures would lose those that
    processes add at the same time, or name the code of one for another.
    """

    def __init__(self, folders: Sequence[Path], name: str, stamp: Any) -> None:
        self._places = dict.fromkeys(folders)
        self._folder = folders[-1]  # the one to write to
        self._name = name
        self._valid_for = (numba.__version__, stamp)

    def load(self, key: Any) -> Any:
        """Return what was saved under `key`, or None."""
        for folder in self._places:
            content = _checked_content(folder / self._file_name(key))
            if content is not None:
                valid_for, kept_key, data = caching.pickle.loads(content)
                if (valid_for, kept_key) == (self._valid_for, key):
                    return caching.pickle.loads(data)
        return None

    def save(self, key: Any, data: Any) -> None:
        """Write `data`, so that others see the whole file or none."""
        # Another version of Numba may not even be able to read what this one keeps.
        body = caching.dumps((self._valid_for, key, caching.dumps(data)))
        file = self._folder / self._file_name(key)
        unfinished = file.with_name(f"{file.name}.{uuid.uuid4().hex[:16]}")
        try:
            unfinished.write_bytes(_digest(body) + body)
            os.replace(unfinished, file)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise

    def flush(self) -> None:
        """Remove every file of this function."""
        for file in self._folder.glob(f"{glob.escape(self._name)}.*.nbc"):
            file.unlink()

    def _file_name(self, key: Any) -> str:
        return f"{self._name}.{hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()}.nbc"


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _checked_content(path: Path) -> bytes | None:
    """Return what a file holds after its digest; None where there is no file, or it is damaged."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if content[:_DIGEST_BYTES] == _digest(content[_DIGEST_BYTES:]):
        return content[_DIGEST_BYTES:]
    _say_damaged(path.parent)
    return None


@functools.cache
def _say_damaged(folder: Path) -> None:
    _logger.warning("topodl found damaged files among its compiled kernels in %s, and replaces them", folder)


def _say_without(error: OSError) -> None:
    _say_once_without(error.strerror or type(error).__name__)


@functools.cache
def _say_once_without(reason: str) -> None:
    _logger.warning(
        "topodl cannot keep compiled kernels on disk (%s), and compiles them in every process; "
        "set NUMBA_CACHE_DIR to another folder",
        reason,
    )


def _warn_of_open_folder(folder: Path) -> None:
    """Warn where others may put files: the code in them is run."""
    if os.name == "nt":  # modes say nothing there
        return
    for place in (folder, folder.parent):
        with contextlib.suppress(OSError):
            mode = place.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                _say_open(place)


@functools.cache
def _say_open(folder: Path) -> None:
    _logger.warning(
        "topodl keeps compiled kernels in %s, where everybody may write files that it would run; "
        "take that right away, or set NUMBA_CACHE_DIR to another folder",
        folder,
    )
