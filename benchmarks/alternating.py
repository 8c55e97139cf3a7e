"""A pytest plugin: a critic whose ideas cost nothing and are kept and discarded in turn."""

from __future__ import annotations

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.records import Idea


def pytest_autoresearch_propose(brief: Brief) -> Idea:
    """One better for an odd number, one worse for an even one, and never the same file twice."""
    assert brief.metric is not None
    score = brief.metric + (-1 if brief.number % 2 else 1)
    content = f"echo score: {score}\n# experiment {brief.number}\n"
    return Idea(f"score {score}", content=content, critic="alternating")
