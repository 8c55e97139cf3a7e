"""The part of a ledger that another clone can go on from."""

from __future__ import annotations

from pathlib import Path

from pytest_autoresearch.ledger import Ledger, LedgerDamaged
from pytest_autoresearch.progress import Progress, replay

_ENDS = frozenset({"idea", "uncoded", "applied", "result"})
_LASTING = _ENDS | {"begin", "call", "dialect", "noop", "advanced"}
_BLOCK = 1 << 20


def settled(ledger: Path) -> int:
    """How many bytes of a ledger another clone can go on from.

    It has no process to end that it did not start, and comes to a checkout, a probe and a changed contract of its own.
    """
    end = lasting = 0
    running: int | None = None
    for kind, line in Ledger(ledger).lines():
        if kind == "started" and running is None:
            running = end
        end += len(line) + 1
        if kind in _ENDS:
            running = None
        if kind in _LASTING:
            lasting = end
    return lasting if running is None else min(lasting, running)


def add_up(ledger: Path) -> Progress:
    """What a ledger adds up to; LedgerDamaged if it is not whole, or has no beginning."""
    progress = Progress()
    for _ in replay(Ledger(ledger), progress):
        pass
    if progress.begin is None:
        raise LedgerDamaged(f"{ledger}: has no beginning; there is no session to go on with")
    return progress


def copy_start(source: Path, target: Path, size: int) -> None:
    """Make `target` of the first `size` bytes of `source`."""
    with source.open("rb") as read, target.open("xb") as made:
        while size and (block := read.read(min(size, _BLOCK))):
            made.write(block)
            size -= len(block)


def begins_with(file: Path, other: Path, size: int) -> bool:
    """Whether the first `size` bytes of both files are there and the same."""
    with file.open("rb") as one, other.open("rb") as two:
        while size:
            count = min(size, _BLOCK)
            if (block := one.read(count)) != two.read(count) or len(block) < count:
                return False
            size -= count
    return True
