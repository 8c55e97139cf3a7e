"""`pytest-autoresearch init`: a repository for one problem, whose checkout is the session's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest_autoresearch
from pytest_autoresearch.coders.program import write_program
from pytest_autoresearch.coders.site import Site
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.opening import open_session
from pytest_autoresearch.place import AT_HOME, CHECKOUTS, Place, find_place
from pytest_autoresearch.problem import Problem, load_problem

_LEFT_OUT = frozenset({".git", CHECKOUTS, "__pycache__", ".venv", "venv", "node_modules", ".pytest_cache"})
_VIEWS = frozenset({"results.tsv", "run.log", "next_idea.json", "program.md"})
_PACKAGE = Path(pytest_autoresearch.__file__).parent


def examples() -> dict[str, Path]:
    """The shipped examples by name, and the commented template of a problem of one's own."""
    travelled = _PACKAGE / "examples"
    directory = travelled if travelled.is_dir() else _PACKAGE.parent / "examples"
    found = {path.parent.name: path.parent for path in sorted(directory.glob("*/problem.yaml"))}
    return {**found, "template": _PACKAGE / "template"}


def scaffold(problem_file: Path, target: Path, tag: str) -> Place:
    """Make the repository at `target` with a copy of the problem and what lies beside it, and begin the session `tag`.

    UserError for a problem that is wrong, and for a target that has something in it: nothing is overwritten.
    """
    problem = load_problem(problem_file)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is there already and not empty; name a directory that is not there")
    if target.resolve().is_relative_to(problem_file.parent.resolve()):
        raise UserError(f"{target}: is inside the problem's own directory; name another place")
    target.mkdir(parents=True, exist_ok=True)
    names = list(_copied(problem_file.parent, target))
    git = Git(target, ceiling=target.resolve().parent)
    git.output("init", "--quiet", "--initial-branch=main")
    with (target / ".git" / "info" / "exclude").open("a") as exclude:
        exclude.write("__pycache__/\n")
    _commit(git, names)
    place = find_place(target.resolve() / problem_file.name, problem.branch_prefix, tag)
    place.records.mkdir(parents=True)
    (place.records / AT_HOME).touch()
    _begin(place, problem)
    return place


def _copied(source: Path, target: Path) -> Iterator[str]:
    """Copy the files that belong to the problem, and yield their names relative to it.

    In a repository these are the ones that git knows, or would if it were asked; elsewhere all.
    """
    for name in _names(source):
        path = source / name
        if path.is_file() and Path(name).name not in _VIEWS:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name)
            yield name


def _names(source: Path) -> list[str]:
    try:
        return Git(source).listed("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
    except GitError:
        return sorted(_walked(source))


def _walked(source: Path) -> Iterator[str]:
    for top, directories, files in os.walk(source):
        directories[:] = [name for name in directories if name not in _LEFT_OUT]
        yield from (os.path.relpath(Path(top) / name, source) for name in files)


def _commit(git: Git, names: list[str]) -> None:
    """The first commit, by the user, or by this package where the user has no name."""
    name, _, email = git.identity().removesuffix(">").partition(" <")
    git.output("update-index", "--add", "-z", "--stdin", stdin="\0".join(names).encode(errors="surrogateescape"))
    who = ("-c", f"user.name={name}", "-c", f"user.email={email}")
    git.output(*who, "commit", "--quiet", "--no-verify", "--message", "the problem")


def _begin(place: Place, problem: Problem) -> None:
    """Begin the session, so that branch, ledger, `results.tsv` and `program.md` are there."""
    with open_session(place, problem, lambda stage, elapsed: None) as opened:
        site = Site(opened.session, place, opened.contract, opened.supervisor, lambda *_: None, lambda _: None)
        write_program(site)
