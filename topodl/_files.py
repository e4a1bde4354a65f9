"""Files that appear under their names only when they are whole: a killed run leaves nothing to trust."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path"]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` in one step when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        with partial.open("r+b") as written:
            os.fsync(written.fileno())  # else a power cut may leave the name without the content
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
