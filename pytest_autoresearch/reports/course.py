"""The course of a session in numbers: what each experiment gave and what was the best by then, in a few bytes each."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from pytest_autoresearch.records import Status
from pytest_autoresearch.reports.story import Entry


def _floats() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Course:
    """One value a finished experiment in each column, oldest first.

    `metrics` and `bests` are in units of the metric, NaN where there is none. `seconds` is the time of all runs so
    far, what ran at once counted once, `at` the wall clock at the end, in seconds since the epoch. `starts` has the
    positions at which a contract begins: numbers before and after such a place cannot be compared. `is_numbered` says
    that people call each experiment by its number.
    """

    numbers: array[int] = field(default_factory=lambda: array("q"))
    statuses: list[Status] = field(default_factory=list)
    metrics: array[float] = field(default_factory=_floats)
    bests: array[float] = field(default_factory=_floats)
    seconds: array[float] = field(default_factory=_floats)
    at: array[float] = field(default_factory=_floats)
    starts: list[int] = field(default_factory=list)
    is_numbered: bool = True
    contract: str = ""

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, entry: Entry) -> None:
        """Count in one experiment."""
        done = entry.experiment
        if done.contract != self.contract or not self.numbers:
            self.contract = done.contract
            self.starts.append(len(self))
        self.numbers.append(done.number)
        self.is_numbered = self.is_numbered and done.label == str(done.number)
        self.statuses.append(done.status)
        self.metrics.append(_number(done.metric))
        self.bests.append(_number(entry.best))
        self.seconds.append(entry.elapsed + (self.seconds[-1] if self.seconds else 0.0))
        self.at.append(done.at)

    @property
    def stretches(self) -> list[range]:
        """The positions under one contract each."""
        return [range(*pair) for pair in pairwise([*self.starts, len(self)])]


def course_of(entries: Iterable[Entry]) -> Course:
    """The course of a session, in one pass."""
    course = Course()
    for entry in entries:
        course.take(entry)
    return course


def _number(value: float | None) -> float:
    return math.nan if value is None else value
