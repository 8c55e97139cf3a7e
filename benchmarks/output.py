"""What a runner that prints without end costs: memory, log, time; and whether its metric is still found."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arena import Arena, repository, workplace
from benchmarks.figures import Scale, Series, Table, met
from benchmarks.timed import timed
from pytest_autoresearch.ledger import Record

BUDGET_MIB = 100
_CHATTER = str(Path(__file__).with_name("chatter.py"))
_SCORE = 7
_SHELLS = {
    "`> /dev/null`": "{} > /dev/null",
    "`| cat > /dev/null`": "{} | cat > /dev/null",
    "`> log`, then grep": "{} > log; grep '^score: ' log | tail -n 1; rm log",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes to print, and how many times."""

    size: int
    rounds: int


_SIZES: Mapping[Scale, Sizes] = {
    "full": Sizes(2_000_000_000, 3),
    "quick": Sizes(200_000_000, 1),
    "smoke": Sizes(5_000_000, 1),
}


def tables(scale: Scale) -> Iterator[Table]:
    """A runner that prints lines, and one that prints no line end, each in turn with the shell's own ways."""
    sizes = _SIZES[scale]
    rows: list[tuple[str, ...]] = []
    for shape in ("lines", "stream"):
        with workplace() as directory:
            rows += _of_shape(directory, shape, sizes)
    yield Table(
        f"output: a runner that prints {sizes.size / 1e6:,.0f} MB",
        ("what", "seconds", "MB/s", "supervisor peak MiB", "pytest peak MiB", "budget", "log MiB", "metric"),
        rows,
        ["`lines` are of 79 characters; `stream` is a progress bar that never ends its line."],
    )


def _of_shape(directory: Path, shape: str, sizes: Sizes) -> Iterator[tuple[str, ...]]:
    def command(score: float) -> str:
        return shlex.join([sys.executable, _CHATTER, str(sizes.size), shape, f"{score:g}"])

    scores = [_SCORE - number / 1000 for number in range(sizes.rounds)]
    ideas = [{"hypothesis": f"talk {score:g}", "content": f"exec {command(score)}\n"} for score in scores]
    arena = Arena(repository(directory / "repository", 20, ideas=ideas))
    seen: list[Record] = []
    shells: dict[str, list[float]] = {what: [] for what in _SHELLS}
    for score in scores:
        seen += arena.observe(1)
        for what, script in _SHELLS.items():
            shells[what].append(timed(["bash", "-c", script.format(command(score))], directory).seconds)
    yield _ours(arena, shape, seen, scores, sizes)
    for what, took in shells.items():
        yield f"{shape}, {what}", Series(took).text(2), _rate(took, sizes), "", "", "", "", ""


def _ours(arena: Arena, shape: str, seen: list[Record], scores: list[float], sizes: Sizes) -> tuple[str, ...]:
    took = [record["runner"] for record in seen]
    supervisor = max(record["supervisor_peak_mib"] for record in seen)
    pytest = max(record["pytest_peak_mib"] for record in seen)
    right = [record["metric"] for record in seen] == scores
    log = (arena.checkout / "run.log").stat().st_size / 2**20
    return (
        f"{shape}, a session",
        Series(took).text(2),
        _rate(took, sizes),
        f"{supervisor:.1f}",
        f"{pytest:.1f}",
        met(max(supervisor, pytest), BUDGET_MIB, "MiB"),
        f"{log:.2f}",
        "right" if right else "WRONG",
    )


def _rate(took: list[float], sizes: Sizes) -> str:
    return f"{sizes.size / 1e6 / Series(took).median:,.0f}"
