"""The five places where a `conftest.py` or another plugin takes part in an experiment.

The built-in part is the last implementation of each hook: what a user writes comes first, and what answers None leaves
the step to the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_autoresearch.critics.base import Brief
    from pytest_autoresearch.records import Candidate, Experiment, Idea, Measurement, Verdict
    from pytest_autoresearch.research import Research


@pytest.hookspec(firstresult=True)
def pytest_autoresearch_propose(research: Research, brief: Brief) -> Idea | None:
    """Propose one change to `brief.source`.

    A critic of one's own::

        def pytest_autoresearch_propose(brief):
            return Idea(hypothesis="double it", edits=(Edit("X = 1", "X = 2"),), critic="mine")
    """


@pytest.hookspec(firstresult=True)
def pytest_autoresearch_apply(research: Research, idea: Idea, source: bytes) -> bytes | None:
    """Give the mutable file that `idea` makes of `source`.

    A coder that only ever appends::

        def pytest_autoresearch_apply(idea, source):
            return source + idea.code_pseudocode.encode()
    """


@pytest.hookspec(firstresult=True)
def pytest_autoresearch_measure(research: Research, candidate: Candidate) -> Measurement | None:
    """Measure what is in the session's checkout.

    Somebody else's executor::

        def pytest_autoresearch_measure(candidate):
            return Measurement(metric=submit_and_wait(candidate.content))
    """


@pytest.hookspec(firstresult=True)
def pytest_autoresearch_judge(research: Research, measurement: Measurement, incumbent: Experiment) -> Verdict | None:
    """Say whether the candidate is kept.

    A judge that wants at least one percent::

        def pytest_autoresearch_judge(measurement, incumbent):
            if measurement.metric is not None and measurement.metric > incumbent.metric * 0.99:
                return Verdict("discard", "less than one percent better")
    """


def pytest_autoresearch_experiment_recorded(research: Research, experiment: Experiment) -> None:
    """Take notice of an experiment that is on record.

    A notifier::

        def pytest_autoresearch_experiment_recorded(experiment):
            if experiment.status == "keep":
                post(f"{experiment.metric}: {experiment.description}")
    """
