"""Commands that try to outlive their run, and a place to run them."""

from __future__ import annotations

import os
import shlex
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pytest_autoresearch.processes import Command, Identity, Outcome, Supervisor, identify, marked, sweep

# Each kind of escape writes its pid to the file `pids` and stays for good.
ESCAPES = """
import os, signal
def stay(environment=os.environ):
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
    os.execvpe("sleep", ["sleep", "1000"], environment)
def session():
    os.setsid()
    stay()
def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stay()
def daemon():
    os.setsid()
    os.fork() and os._exit(0)
    stay()
def deaf_daemon():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    daemon()
def naked_daemon():
    os.setsid()
    os.fork() and os._exit(0)
    stay({})
for escape in (stay, session, deaf, daemon, deaf_daemon, *([naked_daemon] * NAKED)):
    os.fork() or escape()
"""
GATHERED = "until [ $(cat pids 2>/dev/null | wc -l) -ge {} ]; do sleep 0.01; done"


def escaping(naked: int = 1) -> str:
    """Shell words that start every kind of escape and wait until all of them are there."""
    script = f"NAKED = {naked}{ESCAPES}"
    return f"{sys.executable} -c {shlex.quote(script)}; {GATHERED.format(5 + naked)}"


class Lab:
    """A directory, a supervisor, and shell commands to run there."""

    def __init__(self, directory: Path, supervisor: Supervisor) -> None:
        self.directory = directory
        self.supervisor = supervisor

    def run(
        self,
        script: str,
        timeout_s: float = 120,
        patterns: Mapping[str, str] | None = None,
        started: Callable[[Identity], None] = lambda identity: None,
        tick: Callable[[float], None] = lambda seconds: None,
    ) -> Outcome:
        """Run `script` with bash."""
        argv = ("bash", "-c", script)
        log = self.directory / "log"
        command = Command(argv, self.directory, dict(os.environ), log, timeout_s, patterns or {})
        return self.supervisor.run(command, started, tick)

    def log(self) -> str:
        """What the last command printed."""
        return (self.directory / "log").read_text()


def escaped(directory: Path) -> list[int]:
    """The processes that `escaping` started in `directory`."""
    return [int(line) for line in (directory / "pids").read_text().split()]


def living(pids: Iterable[int]) -> list[int]:
    """Which of `pids` are still there."""
    return [pid for pid in pids if identify(pid)]


@contextmanager
def new_marker() -> Iterator[str]:
    """A marker of its own; nothing that has it may be left."""
    marker = f"test {uuid.uuid4()}"
    yield marker
    left = marked(marker)
    sweep(marker)
    assert not left
