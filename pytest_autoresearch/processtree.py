"""Which processes there are, who they are beyond their pid, and how those that were left behind are ended.

`/proc` answers on Linux, psutil elsewhere.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MARKER = "AUTORESEARCH_MARKER"
GRACE_S = 2.0
KILL_S = 10.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process is, beyond the reuse of its pid.

    `ticks` is when it began: clock ticks since boot on Linux, seconds since 1970 elsewhere. `boot` identifies the
    machine's boot that those ticks count from ('' elsewhere).
    """

    pid: int
    ticks: str
    boot: str


class Entry(NamedTuple):
    """A living process in a table by pid."""

    parent: int
    group: int
    ticks: str


Table = Mapping[int, Entry]


def table() -> Table:
    """Every living process; a zombie is none."""
    return {pid: entry for pid in _pids() if (entry := _entry(pid))}


def children(parent: int) -> Iterator[tuple[int, Entry]]:
    """The living children of `parent`, each as soon as it is found, the highest pid first."""
    found = ((pid, _entry(pid)) for pid in sorted(_pids(), reverse=True))
    return ((pid, entry) for pid, entry in found if entry and entry.parent == parent)


def identify(pid: int) -> Identity | None:
    """Who `pid` is, None if there is no such process or only a zombie of it."""
    entry = _entry(pid)
    return Identity(pid, entry.ticks, _boot()) if entry else None


def descendants(processes: Table, roots: Iterable[int]) -> set[int]:
    """The pids that descend from `roots`, which are not among them unless one descends from another."""
    born: dict[int, list[int]] = {}
    for pid, entry in processes.items():
        born.setdefault(entry.parent, []).append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        fresh = set(born.get(waiting.pop(), ())) - found
        found |= fresh
        waiting += fresh
    return found


def marked(marker: str) -> list[int]:
    """The living processes that have `AUTORESEARCH_MARKER=<marker>` in their environment."""
    return [pid for pid in table() if _marker(pid) == marker]


def sweep(marker: str, identities: Iterable[Identity] = ()) -> list[int]:
    """End what an earlier run left behind, and return the pids of what was ended.

    That is each process that has the marker in its environment, or is one of `identities` and has no other marker,
    and all that descends from it; never the calling process or one of its ancestors. SIGTERM, 2 s, then SIGKILL until
    nothing is left, for 10 s at most.
    """
    identities = tuple(identities)
    known: dict[int, str] = {}

    def left() -> list[int]:
        found = _leftovers(marker, identities, known)
        known.update(found)
        return list(found)

    send(signal.SIGTERM, left())
    _wait_while(left, GRACE_S)
    until = time.monotonic() + KILL_S
    while (pids := left()) and time.monotonic() < until:
        send(signal.SIGKILL, pids)
        _wait_while(left, _POLL_S)
    return sorted(known)


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Signal each of `pids` that is still there and may be signalled."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _leftovers(marker: str, identities: tuple[Identity, ...], known: Mapping[int, str]) -> dict[int, str]:
    """The pids to end, with their ticks: what `sweep` is asked for and what descends from it or from `known`."""
    processes = table()
    spared = _lineage(processes, os.getpid())
    roots = {pid for pid in processes if _is_of(marker, _marker(pid))}
    roots |= {one.pid for one in identities if identify(one.pid) == one and _may_be_of(marker, _marker(one.pid))}
    roots |= {pid for pid, ticks in known.items() if pid in processes and processes[pid].ticks == ticks}
    roots -= spared
    return {pid: processes[pid].ticks for pid in roots | descendants(processes, roots) if pid in processes}


def _is_of(marker: str, found: str | None) -> bool:
    """Whether what a process is known by is `marker`, or that of a part of what has it."""
    return found is not None and (found == marker or found.startswith(f"{marker}."))


def _may_be_of(marker: str, found: str | None) -> bool:
    return found is None or _is_of(marker, found)


def _lineage(processes: Table, pid: int) -> set[int]:
    """`pid` and its ancestors."""
    found: set[int] = set()
    while pid in processes and pid not in found:
        found.add(pid)
        pid = processes[pid].parent
    return found


def _wait_while(left: Callable[[], list[int]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while left() and time.monotonic() < until:
        time.sleep(_POLL_S)


if sys.platform == "linux":

    def _pids() -> list[int]:
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]

    def _entry(pid: int) -> Entry | None:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None
        state, parent, group, *rest = stat.rpartition(b") ")[2].split()
        threads, ticks = int(rest[14]), rest[16].decode()
        # a process whose first thread has ended shows as a zombie while other threads go on
        return None if state in b"ZXx" and threads <= 1 else Entry(int(parent), int(group), ticks)

    def _marker(pid: int) -> str | None:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return None
        name = os.fsencode(f"{MARKER}=")
        values = (line[len(name) :] for line in environment.split(b"\0") if line.startswith(name))
        return next(map(os.fsdecode, values), None)

    def _boot() -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

else:
    import psutil

    def _pids() -> list[int]:
        return psutil.pids()

    def _entry(pid: int) -> Entry | None:
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return Entry(process.ppid(), os.getpgid(pid), repr(process.create_time()))
        except (psutil.Error, OSError):
            return None

    def _marker(pid: int) -> str | None:
        try:
            return psutil.Process(pid).environ().get(MARKER)
        except (psutil.Error, OSError):
            return None

    def _boot() -> str:
        return ""
