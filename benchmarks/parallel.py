"""How much longer an iteration of several candidates takes than one of a single candidate."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.arena import Arena, ideas_that, moments, repository, workplace
from benchmarks.figures import Scale, Series, Table, met
from pytest_autoresearch.ledger import Record

SLEEPING_BUDGET = 1.1
_BUDGETED = 4
# Ray runs no more at once than the CPUs that are asked for; a hundredth lets all of them share the cores, as here.
_SECTIONS: Mapping[str, Mapping[str, object]] = {"local": {}, "ray": {"kind": "ray", "resources": {"num_cpus": 0.01}}}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Candidates an iteration, iterations of each, and what a runner does: seconds of sleep, additions."""

    candidates: tuple[int, ...]
    iterations: int
    sleep_s: float
    additions: int


_SIZES: Mapping[Scale, Sizes] = {
    "full": Sizes((1, 2, 4, 8), 7, 3.0, 10_000_000),
    "quick": Sizes((1, 2, 4), 3, 1.0, 2_000_000),
    "smoke": Sizes((1, 2), 1, 0.1, 1_000),
}


def tables(scale: Scale) -> Iterator[Table]:
    """Runners that sleep, which shows what scheduling costs, and runners that compute, which shares the processors."""
    sizes = _SIZES[scale]
    work = {
        f"sleeps {sizes.sleep_s:g} s": f"sleep {sizes.sleep_s}",
        "computes": f"python3 -c 'for _ in range({sizes.additions}): pass'",
    }
    for engine in ("local", *(["ray"] if importlib.util.find_spec("ray") else [])):
        rows = [row for what, runner in work.items() for row in _rows(engine, what, runner, sizes)]
        yield Table(
            f"parallel: an iteration of K candidates, engine {engine}",
            ("each run", "K", "s an iteration", "times that of K = 1", "budget", "candidates a second", "times K = 1"),
            rows,
            ["An iteration is from its first idea to its last result; the first one of a run is left out."],
        )


def _rows(engine: str, what: str, runner: str, sizes: Sizes) -> Iterator[tuple[str, ...]]:
    alone = 0.0
    for count in sizes.candidates:
        seconds = Series(_iterations(engine, runner, count, sizes.iterations))
        alone = alone or seconds.median
        longer = seconds.median / alone
        is_budgeted = count == _BUDGETED and what.startswith("sleeps")
        yield (
            what,
            str(count),
            seconds.text(2),
            f"{longer:.2f}",
            met(longer, SLEEPING_BUDGET, "times") if is_budgeted else "",
            f"{count / seconds.median:.2f}",
            f"{count / longer:.2f}",
        )


def _iterations(engine: str, runner: str, count: int, iterations: int) -> list[float]:
    """The seconds of each iteration of a fresh session but the first one."""
    ideas = ideas_that(runner, (iterations + 1) * count)
    with workplace() as directory:
        arena = Arena(repository(directory / "repository", 20, {"engine": _SECTIONS[engine]}, ideas=ideas))
        arena.pytest(f"--iterations={iterations + 1}", f"--autoresearch-candidates={count}")
        return _seconds(arena.records(), count)


def _seconds(records: list[Record], count: int) -> list[float]:
    begun, ended = moments(records, "idea"), moments(records, "result")
    firsts = range(1 + count, len(begun) + 1, count)
    return [ended[first + count - 1] - begun[first] for first in firsts]
