"""What the repeats of one thing say of it: their mean, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pytest_autoresearch.spread import student

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of `repeats` values and Student's interval around it; of a single value there is none."""

    mean: float
    repeats: int
    low: float | None = None
    high: float | None = None

    def overlaps(self, other: Estimate) -> bool | None:
        """Whether the two intervals have a point in common; None where one is missing."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return None
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.6g}"
        return f"{self.mean:.6g} ({self.low:.6g} to {self.high:.6g})"


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of at least one value, with an interval that holds in 95 of 100 cases if they are nearly normal."""
    mean, repeats = fmean(values), len(values)
    if repeats == 1:
        return Estimate(mean, 1)
    reach = student(LEVEL, repeats - 1) * stdev(values) / math.sqrt(repeats)
    return Estimate(mean, repeats, mean - reach, mean + reach)
