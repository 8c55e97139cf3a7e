"""Measuring under `noise:`, each value on record: a baseline several times, a candidate against its incumbent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

from pytest_autoresearch.noise import weigh
from pytest_autoresearch.records import Candidate, Measurement, Role
from pytest_autoresearch.samples import FIRST, OF_ROUNDS, Samples, measurement_of
from pytest_autoresearch.sections import NoiseSection

Run = Callable[[Candidate], Measurement]


class Trial:
    """The measurements that one result rests on; those that are on record under this contract are not made again."""

    def __init__(self, samples: Samples, number: int, noise: NoiseSection, run: Run) -> None:
        self._samples = samples
        self._number = number
        self._noise = noise
        self._run = run
        self._known = [one for one in samples.all(number) if one["role"] not in OF_ROUNDS]

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
        self, candidate: Candidate, incumbent: Candidate, best: float, *, lower: bool, tests: int
    ) -> Measurement:
        """One measurement, and the confirmation where it looks better than `best`, the incumbent's metric.

        `tests` confirmations were carried through before.
        """
        first = self._sample(FIRST, candidate)
        if first.metric is None:
            return first
        made = [first]

        def sample(role: Role) -> float | None:
            made.append(self._sample(role, candidate if role == "candidate" else incumbent))
            return made[-1].metric

        metric, found = weigh(self._noise, first.metric, best, tests, lower_is_better=lower, sample=sample)
        if found is not None and found.failed == "candidate":
            return replace(_together(made[-1], made), failure=f"when it was measured again: {made[-1].failure}")
        return replace(_together(first, made), metric=metric, confirmation=found)

    def _sample(self, role: str, candidate: Candidate) -> Measurement:
        if self._known and self._known[0]["role"] == role:
            return measurement_of(self._known.pop(0))
        self._known.clear()
        return self._samples.take(self._number, self._run(candidate), role)


def _together(one: Measurement, made: list[Measurement]) -> Measurement:
    """One of the measurements with the time of all."""
    return replace(one, seconds=sum(each.seconds for each in made))
