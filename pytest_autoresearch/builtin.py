"""The built-in steps, as the last implementation of each hook."""

from __future__ import annotations

import pytest

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.judge import judge
from pytest_autoresearch.records import Candidate, Experiment, Idea, Measurement, Verdict
from pytest_autoresearch.research import Research


@pytest.hookimpl(trylast=True)
def pytest_autoresearch_propose(research: Research, brief: Brief) -> Idea:
    """Ask the critic that was chosen."""
    return research.choice.critic.propose(brief)


@pytest.hookimpl(trylast=True)
def pytest_autoresearch_apply(research: Research, idea: Idea, source: bytes) -> bytes:
    """Make the edits that the idea carries, or have the coder make them."""
    return research.apply(idea, source)


@pytest.hookimpl(trylast=True)
def pytest_autoresearch_measure(research: Research, candidate: Candidate) -> Measurement:
    """Run the runner, and the evaluator if there is one."""
    return research.measure(candidate)


@pytest.hookimpl(trylast=True)
def pytest_autoresearch_judge(research: Research, measurement: Measurement, incumbent: Experiment) -> Verdict:
    """Compare strictly, or as the noise of the problem asks for."""
    assert incumbent.metric is not None
    problem = research.session.problem
    return judge(measurement, incumbent.metric, problem.lower_is_better, problem.noise)


@pytest.hookimpl(tryfirst=True)
def pytest_autoresearch_experiment_recorded(research: Research, experiment: Experiment) -> None:
    """Have the tracker copy it, if the problem has one; first, as a hook that fails keeps the next from being told."""
    if research.follower is not None:
        research.follower.notice()
