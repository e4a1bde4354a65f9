"""Fetch TopoMortar's public archive, check every file against its SHA-256 and move it into place at once.

Everything happens in a temporary folder beside the target: a run that is killed leaves nothing to trust.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import time
import urllib.request
import zlib
from http.client import HTTPException
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from topodl._checks import fail
from topodl.errors import InputError
from topodl.kernels.shared.pool import map_batch

__all__ = ["DATA_URL", "PublishedFile", "download_topomortar", "published_files"]

_COMMIT = "f709b3c72f4f24f68239281292f854918707f95f"
DATA_URL = f"https://github.com/jmlipman/TopoMortar/archive/{_COMMIT}.tar.gz"

_NAME = "TopoMortar"
_CHUNK = 1 << 20
_STALE_SECONDS = 24 * 3600


class PublishedFile(NamedTuple):
    """What a file must be."""

    sha256: str
    size: int


def published_files() -> dict[str, PublishedFile]:
    """Return the SHA-256 and the size of every file of the data set, by its path in it."""
    text = resources.files("topodl.datasets").joinpath("topomortar_files.txt").read_text(encoding="utf-8")
    rows = (line.split(" ", 2) for line in text.splitlines())
    return {path: PublishedFile(sha256, int(size)) for sha256, size, path in rows}


def download_topomortar(root: Path, url: str) -> None:
    """Bring the files that `root` lacks into it; what is there already is checked and never overwritten."""
    if (root.exists() or root.is_symlink()) and not root.is_dir():
        raise fail(_NAME, "root", f"is {str(root)!r}, a file or a link that leads nowhere", "a folder")
    files = published_files()
    missing = _check_present(root, files)
    if not missing:
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(root)
        scratch = Path(tempfile.mkdtemp(prefix=_prefix(root), dir=root.parent))
    except OSError as error:
        came = f"is {str(root)!r}, beside which nothing can be written ({error.strerror})"
        raise fail(_NAME, "root", came, "a place for the data set") from error
    try:
        archive, data = scratch / "archive", scratch / "data"
        _fetch(url, archive)
        _unpack(url, archive, data, files)
        _move(data, root, missing)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_present(root: Path, files: dict[str, PublishedFile]) -> list[str]:
    """Return which files are not there; raise if one that is there is not the published one."""
    there = [path for path in files if (root / path).exists()]

    def is_published(path: str) -> bool:
        file = root / path
        try:
            return file.stat().st_size == files[path].size and _sha256(file) == files[path].sha256
        except OSError as error:
            raise InputError(f"{_NAME}: cannot read {file}: {error}") from error

    for path, good in zip(there, map_batch(is_published, there), strict=True):
        if not good:
            raise InputError(
                f"{_NAME}: {root / path} differs from the published file; remove it to fetch it again"
            )
    present = set(there)
    return [path for path in files if path not in present]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prefix(root: Path) -> str:
    return f".{root.name}-download-"


def _remove_stale(root: Path) -> None:
    """Remove what downloads that were killed have left; younger folders may belong to one that still runs."""
    for folder in root.parent.glob(_prefix(root) + "*"):
        if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _fetch(url: str, target: Path) -> None:
    from tqdm import tqdm

    try:
        with urllib.request.urlopen(url, timeout=60) as source, target.open("wb") as file:
            length = source.headers.get("Content-Length")
            total = int(length) if length else None
            with tqdm(desc=_NAME, total=total, unit="B", unit_scale=True, unit_divisor=1024) as bar:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
    # URLError and timeouts are OSErrors, an unknown scheme is a ValueError.
    except (OSError, ValueError, HTTPException) as error:
        raise InputError(f"{_NAME}: cannot fetch {url}: {error}") from error


def _unpack(url: str, archive: Path, data: Path, files: dict[str, PublishedFile]) -> None:
    """Unpack the published files below `data`; raise unless all of them are there and unchanged."""
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            for member in members:
                _refuse_unsafe(url, member)
            found = _data_members(members, files)
            for path in sorted(found, key=lambda path: found[path].offset):
                source = tar.extractfile(found[path])
                if source is None or _copy(source, data / path, files[path].size) != files[path].sha256:
                    raise InputError(f"{_NAME}: {path} in {url} differs from the published file")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{_NAME}: {url} is not a complete tar archive: {error}") from error
    lacking = [path for path in files if path not in found]
    if lacking:
        raise InputError(f"{_NAME}: {url} lacks {len(lacking)} of {len(files)} files, such as {lacking[0]}")


def _refuse_unsafe(url: str, member: tarfile.TarInfo) -> None:
    """Raise if `member` could write outside the folder: an absolute path, a climbing one, or any link."""
    name = member.name
    path = PurePosixPath(name)
    climbs = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    if climbs or not (member.isfile() or member.isdir()):
        raise InputError(f"{_NAME}: {url} is refused, because its member {name!r} leads out of the folder")


def _data_members(
    members: list[tarfile.TarInfo], files: dict[str, PublishedFile]
) -> dict[str, tarfile.TarInfo]:
    """Return the members below the folder that holds the split file, by their path in the data set."""
    anchors = [PurePosixPath(m.name).parent for m in members if PurePosixPath(m.name).name == "splits.yaml"]
    if not anchors:
        return {}
    top = min(anchors, key=lambda folder: len(folder.parts))
    inside = (m for m in members if m.isfile() and PurePosixPath(m.name).is_relative_to(top))
    by_path = {PurePosixPath(m.name).relative_to(top).as_posix(): m for m in inside}
    return {path: member for path, member in by_path.items() if path in files}


def _copy(source: IO[bytes], target: Path, size: int) -> str:
    """Write up to one byte more than `size` bytes to `target` and return their SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read(size + 1)
    target.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _move(data: Path, root: Path, missing: list[str]) -> None:
    """Move the data into place: the whole folder at once, or file by file into one that has some."""
    if root.is_dir() and not any(root.iterdir()):
        root.rmdir()
    if not root.exists():
        try:
            data.rename(root)
            return
        except OSError:
            # Another process has put it there in the meantime.
            if not root.is_dir():
                raise
    for path in missing:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).replace(root / path)
