"""One writer: the lock of a session, and who holds it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_autoresearch.errors import UserError

_PATIENCE_S = 0.3


def holder(records: Path) -> str:
    """The process that has the lock of a session and since when, '' if none has it."""
    path = records / "holder.json"
    try:
        found = json.loads(path.read_text())
        os.kill(found["pid"], 0)
    except PermissionError:
        pass
    except (OSError, ValueError, KeyError):
        return ""
    lock = FileLock(records / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return f"process {found['pid']}, since {found['since']}"
    lock.release()
    return ""


class SessionLock:
    """Held from `acquire` to `release`, or until the process ends, however it ends."""

    def __init__(self, records: Path) -> None:
        self._lock = FileLock(records / "lock")
        self._holder = records / "holder.json"

    def acquire(self, session: str) -> None:
        """Take the lock of `session`; UserError names the process that has it."""
        try:
            # who only looks whether it is taken, holds it for an instant
            self._lock.acquire(timeout=_PATIENCE_S, poll_interval=0.05)
        except Timeout:
            raise UserError(f"session {session} is running already ({self._whose()})") from None
        self._holder.write_text(json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}))

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def _whose(self) -> str:
        try:
            holder = json.loads(self._holder.read_text())
        except (OSError, ValueError):
            return "it does not say which process"
        return (
            f"process {holder['pid']}, since {holder['since']}; wait for it, or start another with --autoresearch-tag"
        )
