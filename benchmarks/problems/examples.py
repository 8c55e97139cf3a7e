"""The shipped examples, measured in this process by their own code; the slow one from runs that were recorded."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.arena import workplace
from benchmarks.problems.annealing import Annealer
from pytest_autoresearch.critics.literals import scan

if TYPE_CHECKING:
    from benchmarks.problems.surrogate import Surrogate

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORDED = Path(__file__).with_name("xgboost.csv")


def solution(example: str) -> str:
    """The mutable file of an example."""
    return (EXAMPLES / example / "solution.py").read_text()


def multi_metric(**literals: Any) -> float:
    """The score of examples/multi_metric_demo, which is run as it is."""
    code, evaluator = _modules("multi_metric_demo", "solution", "evaluate")
    printed, here = io.StringIO(), Path.cwd()
    with workplace() as directory, patch.multiple(code, **literals), redirect_stdout(printed):
        os.chdir(directory)
        try:
            code.main()
            evaluator.main()
        finally:
            os.chdir(here)
    return float(printed.getvalue().split("score: ")[1])


def annealed_tour(**knobs: Any) -> float:
    """The length of the tour through the cities of examples/tsp_heuristic that annealing comes to."""
    (prepare,) = _modules("tsp_heuristic", "prepare")
    distance = prepare.distances()
    return float(prepare.tour_length(Annealer(distance, **knobs).tour(), distance))


def xgboost_error(**literals: Any) -> float:
    """The error of examples/xgboost_tuning, interpolated between runs of it."""
    return _recorded().value(literals)


@cache
def _recorded() -> Surrogate:
    from benchmarks.problems.surrogate import Surrogate

    limits = {found.name: found.stated for found in scan(solution("xgboost_tuning")).literals if found.stated}
    return Surrogate.read(RECORDED, limits)


@cache
def _modules(example: str, *names: str) -> tuple[ModuleType, ...]:
    """Modules of an example; those of the others have the same names."""
    with patch.object(sys, "path", [str(EXAMPLES / example), *sys.path]), patch.dict(sys.modules):
        return tuple(import_module(name) for name in names)
