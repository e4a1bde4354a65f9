"""The files that keep machine code between processes: checked before they are read, and not depended on.

A file is replaced when it is damaged, and a disk that is full or away costs time, never a result: Numba's own
cache raises the error of whichever goes wrong, in every process until the files are deleted by hand.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba.core import caching

__all__ = ["CodeCache"]

_logger = logging.getLogger("topodl")
_DIGEST_BYTES = 16


class CodeCache(caching.FunctionCache):
    """The machine code of one function on disk.

    Parameters
    ----------
    function : callable
        What is compiled.
    stamp : str or None
        What is kept holds as long as this stays the same; None for the time of the function's file.

    Raises
    ------
    RuntimeError
        If no folder can be written to.
    """

    def __init__(self, function: Callable[..., Any], stamp: str | None) -> None:
        super().__init__(function)
        own_stamp = self._impl.locator.get_source_stamp() if stamp is None else stamp
        self._cache_file = _CheckedFiles(self._cache_path, self._impl.filename_base, own_stamp)
        _warn_of_open_folder(Path(self._cache_path))

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


class _CheckedFiles(caching.IndexDataCacheFile):
    """Numba's files, each with the digest of the rest before it: a damaged one is as if it were not there.

    Flipped bits could otherwise pass for machine code.
    """

    def __init__(self, cache_path: str, filename_base: str, source_stamp: Any) -> None:
        # Under names of their own, for files of plain Numba would look damaged.
        super().__init__(cache_path, f"{filename_base}.checked", source_stamp)

    def _load_index(self) -> dict[Any, str]:
        content = _checked_content(self._index_path)
        if content is None:
            return {}
        version, stamp, overloads = caching.pickle.loads(content)
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        with self._open_for_write(self._index_path) as file:
            file.write(self._dump((self._version, self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        content = _checked_content(self._data_path(name))
        return None if content is None else caching.pickle.loads(content)

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        yield content
        body = content.getvalue()
        with super()._open_for_write(filepath) as file:
            file.write(_digest(body) + body)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _checked_content(path: str) -> bytes | None:
    """Return what a file holds after its digest; None where there is no file, or it is damaged."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    if content[:_DIGEST_BYTES] == _digest(content[_DIGEST_BYTES:]):
        return content[_DIGEST_BYTES:]
    _say_damaged(Path(path).parent)
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
