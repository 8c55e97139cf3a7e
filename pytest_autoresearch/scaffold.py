"""`pytest-autoresearch init`: a repository for one problem, whose checkout is the session's."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest_autoresearch
from pytest_autoresearch.checkout import VIEWS, append_missing, link_target, literal
from pytest_autoresearch.coders.program import write_program
from pytest_autoresearch.coders.site import Site
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import remove
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.opening import open_session
from pytest_autoresearch.place import AT_HOME, CHECKOUTS, Place, check_name, find_place
from pytest_autoresearch.problem import Problem, load_problem

_LEFT_OUT = frozenset({".git", CHECKOUTS, "__pycache__", ".venv", "venv", "node_modules", ".pytest_cache"})
_PACKAGE = Path(pytest_autoresearch.__file__).parent
_SAMPLE = "sample_run"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """A repository that was made, and what tells an agent how to go about it."""

    place: Place
    program: Path


def examples() -> dict[str, Path]:
    """The shipped examples by name, and the commented template of a problem of one's own."""
    found = {path.parent.name: path.parent for path in sorted(_shipped().glob("*/problem.yaml"))}
    return {**found, "template": _PACKAGE / "template"}


def _shipped() -> Path:
    travelled = _PACKAGE / "examples"
    return travelled if travelled.is_dir() else _PACKAGE.parent / "examples"


def scaffold(problem_file: Path, target: Path, tag: str) -> Scaffold:
    """Make the repository at `target` with a copy of the problem and what lies beside it, and begin the session `tag`.

    UserError for a problem or a name that is wrong, and for a target that is no new place. What cannot be finished
    is taken away again.
    """
    problem = load_problem(problem_file)
    check_name(problem.branch_prefix, tag, _PACKAGE)
    with _new_directory(target, problem_file.parent) as directory:
        _copy(problem_file, problem, directory)
        place = find_place(directory / problem_file.name, problem.branch_prefix, tag)
        place.records.mkdir(parents=True)
        (place.records / AT_HOME).touch()
        return Scaffold(place, _begin(place, problem))


@contextmanager
def _new_directory(target: Path, source: Path) -> Iterator[Path]:
    """The directory at `target`, made if it is not there; it is as it was if something goes wrong inside."""
    try:
        made = _make(target, source)
    except OSError as error:
        raise UserError(f"{target}: {error.strerror}; name another place") from None
    try:
        yield target.resolve()
    except BaseException as error:
        for entry in [*target.iterdir()]:
            remove(entry)
        for directory in made:
            directory.rmdir()
        if isinstance(error, OSError):
            raise UserError(f"{error.filename or target}: {error.strerror}; nothing was made") from None
        raise


def _make(target: Path, source: Path) -> list[Path]:
    """Make the directory, and say which were not there before, the innermost first; UserError if it is taken."""
    if os.path.lexists(target) and not target.is_dir():
        raise UserError(f"{target}: is there already, and no directory; name one that is not there")
    if target.is_dir() and any(target.iterdir()):
        raise UserError(f"{target}: is there already, and not empty; name a directory that is not there")
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{target}: is inside the problem's own directory; name another place")
    made = [directory for directory in (target, *target.parents) if not os.path.lexists(directory)]
    target.mkdir(parents=True, exist_ok=True)
    return made


def _copy(problem_file: Path, problem: Problem, target: Path) -> None:
    """Copy what belongs to the problem, and commit it; read-only files that git does not hold there it does not here.

    What the problem links is linked, an artifact left out, and so is what a shipped example shows of a run.
    """
    source = problem_file.parent
    sample = (_SAMPLE,) if source.resolve().parent == _shipped().resolve() else ()
    beyond = (*problem.link, *problem.artifacts, *sample)
    known = {name for name in _known(source) if not any(_is_below(name, path) for path in beyond)}
    known |= {problem_file.name, problem.mutable_file}
    ignored = [path for path in problem.readonly_files if not any(_is_below(name, path) for name in known)]
    for name in (*known, *ignored):
        _copy_one(source, name, target)
    for name in problem.link:
        _link(source, name, target)
    git = Git(target, ceiling=target.parent)
    git.output("init", "--quiet", "--initial-branch=main")
    exclude = target / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    append_missing(exclude, ("__pycache__/", *(f"/{literal(path)}" for path in ignored)))
    _commit(git, sorted(known))


def _known(source: Path) -> set[str]:
    """The files that belong to the problem, relative to its directory.

    In a repository these are the ones that git knows, or would if it were asked. Elsewhere, and where git ignores the
    directory itself (that of a virtual environment inside of a repository), all are.
    """
    git = Git(source)
    try:
        tracked = git.listed("ls-files", "-z", "--cached", "--", ".")
        new = git.listed("ls-files", "-z", "--others", "--exclude-standard", "--", ".")
    except GitError:
        tracked, new = [], []
    new = new if tracked or new else [*_walked(source)]
    found = {name for name in tracked if not _is_below(name, CHECKOUTS)}
    found |= {name for name in new if name not in VIEWS and not _LEFT_OUT.intersection(PurePosixPath(name).parts)}
    return {name for name in found if (source / name).is_file() or _is_linked_directory(source / name)}


def _walked(source: Path) -> Iterator[str]:
    for top, directories, files in os.walk(source):
        links = [name for name in directories if Path(top, name).is_symlink()]
        directories[:] = [name for name in directories if name not in _LEFT_OUT]
        yield from (os.path.relpath(Path(top, name), source) for name in (*files, *links))


def _copy_one(source: Path, name: str, target: Path) -> None:
    """Copy a file, or a directory that git ignores; a link to a directory leads where it led."""
    old, new = source / name, target / name
    new.parent.mkdir(parents=True, exist_ok=True)
    if _is_linked_directory(old):
        inside = old.resolve().is_relative_to(source.resolve())
        new.symlink_to(old.readlink() if inside else old.resolve())
    elif old.is_dir():
        shutil.copytree(old, new, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    else:
        shutil.copy2(old, new)
        new.chmod(new.stat().st_mode | stat.S_IWUSR)


def _link(source: Path, name: str, target: Path) -> None:
    old, new = link_target(source, name), target / name
    new.parent.mkdir(parents=True, exist_ok=True)
    new.symlink_to(old.resolve())


def _is_linked_directory(path: Path) -> bool:
    return path.is_symlink() and path.is_dir()


def _is_below(name: str, path: str) -> bool:
    """Whether `name` is `path`, or a file in it."""
    return PurePosixPath(name).is_relative_to(PurePosixPath(path))


def _commit(git: Git, names: list[str]) -> None:
    """The first commit, by the user, or by this package where the user has no name."""
    name, _, email = git.identity().removesuffix(">").partition(" <")
    git.output("update-index", "--add", "-z", "--stdin", stdin="\0".join(names).encode(errors="surrogateescape"))
    who = ("-c", f"user.name={name}", "-c", f"user.email={email}")
    git.output(*who, "commit", "--quiet", "--no-verify", "--message", "the problem")


def _begin(place: Place, problem: Problem) -> Path:
    """Begin the session, so that branch, ledger, `results.tsv` and `program.md` are there; where that is."""
    with open_session(place, problem, lambda stage, elapsed: None) as opened:
        opened.session.workspace.own_directory()  # where the program goes if the user has one of that name
        site = Site(opened.session, place, opened.contract, opened.supervisor, lambda *_: None, lambda _: None)
        return write_program(site)
