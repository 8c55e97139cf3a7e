"""How good a search is, without an LLM: problems of known optimum, equal experiments, many seeds.

Samplers run alone, and in a hybrid with models that a scripted server stands in for. Hartmann6 and Branin are searched
by real sessions; the others by the critic and the judge in this process, which propose the same.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from operator import sub
from statistics import fmean
from unittest.mock import patch

from benchmarks.course import Course, between
from benchmarks.figures import Scale, Table
from benchmarks.machine import usable_cores
from benchmarks.night import Arm, Night, by_critic, by_pytest
from benchmarks.problems.catalogue import PROBLEMS

ARMS = (
    Arm("TPE", "tpe"),
    Arm("CMA-ES", "cmaes"),
    Arm("random", "random"),
    Arm("CMA-ES and a weak model", "cmaes", "weak"),
    Arm("CMA-ES and a strong model", "cmaes", "strong"),
    Arm("TPE and a weak model", "tpe", "weak"),
    Arm("TPE and a strong model", "tpe", "strong"),
)
ALONE = tuple(arm for arm in ARMS if arm.model is None)
_REAL = ("Hartmann6", "Branin")
# A worker is one process on one core, whatever the linear algebra behind numpy thinks of that.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Found = Mapping[str, Course]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    seeds: int
    experiments: int
    problems: tuple[str, ...] = tuple(PROBLEMS)


_SIZES: Mapping[Scale, Size] = {
    "full": Size(20, 40),
    "quick": Size(5, 20),
    "smoke": Size(2, 4, ("function minimisation", "modules")),
}


def tables(scale: Scale) -> Iterator[Table]:
    """Each problem's curves, then who was best where."""
    size = _SIZES[scale]
    found: dict[str, Found] = {}
    with processes() as workers:
        yield _same(workers, size.experiments, ARMS if scale == "full" else ARMS[:1])
        for name in size.problems:
            found[name] = {arm.name: _measured(workers, name, arm, size) for arm in ARMS}
            yield _curves(name, found[name], size)
    yield _overview(found)
    yield _winners(found)


def processes() -> Executor:
    """A process for each core, made for nights."""
    with patch.dict(os.environ, _ONE_THREAD):
        workers = ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn"))
        list(workers.map(abs, range(usable_cores())))  # they are started with the first work
    return workers


def _measured(workers: Executor, name: str, arm: Arm, size: Size) -> Course:
    """Every seed of one arm on one problem."""
    session = by_pytest if name in _REAL and arm in ALONE else by_critic
    nights = workers.map(
        night, repeat(session), repeat(name), repeat(arm), range(size.seeds), repeat(size.experiments)
    )
    return Course.of(PROBLEMS[name], nights)


def night(session: Callable[..., Night], name: str, arm: Arm, seed: int, count: int) -> Night:
    """What a worker does: a problem cannot be sent to it, its name can."""
    return session(PROBLEMS[name], arm, seed, count)


def _same(workers: Executor, count: int, arms: Sequence[Arm]) -> Table:
    """Whether a search in this process proposes what a session proposes."""
    name = "Hartmann6"
    nights = [
        list(workers.map(night, repeat(session), repeat(name), arms, repeat(0), repeat(count)))
        for session in (by_critic, by_pytest)
    ]
    return Table(
        f"search: {name}, one seed, by the critic alone and by `pytest --autoresearch`",
        ("arm", "experiments", "proposals and metrics"),
        [
            (arm.name, str(count), "the same" if here == there else "WRONG: they differ")
            for arm, here, there in zip(arms, *nights, strict=True)
        ],
    )


def _curves(name: str, courses: Found, size: Size) -> Table:
    """The best so far, arm by arm."""
    problem, count = PROBLEMS[name], size.experiments
    shown = (count // 4, count // 2, 3 * count // 4, count)
    better = "lower" if problem.lower_is_better else "higher"
    return Table(
        f"search: {name}, {size.seeds} seeds",
        ("arm", *(f"best after {number}" for number in shown), "share of the known gain", "experiments to 90 % of it"),
        [
            (arm, *map(course.best, shown), f"{fmean(course.gains):.1%}", course.in_words)
            for arm, course in courses.items()
        ],
        (
            f"The baseline has {problem.baseline:.6g}, the best that is known {problem.best:.6g}; {better} is better. "
            "Means with 95 % bootstrap intervals; the last column is the median, and how many seeds got there.",
        ),
    )


def _overview(found: Mapping[str, Found]) -> Table:
    """Every arm on every problem, in one number each."""
    return Table(
        "search: mean share of the known gain at the end, in %",
        ("problem", *(arm.name for arm in ARMS)),
        [(name, *(f"{100 * fmean(courses[arm.name].gains):.1f}" for arm in ARMS)) for name, courses in found.items()],
    )


def _winners(found: Mapping[str, Found]) -> Table:
    """Which sampler was best on each problem: at the end, on the way, and in getting most of the gain."""
    rows = [(name, *_winner(courses)) for name, courses in found.items()]
    end, way, first = (
        ", ".join(f"{arm.name} {sum(row[column] == arm.name for row in rows)}" for arm in ALONE)
        for column in (1, 3, 4)
    )
    return Table(
        "search: the best sampler without a model",
        ("problem", "at the end", "ahead of the others by", "on the way", "first at 90 %"),
        [*rows, ("alone in front", end, "", way, first)],
        (
            "At the end: by the mean share of the known gain after the last experiment; ahead by: the same, with the "
            "95 % bootstrap interval of the difference, seed by seed. On the way: by the mean over all experiments. "
            "First: by the median seed.",
        ),
    )


def _alone_in_front(leaders: Sequence[str]) -> str:
    return ", ".join(f"{arm.name} {leaders.count(arm.name)}" for arm in ALONE)


def _winner(courses: Found) -> tuple[str, ...]:
    gains = {arm.name: courses[arm.name].gains for arm in ALONE}
    best = max(gains, key=lambda name: fmean(gains[name]))
    leads = {name: list(map(sub, gains[best], its)) for name, its in gains.items() if name != best}
    return (
        _leader({name: fmean(its) for name, its in gains.items()}),
        "; ".join(f"{name} {fmean(lead):.1%} ({between(lead, '.1%')})" for name, lead in leads.items()),
        _leader({arm.name: courses[arm.name].gain_on_the_way for arm in ALONE}),
        _leader({arm.name: -courses[arm.name].experiments_to_enough for arm in ALONE}),
    )


def _leader(values: Mapping[str, float]) -> str:
    """Whose value is the highest; nobody's if nobody has one."""
    best = max(values.values())
    if math.isinf(best):
        return "none"
    return " and ".join(name for name, value in values.items() if value == best)
