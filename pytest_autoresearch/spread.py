"""How much a measurement varies, what the keeps of a session are worth, and how many of them may be luck."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from pytest_autoresearch.records import Confirmation, Experiment

_LEVEL = 0.95


@dataclass(slots=True)
class Spread:
    """What the repeated measurements of a session add up to, experiment by experiment.

    `tests` counts the confirmations that were carried through, `alphas` is the sum of their levels: if no candidate
    were better, so many would be kept at most, on the average.
    """

    squares: float = 0.0
    freedom: int = 0
    tests: int = 0
    alphas: float = 0.0

    def take(self, done: Experiment) -> None:
        """Count in the measurements of one experiment; those of each commit vary around a mean of their own."""
        found = done.confirmation
        for values in (done.values, found.candidate if found else (), found.incumbent if found else ()):
            self._take(values)
        if found is not None:
            self.tests += 1
            self.alphas += found.alpha

    def _take(self, values: Sequence[float]) -> None:
        if len(values) > 1:
            mean = fmean(values)
            self.squares += sum((value - mean) ** 2 for value in values)
            self.freedom += len(values) - 1

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a single measurement, in units of the metric; None if nothing was repeated."""
        return math.sqrt(self.squares / self.freedom) if self.freedom else None

    def lines(self) -> Iterator[str]:
        """What there is to say of the session's noise; nothing if nothing was repeated."""
        if self.deviation is not None:
            yield (
                f"noise: a measurement varies by {self.deviation:.3g} "
                f"(standard deviation, {self.freedom} degrees of freedom)"
            )
        if self.tests:
            yield (
                f"noise: {self.tests} candidate{'' if self.tests == 1 else 's'} measured again; if none were better, "
                f"{self.alphas:.2g} keeps were to be expected at most"
            )

    def effect(self, found: Confirmation) -> str:
        """By how much a candidate differs from its incumbent, with an interval that holds in 95 of 100 cases.

        The interval is Student's, with the deviation of all measurements of the session.
        """
        change = fmean(found.candidate) - fmean(found.incumbent)
        if not self.deviation:
            return f"{change:+.4g}"
        error = self.deviation * math.sqrt(1 / len(found.candidate) + 1 / len(found.incumbent))
        reach = student(_LEVEL, self.freedom) * error
        return f"{change:+.4g} ({change - reach:+.4g} to {change + reach:+.4g} at {_LEVEL:.0%})"


def student(level: float, freedom: int) -> float:
    """Student's quantile for a two-sided interval, in units of the standard error.

    Exact for one and two degrees of freedom, else Abramowitz and Stegun, *Handbook*, 26.7.5.
    """
    if freedom == 1:
        return math.tan(math.pi * level / 2)
    if freedom == 2:
        return level * math.sqrt(2 / (1 - level * level))
    z = NormalDist().inv_cdf((1 + level) / 2)
    square = z * z
    terms = (
        z,
        z * (square + 1) / 4,
        z * ((5 * square + 16) * square + 3) / 96,
        z * (((3 * square + 19) * square + 17) * square - 15) / 384,
    )
    return sum(term / math.pow(freedom, power) for power, term in enumerate(terms))
