"""The problems that a search is measured on: their optima are true, and a search without a session is that of one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.examples import copy_example, with_literals

pytest.importorskip("optuna")
pytest.importorskip("cmaes")

from benchmarks.course import Course, between
from benchmarks.night import Arm, Night, by_critic, by_pytest
from benchmarks.problems import examples
from benchmarks.problems.catalogue import PROBLEMS
from benchmarks.problems.modules import all_choices, quality
from benchmarks.problems.packing import CIRCLES, Circle, sum_of_radii
from benchmarks.search import ARMS


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_best_that_is_known_is_nearly_had_by_who_knows_where(name: str) -> None:
    problem = PROBLEMS[name]
    assert problem.space.contains(tuple(problem.where.values()))
    metric = problem.measure(**problem.where)
    assert metric is not None
    assert 0.99 <= problem.gain(metric) <= 1 + 1e-4


def test_of_all_modules_one_combination_is_the_best() -> None:
    found = sorted(quality(*choice) for choice in all_choices())
    assert len(found) == 5**4
    assert found[-1] == 1
    assert found[-2] < 0.8


def grid() -> list[Circle]:
    """Twenty-six circles that touch nothing."""
    return [(0.1 + 0.15 * (index % 6), 0.1 + 0.15 * (index // 6), 0.07) for index in range(CIRCLES)]


@pytest.mark.parametrize(
    "wrong",
    [
        (0.1, 0.1, 0.1 + 1e-15),  # over the edge
        (0.1, 0.1, 0.08 + 1e-15),  # over the next one, which has 0.07 of 0.15
        (0.1, 0.1, 0.0),
        (0.1, 0.1, -0.01),
        (math.nan, 0.1, 0.01),
        (0.1, 0.1, math.inf),
        (2.0, 0.1, 0.01),
    ],
)
def test_circles_that_do_not_fit_are_no_packing(wrong: Circle) -> None:
    assert sum_of_radii(grid()) == pytest.approx(CIRCLES * 0.07)
    assert sum_of_radii([wrong, *grid()[1:]]) is None
    assert sum_of_radii(grid()[1:]) is None


def test_an_example_in_process_has_the_score_of_the_example(tmp_path: Path) -> None:
    example = copy_example("multi_metric_demo", tmp_path)
    literals = {"FEATURES": 60, "FREQUENCY": 5.0, "RIDGE": 0.5, "BITS": 6}
    example.solve(with_literals(example.solution, **literals))
    assert examples.multi_metric(**literals) == pytest.approx(example.metric(), abs=2e-6)


def test_the_recorded_runs_are_what_is_interpolated() -> None:
    head, *rows = [line.split(",") for line in examples.RECORDED.read_text().splitlines()]
    for row in rows[::20]:
        literals = {name: float(cell) for name, cell in zip(head, row, strict=True) if name != "rmse"}
        assert examples.xgboost_error(**literals) == pytest.approx(float(row[-1]), abs=1e-6)


@pytest.mark.parametrize(
    "arm", [ARMS[0], ARMS[1], ARMS[4], replace(ARMS[0], name="four at once", at_once=4)], ids=lambda arm: arm.name
)
def test_a_search_without_a_session_proposes_what_a_session_proposes(arm: Arm) -> None:
    here, there = (search(PROBLEMS["Branin"], arm, 3, 12) for search in (by_critic, by_pytest))
    assert len(here.proposals) == 12
    assert here == there


def test_what_a_course_says() -> None:
    problem = PROBLEMS["Branin"]
    middle = problem.baseline + 0.5 * (problem.best - problem.baseline)
    nights = [
        Night([], [problem.baseline, middle, None, problem.best]),
        Night([], [problem.baseline, None, middle, problem.baseline]),
    ]
    course = Course.of(problem, nights)
    assert course.curves[1] == [problem.baseline, problem.baseline, middle, middle]
    assert course.gains == pytest.approx([1.0, 0.5])
    assert course.gain_on_the_way == pytest.approx((0.5 + 0.5 + 1.0 + 0.0 + 0.5 + 0.5) / 6)
    assert course.in_words == "more than 3 (1 of 2)"
    assert between([1.0, 1.0, 1.0]) == "1..1"
