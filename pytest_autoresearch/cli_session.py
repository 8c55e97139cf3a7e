"""Which session a command is about."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.settings import default_problem

if TYPE_CHECKING:
    from pytest_autoresearch.place import Place
    from pytest_autoresearch.problem import Problem
    from pytest_autoresearch.reports.story import Story


Command = Callable[..., argparse.ArgumentParser]
"""Makes a command: its name, what it does in a clause, and more in sentences."""


def complain(text: str) -> None:
    """Say on stderr what is no result."""
    from pytest_autoresearch import driver

    driver.complain(text)


def add_problem(command: argparse.ArgumentParser, what: str = "problem.yaml or its directory") -> None:
    """Add the option that names a problem."""
    command.add_argument("--problem", type=Path, metavar="PATH", help=f"{what} (default: the one that is here)")


def add_session(command: argparse.ArgumentParser) -> None:
    """Add the options that name a session."""
    add_problem(command)
    command.add_argument(
        "--tag", metavar="NAME", help="name of the session (default: the one whose checkout this is, else run1)"
    )


def problem_file(named: Path | None) -> Path:
    """The problem that is meant: the one that is named, that the environment names, or the one that is here."""
    path = named or Path(default_problem() or ".")
    file = path / "problem.yaml" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file.absolute()}: there is no such file; name the problem with --problem")
    return file.resolve()


def session(parsed: argparse.Namespace) -> tuple[Place, Problem]:
    """The session that is meant, which is not opened, and the problem as the user has it."""
    from pytest_autoresearch.reports.story import find_session

    return find_session(problem_file(parsed.problem), parsed.tag)


def story(parsed: argparse.Namespace) -> Story:
    """The same, to be told."""
    from pytest_autoresearch.reports.story import Story

    return Story(*session(parsed))
