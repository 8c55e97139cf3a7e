"""One session of a comparison, in numbers that count from its baseline."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.judge import is_better
from pytest_autoresearch.records import BY_HAND
from pytest_autoresearch.reports.course import Course
from pytest_autoresearch.reports.story import Story
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.text import one_line

Axis = Literal["experiments", "seconds of runs", "seconds of wall clock"]
_LABEL = 60
AXES: tuple[Axis, ...] = ("experiments", "seconds of runs", "seconds of wall clock")


@dataclass(frozen=True, slots=True)
class Named:
    """A session as it was named on the command line; '' for the label that it gives itself."""

    name: str
    story: Story
    label: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """An experiment with its raw metrics."""

    session: str
    number: int
    label: str
    also: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Contender:
    """A session under its last contract; the counts are of the whole of it.

    `bests` has the best so far, `positions` where on each axis it was reached, both from the baseline on, which is at
    0. `left_out` is how many experiments came before the contract changed. Seconds of runs are those in which
    something ran: what an iteration measured at once counts once.
    """

    name: str
    label: str
    contract: str
    lower_is_better: bool
    bests: Sequence[float]
    positions: Mapping[Axis, Sequence[float]]
    kept: int
    crashed: int
    tried: int
    iterations: int
    tokens: int
    usd: float
    left_out: int
    points: tuple[Point, ...]

    @property
    def baseline(self) -> float:
        """What it began with."""
        return self.bests[0]

    @property
    def final(self) -> float:
        """What it came to."""
        return self.bests[-1]

    def length(self, axis: Axis) -> float:
        """How far it went."""
        return self.positions[axis][-1]

    def best_at(self, axis: Axis, at: float) -> float:
        """The best by then."""
        return self.bests[max(0, bisect_right(self.positions[axis], at) - 1)]

    def experiments_to(self, share: float, best: float) -> int | None:
        """How many experiments it took to get `share` of the way from the baseline to `best`; None if it did not."""
        goal = self.baseline + share * (best - self.baseline)
        reached = (
            number for number, value in enumerate(self.bests) if not is_better(goal, value, self.lower_is_better)
        )
        return next(reached, None)


def contender(named: Named) -> Contender:
    """Read a session from its ledger, once; UserError if there is no value in it yet."""
    story, course = named.story, Course()
    lower = story.problem.lower_is_better
    tally, models, points = Tally(lower_is_better=lower), Counter[str](), list[Point]()
    for entry in story.entries():
        course.take(entry)
        tally.take(entry)
        models.update(call.model for call in entry.calls if not call.fault)
        if (done := entry.experiment).also:
            points.append(Point(named.name, done.number, done.label, done.also))
    start = _start(course)
    if start is None:
        raise UserError(f"session {named.name} has no value to compare yet")
    spent = story.progress.spent
    return Contender(
        name=named.name,
        label=named.label or _label(tally, models),
        contract=course.contract,
        lower_is_better=lower,
        bests=course.bests[start:],
        positions=_positions(course, start),
        kept=sum(score.kept for score in tally.scores.values()),
        crashed=sum(score.crashed for score in tally.scores.values()),
        tried=sum(score.tried for score in tally.scores.values()),
        iterations=tally.iterations,
        tokens=spent.tokens,
        usd=spent.usd,
        left_out=start,
        points=tuple(points),
    )


def _start(course: Course) -> int | None:
    """Where the numbers begin that can be compared to the last one."""
    if not course.starts:
        return None
    return next((index for index in range(course.starts[-1], len(course)) if math.isfinite(course.bests[index])), None)


def _positions(course: Course, start: int) -> dict[Axis, Sequence[float]]:
    seconds, at = course.seconds[start:], course.at[start:]
    return {
        "experiments": range(len(seconds)),
        "seconds of runs": array("d", (value - seconds[0] for value in seconds)),
        "seconds of wall clock": array("d", (value - at[0] for value in at)),
    }


def _label(tally: Tally, models: Counter[str]) -> str:
    """Who proposed, most busy first, and the model that was asked most."""
    scores = sorted(tally.scores.values(), key=lambda score: -score.tried)
    critics = "+".join(score.critic for score in scores) or BY_HAND
    return one_line(f"{critics} {models.most_common(1)[0][0]}" if models else critics, _LABEL)
