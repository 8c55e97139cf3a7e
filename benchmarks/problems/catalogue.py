"""The problems by their names.

The optima of Branin and Hartmann6 are those of the literature, that of the modules is the best of all 625, that of the
function minimisation the lowest of 300 local descents. Of circle packing it is the best that has been published, of
the tour the shortest that has been found. What is given for multi_metric_demo and for the interpolated xgboost_tuning
is the best of some thousand measurements by CMA-ES from eight and from twelve starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.problems import examples
from benchmarks.problems.functions import branin, hartmann6, waves
from benchmarks.problems.modules import MODULES, quality
from benchmarks.problems.problem import Problem

_FUNCTIONS = {"functions.py": Path(__file__).with_name("functions.py").read_text()}
_ANNEALING = """\
# The numbers of simulated annealing
HOT = 1.0  # search: 0.01..10.0 log
COLD = 0.05  # search: 0.0001..0.1 log
STEPS = 1000  # search: 300..20000 log
REACH = 10  # search: 2..48
GREEDY = False
"""
_PACKING = """\
# The knobs of a heuristic that packs circles
ROWS = 5  # search: 4..7
SHIFT = 0.0  # search: 0.0..1.0
JITTER = 0.0  # search: 0.0..0.1
STEPS = 50  # search: 20..500 log
RATE = 0.02  # search: 0.01..0.5 log
MOMENTUM = 0.0  # search: 0.0..0.95
PENALTY = 3.0  # search: 1.0..30.0 log
GROWTH = 3.0  # search: 1.0..100.0 log
"""


def _annealing(**literals: Any) -> float:
    return examples.annealed_tour(**{name.lower(): value for name, value in literals.items()})


def _packing(**literals: Any) -> float | None:
    from benchmarks.problems.packing import Packer, sum_of_radii  # numpy, which no other benchmark needs

    return sum_of_radii(Packer(**{name.lower(): value for name, value in literals.items()}).pack())


def _modules() -> str:
    lines = [f"{name} = {choices[0]!r}  # search: [{', '.join(choices)}]\n" for name, choices in MODULES.items()]
    return "# The modules of a pipeline\n" + "".join(lines)


def _runnable(function: str, arguments: str, literals: Mapping[str, tuple[float, str]]) -> str:
    """A file that prints what a function of `functions.py` gives."""
    lines = [f"{name} = {value}  # search: {limits}\n" for name, (value, limits) in literals.items()]
    return f'from functions import {function}\n\n{"".join(lines)}\nprint("score:", {function}({arguments}))\n'


_ALL = (
    Problem(
        "tsp_heuristic",
        _ANNEALING,
        _annealing,
        5.625659,
        {"HOT": 0.0225938, "COLD": 0.00147501, "STEPS": 8582, "REACH": 44, "GREEDY": True},
    ),
    Problem(
        "multi_metric_demo",
        examples.solution("multi_metric_demo"),
        examples.multi_metric,
        0.341898,
        {"FEATURES": 106, "FREQUENCY": 6.27163, "RIDGE": 0.000547603, "BITS": 10},
    ),
    Problem(
        "xgboost_tuning, interpolated",
        examples.solution("xgboost_tuning"),
        examples.xgboost_error,
        0.420072,
        {
            "N_ESTIMATORS": 862,
            "MAX_DEPTH": 7,
            "LEARNING_RATE": 0.0708995,
            "SUBSAMPLE": 0.948293,
            "COLSAMPLE_BYTREE": 0.7850155,
            "MIN_CHILD_WEIGHT": 10.0,
            "REG_LAMBDA": 5.27528,
            "REG_ALPHA": 0.754047,
        },
    ),
    Problem(
        "circle packing",
        _PACKING,
        _packing,
        2.63598,
        {
            "ROWS": 5,
            "SHIFT": 0.362806,
            "JITTER": 0.0191362,
            "STEPS": 365,
            "RATE": 0.182096,
            "MOMENTUM": 0.752045,
            "PENALTY": 12.0361,
            "GROWTH": 89.6371,
        },
        lower_is_better=False,
    ),
    Problem(
        "function minimisation",
        _runnable("waves", "X, Y", {"X": (4.0, "-5.0..5.0"), "Y": (-4.0, "-5.0..5.0")}),
        lambda **literals: waves(*literals.values()),
        -1.518686,
        {"X": -1.704083, "Y": 0.677508},
        files=_FUNCTIONS,
    ),
    Problem(
        "modules",
        _modules(),
        lambda **literals: quality(*literals.values()),
        1.0,
        {"LOADER": "csv", "PREPROCESSING": "quantile", "ALGORITHM": "boosting", "FORMAT": "json"},
        lower_is_better=False,
    ),
    Problem(
        "Hartmann6",
        _runnable("hartmann6", "[A, B, C, D, E, F]", dict.fromkeys("ABCDEF", (0.5, "0.0..1.0"))),
        lambda **literals: hartmann6(list(literals.values())),
        -3.322368,
        dict(zip("ABCDEF", (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True)),
        files=_FUNCTIONS,
    ),
    Problem(
        "Branin",
        _runnable("branin", "X, Y", {"X": (-4.0, "-5.0..10.0"), "Y": (2.0, "0.0..15.0")}),
        lambda **literals: branin(*literals.values()),
        0.397887,
        {"X": 3.141593, "Y": 2.275},
        files=_FUNCTIONS,
    ),
)
PROBLEMS: Mapping[str, Problem] = {problem.name: problem for problem in _ALL}
