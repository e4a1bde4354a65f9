"""Which process does which work in a folder that several of them share, on one machine or on many.

The claim to the work `x` is the file `x.N`, its highest generation N. Whoever creates the next generation has
the work: only one process can, and generations only grow, so that a slow process cannot win with what it saw
before. The holder renews the file's time. All times are those of the file system, not of any machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from topodl.errors import InputError

__all__ = ["RENEW_EVERY", "STALE_AFTER", "Claim", "ClaimLostError", "Claims", "Holder"]

RENEW_EVERY = 5.0  # seconds
STALE_AFTER = 120.0  # seconds; a network's file system may stand still for most of them
_POLL = 0.1  # seconds
_RECORD_BYTES = 512


class ClaimLostError(InputError):
    """Another process has taken the work over, because this one did not renew its claim in time."""


@dataclass(frozen=True)
class Holder:
    """The process that has a claim, and how far it is with the work."""

    host: str
    pid: int
    done: int


class Claims:
    """The claims in one folder.

    Parameters
    ----------
    folder : Path
        Where the files are; made when the first claim is.
    stale_after, renew_every : float
        Seconds after which a claim that nobody renewed is free again, and those between two renewals.
    machine : str or None
        What names this machine and the processes that one can ask for on it; by default found out.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stale_after: float = STALE_AFTER,
        renew_every: float = RENEW_EVERY,
        machine: str | None = None,
    ) -> None:
        self.folder, self.stale_after, self.renew_every = folder, stale_after, renew_every
        self.machine = _this_machine() if machine is None else machine

    def take(self, name: str) -> Claim | None:
        """Return the claim to `name` for this process, or None while another one has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.generations(name)
        if before and self._holder(before[-1]) is not None:
            return None
        generation = _generation(before[-1]) + 1 if before else 0
        try:
            claim = Claim(self, name, generation)
        except FileExistsError:
            return None
        if self.generations(name)[-1] != claim.path:  # what was seen before was out of date
            _remove(claim.path)
            return None
        # The one before stays, so that there is always a highest one to see.
        for old in before[:-1]:
            _remove(old)
        claim.keep_renewing()
        return claim

    def wait_for(self, name: str) -> Claim:
        """Return the claim to `name` as soon as it is free: for work of seconds."""
        while (claim := self.take(name)) is None:
            time.sleep(_POLL)
        return claim

    def holder(self, name: str) -> Holder | None:
        """Return the living process that has the claim to `name`, if there is one."""
        generations = self.generations(name)
        return self._holder(generations[-1]) if generations else None

    def generations(self, name: str) -> list[Path]:
        """Return the files of all generations of the claim to `name`, the highest last."""
        pattern = re.compile(re.escape(name) + r"\.[0-9]+")
        try:
            # A listing, other than the question for one file, is not answered from a network client's memory.
            found = [self.folder / entry for entry in os.listdir(self.folder) if pattern.fullmatch(entry)]
        except FileNotFoundError:
            return []
        return sorted(found, key=_generation)

    def now(self) -> float:
        """Return the time of the file system, in seconds."""
        with tempfile.TemporaryFile(dir=self.folder) as probe:
            return os.fstat(probe.fileno()).st_mtime

    def _holder(self, path: Path) -> Holder | None:
        try:
            with path.open("rb") as file:
                record = _parsed(file.read())
                age = self.now() - os.fstat(file.fileno()).st_mtime
        except OSError:  # it has just been removed, together with the work; or is out of reach for a moment
            return Holder("?", 0, 0)
        if record.get("released") or age >= self.stale_after:
            return None
        pid = int(record.get("pid", 0))
        if record.get("machine") == self.machine and not _is_alive(pid):
            return None
        return Holder(str(record.get("host", "?")), pid, int(record.get("done", 0)))


class Claim:
    """The claim of this process to one piece of work, from `Claims.take`; a context, which releases it.

    Set `done` to how far the work is; the next renewal writes it down.
    """

    def __init__(self, claims: Claims, name: str, generation: int) -> None:
        self.name, self.path, self.done = name, claims.folder / f"{name}.{generation}", 0
        self._claims, self._token = claims, secrets.token_hex(8)
        self._lost, self._ended, self._lock = False, threading.Event(), threading.Lock()
        self._confirmed = time.monotonic()
        with self.path.open("xb") as file:
            try:
                file.write(self._record())
                file.flush()
            except OSError:
                self.path.unlink(missing_ok=True)
                raise

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def keep_renewing(self) -> None:
        """Start the thread that renews the claim."""
        threading.Thread(target=self._renew_again_and_again, name="topodl-claim", daemon=True).start()

    def is_lost(self) -> bool:
        """Look whether another process has the work now."""
        self._renew()
        return self._lost or time.monotonic() - self._confirmed > self._claims.stale_after

    def confirm(self) -> None:
        """Raise a `ClaimLostError` if another process has the work now: for what must not be done twice."""
        if self.is_lost():
            raise ClaimLostError(
                f"another process has taken over {self.name}, as this one had not renewed its claim"
            )

    def check(self) -> None:
        """Do as `confirm`, but look no further than this process while it has renewed the claim in time."""
        if self._lost or time.monotonic() - self._confirmed > self._claims.stale_after / 2:
            self.confirm()

    def release(self) -> None:
        """Leave the work to whoever wants it next."""
        with self._lock:
            if not self._ended.is_set():
                self._ended.set()
                self._write(released=True)

    def finish(self) -> None:
        """Remove the claim: the work is done, and whoever takes a claim to it will see that."""
        with self._lock:
            self._ended.set()
            for path in self._claims.generations(self.name):
                if _generation(path) <= _generation(self.path):
                    _remove(path)

    def _renew_again_and_again(self) -> None:
        while not self._lost and not self._ended.wait(self._claims.renew_every):
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            if not self._ended.is_set():
                self._write()

    def _write(self, released: bool = False) -> None:
        """Write the record again, which renews the file's time, unless the work is another process's now."""
        try:
            with self.path.open("r+b") as file:
                # A file belongs to one claim all its life, so that nobody else's can be overwritten here.
                self._lost = self._lost or _parsed(file.read()).get("token") != self._token
                if not self._lost:
                    file.seek(0)
                    file.write(self._record(released))
                    file.truncate()
            self._lost = self._lost or self._claims.generations(self.name)[-1:] != [self.path]
            self._confirmed = time.monotonic()
        except FileNotFoundError:
            self._lost = True
        except OSError:  # a disk that is full or away for a moment: the next renewal tries again
            return

    def _record(self, released: bool = False) -> bytes:
        record = {
            "host": socket.gethostname()[:64],
            "pid": os.getpid(),
            "machine": self._claims.machine,
            "token": self._token,
            "done": self.done,
            "released": released,
        }
        # Always of the same length, so that one write replaces all of it.
        return json.dumps(record).encode().ljust(_RECORD_BYTES - 1) + b"\n"


def _remove(path: Path) -> None:
    # Windows keeps a file that another process reads at the moment; that one is harmless, and removed later.
    with contextlib.suppress(OSError):
        path.unlink()


def _generation(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


def _parsed(record: bytes) -> dict[str, Any]:
    """Return what a claim's file says; nothing where its process was killed before it could write."""
    try:
        values = json.loads(record)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _is_alive(pid: int) -> bool:
    """Say whether this machine has a process `pid`; where one cannot ask, it counts as alive."""
    if os.name == "nt" or pid <= 0:  # Windows takes signal 0 for Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@cache
def _this_machine() -> str:
    """Return what is equal for processes that see each other's numbers: machine, boot and container."""
    parts = [socket.gethostname()[:64]]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError, AttributeError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
