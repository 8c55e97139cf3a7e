"""How long it takes to open a long session, and how much memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.arena import Arena, repository, workplace
from benchmarks.figures import Scale, Series, Table, met
from benchmarks.timed import timed
from pytest_autoresearch.ledger import Record

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
            rows.append(_row(arena, experiments, _ROUNDS[scale]))
    yield Table(
        "opening: a session from its ledger, and closing it, in a fresh process",
        (
            *("experiments", "ledger MiB", "checkpoint MiB", "reading and hashing its lines s", "`Journal` s"),
            *("times that", "first opening s", "opening s", "CPU s", "budget", "peak MiB", "budget "),
            "a pytest run on it, peak MiB",
        ),
        rows,
        [
            "The first opening reads the whole ledger, leaves a checkpoint and writes `results.tsv`, which did not "
            "know of these experiments; the others hash what the checkpoint stands for, read what came after it and "
            "check `results.tsv`. Each is the whole of it: lock, ledger, recovery, a supervisor started and ended. "
            "Peak: of that process, the first opening's too."
        ],
    )


def _row(arena: Arena, experiments: int, rounds: int) -> tuple[str, ...]:
    checkpoint = arena.ledger.with_name("checkpoint")
    checkpoint.unlink(missing_ok=True)
    first = _opened(arena, "session")
    ways: dict[str, list[Record]] = {way: [] for way in _WAYS}
    for _ in range(rounds):
        for way, seen in ways.items():
            seen.append(_opened(arena, way))
    bare, journal, session = (Series([record["seconds"] for record in ways[way]]) for way in _WAYS)
    used = Series([record["cpu"] for record in ways["session"]])
    peak = max(record["peak_mib"] for record in [first, *ways["session"]])
    whole = arena.observe(1, "-p", "benchmarks.alternating")[0]["pytest_peak_mib"]
    return (
        *(f"{experiments:,}", _mib(arena.ledger), _mib(checkpoint), bare.text(3), journal.text(3)),
        *(f"{journal.median / bare.median:.1f}", f"{first['seconds']:.2f}", session.text(2), used.text(2)),
        *(met(session.median, BUDGET_S, "s"), f"{peak:.0f}", met(peak, BUDGET_MIB, "MiB"), f"{whole:.0f}"),
    )


def _mib(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f}" if path.exists() else "none"


def _opened(arena: Arena, way: str) -> Record:
    problem = Path(arena.toy.project, "problem.yaml")
    done = timed([sys.executable, "-m", "benchmarks.opened", way, str(problem), arena.tag], arena.toy.directory)
    found: Record = json.loads(done.printed)
    return found
