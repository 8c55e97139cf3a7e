"""Which session a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.settings import default_problem

if TYPE_CHECKING:
    from pytest_autoresearch.place import Place
    from pytest_autoresearch.problem import Problem
    from pytest_autoresearch.reports.story import Story


def add_session(command: argparse.ArgumentParser) -> None:
    """Add the options that name a session."""
    command.add_argument(
        "--problem", type=Path, metavar="PATH", help="problem.yaml or its directory (default: the one that is here)"
    )
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
    from pytest_autoresearch.place import find_place
    from pytest_autoresearch.problem import load_problem

    file = problem_file(parsed.problem)
    problem = load_problem(file, look=False)
    return find_place(file, problem.branch_prefix, parsed.tag), problem


def story(parsed: argparse.Namespace) -> Story:
    """The same, to be told."""
    from pytest_autoresearch.reports.story import Story

    return Story(*session(parsed))
