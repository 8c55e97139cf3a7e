"""The program that runs processes for `processes.Supervisor`: one command at a time, and nothing of it stays behind.

It lives in a session of its own, reads messages from standard input and answers on standard output, one JSON object
a line:

    <- {"ready": true}
    -> {"run": {argv, cwd, env, log, timeout_s, patterns, secrets}}
    <- {"started": pid}         the process exists and waits
    -> {"go": true}             it becomes the command
    -> {"expire": true}         at any time: end it as the deadline does
    <- {"done": {exit, seconds, expired, matches, tail, survivors, error}}

It ends everything and itself when standard input closes, its parent is gone, or SIGTERM or SIGHUP comes.

On Linux it is a child subreaper: whatever descends from a command, through `setsid` or two forks, has it as ancestor
until it is reaped here, so that "nothing is left" is the kernel's word. Elsewhere what is left is looked for by
descent, by the command's process group and by the marker in the environment; a process that shed all three stays.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from pytest_autoresearch.child import Child, spawn
from pytest_autoresearch.processtree import GRACE_S, KILL_S, children, descendants, marked, send, table

_DRAIN_S = 2.0
_LINGER_S = 0.2
_SURVIVOR_GRACE_S = 0.5
_POLL_S = 1.0
_REAP_S = 0.2
_PR_SET_CHILD_SUBREAPER = 36

Message = dict[str, Any]


def write_message(descriptor: int, message: Message) -> None:
    """Send one message; BrokenPipeError if nobody can read it any more."""
    rest = memoryview(json.dumps(message).encode() + b"\n")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class Messages:
    """The messages in a stream of bytes; ValueError for a line that is none."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Program:
    """Serves one client; `reaper` says whether orphaned descendants become our children."""

    def __init__(self, reaper: bool) -> None:
        self._reaper = reaper
        self._parent = os.getppid()
        self._messages = Messages()
        self._child: Child | None = None
        self._quit = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._on_control)
        self._selector.register(_signals(), selectors.EVENT_READ, self._on_signal)

    def serve(self) -> None:
        """Run commands until there is nobody to run them for."""
        self._reply({"ready": True})
        while not self._quit:
            self._pump(_POLL_S)
            if self._child:
                self._see_through(self._child)

    def end(self) -> None:
        """Leave nothing behind, whatever went wrong."""
        if self._child:
            self._kill(self._child)

    # --- what comes in

    def _pump(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for output, a message or a signal, and take in what came."""
        for key, _ in self._selector.select(timeout):
            key.data(key.fd)
        # a process that our client forked can hold the control pipe open
        if os.getppid() != self._parent:
            self._quit = True

    def _on_control(self, descriptor: int) -> None:
        data = os.read(descriptor, 1 << 16)
        if not data:
            self._quit = True
            self._selector.unregister(descriptor)
        for message in self._messages.feed(data):
            self._obey(message)

    def _on_signal(self, descriptor: int) -> None:
        if {signal.SIGTERM, signal.SIGHUP}.intersection(os.read(descriptor, 1 << 16)):
            self._quit = True

    def _on_output(self, descriptor: int) -> None:
        if self._child and not self._child.read():
            self._selector.unregister(descriptor)

    def _obey(self, message: Message) -> None:
        match message:
            case {"run": dict(order)}:
                self._start(order)
            case {"go": True}:
                if self._child and not self._child.expired:
                    self._child.go()
            case {"expire": True}:
                if self._child:
                    self._child.expired = True
            case _:
                raise ValueError(f"not a message: {message!r}")

    def _reply(self, message: Message) -> None:
        with suppress(BrokenPipeError):
            write_message(sys.stdout.fileno(), message)

    # --- the life of a command

    def _start(self, order: Message) -> None:
        try:
            self._child = child = spawn(order)
        except OSError as error:
            self._reply({"done": _never_ran(str(error))})
            return
        self._selector.register(child.output, selectors.EVENT_READ, self._on_output)
        self._reply({"started": child.pid})

    def _see_through(self, child: Child) -> None:
        """Wait for the command to end, or end it; then the same for what is left of it."""
        while self._goes_on(child):
            self._pump(min(_POLL_S, max(0.0, child.timeout_s - child.seconds())))
            child.refresh()
        if child.exit is None:
            self._end(child, GRACE_S)
        elif self._outlasts(child, _LINGER_S):
            self._end(child, _SURVIVOR_GRACE_S)
        self._drain(child)
        self._child = None
        done = child.close()
        # a client that is still there takes silence for the loss that it is
        if not self._quit:
            self._reply({"done": done})

    def _goes_on(self, child: Child) -> bool:
        """Whether the command may go on as it does; settles whether it ended by itself."""
        self._reap(child)
        child.expired = child.exit is None and (child.expired or child.overdue())
        return child.exit is None and not child.expired and not self._quit

    def _drain(self, child: Child) -> None:
        """Everything printed counts, also what nobody has read yet."""
        with suppress(KeyError):
            self._selector.unregister(child.output)
        until = time.monotonic() + _DRAIN_S
        while child.read() and time.monotonic() < until:
            pass

    # --- the end of a command

    def _end(self, child: Child, grace_s: float) -> None:
        """SIGTERM to every process of the command, and SIGKILL to those that outlast the grace."""
        self._signal(child, signal.SIGTERM)
        if self._outlasts(child, grace_s):
            self._kill(child)

    def _kill(self, child: Child) -> None:
        """SIGKILL until nothing is left; given up after 10 s."""
        until = time.monotonic() + KILL_S
        while self._left(child) and time.monotonic() < until:
            if self._reaper:
                _kill_those_who_run_away()
            self._signal(child, signal.SIGKILL)
            self._pump(0.005)

    def _outlasts(self, child: Child, seconds: float) -> bool:
        """Whether anything of the command is left after at most `seconds`."""
        until = time.monotonic() + seconds
        while (left := self._left(child)) and (remaining := until - time.monotonic()) > 0:
            self._pump(remaining if self._reaper else min(remaining, 0.05))
        return left

    def _left(self, child: Child) -> bool:
        """Whether anything of the command is left."""
        return self._reap(child) or (not self._reaper and bool(self._kin(child)))

    def _reap(self, child: Child) -> bool:
        """Collect those who have died, for a moment if they die as fast; whether there is a child still."""
        until = time.monotonic() + _REAP_S
        try:
            while time.monotonic() < until and (died := os.waitpid(-1, os.WNOHANG))[0]:
                if died[0] == child.pid:
                    child.reaped(died[1])
        except ChildProcessError:
            return False
        return True

    def _signal(self, child: Child, number: signal.Signals) -> None:
        kin = self._kin(child)
        send(number, kin)
        if child.exit is not None:
            child.survivors |= kin

    def _kin(self, child: Child) -> set[int]:
        """The living processes of the command."""
        processes = table()
        kin = descendants(processes, [os.getpid()])
        if not self._reaper:
            kin |= {pid for pid, entry in processes.items() if entry.group == child.pid} | set(marked(child.marker))
        return kin & processes.keys()


def _kill_those_who_run_away() -> None:
    """End what forks and exits faster than all processes can be listed; every orphan of it is a child of ours.

    The kernel lets nobody fork out of a group that it kills, and the group of a child that has died is the command's
    for as long as the child is not reaped.
    """
    for pid, entry in children(os.getpid()):
        _kill_group(entry.group)
        send(signal.SIGKILL, [pid])
    if sys.platform == "linux":
        with suppress(ChildProcessError):
            if died := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                _kill_group(os.getpgid(died.si_pid))


def _kill_group(group: int) -> None:
    if group not in (0, 1, os.getpgrp()):
        send(signal.SIGKILL, [-group])


def _never_ran(error: str) -> Message:
    return {
        "exit": None,
        "seconds": 0.0,
        "expired": False,
        "matches": {},
        "tail": "",
        "survivors": 0,
        "error": error,
    }


def _signals() -> int:
    """A descriptor from which the numbers of the signals that concern us can be read."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable


def _become_subreaper() -> bool:
    """Whether orphaned descendants become our children from now on."""
    return sys.platform == "linux" and not ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> None:
    """Serve the client at the other end of standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    program = Program(_become_subreaper())
    try:
        program.serve()
    finally:
        program.end()


if __name__ == "__main__":
    main()
