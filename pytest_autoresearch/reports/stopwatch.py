"""How long a session measured: what ran at once counts once."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_autoresearch.ledger import Record
from pytest_autoresearch.records import Experiment


@dataclass(slots=True)
class Stopwatch:
    """Takes the `sample` records of a session and its results, in order; all times are in seconds.

    Of an iteration that makes several candidates each measurement is on record with its end and how long it took.
    """

    _spans: list[tuple[float, float]] = field(default_factory=list)

    def take(self, sample: Record) -> None:
        """Count in one measurement of a result that is to come."""
        self._spans.append((sample["at"] - sample["seconds"], sample["at"]))

    def elapsed(self, done: Experiment) -> float:
        """By how much a result adds to the time in which something ran; the first of an iteration adds all of it."""
        spans, self._spans = sorted(self._spans), []
        if not done.seat:
            return done.seconds
        total, until = 0.0, 0.0
        for began, ended in spans:
            total += max(0.0, ended - max(began, until))
            until = max(until, ended)
        return total
