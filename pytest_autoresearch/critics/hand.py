"""The critic that is not there: whoever edits the file, or the agent that is the coder, has the ideas."""

from __future__ import annotations

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.records import BY_HAND, Idea, by_hand


class Hand:
    """Proposes nothing in particular."""

    name = BY_HAND

    def propose(self, brief: Brief) -> Idea:
        """An idea that leaves the change to the coder."""
        return by_hand("a change of the coder's own choice")
