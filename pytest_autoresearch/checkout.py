"""Making the checkout of a session, and keeping what it leaves out of the user's git status."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path

from filelock import FileLock

from pytest_autoresearch.chain import Chain, Change, Commit
from pytest_autoresearch.data import hash_file
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import first_free
from pytest_autoresearch.git import Git, GitError, checkout_of, worktree_entry
from pytest_autoresearch.git_locks import GitLocks
from pytest_autoresearch.place import CHECKOUTS, Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.workspace import OWN

VIEWS = (
    "results.tsv",
    "run.log",
    "next_idea.json",
    "program.md",
    "STATE.md",
    "AUDIT_LOG.md",
    "AUDIT_LOG.json",
    "report.html",
)


def check_committed(place: Place, problem: Problem) -> str:
    """The commit that a session can begin with; UserError if the user's checkout is not ready for one."""
    git = Git(place.home)
    head = git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head is None:
        raise UserError(
            f"{place.home}: the repository has no commit yet; make one: git add . && git commit -m 'first'"
        )
    if operation := _unfinished(git):
        raise UserError(f"{place.home}: in the middle of a {operation}; finish it: git {operation} --continue")
    names = [place.problem_name, problem.mutable_file, *problem.readonly_files]
    complaints = [said for name in names if (said := _not_committed(git, head, place.in_tree(name)))]
    if complaints:
        raise UserError("\n".join(complaints))
    return head


def _unfinished(git: Git) -> str | None:
    directory = Path(git.text("rev-parse", "--absolute-git-dir"))
    marks = {
        "MERGE_HEAD": "merge",
        "rebase-merge": "rebase",
        "rebase-apply": "rebase",
        "CHERRY_PICK_HEAD": "cherry-pick",
        "REVERT_HEAD": "revert",
    }
    return next((operation for mark, operation in marks.items() if (directory / mark).exists()), None)


def _not_committed(git: Git, head: str, path: str) -> str | None:
    entry, quoted = git.text("ls-tree", "--full-tree", head, "--", path), shlex.quote(path)
    if entry.startswith("120000"):
        return f"{path}: is a symbolic link; name the file that it points to"
    if entry:
        dirty = git.text("status", "--porcelain", "--untracked-files=no", "--", path)
        mend = f"git add -- {quoted} && git commit -m {shlex.quote(f'change {path}')}"
        return f"{path}: has changes that are not committed; commit them: {mend}" if dirty else None
    if git.ask("check-ignore", "--quiet", "--", path) is not None:
        return None
    return f"{path}: is not in git; add it: git add -- {quoted} && git commit -m {shlex.quote('add ' + path)}"


def first_commit(place: Place, problem: Problem, head: str, ref: str, locks: GitLocks) -> str:
    """The commit that a session begins with: `head`, or one kept by `ref` that adds an ignored mutable file."""
    git, path = Git(place.home), place.in_tree(problem.mutable_file)
    if git.text("ls-tree", "--full-tree", head, "--", path):
        return head
    file = place.project / problem.mutable_file
    content = file.read_bytes()
    change = Change(path, "100755" if os.access(file, os.X_OK) else "100644", git.hash_file(path, content))
    wanted = Commit(head, change, f"autoresearch: {path}, which git ignores", git.identity())
    return Chain(git, ref, head, locks).add(wanted)


@contextmanager
def worktrees_to_ourselves(place: Place) -> Iterator[None]:
    """While no other session of the repository lists, adds or removes worktrees.

    git fails on the entry of a worktree that somebody is just adding or removing ("failed to read commondir"). Where
    no session has ever begun there is none to wait for, and no lock is left behind.
    """
    ours = place.common / "autoresearch"
    with FileLock(ours / "worktrees.lock") if ours.is_dir() else nullcontext():
        yield


def free_place(place: Place) -> Path:
    """Where a new session's checkout goes; names such as a-b/c and a/b-c would else share one."""
    taken = dict(Git(place.home).worktrees())
    path, number = place.checkout, 1
    while taken.get(path, place.branch) != place.branch:
        number += 1
        path = place.checkout.with_name(f"{place.checkout.name}-{number}")
    return path


def is_own(place: Place, path: Path) -> bool:
    """Whether `path` is a checkout of this repository, and not of one that it was copied from or moved away from."""
    if place.is_at_home:
        return path == place.home
    registered = worktree_entry(path)
    return registered is not None and registered.parent == place.common / "worktrees" and registered.is_dir()


def today(place: Place, recorded: Path) -> Path:
    """Where a checkout on record is by now: the repository may have been moved, or be a copy, since."""
    moved = not is_own(place, recorded) and not recorded.is_relative_to(place.home)
    return place.checkout.with_name(recorded.name) if moved else recorded


def find_own(place: Place, recorded: Path | None) -> Path:
    """Where the session's checkout is, or is to be made, whatever has become of the repository since.

    A path on record is absolute: after a move it leads nowhere, and in a copy to the original's checkout.
    """
    if place.is_at_home:
        return place.home
    path = today(place, recorded) if recorded else free_place(place)
    registered = worktree_entry(path)
    if registered is not None and not registered.exists():
        Git(place.home).ask("worktree", "repair", str(path))
    for entry in (place.common / "worktrees").glob("*/HEAD"):
        if entry.read_text().strip() == f"ref: refs/heads/{place.branch}" and not _is_there(entry.parent):
            shutil.rmtree(entry.parent)
    return path


def git_directory(place: Place, path: Path) -> Path:
    """Where git keeps index and HEAD of the session's checkout at `path`."""
    return (None if place.is_at_home else worktree_entry(path)) or place.common


def _is_there(entry: Path) -> bool:
    """Whether the checkout that an entry stands for is there and knows of it."""
    return worktree_entry(checkout_of(entry)) == entry.resolve()


