"""Whether a candidate that looks better is better: measured again, in turn with the incumbent, and tested exactly.

The test is Fisher's: if both are the same, every way to share out the values between them (pooled), or to give those
of a pair to one and the other (paired), was equally likely. The p-value is the share of the ways that look at least as
good for the candidate as the one that was seen (E. S. Edgington and P. Onghena, *Randomization Tests*, 4th ed., 2007).
What made the candidate look better is not among the values: it was chosen for being good.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from statistics import fmean

from pytest_autoresearch.fields import NoiseTest
from pytest_autoresearch.records import Confirmation, Role
from pytest_autoresearch.sections import NoiseSection, ways

Sample = Callable[[Role], float | None]


def looks_better(noise: NoiseSection, metric: float, than: float, lower_is_better: bool) -> bool:
    """Whether `metric` is better `than` another one by more than `min_improvement`."""
    gain = than - metric if lower_is_better else metric - than
    return gain > noise.least_gain(than)


def weigh(
    noise: NoiseSection, first: float, best: float, earlier: int, *, lower_is_better: bool, sample: Sample
) -> tuple[float, Confirmation | None]:
    """The metric of a candidate whose first value is `first`, and the confirmation if it looks better than `best`."""
    if not looks_better(noise, first, best, lower_is_better):
        return first, None
    found = confirm(noise, earlier, lower_is_better, sample)
    return fmean(found.candidate or [first]), found


def confirm(noise: NoiseSection, earlier: int, lower_is_better: bool, sample: Sample) -> Confirmation:
    """Measure both again, in turn, until the test has its answer; `earlier` confirmations came before in the session.

    `sample` measures one of them; None is no metric, which ends it.
    """
    alpha = noise.alpha_of(earlier)
    ours: list[float] = []
    theirs: list[float] = []
    pairs, least = noise.pairs_for(alpha), 0.0
    while len(ours) < pairs and least <= alpha:
        for role in _turn(len(ours)):
            metric = sample(role)
            if metric is None:
                return Confirmation(tuple(ours), tuple(theirs), pairs, 1.0, alpha, role)
            (ours if role == "candidate" else theirs).append(metric)
        least = least_p(ours, theirs, pairs, noise.test, lower_is_better)
    return Confirmation(tuple(ours), tuple(theirs), pairs, least, alpha)


def least_p(
    candidate: Sequence[float],
    incumbent: Sequence[float],
    pairs: int,
    test: NoiseTest,
    lower_is_better: bool,
) -> float:
    """The least p-value that `pairs` pairs can come to after these; with all of them it is the p-value.

    Values that are still to come can be such that only the ways in which they stay where they are look as good.
    """
    sign = -1 if lower_is_better else 1
    good = _integers([*(sign * value for value in candidate), *(sign * value for value in incumbent)])
    ours, theirs = good[: len(candidate)], good[len(candidate) :]
    if test == "pooled":
        return _ways_to_share(good, len(ours), sum(ours)) / ways(test, pairs)
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    return _ways_to_flip(differences, sum(differences)) / ways(test, pairs)


def _turn(number: int) -> tuple[Role, Role]:
    """Who is measured first changes from pair to pair, so that a drift favours neither."""
    return ("candidate", "incumbent") if number % 2 == 0 else ("incumbent", "candidate")


def _integers(values: Sequence[float]) -> list[int]:
    """The values in a unit in which all of them are whole, so that sums are compared exactly."""
    exact = [Fraction(value) for value in values]
    unit = math.lcm(*(one.denominator for one in exact))
    return [int(one * unit) for one in exact]


def _ways_to_share(values: Sequence[int], count: int, total: int) -> int:
    """How many choices of `count` of the values add up to `total` at least.

    The two halves of the values are gone through apart, so that it takes the square root of the ways.
    """
    middle = len(values) // 2
    left, right = values[:middle], values[middle:]
    found = 0
    for of_left in range(max(0, count - len(right)), min(count, len(left)) + 1):
        sums = sorted(-one for one in _sums(right, count - of_left))
        found += sum(bisect_right(sums, one - total) for one in _sums(left, of_left))
    return found


def _ways_to_flip(differences: Sequence[int], total: int) -> int:
    """How many choices of signs make the differences add up to `total` at least."""
    middle = len(differences) // 2
    sums = sorted(-one for one in _signed(differences[middle:]))
    return sum(bisect_right(sums, one - total) for one in _signed(differences[:middle]))


def _sums(values: Sequence[int], count: int) -> Iterator[int]:
    return (sum(chosen) for chosen in combinations(values, count))


def _signed(differences: Sequence[int]) -> list[int]:
    sums = [0]
    for one in differences:
        sums = [before + change for before in sums for change in (one, -one)]
    return sums
