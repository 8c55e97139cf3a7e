"""The Pareto front of raw metrics."""

from __future__ import annotations

import random

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.reports.contender import Point
from pytest_autoresearch.reports.front import front_of


def points(*values: tuple[float, ...]) -> list[Point]:
    return [
        Point("run1", number, str(number), dict(zip("abc", one, strict=False))) for number, one in enumerate(values)
    ]


def numbers(*values: tuple[float, ...], higher: tuple[str, ...] = ()) -> list[int]:
    front = front_of(points(*values), higher)
    assert front is not None
    return [point.number for point in front.points]


def test_what_another_is_better_than_is_not_on_it() -> None:
    assert numbers((1, 5), (2, 2), (3, 3), (5, 1), (2, 6)) == [0, 1, 3]


def test_of_equal_points_the_first_stands_for_all() -> None:
    assert numbers((1, 1), (1, 1), (1, 2)) == [0]


def test_a_metric_can_be_better_when_higher() -> None:
    assert numbers((1, 5), (2, 2), (3, 9), higher=("b",)) == [0, 2]
    with pytest.raises(UserError, match=r"accuracy: no raw metric on record has this name; there are: a, b$"):
        front_of(points((1, 2)), ["accuracy"])
    with pytest.raises(UserError, match="there are: none; name them in"):
        front_of([], ["accuracy"])


def test_an_experiment_that_lacks_a_metric_is_left_out() -> None:
    front = front_of(points((1, 5), (0,)))
    assert front is not None
    assert (front.measured, [point.number for point in front.points]) == (1, [0])


def test_without_raw_metrics_there_is_none() -> None:
    assert front_of([]) is None


def test_it_is_what_the_definition_says() -> None:
    draw = random.Random(1)
    values = [tuple(float(draw.randrange(12)) for _ in range(3)) for _ in range(300)]
    different = list(dict.fromkeys(values))
    expected = {
        one
        for one in different
        if not any(other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in different)
    }
    assert {values[number] for number in numbers(*values)} == expected
