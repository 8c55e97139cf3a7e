"""Measuring under `noise:`, each value on record: a baseline several times, a candidate against its incumbent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from statistics import fmean

from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import Record
from pytest_autoresearch.noise import weigh
from pytest_autoresearch.records import Candidate, Measurement, Role
from pytest_autoresearch.sections import NoiseSection

FIRST = "first"
BESIDE = "beside"
MISFIT = "misfit"
_OF_ROUNDS = (BESIDE, MISFIT)
_RECORDED = tuple(one.name for one in fields(Measurement) if one.name not in ("values", "confirmation", "twin"))

Run = Callable[[Candidate], Measurement]


class Trial:
    """The measurements that one result rests on; those that are on record under this contract are not made again."""

    def __init__(self, journal: Journal, number: int, fingerprint: str, noise: NoiseSection, run: Run) -> None:
        self._journal = journal
        self._number = number
        self._fingerprint = fingerprint
        self._noise = noise
        self._run = run
        samples = [one for one in journal.progress.samples if one["number"] == number]
        samples = [one for one in samples if one["role"] not in _OF_ROUNDS]
        self._known = [one for one in samples if one["contract"] == fingerprint]

    def baseline(self, candidate: Candidate) -> Measurement:
        """The mean of `repeats` measurements; the first failure if there is one."""
        made = []
        for _ in range(self._noise.repeats):
            made.append(self._sample("baseline", candidate))
            if made[-1].metric is None:
                return made[-1]
        values = tuple(one.metric for one in made if one.metric is not None)
        return replace(_together(made[0], made), metric=fmean(values), values=values)

    def candidate(
        self, candidate: Candidate, incumbent: Candidate, best: float, *, lower: bool, earlier: int = 0
    ) -> Measurement:
        """One measurement, and the confirmation where it looks better than `best`, the incumbent's metric.

        `earlier` confirmations are not on record yet.
        """
        first = self._sample(FIRST, candidate)
        if first.metric is None:
            return first
        made = [first]

        def sample(role: Role) -> float | None:
            made.append(self._sample(role, candidate if role == "candidate" else incumbent))
            return made[-1].metric

        tests = self._journal.progress.spread.tests + earlier
        metric, found = weigh(self._noise, first.metric, best, tests, lower_is_better=lower, sample=sample)
        if found is not None and found.failed == "candidate":
            return replace(_together(made[-1], made), failure=f"when it was measured again: {made[-1].failure}")
        return replace(_together(first, made), metric=metric, confirmation=found)

    def _sample(self, role: str, candidate: Candidate) -> Measurement:
        if self._known and self._known[0]["role"] == role:
            return measurement_of(self._known.pop(0))
        self._known.clear()
        measured = self._run(candidate)
        write_sample(self._journal, self._number, self._fingerprint, role, measured)
        return measured


def write_sample(journal: Journal, number: int, fingerprint: str, role: str, measured: Measurement) -> None:
    """Put one of the measurements on record that a result is going to rest on."""
    values = {name: value for name, value in asdict(measured).items() if name in _RECORDED}
    journal.write("sample", role=role, number=number, contract=fingerprint, **values)


def measurement_of(sample: Record) -> Measurement:
    """The measurement that such a record tells of."""
    return Measurement(**{name: sample[name] for name in _RECORDED if name in sample})


def _together(one: Measurement, made: list[Measurement]) -> Measurement:
    """One of the measurements with the time of all."""
    return replace(one, seconds=sum(each.seconds for each in made))
