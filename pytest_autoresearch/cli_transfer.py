"""The commands that carry a session's work out of it: to a branch for review, to another clone."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_autoresearch.cli_session import Command, add_problem, add_session, complain, problem_file, session


def add_transfer(command: Command) -> None:
    """Add them to the commands."""
    _add_finalize(command)
    export = command(
        "export",
        "put a session into one file: branch, candidates and records",
        "It may be running; the file has what is on record by then.",
    )
    export.add_argument(
        "file", type=Path, metavar="FILE", help="the file to write; what an earlier export wrote is replaced"
    )
    add_session(export)
    export.set_defaults(command=_export)
    bring = command(
        "import",
        "make the session in a file one of this repository",
        "A session of that name that is there already goes forward to what the file has of it.",
    )
    bring.add_argument("file", type=Path, metavar="FILE", help="the file that export wrote")
    add_problem(bring)
    bring.set_defaults(command=_import)


def _add_finalize(command: Command) -> None:
    finalize = command(
        "finalize",
        "make a branch for review out of the keeps",
        "A commit for each keep that is still in the result, on top of what your checkout is on, and measured against "
        "that. The text of a pull request is printed. Your checkout is not touched.",
    )
    finalize.add_argument("--squash", action="store_true", help="make one commit of all keeps")
    finalize.add_argument("--name", metavar="BRANCH", help="the branch to make (default: the session's with -review)")
    finalize.add_argument("--base", metavar="COMMIT", help="what it stands on (default: what your checkout is on)")
    finalize.add_argument(
        "--no-remeasure", dest="remeasure", action="store_false", help="do not measure the result against the base"
    )
    add_session(finalize)
    finalize.add_argument(
        "--output", type=Path, metavar="FILE", help="write the text of the pull request here instead"
    )
    finalize.set_defaults(command=_finalize)


def _finalize(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.files import replace_text
    from pytest_autoresearch.review.finalize import Wishes, finalize

    wishes = Wishes(squash=parsed.squash, name=parsed.name, base=parsed.base, remeasure=parsed.remeasure)
    text = finalize(*session(parsed), wishes, complain)
    if parsed.output is None:
        print(text, end="")
    else:
        replace_text(parsed.output, text)
    return 0


def _export(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.bundle.transfer import export_session

    place, _ = session(parsed)
    progress = export_session(place, parsed.file)
    print(f"session {place.branch}, {progress.experiments} experiments, in {parsed.file}")
    return 0


def _import(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.bundle.transfer import import_session
    from pytest_autoresearch.problem import load_problem

    file = problem_file(parsed.problem)
    brought = import_session(file, load_problem(file, look=False).branch_prefix, parsed.file)
    print("\n".join(brought.lines()))
    return 0
