"""The answers to the four questions that somebody has who did not watch: what was tried, did it work, cost, trust."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pytest_autoresearch.problem import Problem
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.text import one_line

_CRITICS, _NAME = 3, 40
_AT_ONCE = 0.99

Mark = Literal["plain", "good", "warn"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence of an answer, and whether it speaks for the session or against it."""

    text: str
    mark: Mark = "plain"


def signed(number: float | None) -> str:
    """A change for people; a dash for none."""
    return "-" if number is None else f"{number:+.4g}"


def duration(seconds: float) -> str:
    """A time span in the unit that suits it."""
    for most, size, unit in ((100, 1, "s"), (100 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < most:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} days"


def counted(number: int, noun: str) -> str:
    """So many of them."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def improvement(progress: Progress) -> str:
    """By how many percent the best differs from the baseline; '' where that says nothing."""
    baseline, best = progress.baseline, progress.incumbent
    if baseline is None or best is None or not baseline.metric or best.metric is None:
        return ""
    if best.contract != baseline.contract or best.metric == baseline.metric:
        return ""
    return f"{(best.metric - baseline.metric) / abs(baseline.metric):+.2%}"


def tried(progress: Progress, tally: Tally) -> Iterator[Fact]:
    """How many experiments there were, of what kind."""
    counts, number = progress.counts, progress.experiments
    kept = progress.kept
    made = counted(number, "experiment")
    if tally.iterations < number:
        made += f" in {counted(tally.iterations, 'iteration')}"
    yield Fact(f"{made}: {kept:,} kept, {counts['discard']:,} discarded, {counts['crash']:,} crashed")
    if number:
        yield Fact(f"keep rate {kept / number:.1%}; {progress.since_keep:,} since the last keep")
    for score in sorted(tally.scores.values(), key=lambda score: -score.tried)[:_CRITICS]:
        yield Fact(f"{one_line(score.critic, _NAME)}: {score.tried:,} tried, {score.kept:,} kept")
    if tally.duplicates:
        yield Fact(f"{tally.duplicates:,} proposed again what was measured before, and were not run")
    if tally.machine:
        yield Fact(f"{tally.machine:,} failed through the machine and not through the idea", "warn")


def cost(progress: Progress, tally: Tally) -> Iterator[Fact]:
    """Time, tokens and money."""
    yield Fact(f"{duration(tally.ended - tally.began)} from the baseline to the last experiment")
    yield Fact(f"{duration(tally.seconds)} spent running candidates{_at_once(tally)}")
    spent, kept = progress.spent, progress.kept
    if not spent.tokens:
        yield Fact("no model was asked: 0 tokens, USD 0")
        return
    yield Fact(f"{counted(spent.tokens, 'token')}, USD {spent.usd:.4g}")
    if kept:
        yield Fact(f"{spent.tokens // kept:,} tokens for each keep")


def _at_once(tally: Tally) -> str:
    """How long that was by the clock, where several candidates ran at once."""
    together = tally.elapsed < _AT_ONCE * tally.seconds
    return f", several at once: {duration(tally.elapsed)} by the clock" if together else ""


def trust(problem: Problem, progress: Progress, tally: Tally) -> Iterator[Fact]:
    """What the numbers rest on, and what was seen that speaks against them."""
    if problem.trust == "evaluated":
        yield Fact("evaluated: the metric comes from an evaluator that the candidate cannot touch", "good")
    else:
        yield Fact("self-reported: the candidate prints its own metric, which is as honest as the candidate", "warn")
    lines = list(progress.spread.lines())
    yield from (Fact(line) for line in lines)
    if not lines:
        yield Fact("noise unknown: nothing was measured twice; where the metric varies, a keep may be luck", "warn")
    yield from _incidents(tally)


def _incidents(tally: Tally) -> Iterator[Fact]:
    changes = max(0, len(tally.contracts) - 1)
    for number, bad, none in (
        (
            tally.breaches,
            "broke the contract; caught, not kept",
            "no breach of the contract was caught",
        ),
        (changes, "times the contract changed; numbers across a change are not compared", "one contract throughout"),
        (tally.leaving, "left files behind, which were put aside", "no run left files behind"),
        (tally.besides, "had changes besides the mutable file", "no changes besides the mutable file"),
    ):
        yield Fact(f"{number:,} {bad}", "warn") if number else Fact(none, "good")
