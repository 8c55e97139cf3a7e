"""What the JUnit XML says of each test case: the same whether a run writes it or it is made anew from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_autoresearch.preconditions import Result
    from pytest_autoresearch.problem import Problem
    from pytest_autoresearch.records import Experiment
    from pytest_autoresearch.reports.story import Entry

Properties = list[tuple[str, object]]


def of_experiment(entry: Entry, tag: str, problem: Problem, baseline: Experiment) -> Properties:
    """The properties of an iteration that made an experiment; what there is not, is empty."""
    done, idea = entry.experiment, entry.idea
    return [
        ("run_id", entry.run_id),
        ("tag", tag),
        ("iteration", done.made_in),
        ("experiment", done.label),
        ("status", done.status),
        ("reason", done.reason),
        ("metric_name", problem.metric_name),
        ("metric_value", _or_empty(done.metric)),
        ("baseline", _or_empty(baseline.metric)),
        ("best", _or_empty(entry.best)),
        ("delta", _or_empty(entry.delta)),
        ("resource", _or_empty(done.resource)),
        ("commit", done.commit),
        ("parent", done.parent),
        ("hypothesis", idea.hypothesis if idea else ""),
        ("risk", idea.risk_level if idea else ""),
        ("critic", entry.critic),
        ("tokens", done.tokens or (idea.tokens if idea else 0)),
        ("usd", done.usd),
        ("seconds", done.seconds),
        ("trust", problem.trust),
    ]


def best_of(made: Sequence[Experiment], *, lower_is_better: bool) -> Experiment:
    """The experiment of an iteration that its test case is about: the kept one, else the best, else the first."""
    sign = 1 if lower_is_better else -1
    return min(
        made, key=lambda one: (one.status != "keep", one.metric is None, sign * (one.metric or 0.0), one.number)
    )


def of_candidates(made: Sequence[Experiment]) -> Properties:
    """What there is to say of each of several experiments; nothing where there is one."""
    return [
        (f"{one.label}.{what}", value)
        for one in (made if len(made) > 1 else ())
        for what, value in (
            ("status", one.status),
            ("reason", one.reason),
            ("metric_value", _or_empty(one.metric)),
            ("commit", one.commit),
            ("hypothesis", one.idea.hypothesis if one.idea else ""),
        )
    ]


def of_nothing(reason: str) -> Properties:
    """The properties of an iteration that made none."""
    return [("status", "noop"), ("reason", reason)]


def of_check(result: Result) -> Properties:
    """The properties of a precondition."""
    return [("detail", result.detail)]


def _or_empty(value: float | None) -> object:
    return "" if value is None else value
