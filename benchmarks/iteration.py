"""What one iteration costs beyond critic, coder and runner, and where that goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from benchmarks.arena import Arena, repository, workplace
from benchmarks.figures import Scale, Series, Table, met
from benchmarks.timed import timed
from tests.support import Toy, git

SMALL_BUDGET_MS, LARGE_BUDGET_MS = 25, 120
LARGE = 20_000
DRIFT = 0.2
_PARTS, _REST = ("git", "ledger", "process"), "rest"
_LOOP, _OPTUNA_LOOP = (str(Path(__file__).with_name(name)) for name in ("bare_loop.sh", "optuna_loop.py"))
_SHELL_LOOPS, _STUDY = ("plumbing", "porcelain"), "optuna"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Files in the repository, ledger rows to begin at, and rounds of `iterations` each."""

    files: tuple[int, ...]
    rows: tuple[int, ...]
    rounds: int
    iterations: int


_SIZES: Mapping[Scale, Sizes] = {
    "full": Sizes((100, LARGE), (10, 1_000, 100_000), 5, 11),
    "quick": Sizes((100, 2_000), (10, 1_000), 2, 11),
    "smoke": Sizes((20,), (4,), 1, 3),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration: milliseconds beyond critic, coder and runner, and where they went as far as that is known."""

    status: str
    overhead: float
    cpu: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """The iterations of one session or one shell loop."""

    all: list[Step] = field(default_factory=list)

    def of(self, status: str) -> Series:
        """The overhead of those that ended so."""
        return Series([step.overhead for step in self.all if step.status == status])

    @property
    def typical(self) -> float:
        """The overhead where every other candidate is kept; the two kinds are too far apart for one median."""
        return (self.of("keep").median + self.of("discard").median) / 2

    @property
    def cpu(self) -> Series:
        """The processor time of pytest and git."""
        return Series([step.cpu for step in self.all])


def tables(scale: Scale) -> Iterator[Table]:
    """Sessions of several lengths, two shell loops and an Optuna study, in turn, in repositories of several sizes."""
    for files in _SIZES[scale].files:
        with workplace() as directory:
            toy = repository(directory / "repository", files)
            yield from _of_repository(toy, files, _SIZES[scale])


def _of_repository(toy: Toy, files: int, sizes: Sizes) -> Iterator[Table]:
    sessions = {rows: Steps() for rows in sizes.rows}
    loops = {kind: Steps() for kind in (*_SHELL_LOOPS, *([_STUDY] if find_spec("optuna") else []))}
    for rows in sessions:
        _begin(Arena(toy, f"rows{rows}"), rows)
    for kind in loops:
        git(toy.directory, "worktree", "add", "--quiet", "-b", f"bare/{kind}", str(_checkout(toy, kind)))
    for _ in range(sizes.rounds):
        for rows, steps in sessions.items():
            steps.all.extend(_ours(Arena(toy, f"rows{rows}"), sizes.iterations))
            for kind, loop in loops.items():
                loop.all.extend(_bare(toy, kind, sizes.iterations))
    yield _overheads(files, sessions, loops)
    yield _shares(files, sessions)


def _begin(arena: Arena, rows: int) -> None:
    """A session whose next experiments are those after number `rows`."""
    arena.alternate(1)
    arena.lengthen(rows - 1)
    arena.alternate(1)


def _ours(arena: Arena, iterations: int) -> Iterator[Step]:
    """Iterations of a session; the first one, before which pytest starts, has no beginning to measure from."""
    for before, after in pairwise(arena.observe(iterations, "-p", "benchmarks.alternating")):
        runner = after["runner"] * 1000
        overhead = (after["begin"] - before["end"]) * 1000 - runner
        known = {name: after["seconds"].get(name, 0.0) * 1000 for name in _PARTS}
        known["process"] -= runner
        rest = overhead - sum(known.values())
        cpu = (after["cpu"] - before["cpu"]) * 1000
        yield Step(after["status"], overhead, cpu, {**known, _REST: rest}, after["calls"]["git"])


def _bare(toy: Toy, kind: str, iterations: int) -> Iterator[Step]:
    """The same by a loop in a worktree of the same repository; its first iteration is left out as well."""
    command = [sys.executable, _OPTUNA_LOOP] if kind == _STUDY else ["bash", _LOOP, kind]
    lines = timed([*command, str(iterations)], _checkout(toy, kind)).printed.splitlines()
    for line in lines[1:]:
        status, total, runner = line.split()
        yield Step(status, (int(total) - int(runner)) / 1000)


def _checkout(toy: Toy, kind: str) -> Path:
    return toy.directory.with_name(f"bare-{kind}")


def _overheads(files: int, sessions: Mapping[int, Steps], loops: Mapping[str, Steps]) -> Table:
    budget = LARGE_BUDGET_MS if files >= LARGE else SMALL_BUDGET_MS
    first = next(iter(sessions.values())).typical
    rows = []
    for number, steps in sessions.items():
        drift = steps.typical / first - 1
        steady = f"{drift:+.0%} (±{DRIFT:.0%}: {'met' if abs(drift) <= DRIFT else 'MISSED'})"
        ratios = [f"{steps.typical / loop.typical:.2f}" for loop in loops.values()]
        verdict = met(steps.typical, budget, "ms")
        rows.append((*_costs(f"session, from row {number:,}", steps), verdict, steady, *ratios, steps.cpu.text()))
    blank = [""] * (3 + len(loops))
    rows += [(*_costs(_name(kind), steps), *blank) for kind, steps in loops.items()]
    return Table(
        f"iteration: overhead in a repository of {files:,} files",
        (
            *("what", "iterations", "discarded ms", "kept ms", "mean of the two", "budget", "against the first"),
            *(f"times {kind}" for kind in loops),
            "CPU ms, pytest and git",
        ),
        rows,
    )


def _name(kind: str) -> str:
    return "Optuna study, no git" if kind == _STUDY else f"shell loop, {kind}"


def _costs(what: str, steps: Steps) -> tuple[str, ...]:
    return what, str(len(steps.all)), steps.of("discard").text(), steps.of("keep").text(), f"{steps.typical:.1f}"


def _shares(files: int, sessions: Mapping[int, Steps]) -> Table:
    rows = []
    for number, steps in sessions.items():
        for status in ("discard", "keep"):
            chosen = [step for step in steps.all if step.status == status]
            parts = [Series([step.parts[name] for step in chosen]).text() for name in (*_PARTS, _REST)]
            rows.append((f"from row {number:,}, {status}", *parts, f"{chosen[0].calls}"))
    return Table(
        f"iteration: where it goes, {files:,} files",
        ("session", "git ms", "ledger ms", "starting and ending the runner ms", "Python and pytest ms", "git calls"),
        rows,
    )
