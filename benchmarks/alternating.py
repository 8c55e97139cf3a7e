"""A pytest plugin: a critic whose ideas cost nothing and are kept and discarded in turn."""

from __future__ import annotations

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.records import Idea

# A mutable file of 20 KB, about the size of a real one; `bare_loop.sh` writes as much.
_PADDING = ("#" * 79 + "\n") * 250


def pytest_autoresearch_propose(brief: Brief) -> Idea:
    """One better for an odd number, one worse for an even one, and never the same file twice."""
    assert brief.metric is not None
    score = brief.metric + (-1 if brief.number % 2 else 1)
    content = f"echo score: {score}\nexit\n# experiment {brief.number}\n{_PADDING}"
    return Idea(f"score {score}", content=content, critic="alternating")
