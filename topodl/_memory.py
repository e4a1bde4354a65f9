"""How much memory a computation may still take: of the machine, of a container, of the process."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["free_memory"]

_ROOT = Path("/")  # of the files in which Linux tells
_UNKNOWN = 2**34  # Windows and macOS do not say
_UNLIMITED = 2**60  # what the first version of control groups writes for "max" is above


class _Group(NamedTuple):
    """The files of a control group whose memory is limited."""

    limit: Path
    usage: Path
    statistics: Path


def free_memory() -> int:
    """Return the bytes that are free or that the file cache gives back, limits of this process included."""
    groups = [_left_in(group) for group in _limited_groups(_ROOT)]
    return max(0, min([_left_on_machine(_ROOT), _left_in_process(_ROOT), *groups]))


def _left_on_machine(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return _UNKNOWN


def _left_in_process(root: Path) -> int:
    """Return what `ulimit -v` leaves."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource is not None else -1
    if resource is None or limit == resource.RLIM_INFINITY:
        return _UNLIMITED
    try:
        pages = int((root / "proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return _UNLIMITED
    return limit - pages * resource.getpagesize()


def _left_in(group: _Group) -> int:
    try:
        limit, usage = _number_in(group.limit), _number_in(group.usage)
        lines = group.statistics.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # it has been lifted, or the group is gone
        return _UNLIMITED
    cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return limit - usage + cached


@functools.cache
def _limited_groups(root: Path) -> tuple[_Group, ...]:
    """Return those of this process's control groups that limit its memory: mostly none."""
    found = []
    for group in _groups(root):
        try:
            if _number_in(group.limit) < _UNLIMITED:
                found.append(group)
        except (OSError, ValueError):  # not there, or "max"
            continue
    return tuple(found)


def _groups(root: Path) -> Iterator[_Group]:
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        own = PurePosixPath(path)
        # A container may see the folders of its host, or its own as the root.
        for place in (own, *own.parents):
            folder = base / str(place).lstrip("/")
            yield _Group(folder / names[0], folder / names[1], folder / "memory.stat")


def _number_in(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
