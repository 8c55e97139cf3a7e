"""Keep, discard or crash; and when enough has been done."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from pytest_autoresearch.judge import is_better, judge, stop_reason
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.records import Experiment, Measurement
from pytest_autoresearch.sections import StopSection

VALUES = [-1e308, -2.5, -5e-324, -0.0, 0.0, 5e-324, 1.0, math.nextafter(1.0, 2.0), 1e16, 1e308]


@pytest.mark.parametrize(("metric", "lower", "higher"), [(9.0, "keep", "discard"), (11.0, "discard", "keep")])
def test_better_is_kept_and_worse_discarded_in_either_direction(metric: float, lower: str, higher: str) -> None:
    assert judge(Measurement(metric), 10.0, lower_is_better=True).status == lower
    assert judge(Measurement(metric), 10.0, lower_is_better=False).status == higher


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_equal_is_discarded_in_either_direction(lower_is_better: bool) -> None:
    verdict = judge(Measurement(10.0), 10.0, lower_is_better)
    assert (verdict.status, verdict.reason) == ("discard", "equal to the incumbent (10)")
    assert judge(Measurement(-0.0), 0.0, lower_is_better).status == "discard"


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_the_smallest_difference_counts_and_the_largest_is_no_accident(lower_is_better: bool) -> None:
    for metric, incumbent in itertools.product(VALUES, VALUES):
        expected = is_better(metric, incumbent, lower_is_better)
        assert judge(Measurement(metric), incumbent, lower_is_better).status == ("keep" if expected else "discard")


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_a_chain_of_keeps_only_ever_improves(lower_is_better: bool) -> None:
    chance = random.Random(1)
    kept = [0.0]
    for _ in range(500):
        metric = round(chance.gauss(0, 3), 1)
        if judge(Measurement(metric), kept[-1], lower_is_better).status == "keep":
            kept.append(metric)
    assert kept == sorted(set(kept), reverse=lower_is_better)


def test_a_verdict_says_the_numbers() -> None:
    assert judge(Measurement(8.0), 10.0, True).reason == "10 → 8 (-2)"
    assert judge(Measurement(12.5), 10.0, True).reason == "worse: 10 → 12.5 (+2.5)"


def test_no_number_is_a_crash_with_its_reason() -> None:
    verdict = judge(Measurement(None, failure="timeout: it took too long"), 10.0, True)
    assert (verdict.status, verdict.reason) == ("crash", "timeout: it took too long")


@pytest.mark.parametrize("lower_is_better", [True, False])
@pytest.mark.parametrize("metric", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_a_crash_whoever_measured_it(metric: float, lower_is_better: bool) -> None:
    """A `measure` hook of a user's may return anything."""
    assert judge(Measurement(metric), 10.0, lower_is_better).status == "crash"


@pytest.mark.parametrize("metric", [8.0, 10.0, 12.0, None])
def test_a_result_that_was_known_is_marked(metric: float | None) -> None:
    known = judge(Measurement(metric, failure="broken" if metric is None else "", duplicate_of=3), 10.0, True)
    fresh = judge(Measurement(metric, failure="broken" if metric is None else ""), 10.0, True)
    assert known.status == fresh.status
    assert known.reason == f"duplicate of experiment 3: {fresh.reason}"


# --- stop rules


def progress(number: int, best: float | None, best_number: int = 0) -> Progress:
    """A session that has done the experiments up to `number`, the best of which is `best_number`."""
    incumbent = best if best is None else _kept(best_number, best)
    return Progress(next_number=number + 1, incumbent=incumbent, keeps_from=best_number)


def _kept(number: int, metric: float) -> Experiment:
    return Experiment(number, "keep", "", metric, None, 1.0, "c", "p", "b", "k", "d")


@pytest.mark.parametrize(
    ("best", "lower_is_better", "reached"),
    [
        (8.5, True, False),
        (8.0, True, True),
        (7.0, True, True),
        (7.5, False, False),
        (8.0, False, True),
        (9.0, False, True),
    ],
)
def test_the_target_is_reached_by_what_is_as_good(best: float, lower_is_better: bool, reached: bool) -> None:
    reason = stop_reason(StopSection(target=8), progress(3, best), lower_is_better, hours=0)
    assert (reason is not None) == reached
    assert reason is None or reason == f"target reached: {best:.6g} against 8 (stop.target)"


def test_a_target_of_zero_is_a_target() -> None:
    assert stop_reason(StopSection(target=0), progress(1, 0.0), True, hours=0) is not None
    assert stop_reason(StopSection(target=0), progress(1, 0.1), True, hours=0) is None


@pytest.mark.parametrize(
    ("number", "best_number", "stops"), [(4, 2, False), (5, 2, True), (9, 2, True), (3, 3, False)]
)
def test_patience_counts_the_experiments_since_the_last_keep(number: int, best_number: int, stops: bool) -> None:
    reason = stop_reason(StopSection(patience=3), progress(number, 8.0, best_number), True, hours=0)
    assert (reason is not None) == stops
    assert not stops or f"no keep in the last {number - best_number} experiments" in str(reason)


@pytest.mark.parametrize(("hours", "stops"), [(1.99, False), (2.0, True), (3.0, True)])
def test_the_hours_of_a_run_are_counted(hours: float, stops: bool) -> None:
    reason = stop_reason(StopSection(hours=2), progress(1, 8.0), True, hours)
    assert reason == ("2 hours are over (stop.hours)" if stops else None)


def test_without_rules_nothing_stops_and_a_session_without_a_baseline_has_reached_nothing() -> None:
    assert stop_reason(StopSection(), progress(10**6, 0.0), True, hours=1e9) is None
    assert stop_reason(StopSection(target=8, patience=1), Progress(), True, hours=0) is None
