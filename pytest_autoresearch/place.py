"""Where a session is: its repository, branch, checkout and records."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git, GitError, Untrusted, checkout_of, worktree_entry

CHECKOUTS = ".autoresearch"
AT_HOME = "at-home"
DEFAULT_TAG = "run1"
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Place:
    """The places of one session.

    `home` is the top of the user's checkout, `inside` the problem's directory relative to it, `common` the git
    directory that all checkouts of the repository share.
    """

    home: Path
    inside: PurePosixPath
    problem_name: str
    common: Path
    prefix: str
    tag: str

    @property
    def branch(self) -> str:
        """The session's branch."""
        return f"{self.prefix}/{self.tag}"

    @property
    def ref(self) -> str:
        """The ref that keeps every candidate alive."""
        return f"refs/autoresearch/{self.branch}"

    @property
    def records(self) -> Path:
        """The directory of ledger, lock and confirmation: out of reach of `git clean` and of a deleted worktree."""
        return self.common / "autoresearch" / self.prefix / self.tag

    @property
    def is_at_home(self) -> bool:
        """Whether the session's checkout is the repository itself, made for it by `pytest-autoresearch init`."""
        return (self.records / AT_HOME).exists()

    @property
    def checkout(self) -> Path:
        """The session's own checkout, if it is where this package puts it."""
        return self.home if self.is_at_home else self.worktree

    @property
    def worktree(self) -> Path:
        """Where this package puts a checkout of the session, unless the repository itself is it."""
        return self.home / CHECKOUTS / f"{self.prefix.replace('/', '-')}-{self.tag}"

    @property
    def problem_path(self) -> str:
        """The problem file relative to the top of the repository."""
        return str(self.inside / self.problem_name)

    @property
    def project(self) -> Path:
        """The problem's directory in the user's checkout."""
        return self.home / self.inside

    def in_tree(self, path: str) -> str:
        """A path of the problem relative to the top of the repository."""
        return str(self.inside / path)


def find_place(problem_file: Path, prefix: str, named: str | None) -> Place:
    """The place of session `prefix/named` of the problem; UserError if there can be none.

    Without a name it is the session in whose checkout the problem is, else `run1`.
    """
    top, common = find_repository(problem_file.parent)
    _check_no_copy(top)
    inside = PurePosixPath(problem_file.parent.resolve().relative_to(top).as_posix())
    tag = named if named is not None else _tag_of(top, common, prefix) or DEFAULT_TAG
    check_name(prefix, tag, top)
    return Place(_home(top, common), inside, problem_file.name, common, prefix, tag)


def find_repository(directory: Path) -> tuple[Path, Path]:
    """The top of the checkout that `directory` is in, and the git directory that its checkouts share."""
    git = Git(directory)
    try:
        top, common = (git.text("rev-parse", option) for option in ("--show-toplevel", "--git-common-dir"))
    except GitError as error:
        raise UserError(_no_repository(directory, error)) from None
    return Path(top).resolve(), (directory / common).resolve()


def _check_no_copy(top: Path) -> None:
    """UserError if the checkout at `top` is a copy that git takes for the one it was copied from.

    What is committed in it would land on the branch of that one.
    """
    entry = worktree_entry(top)
    if entry is None or not (entry / "gitdir").is_file():
        return
    original = checkout_of(entry).resolve()
    if original != top and (original / ".git").is_file():
        quoted = shlex.quote(str(original))
        raise UserError(
            f"{top} is a copy of the checkout {original}, and git takes it for that one: what is committed here lands "
            f"there. Go on there (cd {quoted}), or have another session in a checkout of its own: "
            f"git -C {quoted} worktree add --detach {shlex.quote(f'{top}-own')}"
        )


def _tag_of(top: Path, common: Path, prefix: str) -> str | None:
    """The tag of the session whose checkout is at `top`, None if it is no session's."""
    branch = Git(top).ask("symbolic-ref", "--quiet", "HEAD") or ""
    tag = branch.removeprefix(f"refs/heads/{prefix}/")
    if tag == branch:
        return None
    at_home = (common / "autoresearch" / prefix / tag / AT_HOME).exists()
    return tag if at_home or top.parent.name == CHECKOUTS else None


def _no_repository(directory: Path, error: GitError) -> str:
    if isinstance(error, Untrusted):
        return str(error)
    if "must be run in a work tree" in error.said:
        return f"{directory}: inside a git directory, not a checkout; give the path of a checkout"
    return f"{directory}: not in a git repository; make one: git init && git add . && git commit -m 'first'"


def _home(top: Path, common: Path) -> Path:
    """The user's checkout: `top`, or the one that `top` was made for if it is itself a session's."""
    if top.parent.name != CHECKOUTS:
        return top
    try:
        outer, outer_common = find_repository(top.parent.parent)
    except UserError:
        return top
    return outer if outer_common == common else top


def check_name(prefix: str, tag: str, directory: Path) -> None:
    """UserError if a session's tag or branch cannot be a name, as git in `directory` sees it."""
    if not _TAG.fullmatch(tag):
        raise UserError(f"tag {tag!r}: expected letters, digits, '.', '_' and '-', such as run2")
    if Git(directory).ask("check-ref-format", "--branch", f"{prefix}/{tag}") is None:
        raise UserError(f"branch '{prefix}/{tag}' is no name for a git branch; change branch_prefix or the tag")
