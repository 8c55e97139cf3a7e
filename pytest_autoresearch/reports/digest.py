"""What a page shows of a session, gathered in one pass: a short row of each experiment, and some in full."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from pytest_autoresearch.records import BY_HAND, Status
from pytest_autoresearch.reports.story import Entry
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.text import one_line

ROWS = 10_000
KEEPS, LATEST, CRASHES = 150, 200, 50
_HYPOTHESIS = 160
_NAME = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One experiment in short; `best` is the metric of the incumbent after it, under the experiment's contract."""

    number: int
    label: str
    status: Status
    metric: float | None
    resource: float | None
    delta: float | None
    expected: float | None
    best: float | None
    seconds: float
    tokens: int
    critic: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class Step:
    """The best metric from experiment `number` on; None where a change of the contract ends a line of them."""

    number: int
    best: float | None


@dataclass(slots=True)
class Digest:
    """Takes the entries of a session, oldest first.

    Every keep has a row, and the latest `ROWS` of the others. In full there are the latest experiments, keeps and
    crashes, so many of each.
    """

    tally: Tally
    steps: list[Step] = field(default_factory=list)
    _keeps: list[Row] = field(default_factory=list)
    _others: deque[Row] = field(default_factory=lambda: deque(maxlen=ROWS))
    _full: tuple[deque[Entry], deque[Entry], deque[Entry]] = field(
        default_factory=lambda: (deque(maxlen=KEEPS), deque(maxlen=LATEST), deque(maxlen=CRASHES))
    )

    def take_all(self, entries: Iterable[Entry]) -> None:
        """Take each of the entries."""
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        status = entry.experiment.status
        contracts = len(self.tally.contracts)
        self.tally.take(entry)
        self._step(entry, is_new=len(self.tally.contracts) > contracts)
        (self._keeps if status == "keep" else self._others).append(_row(entry))
        keeps, latest, crashes = self._full
        latest.append(entry)
        if status == "keep":
            keeps.append(entry)
        elif status == "crash":
            crashes.append(entry)

    def _step(self, entry: Entry, *, is_new: bool) -> None:
        number = entry.experiment.number
        if is_new and self.steps:
            self.steps += [Step(number, self.steps[-1].best), Step(number, None)]
        if entry.best is not None and (not self.steps or self.steps[-1].best != entry.best):
            self.steps.append(Step(number, entry.best))

    @property
    def rows(self) -> list[Row]:
        """The rows, oldest first."""
        return list(heapq.merge(self._keeps, self._others, key=attrgetter("number")))

    @property
    def full(self) -> list[Entry]:
        """The entries to be shown in full, the latest first."""
        found = {entry.experiment.number: entry for entries in self._full for entry in entries}
        return [found[number] for number in sorted(found, reverse=True)]

    def top(self, most: int) -> Iterator[Row]:
        """The keeps that improved the metric most, against the keep before."""
        gained = (row for row in self._keeps if row.delta is not None)
        yield from heapq.nlargest(most, gained, key=lambda row: abs(row.delta or 0))


def _row(entry: Entry) -> Row:
    done = entry.experiment
    return Row(
        number=done.number,
        label=done.label,
        status=done.status,
        metric=done.metric,
        resource=done.resource,
        delta=entry.delta,
        expected=entry.expected,
        best=entry.best,
        seconds=done.seconds,
        tokens=done.tokens,
        critic=one_line(entry.critic or BY_HAND, _NAME) if done.number else "",
        hypothesis=one_line(entry.idea.hypothesis if entry.idea else done.description, _HYPOTHESIS),
    )
