"""Four ways to make one score of several metrics; the last line chooses. Read-only, and free of the demo's model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """What the scalarizers know about a metric; lower values are better.

    `ideal` and `worst` are its reference points: they become 0 and 1, linearly or in the logarithm. `tolerance` is the
    share of that range below which two values count as equal, `budget` the largest value that costs nothing.
    """

    name: str
    ideal: float
    worst: float
    logarithmic: bool
    weight: float
    tolerance: float
    budget: float

    def normalised(self, value: float) -> float:
        if self.logarithmic:
            return math.log(value / self.ideal) / math.log(self.worst / self.ideal)
        return (value - self.ideal) / (self.worst - self.ideal)


METRICS = (
    Metric("rmse", ideal=0.1, worst=0.7, logarithmic=False, weight=0.5, tolerance=0.02, budget=math.inf),
    Metric("latency_madds", ideal=12, worst=1536, logarithmic=True, weight=0.25, tolerance=0.01, budget=300),
    Metric("size_bytes", ideal=17, worst=1040, logarithmic=True, weight=0.25, tolerance=0.01, budget=128),
)
"""In the order of their importance to `lexicographic`; `soft_constraints` minimises the first."""

RHO = 0.05
PENALTY = 1.0

Values = Mapping[str, float]


def convex_sum(values: Values) -> float:
    """The weighted sum of the normalised metrics (Zadeh 1963)."""
    return sum(metric.weight * metric.normalised(values[metric.name]) for metric in METRICS)


def tchebycheff(values: Values) -> float:
    """The largest weighted distance from the ideal, and a little of the sum (Steuer and Choo 1983, ParEGO 2006)."""
    return max(metric.weight * metric.normalised(values[metric.name]) for metric in METRICS) + RHO * convex_sum(values)


def lexicographic(values: Values) -> float:
    """Steps of `tolerance` from the ideal, two digits a metric: 12.0734 is 12 of the first, 7 of the second, 34."""
    steps = (math.floor(metric.normalised(values[metric.name]) / metric.tolerance) for metric in METRICS)
    return sum(min(max(step, 0), 99) * 0.01**rank for rank, step in enumerate(steps))


def soft_constraints(values: Values) -> float:
    """The first metric as it is, and PENALTY for each budget's worth that a metric is over its budget."""
    excess = sum(max(0.0, values[metric.name] / metric.budget - 1) for metric in METRICS)
    return values[METRICS[0].name] + PENALTY * excess


SCALARIZER = convex_sum
