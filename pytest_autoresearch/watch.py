"""Where a session stands, live: on a terminal redrawn in place, elsewhere a block of lines for each change."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol, TextIO

from pytest_autoresearch.lock import seen_holder
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.status import Standing, ledger_of, standing_lines
from pytest_autoresearch.text import plain

_COLUMNS, _LINES = 80, 24
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # the other screen, no cursor, no wrapped lines
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"


def watch(place: Place, problem: Problem, out: TextIO, *, every_s: float) -> None:
    """Show the session at `place` on `out` until it ends or the user does; UserError if there is none.

    It looks every `every_s` seconds, reads only what is new, and never touches the session's lock. A session that is
    not running is waited for.
    """
    view = View(place, problem)
    with suppress(KeyboardInterrupt, BrokenPipeError), _shown_on(out) as show:
        while True:
            view.look()
            show(view)
            if view.has_ended:
                break
            time.sleep(every_s)
    with suppress(BrokenPipeError):
        if out.isatty():
            _print(view.lines(), out)


class View:
    """What is to be seen of a session, each time that one looks."""

    def __init__(self, place: Place, problem: Problem) -> None:
        self._place = place
        self._problem = problem
        self._ledger = ledger_of(place)
        self._standing = Standing()
        self._file = 0
        self._ran = False
        self._running = ""

    def look(self) -> None:
        """Read what was written since; a ledger that is another one now, from its start."""
        self._ran = bool(self._running) or self._ran
        self._running = seen_holder(self._place.records)
        found = ledger_of(self._place).path.stat()
        if found.st_ino != self._file or found.st_size < self._standing.offset:
            self._file, self._standing = found.st_ino, Standing.resumed(self._ledger)
        self._standing.read_on(self._ledger)

    @property
    def has_ended(self) -> bool:
        """Whether it was seen running and is not any more."""
        return self._ran and not self._running

    def lines(self) -> Iterator[str]:
        """What `status` says, and what is waited for."""
        yield from standing_lines(self._place, self._problem, self._standing, self._running)
        if self.has_ended:
            yield f"the session has ended{self._in_the_middle}"
        elif not self._running:
            yield "waiting for it to go on"

    @property
    def _in_the_middle(self) -> str:
        progress = self._standing.progress
        if progress.pending_idea is None and progress.baseline is not None:
            return ""
        name = progress.label_of(progress.next_number)
        return f", before experiment {name} was finished; the next start goes on with it"

    @property
    def clock(self) -> str:
        """The time, how long there was nothing new, and how to end this."""
        quiet = max(0.0, time.time() - self._standing.heard)
        return (
            f"{time.strftime('%H:%M:%S')}, nothing new for {_duration(quiet)}; Ctrl-C ends the watch, not the session"
        )


class _Show(Protocol):
    def __call__(self, view: View) -> None: ...


@contextmanager
def _shown_on(out: TextIO) -> Iterator[_Show]:
    if not out.isatty():
        yield _Blocks(out)
        return
    with _exiting_on(signal.SIGTERM, signal.SIGHUP):
        out.write(_ENTER)
        try:
            yield lambda view: _draw(view, out)
        finally:
            out.write(_LEAVE)
            out.flush()


@contextmanager
def _exiting_on(*signals: signal.Signals) -> Iterator[None]:
    """Have `signals` end the process as an exception does, so that the terminal is as it was."""
    before = {one: signal.signal(one, _exit) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _draw(view: View, out: TextIO) -> None:
    """Over what is there, in one piece, so that nothing flickers; as much of it as fits today."""
    columns, rows = _size(out)
    shown = [plain(line)[:columns] for line in (view.clock, *view.lines())][:rows]
    out.write("\x1b[H" + "\x1b[K\r\n".join(shown) + "\x1b[K\x1b[J")
    out.flush()


def _size(out: TextIO) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(out.fileno())
    except OSError:
        return _COLUMNS, _LINES
    return size.columns or _COLUMNS, size.lines or _LINES


class _Blocks:
    """A block of lines whenever there is something new to say."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._said: list[str] = []

    def __call__(self, view: View) -> None:
        lines = list(view.lines())
        if lines == self._said:
            return
        if self._said:
            print(file=self._out)
        self._said = lines
        _print(lines, self._out)


def _print(lines: Iterable[str], out: TextIO) -> None:
    for line in lines:
        print(plain(line), file=out)
    out.flush()


def _duration(seconds: float) -> str:
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours:.0f} h {minutes % 60:.0f} min"
    return f"{minutes:.0f} min {seconds % 60:.0f} s" if minutes else f"{seconds:.0f} s"
