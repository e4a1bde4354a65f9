"""Files that appear under their names only when they are whole, and reading none that may never end."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path", "partial_files", "read_text", "regular_file", "visible"]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` in one step when the block ends without an error.

    Processes of several machines may write the same file at once: the last to end wins, with all of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        yield partial
        with partial.open("r+b") as written:
            os.fsync(written.fileno())  # else a power cut may leave the name without the content
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def regular_file(path: Path) -> Path:
    """Return `path`, or raise an `OSError` if it is there and neither a file nor a folder.

    To open a pipe would wait until somebody writes to it, which may be never.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "is a pipe or a device, not a file", str(path))
    return path


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Return the text of a file.

    Raises
    ------
    OSError
        If there is none, or it is a folder, a pipe or a device.
    ValueError
        If it is not in this encoding, or the path has a NUL.
    """
    return regular_file(path).read_text(encoding=encoding)


def visible(text: str) -> str:
    r"""Return a text with its control characters spelled out: names in files could steer a terminal by them.

    Examples
    --------
    >>> print(visible(chr(27) + "[31mred"))
    \x1b[31mred
    """
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", _spelled_out, text)


def _spelled_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def partial_files(path: Path) -> list[Path]:
    """Return what `atomic_path` has under way for `path`, or what killed processes left of it."""
    beginning, parts = f".{path.name}.", []
    try:
        for entry in path.parent.iterdir():
            token = entry.name.removeprefix(beginning).removesuffix(".part")
            if entry.name == f"{beginning}{token}.part" and token.isalnum():
                parts.append(entry)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(parts)
