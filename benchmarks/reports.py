"""How long the views of a long session take, and how much memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.arena import Arena, log_name, repository, workplace
from benchmarks.figures import Scale, Series, Table, met
from benchmarks.timed import timed
from pytest_autoresearch.ledger import Record

BUDGETS: Mapping[str, tuple[float, float]] = {"audit": (5, 300)}
_EXPERIMENTS: Mapping[Scale, int] = {"full": 10_000, "quick": 1_000, "smoke": 20}
_ROUNDS: Mapping[Scale, int] = {"full": 5, "quick": 3, "smoke": 1}
_LOG_KIB = 13


def tables(scale: Scale) -> Iterator[Table]:
    """Make each view of a long session, each time in a fresh process."""
    experiments = _EXPERIMENTS[scale]
    with workplace() as directory:
        arena = Arena(repository(directory / "repository", 20))
        arena.alternate(1)
        arena.lengthen(experiments)
        write_logs(arena, experiments)
        rows = [_row(arena, view, _ROUNDS[scale]) for view in BUDGETS]
    yield Table(
        f"reports: the views of {experiments:,} experiments, each made in a fresh process",
        ("view", "seconds", "budget", "peak MiB", "budget ", "size MiB"),
        rows,
        [f"Each experiment has a critic log of {_LOG_KIB} KiB; the candidates are not in git, nor are their diffs."],
    )


def write_logs(arena: Arena, experiments: int) -> None:
    """Write the critic logs that the lengthened ledger names, as large as they are."""
    place = arena.checkout / ".autoresearch" / "critic_logs"
    place.mkdir(parents=True, exist_ok=True)
    response = {"raw_response": {"reasoning_field": "why " * (_LOG_KIB * 1024 // 4)}}
    for number in range(1, experiments + 1):
        (place / log_name(number)).write_text(json.dumps(response) + "\n")


def _row(arena: Arena, view: str, rounds: int) -> tuple[str, ...]:
    made = [_made(arena, view) for _ in range(rounds)]
    seconds, peak = Series([one["seconds"] for one in made]), max(one["peak_mib"] for one in made)
    most_s, most_mib = BUDGETS[view]
    size = f"{made[0]['size_mib']:.1f}"
    return view, seconds.text(2), met(seconds.median, most_s, "s"), f"{peak:.0f}", met(peak, most_mib, "MiB"), size


def _made(arena: Arena, view: str) -> Record:
    problem = Path(arena.toy.project, "problem.yaml")
    done = timed([sys.executable, "-m", "benchmarks.viewed", view, str(problem), arena.tag], arena.toy.directory)
    found: Record = json.loads(done.printed)
    return found
