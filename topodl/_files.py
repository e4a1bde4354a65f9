"""Files that appear under their names only when they are whole: a killed run leaves nothing to trust."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path", "partial_files"]


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
