"""The append-only record of a session: the truth, of which everything else is a view.

One JSON object a line, in this order for experiment n:

    begin      the session: id, seed, branch, start commit, problem, schema
    checkout   its checkout is complete
    run        one pytest run began: run id, critic and why
    probe      the runner was shown to read this checkout's mutable file
    call       a model was asked: for what, tokens, cost, fault
    dialect    what a model's server understands
    idea       what the critic proposed (as soon as it is paid for)
    uncoded    a coder failed to apply it; it is tried again
    noop       the idea came to nothing, and why: no experiment comes of it
    fruitless  so did all ideas of an iteration that was to make several experiments
    applied    the candidate: commit, parent, blob
    started    a process: its identity, so that a later start can stop it
    sample     one of several measurements that a result rests on (`noise:`)
    result     measurement and verdict
    advanced   the branch holds the candidate
    remeasured the incumbent's value under a changed contract

A line is written before what it announces is done, where a kill cannot take it back; and flushed to the disk, unless
a loss of power would make it void anyway. Each starts with the hash of the line before it, which detects
damage, not a forger.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import flush_directory
from pytest_autoresearch.records import Confirmation, Experiment, Idea

SCHEMA = 1
# After a loss of power these tell nothing that is not seen otherwise: no process lives, and the branch is where it is.
_KILL_SAFE_ONLY = frozenset({"started", "advanced"})
_HASH = 16
_FIRST = "0" * _HASH
_START = b'{"prev":"'
_NUMBER = re.compile(rb'"number":(\d+)')
_KIND = len(_START) + _HASH + len(b'","kind":"')
_BLOCK = 1 << 20

Record = dict[str, Any]


class LedgerDamaged(UserError):
    """A line of the ledger is not what was written there."""


@dataclass(slots=True)
class Reach:
    """How far a ledger was read or written: `size` in bytes, and the hash of the last line.

    `ends` has for each experiment the byte from where on all is to be found that comes after it; `ideas` are the
    numbers of those that have no result yet.
    """

    size: int = 0
    previous: str = _FIRST
    ends: list[int] = field(default_factory=list)
    ideas: set[int] = field(default_factory=set)

    def take(self, kind: str, line: bytes) -> None:
        """Go on by one line."""
        self.size += len(line) + 1
        if kind == "idea":
            self.ideas.add(number_of(line))
        elif kind == "noop":
            self.ideas.discard(number_of(line))
        elif kind == "result":
            self.ideas.discard(number_of(line))
            before = self.ends[-1] if self.ends else 0
            self.ends.append(before if self.ideas else self.size)


class Ledger:
    """The ledger at `path`; one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self.begin()

    def begin(self) -> None:
        """Take nothing for read."""
        self.reach, self._seen = Reach(), hashlib.sha256()

    def digest(self) -> str:
        """The hash of all that `reach` spans, as it was when it was read or written."""
        return self._seen.hexdigest()

    def append(self, kind: str, **fields: Any) -> bytes:
        """Write one record and return its line once it is on disk; UserError if the disk does not take it."""
        record: Record = {"prev": self.reach.previous, "kind": kind, "at": round(time.time(), 3), **fields}
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
            errors="backslashreplace"
        )
        try:
            self._write(line + b"\n", durable=kind not in _KILL_SAFE_ONLY)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); mend that and run again") from None
        self._extend(kind, line)
        self.reach.previous = _digest(line)
        return line

    def _write(self, data: bytes, *, durable: bool) -> None:
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            flush_directory(self.path.parent)
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            if durable:
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self.reach.size)
            raise

    def resume(self, reach: Reach) -> bool:
        """Take all that `reach` spans for read; False if there is not so much. `digest` says what it is."""
        self.begin()
        left = reach.size
        with self.path.open("rb") as file:
            while left and (block := file.read(min(left, _BLOCK))):
                self._seen.update(block)
                left -= len(block)
        self.reach = reach
        return left == 0

    def open(self) -> Iterator[tuple[str, bytes]]:
        """Each line behind `reach` with its kind, checked; afterwards `append` goes on behind the last one.

        A torn last line, which was announced to nobody, is cut off. LedgerDamaged if anything else is wrong.
        """
        if not self.path.exists():
            return
        last = None
        for kind, line in self.lines(self.reach.size, self.reach.previous):
            self._extend(kind, line)
            last = line
            yield kind, line
        if last is not None:
            self.reach.previous = _digest(last)
        if self.reach.size != self.path.stat().st_size:
            with self.path.open("r+b") as file:
                file.truncate(self.reach.size)
                os.fsync(file.fileno())

    def lines(self, start: int = 0, after: str = "") -> Iterator[tuple[str, bytes]]:
        """Each complete line with its kind, oldest first, checked; from byte `start` on, where a line begins.

        `after` is the hash of the line before that one, where it is known.
        """
        if not self.path.exists():
            return
        previous, held = (after if start else _FIRST).encode(), b""
        number = 1
        with self.path.open("rb") as file:
            file.seek(start)
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                found = line[len(_START) : len(_START) + _HASH]
                if not line.startswith(_START) or found != (previous or found):
                    raise LedgerDamaged(self.damage(number, start))
                if held:  # only now is it known to be what was written
                    yield _kind(held), held
                held = line[:-1]
                previous = _digest(held).encode()
        if held:
            try:
                kind = str(parse(held)["kind"])
            except (ValueError, KeyError):
                raise LedgerDamaged(self.damage(number, start)) from None
            yield kind, held

    def records(self, *kinds: str) -> Iterator[Record]:
        """The records of these kinds, oldest first, read from disk as they are asked for."""
        for kind, line in self.lines():
            if kind in kinds:
                yield parse(line)

    def experiments(self, after: int = -1) -> Iterator[Experiment]:
        """Each finished experiment with its idea, oldest first, from number `after` + 1 on."""
        ideas: dict[int, bytes] = {}
        ends = self.reach.ends
        for kind, line in self.lines(ends[after] if 0 <= after < len(ends) else 0):
            if kind == "idea":
                ideas[number_of(line)] = line
            elif kind == "result":
                record = parse(line)
                found = ideas.pop(record["number"], None)
                if record["number"] > after:
                    yield experiment(record, Idea.from_json(parse(found)["idea"]) if found else None)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _extend(self, kind: str, line: bytes) -> None:
        self._seen.update(line + b"\n")
        self.reach.take(kind, line)

    def damage(self, number: int, start: int = 0) -> str:
        """What to say about the `number`-th line after byte `start`."""
        with self.path.open("rb") as file:
            number += file.read(start).count(b"\n")
        return (
            f"{self.path}: line {number} or the one before it was changed after it was written; "
            f"restore the file from a backup, or start a new session with --autoresearch-tag"
        )


def _kind(line: bytes) -> str:
    return line[_KIND : line.index(b'"', _KIND)].decode()


def parse(line: bytes) -> Record:
    """The record in a line."""
    record: Record = json.loads(line)
    return record


def number_of(line: bytes) -> int:
    """The number of the experiment that a line is about, -1 if it is about none."""
    found = _NUMBER.search(line)
    return int(found[1]) if found else -1


def experiment(record: Record, idea: Idea | None = None) -> Experiment:
    """The experiment that a `result` record tells of."""
    fields = record.copy()
    del fields["prev"], fields["kind"]
    if "values" in fields:
        fields["values"] = tuple(fields["values"])
    if "confirmation" in fields:
        fields["confirmation"] = Confirmation.from_json(fields["confirmation"])
    return Experiment(**fields, idea=idea)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:_HASH]
