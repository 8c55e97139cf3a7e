"""The main process of one command as the supervisor sees it: from the gate where it waits to the end of its output."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pytest_autoresearch.output import BoundedLog, LastMatches, MaskedStream
from pytest_autoresearch.processtree import MARKER

_REFRESH_S = 5.0
_SCAN_CPU_S = 5.0
_READ = 1 << 20
_F_SETPIPE_SZ = 1031
_GIVEN_UP = b"\n[... the patterns took more than 5 s for one piece of this and were given up ...]\n"


class _Stuck(Exception):
    """A pattern has taken more time than any sane one does."""


@dataclass(slots=True)
class Child:
    """A process in a session of its own that waits for `go`; `output` is the descriptor of what it prints."""

    pid: int
    output: int
    marker: str
    timeout_s: float
    _gate: int
    _failure: int
    _log: BoundedLog
    _matches: LastMatches
    _mask: MaskedStream
    _began: float | None = None
    _ended: float | None = None
    _refreshed: float = field(default_factory=time.monotonic)
    exit: int | None = None
    expired: bool = False
    survivors: set[int] = field(default_factory=set)

    def go(self) -> None:
        """Let it become the command, unless it did already."""
        if self._began is None:
            self._began = time.monotonic()
            with suppress(BrokenPipeError):
                os.write(self._gate, b"g")

    def seconds(self) -> float:
        """How long it has been the command, or was."""
        now = time.monotonic() if self._ended is None else self._ended
        return now - (now if self._began is None else self._began)

    def overdue(self) -> bool:
        """Whether its time is over."""
        return self._began is not None and self.seconds() >= self.timeout_s

    def reaped(self, status: int) -> None:
        """It has ended with the wait status `status`."""
        self.exit = os.waitstatus_to_exitcode(status)
        self._ended = time.monotonic()

    def read(self) -> bool:
        """Take what was printed; whether there was anything."""
        data = _read(self.output)
        if data:
            self._take(self._mask.feed(data))
        return bool(data)

    def _take(self, data: bytes) -> None:
        self._log.write(data)
        self._scan(lambda: self._matches.feed(data))

    def refresh(self) -> None:
        """Bring the log up to date every few seconds."""
        if time.monotonic() - self._refreshed > _REFRESH_S:
            self._log.refresh()
            self._refreshed = time.monotonic()

    def close(self) -> dict[str, Any]:
        """Complete the log, close what is open, and say how it went: the fields of `processes.Outcome`."""
        self._take(self._mask.finish())
        found: dict[str, str] = {}
        self._scan(lambda: found.update(self._matches.finish()))
        self._log.close()
        error = _read(self._failure).decode(errors="replace")
        for descriptor in (self.output, self._gate, self._failure):
            os.close(descriptor)
        return {
            "exit": None if error else self.exit,
            "seconds": self.seconds(),
            "expired": self.expired,
            "matches": found,
            "tail": self._log.excerpt(),
            "survivors": len(self.survivors),
            "error": error,
        }

    def _scan(self, scan: Callable[[], None]) -> None:
        """Scan; a pattern that backtracks without end costs the matches and not the supervisor."""
        signal.signal(signal.SIGPROF, _stuck)
        signal.setitimer(signal.ITIMER_PROF, _SCAN_CPU_S)
        try:
            scan()
        except _Stuck:
            self._matches = LastMatches({})
            self._log.write(_GIVEN_UP)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def spawn(order: Mapping[str, Any]) -> Child:
    """The child for `order`, the fields of `processes.Command`; OSError if there can be no log or no process."""
    with ExitStack() as undo:
        log = BoundedLog(Path(order["log"]))
        undo.callback(log.close)
        gate, opener = _pipe(undo)
        output, printed = _pipe(undo)
        failure, reported = _pipe(undo)
        os.set_blocking(output, False)
        os.set_blocking(failure, False)
        _widen(output)
        pid = _fork(order, gate, opener, printed, reported)
        undo.pop_all()
    for descriptor in (gate, printed, reported):
        os.close(descriptor)
    matches = LastMatches(order["patterns"])
    masked = MaskedStream(os.fsencode(secret) for secret in order["secrets"])
    return Child(pid, output, order["env"][MARKER], order["timeout_s"], opener, failure, log, matches, masked)


def _pipe(undo: ExitStack) -> tuple[int, int]:
    """A pipe that `undo` closes."""
    ends = os.pipe()
    for descriptor in ends:
        undo.callback(os.close, descriptor)
    return ends


def _fork(order: Mapping[str, Any], gate: int, opener: int, printed: int, reported: int) -> int:
    """The pid of a process that waits at the gate, to become the command."""
    # until the child has dropped our handlers, a signal that is meant for it would be taken for ours
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if not pid:
            os.close(opener)
            _become(order, gate, printed, reported)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _become(order: Mapping[str, Any], gate: int, printed: int, reported: int) -> NoReturn:
    """In the forked process: cut all ties, wait at the gate, become the command; end if the gate closes."""
    try:
        os.setsid()
        _default_signals()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        if os.read(gate, 1):
            os.chdir(order["cwd"])
            os.execvpe(order["argv"][0], order["argv"], order["env"])
    except Exception as error:
        os.write(reported, str(error).encode(errors="replace"))
    finally:
        os._exit(127)


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _widen(pipe: int) -> None:
    """Fewer and larger reads, where the system allows them."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, _READ)


def _read(descriptor: int) -> bytes:
    """What there is to read now; b'' at the end, and if there is nothing yet."""
    try:
        return os.read(descriptor, _READ)
    except BlockingIOError:
        return b""


def _stuck(*_: object) -> NoReturn:
    raise _Stuck
