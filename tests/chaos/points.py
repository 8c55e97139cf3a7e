"""A pytest plugin for runs that are to be disturbed: every point at which something outside the process changes.

Loaded with `-p tests.chaos.points` into a run of the loop. A point is a named moment: just before or just after a file
is opened for writing, moved, or deleted, a record is written, a process is started or has ended. `CHAOS_LOG` names a
file that gets the points, one a line, as they are reached; `CHAOS_AT` is the point at which the run is disturbed,
whatever was on record last if it begins with `*`, and `CHAOS_HOW` what happens there: `kill` (SIGKILL), or `fill
DIRECTORY` (its file system is filled up; once it is full it stays so).
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(os.environ.get("CHAOS_REPOSITORY", "/nowhere")).resolve()
FILLER = "chaos-filler"
ANYWHERE = "*"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What differs from run to run: object names, temporary names, numbers of processes.
_VARYING = re.compile(r"\b[0-9a-f]{7,40}\b|(?<=check-)\w+")
_CHANGING = re.compile(
    r"update-ref|fast-import|hash-object|update-index|symbolic-ref HEAD|worktree (?!list)|checkout|config|read-tree"
)
_MOVES = {
    "os.rename": 1,
    "os.symlink": 1,
    "os.link": 1,
    "os.remove": 0,
    "os.mkdir": 0,
    "os.rmdir": 0,
    "os.truncate": 0,
}


class Points:
    """The points as they are reached; the wanted one is the end of the run."""

    def __init__(self, log: str | None, at: str | None, how: str) -> None:
        self._log = open(log, "a", buffering=1) if log else None  # noqa: SIM115
        self._at = at
        self._how = how
        self._met: Counter[tuple[str, str]] = Counter()
        self._one_at_a_time = threading.Lock()
        self._busy = 0
        self.record = "nothing"

    def reach(self, what: str) -> None:
        """Note the point, or die there; threads reach theirs one after the other."""
        if self._busy == threading.get_ident() or os.getpid() != _PID:
            return
        with self._one_at_a_time:
            self._busy = threading.get_ident()
            here, anywhere = (self._count(record, what) for record in (self.record, ANYWHERE))
            if self._log:
                self._log.write(here + "\n")
            if self._at in (here, anywhere):
                self._disturb()
            self._busy = 0

    def _count(self, record: str, what: str) -> str:
        self._met[record, what] += 1
        return f"{record}\t{what}\t{self._met[record, what]}"

    def _disturb(self) -> None:
        if self._how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        fill(Path(self._how.removeprefix("fill ")))


def anywhere(points: Iterable[str]) -> Iterator[str]:
    """The same points by what is done alone: where two threads are at work, what is on record by then may differ."""
    met: Counter[str] = Counter()
    for point in points:
        what = point.split("\t")[1]
        met[what] += 1
        yield f"{ANYWHERE}\t{what}\t{met[what]}"


def fill(directory: Path) -> None:
    """Leave no byte free on the file system of `directory`."""
    with (directory / FILLER).open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


class Watched:
    """A file that is being written, half of each write at a time."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._name = name

    def write(self, data: Any) -> int:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        POINTS.reach(f"half of {self._name}")
        self._file.write(data[half:])
        return len(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        self._file.close()
        POINTS.reach(f"wrote {self._name}")

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def inside(path: Any) -> str | None:
    """The path within the repository, without what varies; None for what lies elsewhere."""
    if isinstance(path, int) or path is None:
        return None
    whole = os.path.normpath(Path(os.fsdecode(path)).absolute())
    if not whole.startswith(f"{REPOSITORY}/") or "/__pycache__" in whole or ".pytest_cache" in whole:
        return None
    return _VARYING.sub("*", whole[len(str(REPOSITORY)) + 1 :])


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if what := _change(event, arguments):
        POINTS.reach(what)


def _change(event: str, arguments: tuple[Any, ...]) -> str | None:
    """What is about to be changed in the repository; None if nothing is."""
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        name = inside(arguments[0])
    elif event in _MOVES and not (event == "os.mkdir" and os.path.lexists(arguments[0])):
        name = inside(arguments[_MOVES[event]])
    else:
        return None
    return f"{event.removeprefix('os.')} {name}" if name else None


def _process(arguments: Any) -> str | None:
    """What is being started; None for a git command that only looks."""
    words = [str(word) for word in arguments] if isinstance(arguments, (list, tuple)) else [str(arguments)]
    if Path(words[0]).name != "git":
        return "supervisor" if "-c" in words else Path(words[0]).name
    settings = sum(2 for word in words if word == "-c")
    command = " ".join(words[1 + settings : 3 + settings])
    return f"git {_VARYING.sub('*', command)}" if _CHANGING.match(command) else None


def _wrap() -> None:
    """Put points around what no audit event tells of: ends of processes, writes to open files and descriptors."""
    run, popen, opened, write, sync = subprocess.run, subprocess.Popen.__init__, io.open, os.write, os.fsync

    def watched_run(*arguments: Any, **options: Any) -> Any:
        done = run(*arguments, **options)
        if what := _process(arguments[0] if arguments else options["args"]):
            POINTS.reach(f"after {what}")
        return done

    def watched_popen(self: Any, args: Any, *arguments: Any, **options: Any) -> None:
        what = _process(args)
        if what:
            POINTS.reach(f"before {what}")
        popen(self, args, *arguments, **options)
        if what:
            POINTS.reach(f"started {what}")

    def watched_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        found = opened(file, mode, *arguments, **options)
        name = inside(file)
        return Watched(found, name) if name and set(mode) & set("wax+") else found

    def watched_write(descriptor: int, data: Any) -> int:
        text = bytes(data)
        kind = _message(text)
        if not kind:
            return write(descriptor, data)
        POINTS.reach(f"before {kind}")
        written = write(descriptor, data[: len(data) // 2])
        POINTS.reach(f"half of {kind}")
        written += write(descriptor, data[len(data) // 2 :])
        if kind.startswith("record "):
            POINTS.record = kind.removeprefix("record ")
        POINTS.reach(f"after {kind}")
        return written

    def watched_sync(fd: Any) -> None:
        sync(fd)
        POINTS.reach("synced")

    subprocess.run = watched_run
    subprocess.Popen.__init__ = watched_popen  # type: ignore[method-assign]
    io.open, os.write, os.fsync = watched_open, watched_write, watched_sync


def _message(text: bytes) -> str:
    """What is written: a record of the ledger, a message to the supervisor, '' for anything else."""
    try:
        content = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(content, dict):
        return ""
    if "prev" in content:
        return f"record {content['kind']} {content.get('number', '')}".strip()
    return next((f"message {word}" for word in ("run", "go", "expire") if word in content), "")


def pytest_configure(config: pytest.Config) -> None:
    """Watch from here on."""
    sys.addaudithook(_audit)
    _wrap()


_PID = os.getpid()
POINTS = Points(os.environ.get("CHAOS_LOG"), os.environ.get("CHAOS_AT"), os.environ.get("CHAOS_HOW", "kill"))