def make_checkout(place: Place, path: Path, start: str, locks: GitLocks) -> None:
    """Add the worktree of the session at `path`, on its branch, which is made at `start` if there is none."""
    git = Git(place.home)
    make_branch(place, start, locks)
    _clear(place, git, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    git.output("worktree", "add", "--force", "--force", str(path), place.branch)


def settle_at_home(place: Place, start: str, locks: GitLocks) -> None:
    """Put the repository itself on the session's branch, which begins at the commit that it is on."""
    make_branch(place, start, locks)
    locks.output(Git(place.home), "symbolic-ref", "HEAD", f"refs/heads/{place.branch}")


def make_branch(place: Place, start: str, locks: GitLocks) -> None:
    """Make the session's branch at `start`, unless it is there; UserError if it cannot be, or its name is taken."""
    git = Git(place.home)
    if git.ask("rev-parse", "--verify", "--quiet", f"refs/heads/{place.branch}") is not None:
        return
    try:
        locks.output(git, "update-ref", f"refs/heads/{place.branch}", start, "0" * len(start))
    except GitError as error:
        if "exists" not in error.said:
            raise
        raise UserError(
            f"branch {place.branch} cannot be made ({error.said}); "
            "choose another name with --autoresearch-tag or branch_prefix"
        ) from None


def _clear(place: Place, git: Git, path: Path) -> None:
    """Take away a checkout that was begun and never finished; one that was used, or is none, is moved aside."""
    used = any(os.path.lexists(path / place.inside / name) for name in (OWN, *VIEWS))
    if used:
        (path / ".git").unlink(missing_ok=True)  # else git would take it for the new one
    elif path in dict(git.worktrees()):
        git.ask("worktree", "remove", "--force", "--force", str(path))
    if path.exists():
        path.rename(first_free(path.with_name(f"{path.name}.aside-{number}") for number in count(1)))


def check_checkout(place: Place, path: Path, *, on_any_branch: bool) -> None:
    """UserError if the session's branch is checked out anywhere but at `path`, or something else is there.

    What is there may be `on_any_branch` where it is known who left it so.
    """
    home, here = shlex.quote(str(place.home)), shlex.quote(str(path))
    for other, branch in Git(place.home).worktrees():
        there = shlex.quote(str(other))
        if branch == place.branch and other.resolve() != path.resolve():
            back = "" if path.exists() else f"move it back (git -C {home} worktree move {there} {here}), "
            raise UserError(
                f"branch {place.branch} is checked out in {other}; {back}free it (git -C {there} switch --detach) "
                "or start another session with --autoresearch-tag"
            )
        if other.resolve() == path.resolve() and path.exists() and branch != place.branch and not on_any_branch:
            raise UserError(
                f"{path} is the checkout of session {place.branch}, but not on its branch; "
                f"put it back: git -C {here} switch {place.branch}"
            )


def copy_ignored(place: Place, problem: Problem, start: str, copies: Path) -> dict[str, str]:
    """Copy the read-only files that git does not hold to `copies`; their SHA-256 by path."""
    git = Git(place.home)
    copied: dict[str, str] = {}
    for name in (place.problem_name, *problem.readonly_files):
        if git.text("ls-tree", "--full-tree", start, "--", place.in_tree(name)):
            continue
        source, target = place.project / name, copies / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
            copied[name] = hash_file(target)
    return copied


def links(place: Place, problem: Problem, project: Path) -> dict[str, Path]:
    """Each path of `link:` with what it points to in the user's checkout; made in `project` where it is not there."""
    made = {name: link_target(place.project, name) for name in problem.link}
    for name, target in made.items():
        if project != place.project:
            _link(project / name, target)
    return made


def link_target(project: Path, name: str) -> Path:
    """What an entry of `link:` leads to; UserError if it is not there."""
    target = project / name
    if not target.exists():
        raise UserError(f"link: {name}: there is no {target}; make it, or take it out of problem.yaml")
    return target


def _link(place: Path, target: Path) -> None:
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        return
    if place.is_dir():
        if not any(place.iterdir()):
            for entry in target.iterdir():
                (place / entry.name).symlink_to(entry)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def own_paths(project: Path) -> dict[str, Path]:
    """Where each view goes: beside `problem.yaml`, or into our directory if git tracks a file of that name there."""
    tracked = set(Git(project).listed("ls-files", "-z", "--", *VIEWS))
    return {name: project / OWN / name if name in tracked else project / name for name in VIEWS}


def keep_out_of_git(place: Place, problem: Problem) -> None:
    """Name what a session leaves in `info/exclude`, by anchored lines, once."""
    names = [*(f"{view}*" for view in VIEWS), f"{OWN}/", *map(literal, (*problem.artifacts, *problem.link))]
    inside = "" if str(place.inside) == "." else f"{literal(str(place.inside))}/"
    lines = [f"/{CHECKOUTS}/", *(f"/{inside}{name}" for name in names)]
    exclude = place.common / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    (place.common / "autoresearch").mkdir(exist_ok=True)
    with FileLock(place.common / "autoresearch" / "exclude.lock"):
        append_missing(exclude, dict.fromkeys(lines))


def append_missing(file: Path, lines: Iterable[str]) -> None:
    """Put those of the lines at the end of a text that are not in it."""
    old = file.read_text(errors="surrogateescape") if file.exists() else ""
    missing = [line for line in lines if line not in old.split("\n")]
    if missing:
        break_first = "" if not old or old.endswith("\n") else "\n"
        with file.open("a", errors="surrogateescape") as stream:
            stream.write(break_first + "\n".join(missing) + "\n")


def literal(path: str) -> str:
    """A line of an exclude file that means this path alone (gitignore(5), "Pattern format")."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
