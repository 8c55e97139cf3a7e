"""Runs the objective of examples/xgboost_tuning at points all over its space; `xgboost.csv` is what this printed.

    python -m benchmarks.problems.record_xgboost 177 > benchmarks/problems/xgboost.csv

It takes some seconds a point, and needs the example's libraries and data. The points are those of an additive
recurrence (Roberts 2018), which fill the space evenly, and more of them go on from where fewer stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from statistics import fmean

from pytest_autoresearch.critics.literals import tunable_literals
from pytest_autoresearch.critics.ranges import Range
from pytest_autoresearch.records import ParameterValue

EXAMPLE = Path(__file__).parents[2] / "examples" / "xgboost_tuning"


def main(count: int) -> None:
    """Print a line for each of `count` points: the values of the literals, then the error."""
    sys.path.insert(0, str(EXAMPLE))
    literals = tunable_literals((EXAMPLE / "solution.py").read_text(), "solution.py")
    limits = [literal.stated for literal in literals if literal.stated is not None]
    print(",".join([*(literal.name for literal in literals), "rmse"]))
    for number in range(count):
        values = list(_point(number, limits))
        error = _error(dict(zip((literal.name for literal in literals), values, strict=True)))
        print(",".join([*map(repr, values), f"{error:.6f}"]), flush=True)


def _point(number: int, limits: list[Range]) -> Iterator[ParameterValue]:
    golden = 1.0  # the root of golden ** (d + 1) = golden + 1: in one dimension the golden ratio
    for _ in range(50):
        golden = (1 + golden) ** (1 / (len(limits) + 1))
    for axis, limit in enumerate(limits, start=1):
        yield limit.from_unit((0.5 + (number + 1) / golden**axis) % 1)


def _error(values: dict[str, ParameterValue]) -> float:
    """The root mean square error that the example's own evaluator finds."""
    solution, prepare = import_module("solution"), import_module("prepare")
    regressor = solution.XGBRegressor
    model = regressor(
        **{name.lower(): value for name, value in values.items()}, tree_method="hist", random_state=42, n_jobs=1
    )
    model.fit(*prepare.train())
    errors = model.predict(prepare.test_features()).astype(float) - prepare.test_targets().astype(float)
    return float(fmean(errors**2) ** 0.5)


if __name__ == "__main__":
    main(int(sys.argv[1]))
