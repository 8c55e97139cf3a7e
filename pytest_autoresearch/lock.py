"""One writer: the lock of a session, and who holds it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import replace_text
from pytest_autoresearch.processtree import Identity, identify

_PATIENCE_S = 0.3
_LOCK, _HOLDER = "lock", "holder.json"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that took the lock last, as it said itself, and when."""

    process: Identity
    since: str

    @property
    def lives(self) -> bool:
        """Whether it is that process still, and not another one that has got its pid."""
        return identify(self.process.pid) == self.process

    def __str__(self) -> str:
        return f"process {self.process.pid}, since {self.since}"


def holder(records: Path) -> str:
    """The process that has the lock of a session and since when, '' if none has it."""
    if (found := _last_holder(records)) is None:
        return ""
    lock = FileLock(records / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return str(found)
    except OSError:  # somebody else's to write: what it says is all there is
        return str(found) if found.lives else ""
    lock.release()
    return ""


def seen_holder(records: Path) -> str:
    """The same as far as can be seen without touching the lock: for somebody who looks again and again."""
    found = _last_holder(records)
    return str(found) if found is not None and found.lives and _may_have_open(found, records / _LOCK) else ""


class SessionLock:
    """Held from `acquire` to `release`, or until the process ends, however it ends."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._lock = FileLock(records / _LOCK)

    def acquire(self, session: str) -> None:
        """Take the lock of `session`; UserError names the process that has it."""
        try:
            # who only looks whether it is taken, holds it for an instant
            self._lock.acquire(timeout=_PATIENCE_S, poll_interval=0.05)
        except Timeout:
            raise UserError(f"session {session} is running already ({self._whose()})") from None
        try:
            self._sign()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def _sign(self) -> None:
        """Say who has the lock."""
        process = identify(os.getpid())
        assert process is not None
        record = {**asdict(process), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        replace_text(self._records / _HOLDER, json.dumps(record))

    def _whose(self) -> str:
        found = _last_holder(self._records)
        if found is not None and found.lives:
            return f"{found}; wait for it, or start another with --autoresearch-tag"
        heirs = ", ".join(str(pid) for pid in _who_has_open(self._records / _LOCK))
        if heirs:
            return f"process {heirs}, which holds its lock; wait for it, or end it: kill {heirs.replace(',', '')}"
        return f"{found or 'it does not say which process'}; it is not to be seen from here; wait for it"


def _last_holder(records: Path) -> Holder | None:
    """Who signed last; None if nobody did, or not so that it can be read."""
    with suppress(OSError, ValueError, KeyError):
        found = json.loads((records / _HOLDER).read_text())
        return Holder(Identity(found["pid"], found["ticks"], found["boot"]), found["since"])
    return None


def _may_have_open(found: Holder, lock: Path) -> bool:
    """Whether the process has the file open; where nobody may know, it may."""
    path = str(lock.resolve())
    try:
        return any(file.path == path for file in psutil.Process(found.process.pid).open_files())
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def _who_has_open(lock: Path) -> Iterator[int]:
    """The processes that have the file open, us not counted: a fork of a holder that has ended keeps its lock."""
    path = str(lock.resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(file.path == path for file in process.open_files()):
                yield process.pid
