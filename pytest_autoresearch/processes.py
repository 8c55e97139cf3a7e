"""Running commands through a supervisor process that outlives nobody and leaves nothing behind.

The calling process changes no signal disposition, starts no thread and reaps no child but the supervisor.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.machine import starting
from pytest_autoresearch.processtree import GRACE_S, MARKER, Identity, identify, marked, sweep
from pytest_autoresearch.supervisor import Message, Messages, write_message

__all__ = ["Command", "Identity", "Outcome", "Supervisor", "identify", "marked", "sweep"]

_START_S = 60.0
_ANSWER_S = 15.0
_TICK_S = 1.0

# By file path, because the package need not be on the path of a new interpreter, and without putting its folder
# there, because what lies beside it must not shadow anything.
_BOOT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("pytest_autoresearch", sys.argv[1])
package = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from pytest_autoresearch.supervisor import main
main()
"""

# It runs what follows as a child and waits for it.
_SHELL = ("sh", "-c", '"$@"; exit $?', "sh")


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    `log` is where its output goes, at most 2 MiB of it. `timeout_s` is a hard deadline. `patterns` are regular
    expressions with one group by name; the last match in the output counts. `secrets` are texts that are hidden from
    the log.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    log: Path
    timeout_s: float
    patterns: Mapping[str, str]
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    `exit` is its return code, -N for signal N, None if that is not known. `expired` says that the deadline or
    `expire` ended it. `matches` holds group 1 of the last match by name, `tail` the last 4 KiB of the output,
    `survivors` how many processes outlived the main process and were ended. `lost` says that the supervisor itself
    died, and that what ran was ended by `sweep`. `error` is why the command could not be started, else ''.
    """

    exit: int | None
    seconds: float
    expired: bool
    matches: Mapping[str, str]
    tail: str
    survivors: int
    lost: bool
    error: str


class Supervisor:
    """Runs commands one after the other.

    `marker` is put into the environment of each command as AUTORESEARCH_MARKER. Two supervisors that live at the
    same time need two markers: what a lost one leaves behind is found by it. UserError if the supervisor process
    cannot be started. A `nested` one is a grandchild, for a process whose children somebody kills together with it, as
    Ray does: it sees that its parent is gone, and ends everything.
    """

    def __init__(self, marker: str, *, nested: bool = False) -> None:
        self._marker = marker
        self._before = _SHELL if nested else ()
        # reentrant: a signal handler may call `expire` wherever the main thread is
        self._lock = threading.RLock()
        self._running = False
        self._link: _Link | None = _Link(self._before)
        self._identity = self._link.identity

    @property
    def identity(self) -> Identity:
        """The supervisor process; the last one if there is none at the moment."""
        return self._identity

    def run(self, command: Command, started: Callable[[Identity], None], tick: Callable[[float], None]) -> Outcome:
        """Run `command` and wait until nothing of it is left.

        `started` is called when its process exists and before the command begins; `tick` about once a second with
        the seconds since it began. An exception from either, or KeyboardInterrupt, ends the processes.
        """
        link = self._connect()
        try:
            done = self._see_through(link, command, started, tick)
        except _Lost as lost:
            self._clean_up(link)
            return Outcome(None, lost.seconds, lost.seconds > command.timeout_s, {}, "", 0, lost=True, error="")
        except BaseException:
            self.close()
            raise
        return Outcome(**done, lost=False)

    def expire(self) -> None:
        """End what runs now, as its deadline would; nothing happens if nothing runs. For any thread."""
        with self._lock, suppress(_Lost):
            if self._running and self._link:
                self._link.send({"expire": True})

    def close(self) -> None:
        """End what runs, and the supervisor process."""
        with self._lock:
            link, self._link = self._link, None
        if link and not link.hang_up():
            self._clean_up(link)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _connect(self) -> _Link:
        with self._lock:
            if self._link and self._link.gone():
                self._link.kill()
                self._link = None
            if self._link is None:
                self._link = _Link(self._before)
                self._identity = self._link.identity
            return self._link

    def _see_through(
        self, link: _Link, command: Command, started: Callable[[Identity], None], tick: Callable[[float], None]
    ) -> Message:
        with self._lock:
            link.send({"run": self._order(command)})
            self._running = True
        try:
            reply = link.first_reply()
            if "started" in reply:
                if identity := link.follow(reply["started"]):
                    started(identity)
                link.send({"go": True})
                reply = link.receive(command.timeout_s + GRACE_S + _ANSWER_S, tick)
        finally:
            self._running = False
        done: Message = reply["done"]
        return done

    def _order(self, command: Command) -> Message:
        return {
            "argv": command.argv,
            "cwd": str(command.cwd.absolute()),
            "env": {**command.env, MARKER: self._marker},
            "log": str(command.log.absolute()),
            "timeout_s": command.timeout_s,
            "patterns": dict(command.patterns),
            "secrets": command.secrets,
        }

    def _clean_up(self, link: _Link) -> None:
        """End a supervisor process that no longer answers, and what it ran."""
        self._link = None
        try:
            # while a silent supervisor lives, all that it ran descends from it
            sweep(self._marker, link.followed)
        finally:
            link.kill()


class _Lost(Exception):
    """The supervisor process is gone or silent, `seconds` after the command began."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _Link:
    """One supervisor process and the pipes to and from it."""

    def __init__(self, before: tuple[str, ...]) -> None:
        with starting("the supervisor process"), ExitStack() as undo:
            self._selector = undo.enter_context(selectors.DefaultSelector())
            self._process = subprocess.Popen(
                [*before, sys.executable, "-c", _BOOT, str(Path(__file__).with_name("__init__.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
            undo.pop_all()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._control, self._replies = self._process.stdin, self._process.stdout
        self._messages = Messages()
        self._selector.register(self._replies, selectors.EVENT_READ)
        self.followed: list[Identity] = []
        with suppress(_Lost):
            self.first_reply()
            self.follow(self._process.pid)
        if not self.followed:
            self.kill()
            raise UserError("the supervisor process cannot be started: it ended at once; standard error says why")

    @property
    def identity(self) -> Identity:
        """Who the supervisor process is."""
        return self.followed[0]

    def follow(self, pid: int) -> Identity | None:
        """Who `pid` is, if it lives; it and what descends from it are ours from now on."""
        identity = identify(pid)
        if identity:
            self.followed = [*self.followed[:1], identity]
        return identity

    def gone(self) -> bool:
        """Whether the supervisor process has ended."""
        return self._process.poll() is not None

    def send(self, message: Message) -> None:
        """Tell it something; _Lost if it is gone."""
        try:
            write_message(self._control.fileno(), message)
        except BrokenPipeError:
            raise _Lost from None

    def first_reply(self) -> Message:
        """What it answers before a command has begun; _Lost if nothing."""
        try:
            return self.receive(_START_S, lambda _: None)
        except _Lost:
            raise _Lost from None

    def receive(self, limit_s: float, tick: Callable[[float], None]) -> Message:
        """What it says next; _Lost if it is gone or says nothing for `limit_s`."""
        begun = time.monotonic()
        due = _TICK_S
        while True:
            elapsed = time.monotonic() - begun
            if self._selector.select(max(0.0, min(due, limit_s) - elapsed)):
                data = os.read(self._replies.fileno(), 1 << 16)
                if not data:
                    raise _Lost(elapsed)
                for message in self._messages.feed(data):
                    return message
            elif elapsed >= limit_s:
                raise _Lost(elapsed)
            elif elapsed >= due:
                tick(elapsed)
                due = time.monotonic() - begun + _TICK_S

    def hang_up(self) -> bool:
        """Tell it to end everything and itself; whether it did."""
        self._close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ANSWER_S)
        return self.gone()

    def kill(self) -> None:
        """End it the hard way."""
        self._close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ANSWER_S)

    def _close(self) -> None:
        self._selector.close()
        self._control.close()
        self._replies.close()
