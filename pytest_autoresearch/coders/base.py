"""What every coder is: something that makes an idea's change to the mutable file."""

from __future__ import annotations

from typing import Protocol

from pytest_autoresearch.records import Idea


class NoEdit(Exception):
    """The coder changed nothing; the message says why. There is no experiment."""


class CoderFailed(NoEdit):
    """The coder broke off; the message says why and what the user can do. The idea may be tried again."""


class ContractBroken(Exception):
    """The coder touched what it may not, which was put back; the message says what."""


class Coder(Protocol):
    """Makes one change."""

    @property
    def name(self) -> str:
        """What it is called on the terminal and in the ledger."""

    def plan(self, idea: Idea) -> str:
        """What `apply` would do, as the exact command where it runs one."""

    def apply(self, idea: Idea, source: bytes) -> bytes:
        """The mutable file that `idea` makes of `source`; what is in the checkout does not matter afterwards.

        Raises NoEdit or CoderFailed if there is no change, ContractBroken for a change to anything else, EditError
        if there are edits that do not fit.
        """
