"""examples/multi_metric_demo: three metrics recomputed from the model, four scalarizers chosen by one line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.examples import Example, copy_example, with_literals

MODEL: dict[str, Any] = {"frequency": 4.0, "bits": 8, "step": 0.01, "codes": [1, -127, 127]}
SMALL, MIDDLE, LARGE = (
    {"FEATURES": 4, "FREQUENCY": 2.0, "RIDGE": 1.0, "BITS": 2},
    {"FEATURES": 48, "FREQUENCY": 4.0, "RIDGE": 0.0001, "BITS": 13},
    {"FEATURES": 96, "FREQUENCY": 6.0, "RIDGE": 0.001, "BITS": 10},
)


@pytest.fixture
def ripple(tmp_path: Path) -> Example:
    return copy_example("multi_metric_demo", tmp_path)


def printed(example: Example) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in example.evaluate().stdout.splitlines())


def choose(example: Example, scalarizer: str) -> None:
    """Change the one line that chooses."""
    path = example.judge / "scalarize.py"
    *others, last = path.read_text().splitlines()
    assert last.startswith("SCALARIZER = ")
    path.write_text("\n".join([*others, f"SCALARIZER = {scalarizer}"]) + "\n")


def normalised(values: dict[str, str]) -> tuple[float, float, float]:
    rmse, latency, size = (float(values[name]) for name in ("rmse", "latency_madds", "size_bytes"))
    return (rmse - 0.1) / 0.6, math.log(latency / 12) / math.log(128), math.log(size / 17) / math.log(1040 / 17)


def test_the_baseline_is_accurate_slow_and_large(ripple: Example) -> None:
    result = ripple.solve()
    assert (result.returncode, result.stdout) == (0, "")
    values = printed(ripple)
    assert float(values["rmse"]) == pytest.approx(0.157571, abs=1e-4)
    assert (values["latency_madds"], values["size_bytes"]) == ("1536", "1040")
    assert values["scalarizer"] == "convex_sum"
    assert ripple.metric() == pytest.approx(0.547975, abs=1e-4)
    assert ripple.resource() == 1040


@pytest.mark.parametrize(("features", "bits", "madds", "size"), [(1, 2, 3, 17), (5, 3, 15, 18), (512, 16, 1536, 1040)])
def test_latency_and_size_are_counted_in_the_model(
    ripple: Example, features: int, bits: int, madds: int, size: int
) -> None:
    ripple.submit({**MODEL, "bits": bits, "codes": [1] * features})
    values = printed(ripple)
    assert (values["latency_madds"], values["size_bytes"]) == (str(madds), str(size))


def test_the_error_is_that_of_the_stored_weights(ripple: Example) -> None:
    ripple.solve()
    model = json.loads((ripple.judge / "model.json").read_text())
    honest = float(printed(ripple)["rmse"])
    ripple.submit({**model, "step": 2 * model["step"]})
    assert float(printed(ripple)["rmse"]) > honest
    ripple.submit({**model, "codes": [0] * len(model["codes"])})
    assert float(printed(ripple)["rmse"]) == pytest.approx(0.6984, abs=1e-4)


def test_convex_sum(ripple: Example) -> None:
    ripple.submit(MODEL)
    values = printed(ripple)
    error, latency, size = normalised(values)
    assert ripple.metric() == pytest.approx(0.5 * error + 0.25 * latency + 0.25 * size, abs=1e-5)


def test_tchebycheff(ripple: Example) -> None:
    choose(ripple, "tchebycheff")
    ripple.submit(MODEL)
    values = printed(ripple)
    parts = [weight * part for weight, part in zip((0.5, 0.25, 0.25), normalised(values), strict=True)]
    assert values["scalarizer"] == "tchebycheff"
    assert ripple.metric() == pytest.approx(max(parts) + 0.05 * sum(parts), abs=1e-5)


def test_lexicographic_counts_steps_and_puts_the_first_metric_first(ripple: Example) -> None:
    choose(ripple, "lexicographic")
    ripple.solve(with_literals(ripple.solution, **LARGE))
    values = printed(ripple)
    error, latency, size = normalised(values)
    assert ripple.metric() == float(f"{int(error / 0.02)}.{int(latency / 0.01):02}{int(size / 0.01):02}")
    better = ripple.metric()
    ripple.solve(with_literals(ripple.solution, **SMALL))
    assert ripple.metric() > better


def test_lexicographic_stays_within_its_digits(ripple: Example) -> None:
    choose(ripple, "lexicographic")
    ripple.submit({**MODEL, "step": 1000.0})
    assert ripple.metric() < 100
    ripple.submit({**MODEL, "bits": 2, "codes": [1]})
    assert ripple.metric() == int(ripple.metric())


def test_soft_constraints_are_the_error_itself_within_the_budgets(ripple: Example) -> None:
    choose(ripple, "soft_constraints")
    ripple.solve(with_literals(ripple.solution, **MIDDLE))
    values = printed(ripple)
    assert values["score"] == values["rmse"]
    ripple.submit({**MODEL, "bits": 16, "codes": [0] * 512})
    values = printed(ripple)
    over = (1536 / 300 - 1) + (1040 / 128 - 1)
    assert ripple.metric() == pytest.approx(float(values["rmse"]) + over, abs=1e-5)


def test_only_tchebycheff_can_prefer_a_point_in_the_hollow_of_the_front(ripple: Example) -> None:
    points = []
    for literals in (SMALL, MIDDLE, LARGE):
        ripple.solve(with_literals(ripple.solution, **literals))
        points.append(normalised(printed(ripple)))
    by_sum, by_distance = set(), set()
    for percent in range(101):
        weights = (percent / 100, (1 - percent / 100) / 2, (1 - percent / 100) / 2)
        weighted = [[weight * part for weight, part in zip(weights, point, strict=True)] for point in points]
        by_sum.add(min(range(3), key=lambda k: sum(weighted[k])))
        by_distance.add(min(range(3), key=lambda k: max(weighted[k]) + 0.05 * sum(weighted[k])))
    assert by_sum == {0, 2}
    assert by_distance == {0, 1, 2}


@pytest.mark.parametrize(
    ("artifact", "reason"),
    [
        ({**MODEL, "frequency": 4}, "frequency"),
        ({**MODEL, "frequency": float("nan")}, "frequency"),
        ({**MODEL, "frequency": 0.0}, "frequency"),
        ({**MODEL, "frequency": True}, "frequency"),
        ({**MODEL, "step": float("inf")}, "step"),
        ({**MODEL, "step": -0.01}, "step"),
        ({**MODEL, "step": [0.01]}, "step"),
        ({**MODEL, "bits": 1}, "bits"),
        ({**MODEL, "bits": 17}, "bits"),
        ({**MODEL, "bits": 8.0}, "bits"),
        ({**MODEL, "bits": True}, "bits"),
        ({**MODEL, "codes": []}, "codes"),
        ({**MODEL, "codes": [0] * 513}, "codes"),
        ({**MODEL, "codes": "123"}, "codes"),
        ({**MODEL, "codes": [128]}, "code is not an integer"),
        ({**MODEL, "codes": [-128]}, "code is not an integer"),
        ({**MODEL, "codes": [1.0]}, "code is not an integer"),
        ({**MODEL, "codes": [True]}, "code is not an integer"),
        ({**MODEL, "codes": [float("nan")]}, "code is not an integer"),
        ({**MODEL, "codes": [10**400]}, "code is not an integer"),
        ({**MODEL, "score": 0.0}, "keys"),
        ({"codes": [1]}, "keys"),
        ([MODEL], "keys"),
        ("score: 0.000000\n", "not JSON"),
        ("[" * 10_000, "not JSON"),
        (b"\x93NUMPY", "not JSON"),
        (" " * 16_385, "more than 16384 bytes"),
    ],
)
def test_the_evaluator_refuses_what_is_no_model_in_one_line(ripple: Example, artifact: object, reason: str) -> None:
    ripple.submit(artifact)
    refusal = ripple.refusal()
    assert refusal.startswith("model.json: ")
    assert reason in refusal


def test_the_evaluator_refuses_a_missing_artifact(ripple: Example) -> None:
    assert "no such file" in ripple.refusal()
