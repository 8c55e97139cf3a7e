"""How often luck is kept, and how often what is better: sessions without processes, through the judge of the loop."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from benchmarks.figures import Scale, Table
from pytest_autoresearch.judge import judge
from pytest_autoresearch.noise import weigh
from pytest_autoresearch.records import Measurement, Role
from pytest_autoresearch.sections import NoiseSection

Noise = Callable[[random.Random], float]

CANDIDATES = 100
EFFECTS = (0.5, 1.0, 2.0)
_SESSIONS: Mapping[Scale, int] = {"full": 1_000, "quick": 100, "smoke": 3}
# Each has a standard deviation of one.
NOISES: Mapping[str, Noise] = {
    "normal": lambda dice: dice.gauss(0, 1),
    "skewed (exponential)": lambda dice: dice.expovariate(1) - 1,
    "heavy tails (Student, 3 degrees of freedom)": lambda dice: (
        dice.gauss(0, 1) / math.sqrt(dice.gammavariate(1.5, 2) / 3) / math.sqrt(3)
    ),
}
RULES: Mapping[str, NoiseSection | None] = {
    "keep if better": None,
    "noise: {}": NoiseSection(),
    "noise: {confirm: 5}": NoiseSection(confirm=5),
    "noise: {confirm: 8}": NoiseSection(confirm=8),
    "noise: {test: paired}": NoiseSection(test="paired"),
    "noise: {correction: spending}": NoiseSection(correction="spending"),
    "noise: {correction: bonferroni, candidates: 100}": NoiseSection(correction="bonferroni", candidates=CANDIDATES),
}


@dataclass
class Line:
    """One session's worth of judging; lower is better, and the true value of the incumbent is zero."""

    noise: Noise
    rule: NoiseSection | None
    dice: random.Random
    best: float = 0.0
    runs: int = 0
    tests: int = 0
    keeps: int = 0

    def begin(self) -> None:
        """Measure the baseline."""
        self.best = fmean(self.noise(self.dice) for _ in range(self.rule.repeats if self.rule else 1))

    def meet(self, effect: float) -> None:
        """Judge a candidate that is better by `effect`; what is kept is the incumbent's equal from then on."""
        measured = self._measure(effect)
        verdict = judge(measured, self.best, lower_is_better=True, noise=self.rule)
        if verdict.status == "keep":
            self.keeps += 1
            assert measured.metric is not None
            self.best = measured.metric + effect

    def _measure(self, effect: float) -> Measurement:
        first = self._run(effect)
        if self.rule is None:
            return Measurement(first)

        def sample(role: Role) -> float:
            return self._run(effect if role == "candidate" else 0.0)

        metric, found = weigh(self.rule, first, self.best, self.tests, lower_is_better=True, sample=sample)
        self.tests += found is not None
        return Measurement(metric, confirmation=found)

    def _run(self, effect: float) -> float:
        self.runs += 1
        return self.noise(self.dice) - effect


def tables(scale: Scale) -> Iterator[Table]:
    """What is kept of candidates that are no better, and of some that are."""
    sessions, alpha = _SESSIONS[scale], NoiseSection().alpha
    yield Table(
        f"false_keeps: {sessions:,} sessions of {CANDIDATES} candidates that all equal the incumbent, alpha {alpha}",
        (
            "rule",
            "noise",
            "tests",
            "false keeps",
            "per test",
            "per candidate",
            "sessions with one",
            "runs a candidate",
        ),
        [_false(rule, noise, sessions) for rule in RULES for noise in NOISES],
        ("A test is a confirmation; `keep if better` tests nothing, so that its rate is that of the candidates.",),
    )
    yield Table(
        f"false_keeps: a candidate that is better by d standard deviations, {sessions * 10:,} times",
        ("rule", "noise", *(f"d = {effect:g}: kept (runs)" for effect in EFFECTS)),
        [_power(rule, noise, sessions * 10) for rule in RULES for noise in NOISES],
        ("Each is the first candidate of a session. Runs: of candidate and incumbent, without the baseline's.",),
    )


def _false(rule: str, noise: str, sessions: int) -> tuple[str, ...]:
    lines = [Line(NOISES[noise], RULES[rule], random.Random(f"{rule} {noise} {number}")) for number in range(sessions)]
    for line in lines:
        line.begin()
        for _ in range(CANDIDATES):
            line.meet(0.0)
    keeps, tests = sum(line.keeps for line in lines), sum(line.tests for line in lines)
    candidates = sessions * CANDIDATES
    return (
        f"`{rule}`",
        noise,
        f"{tests:,}" if tests else "",
        f"{keeps:,}",
        f"{keeps / tests:.2%} ± {1.96 * math.sqrt(keeps) / tests:.2%}" if tests else "",
        f"{keeps / candidates:.2%}",
        f"{sum(line.keeps > 0 for line in lines) / sessions:.1%}",
        f"{sum(line.runs for line in lines) / candidates:.2f}",
    )


def _power(rule: str, noise: str, times: int) -> tuple[str, ...]:
    return (f"`{rule}`", noise, *(_kept(rule, noise, effect, times) for effect in EFFECTS))


def _kept(rule: str, noise: str, effect: float, times: int) -> str:
    lines = [Line(NOISES[noise], RULES[rule], random.Random(f"{effect} {number}")) for number in range(times)]
    for line in lines:
        line.begin()
        line.meet(effect)
    return f"{sum(line.keeps for line in lines) / times:.0%} ({sum(line.runs for line in lines) / times:.1f})"
