"""What the JUnit XML says of each test case: the same whether a run writes it or it is made anew from the ledger."""

from __future__ import annotations

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
        ("iteration", done.number),
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


def of_nothing(reason: str) -> Properties:
    """The properties of an iteration that made none."""
    return [("status", "noop"), ("reason", reason)]


def of_check(result: Result) -> Properties:
    """The properties of a precondition."""
    return [("detail", result.detail)]


def _or_empty(value: float | None) -> object:
    return "" if value is None else value
