"""git's lock files: waited for, and those of a session's own put aside where nobody is left who could hold them.

A git that is killed leaves its lock file behind, and every later one refuses to go on until it is gone.
"""

from __future__ import annotations

import shlex
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import first_free
from pytest_autoresearch.git import Git, Locked

_PATIENCE_S = 10.0
_PAUSE_S = 0.1


class LockHeld(UserError):
    """A lock file of git's stayed; the message says who holds it, or how to be rid of it."""


@dataclass(frozen=True, slots=True)
class _Met:
    """A lock file as it was first met, and the processes that could have made it.

    Who holds a lock was at work before it was met; a git that began later waits for it as we do.
    """

    lock: Path
    mark: tuple[int, int] | None
    gits: tuple[psutil.Process, ...]

    @property
    def is_there(self) -> bool:
        """Whether it is still the same file."""
        return self.mark is not None and _mark(self.lock) == self.mark

    @property
    def holders(self) -> list[psutil.Process]:
        """Those of the processes that are still at work."""
        return [process for process in self.gits if _is_at_work(process)]


class GitLocks:
    """The lock files that may be put `aside`: those of one session's checkout and refs.

    All others are the user's, and are never touched. `notices` are sentences about what was put aside.
    """

    def __init__(self, aside: Path) -> None:
        self.notices: list[str] = []
        self._aside = aside
        self._own: dict[Path, tuple[Path, ...]] = {}

    def add(self, lock: Path, *places: Path) -> None:
        """Take `lock` for the session's own; whoever holds it has its working directory in one of `places`."""
        self._own[lock.resolve()] = tuple(place.resolve() for place in places)

    def output(self, git: Git, *arguments: str, stdin: bytes = b"") -> bytes:
        """What a git command prints that writes, once no lock is in its way; LockHeld if one stays there."""
        met, deadline = None, time.monotonic() + _PATIENCE_S
        while True:
            try:
                return git.output(*arguments, stdin=stdin)
            except Locked as locked:
                met = met or self._meet(locked.lock)
            if time.monotonic() > deadline:
                self._put_aside(met)
                met, deadline = None, time.monotonic() + _PATIENCE_S
            time.sleep(_PAUSE_S)

    def _meet(self, lock: Path) -> _Met:
        mark = _mark(lock)  # before the processes: who made it then is among them, or gone
        return _Met(lock, mark, tuple(_gits_in(self._own[lock])) if lock in self._own else ())

    def _put_aside(self, met: _Met) -> None:
        """Move a lock file of ours away that was there all the time and that nobody holds; LockHeld for any other."""
        if holders := met.holders:
            raise LockHeld(f"{met.lock}: {_described(holders[0])} holds this lock of git's; let it end and run again")
        if met.lock not in self._own or not met.is_there:
            raise LockHeld(
                f"{met.lock}: git waits for this lock. If no git is at work there any more, delete it and run again: "
                f"rm {shlex.quote(str(met.lock))}"
            )
        self._aside.mkdir(parents=True, exist_ok=True)
        target = first_free(self._aside / f"{met.lock.name}-{number}" for number in count(1))
        met.lock.rename(target)
        self.notices.append(f"no git was left that held {met.lock}; it is put aside as {target}")


def _mark(lock: Path) -> tuple[int, int] | None:
    """What tells one lock file from the next in its place; None if there is none."""
    try:
        found = lock.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _gits_in(places: tuple[Path, ...]) -> list[psutil.Process]:
    """The processes named git whose working directory is in one of `places`, or cannot be known."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith("git") and _works_in(process, places):
                found.append(process)
    return found


def _is_at_work(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _works_in(process: psutil.Process, places: tuple[Path, ...]) -> bool:
    try:
        directory = Path(process.cwd())
    except psutil.AccessDenied:
        return True
    return any(directory.is_relative_to(place) for place in places)


def _described(process: psutil.Process) -> str:
    try:
        command = shlex.join(process.cmdline()[:3])
    except psutil.Error:
        command = "git"
    return f"process {process.pid} ({command})"
