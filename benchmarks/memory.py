"""How much memory a long pytest session takes more and more of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arena import Arena, repository, workplace
from benchmarks.figures import Scale, Table, met
from benchmarks.timed import PYTEST, timed
from pytest_autoresearch.ledger import Record

BUDGET_MIB = 50


@dataclass(frozen=True, slots=True)
class Sizes:
    """Iterations, and how many of them lie between two looks at the memory."""

    iterations: int
    every: int


_SIZES: Mapping[Scale, Sizes] = {"full": Sizes(5_000, 500), "quick": Sizes(500, 50), "smoke": Sizes(12, 4)}

_CONFTEST = """
import json, os, psutil
ITERATIONS, EVERY = {iterations}, {every}
seen = []
def pytest_runtest_logfinish(nodeid, location):
    seen.append(None)
    if len(seen) % EVERY == 0:
        with open("seen.jsonl", "a") as file:
            print(json.dumps(psutil.Process().memory_info().rss / 2**20), file=file)
"""
_TESTS = """
import pytest
@pytest.mark.parametrize("number", range({iterations}))
def test_nothing(number):
    pass
"""


def tables(scale: Scale) -> Iterator[Table]:
    """One long session, and as many ordinary tests in pytest alone."""
    sizes = _SIZES[scale]
    with workplace() as directory:
        plain = _plain(directory / "plain", sizes)
        arena = Arena(repository(directory / "repository", 20))
        ours = arena.observe(sizes.iterations, "-p", "benchmarks.alternating", every=sizes.every)
    yield _table(ours, plain, sizes)


def _plain(directory: Path, sizes: Sizes) -> list[float]:
    """The memory of a pytest that runs tests which do nothing, at the same numbers of tests."""
    directory.mkdir()
    (directory / "conftest.py").write_text(_CONFTEST.format(iterations=sizes.iterations, every=sizes.every))
    (directory / "test_nothing.py").write_text(_TESTS.format(iterations=sizes.iterations))
    timed([*PYTEST, "-p", "no:autoresearch"], directory)
    return [json.loads(line) for line in (directory / "seen.jsonl").read_text().splitlines()]


def _table(ours: list[Record], plain: list[float], sizes: Sizes) -> Table:
    first, last = ours[0], ours[-1]
    rows = [
        (
            f"{index * sizes.every:,}",
            f"{seen['pytest_mib']:.1f}",
            f"{seen['supervisor_mib']:.1f}",
            f"{alone:.1f}",
            _milliseconds(ours[index - 2], seen, sizes.every) if index > 1 else "",
        )
        for index, (seen, alone) in enumerate(zip(ours, plain, strict=True), start=1)
    ]
    growth = last["pytest_mib"] - first["pytest_mib"]
    return Table(
        f"memory: {sizes.iterations:,} iterations in one pytest session",
        (
            "iteration",
            "pytest MiB",
            "supervisor MiB",
            "pytest alone, as many empty tests, MiB",
            "overhead ms an iteration, mean since the line before",
        ),
        [
            *rows,
            (
                "growth",
                f"{growth:+.1f} ({met(growth, BUDGET_MIB, 'MiB')})",
                f"{last['supervisor_mib'] - first['supervisor_mib']:+.1f}",
                f"{plain[-1] - plain[0]:+.1f}",
                "",
            ),
        ],
    )


def _milliseconds(before: Record, after: Record, iterations: int) -> str:
    seconds = after["begin"] - before["end"] - after["runner"]
    return f"{seconds / iterations * 1000:.1f}"
