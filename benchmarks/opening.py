"""How long it takes to open a long session, and how much memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.arena import Arena, repository, workplace
from benchmarks.figures import Scale, Series, Table, met
from benchmarks.timed import timed
from pytest_autoresearch.checkpoint import load
from pytest_autoresearch.ledger import Ledger, Record

BUDGET_S, BUDGET_MIB = 2, 300
_EXPERIMENTS: Mapping[Scale, tuple[int, ...]] = {
    "full": (1_000, 10_000, 100_000),
    "quick": (1_000, 10_000),
    "smoke": (20,),
}
_ROUNDS: Mapping[Scale, int] = {"full": 7, "quick": 3, "smoke": 1}
_WAYS = ("bare", "journal", "session")


def tables(scale: Scale) -> Iterator[Table]:
    """Open ledgers of several lengths, each time in a fresh process."""
    rows = []
    with workplace() as directory:
        toy = repository(directory / "repository", 20)
        for experiments in _EXPERIMENTS[scale]:
            arena = Arena(toy, f"rows{experiments}")
            arena.alternate(1)
            arena.lengthen(experiments)
            arena.alternate(1)  # the last candidate is one that git has
            rows.append(_row(arena, experiments, _ROUNDS[scale]))
    yield Table(
        "opening: a session from its ledger, and closing it, in a fresh process",
        (
            *("experiments", "ledger MiB", "checkpoint MiB", "of the ledger", "reading and hashing its lines s"),
            *("`Journal` s", "times that", "opening s", "CPU s", "budget", "without the checkpoint s", "peak MiB"),
            *("budget ", "a pytest run on it, peak MiB"),
        ),
        rows,
        [
            "An opening hashes what the checkpoint stands for (that much of the ledger), reads what came after it and "
            "checks `results.tsv`. It is the whole of it: lock, ledger, recovery, a supervisor started and ended. "
            "Peak: of that process, without the checkpoint too."
        ],
    )


def _row(arena: Arena, experiments: int, rounds: int) -> tuple[str, ...]:
    checkpoint, size = arena.ledger.with_name("checkpoint"), arena.ledger.stat().st_size
    found = load(Ledger(arena.ledger))
    of_it = found.reach.size / size if found else 0
    saved = _mib(checkpoint)
    ways: dict[str, list[Record]] = {way: [] for way in _WAYS}
    for _ in range(rounds):
        for way, seen in ways.items():
            seen.append(_opened(arena, way))
    bare, journal, session = (Series([record["seconds"] for record in ways[way]]) for way in _WAYS)
    used = Series([record["cpu"] for record in ways["session"]])
    checkpoint.unlink(missing_ok=True)
    without = _opened(arena, "session")
    peak = max(record["peak_mib"] for record in [without, *ways["session"]])
    whole = arena.observe(1, "-p", "benchmarks.alternating")[0]["pytest_peak_mib"]
    return (
        *(f"{experiments:,}", _mib(arena.ledger), saved, f"{of_it:.0%}", bare.text(3)),
        *(journal.text(3), f"{journal.median / bare.median:.1f}", session.text(2), used.text(2)),
        *(met(session.median, BUDGET_S, "s"), f"{without['seconds']:.2f}", f"{peak:.0f}"),
        *(met(peak, BUDGET_MIB, "MiB"), f"{whole:.0f}"),
    )


def _mib(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f}" if path.exists() else "none"


def _opened(arena: Arena, way: str) -> Record:
    problem = Path(arena.toy.project, "problem.yaml")
    done = timed([sys.executable, "-m", "benchmarks.opened", way, str(problem), arena.tag], arena.toy.directory)
    found: Record = json.loads(done.printed)
    return found
