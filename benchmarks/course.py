"""How the searches of one arm on one problem went, seed by seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from benchmarks.night import Night
from benchmarks.problems.problem import Problem

ENOUGH = 0.9
_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Course:
    """The best so far of each seed, after each number of experiments, the baseline's first."""

    problem: Problem
    curves: Sequence[Sequence[float]]

    @classmethod
    def of(cls, problem: Problem, nights: Iterable[Night]) -> Course:
        """What these sessions came to."""
        return cls(problem, [night.best_so_far(lower_is_better=problem.lower_is_better) for night in nights])

    def best(self, count: int) -> str:
        """The mean of the best after `count` experiments, with its interval."""
        values = [curve[count] for curve in self.curves]
        return f"{fmean(values):.4g} ({between(values)})"

    @property
    def gains(self) -> list[float]:
        """The share of the known gain that each seed had at the end."""
        return [self.problem.gain(curve[-1]) for curve in self.curves]

    def gain_after(self, count: int) -> float:
        """The mean share of the known gain after `count` experiments."""
        return fmean(self.problem.gain(curve[count]) for curve in self.curves)

    @property
    def gain_on_the_way(self) -> float:
        """The mean share of the known gain, over all experiments and seeds."""
        return fmean(self.problem.gain(best) for curve in self.curves for best in curve[1:])

    @property
    def experiments_to_enough(self) -> float:
        """After how many experiments the median seed had most of the known gain; infinity if it never did."""
        return median(self._reached())

    @property
    def in_words(self) -> str:
        """The same, and how many seeds got there."""
        reached, middle, length = self._reached(), self.experiments_to_enough, len(self.curves[0]) - 1
        text = f"more than {length}" if math.isinf(middle) else f"{middle:g}"
        return f"{text} ({sum(map(math.isfinite, reached))} of {len(reached)})"

    def _reached(self) -> list[float]:
        return [self._first(curve) for curve in self.curves]

    def _first(self, curve: Sequence[float]) -> float:
        there = (number for number, best in enumerate(curve) if self.problem.gain(best) >= ENOUGH)
        return next(there, math.inf)


def between(values: Sequence[float], form: str = ".4g") -> str:
    """The 95 % interval of the mean, by the percentiles of a bootstrap over the seeds."""
    dice = random.Random(0)
    means = sorted(fmean(dice.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    low, high = means[round(0.025 * _RESAMPLES)], means[round(0.975 * _RESAMPLES) - 1]
    return f"{low:{form}}..{high:{form}}"
