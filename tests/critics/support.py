"""What tests of critics share: a history that is made up, and a brief on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.records import Experiment, Idea, Status

TUNABLE = "RATE = 0.1  # search: 0.001..1 log\n"


@dataclass(frozen=True)
class Past:
    """A history of these experiments."""

    done: Sequence[Experiment] = ()

    def experiments(self, after: int = -1) -> Iterator[Experiment]:
        return (experiment for experiment in self.done if experiment.number > after)


def brief(
    had: Mapping[str, int] | None = None,
    source: str = TUNABLE,
    number: int = 1,
    past: Sequence[Experiment] = (),
    **more: Any,
) -> Brief:
    """A brief for experiment `number` of a session that had ideas of these critics."""
    values: dict[str, Any] = {"metric": 10.0, "metric_name": "score", "lower_is_better": True, "seed": 1, **more}
    return Brief(number=number, ideas=had or {}, source=source, history=Past(past), **values)


def experiment(number: int, status: Status, metric: float | None, idea: Idea | None = None, **more: Any) -> Experiment:
    """One experiment that is over."""
    values: dict[str, Any] = {
        "reason": "",
        "resource": None,
        "seconds": 1.0,
        "commit": f"{number:040x}",
        "parent": "",
        "blob": f"{number:040x}",
        "contract": "c",
        "description": "baseline",
        **more,
    }
    return Experiment(number=number, status=status, metric=metric, idea=idea, **values)
