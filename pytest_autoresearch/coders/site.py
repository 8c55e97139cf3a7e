"""Where a coder works, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.contract import Contract
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.processes import Supervisor
from pytest_autoresearch.runner import Started, Tick
from pytest_autoresearch.session import Session
from pytest_autoresearch.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Site:
    """An open session as a coder sees it. `say` tells the person at the terminal."""

    session: Session
    place: Place
    contract: Contract
    supervisor: Supervisor
    tick: Tick
    say: Callable[[str], None]

    @property
    def problem(self) -> Problem:
        """What the session is about."""
        return self.session.problem

    @property
    def workspace(self) -> Workspace:
        """The session's checkout."""
        return self.session.workspace

    @property
    def number(self) -> int:
        """The experiment that is under way."""
        return self.session.number

    @property
    def label(self) -> str:
        """What people call it."""
        return self.session.label

    @property
    def started(self) -> Started:
        """To be told of each process before it runs."""
        return self.session.process_started

    @property
    def directory(self) -> Path:
        """Our own directory beside the problem."""
        return self.workspace.own_directory()
