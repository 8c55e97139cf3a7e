"""A session's checkout: the mutable file in it, candidate commits, and the branch that advances on a keep."""

from __future__ import annotations

import contextlib
import glob
import os
import shlex
import stat
from itertools import count
from pathlib import Path

from pytest_autoresearch.chain import Chain, Change, Commit
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import first_free
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.git_locks import GitLocks
from pytest_autoresearch.machine import writing
from pytest_autoresearch.records import Candidate

OWN = ".autoresearch"
PROBE = b"\x00 This file is broken on purpose, to see whether the runner reads it.\n"


class BranchMoved(UserError):
    """The session's branch is not where the ledger says."""


class Workspace:
    """The checkout at `checkout`, in which the mutable file is `path` (relative to its top).

    `branch` is None for a checkout that is thrown away and never advances. `tip` is the incumbent's commit.
    """

    def __init__(
        self,
        checkout: Path,
        inside: str,
        mutable_file: str,
        branch: str | None,
        ref: str,
        *,
        locks: GitLocks | None = None,
    ) -> None:
        self.checkout = checkout
        self.project = checkout / inside
        self.mutable = self.project / mutable_file
        self.path = os.path.normpath(f"{inside}/{mutable_file}")
        self.branch = branch
        self.git = Git(checkout, ceiling=checkout.parent)
        self.ref = ref
        self.tip = ""
        self.blob = ""
        self.incumbent = b""
        self._mode = ""
        self._permissions = 0o644
        self.locks = locks or GitLocks(checkout)
        self._who = ""

    def stand_on(self, tip: str) -> None:
        """Take `tip` as the incumbent's commit."""
        self.tip = tip
        entry = self.git.text("ls-tree", "--full-tree", tip, "--", self.path)
        self._mode, _, self.blob = entry.split("\t")[0].split()
        self._permissions = 0o755 if self._mode == "100755" else 0o644
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = self.mutable.lstat().st_mode
            if stat.S_ISREG(found) and bool(found & 0o100) == (self._mode == "100755"):
                self._permissions = stat.S_IMODE(found)
        self.incumbent = self.git.output("cat-file", "--filters", f"{tip}:{self.path}")
        self.chain = Chain(self.git, self.ref, tip, self.locks)
        self._who = self.git.identity()

    def read(self) -> bytes | None:
        """The mutable file as it is; None if it is not there, or is nothing that can be read to an end."""
        try:
            return self.mutable.read_bytes() if self.mutable.is_file() else None
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None

    def write(self, content: bytes) -> None:
        """Make `content` the mutable file in one step, and forget what was compiled from another one.

        Python takes compiled code for current if the source has the same size and second of change, so that
        without the second step the earlier of two edits could run (https://docs.python.org/3/library/py_compile.html).
        """
        self._clear_way()
        temporary = self.own_directory() / f"new-{self.mutable.name}"
        if temporary.is_symlink() or temporary.exists():
            self.put_aside(temporary)
        with writing(temporary), temporary.open("xb") as file:
            file.write(content)
        temporary.chmod(self._permissions)
        if self.mutable.is_dir() and not self.mutable.is_symlink():
            self.put_aside(self.mutable)
        temporary.replace(self.mutable)
        self._drop_bytecode()

    def restore(self) -> None:
        """Put the incumbent's file in place, if it is not there."""
        if not self._in_place():
            self.write(self.incumbent)

    def _in_place(self) -> bool:
        try:
            mode = self.mutable.lstat().st_mode
        except OSError:
            return False
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) != self._permissions:
            return False
        return self.mutable.resolve() == self.checkout.resolve() / self.path and self.read() == self.incumbent

    def _clear_way(self) -> None:
        """Directories from the checkout's top to the mutable file; what stands in their place is put aside."""
        for directory in reversed(self.mutable.relative_to(self.checkout).parents):
            place = self.checkout / directory
            if place.is_symlink() or not place.is_dir():
                if place.is_symlink() or place.exists():
                    self.put_aside(place)
                place.mkdir()

    def own_directory(self, name: str = ".") -> Path:
        """The directory beside `problem.yaml` that is ours, or the one called `name` in it.

        What stands in its place is moved out of the way, a link above all: old files in it are deleted.
        """
        place = self.project
        for part in (OWN, *Path(name).parts):
            place = place / part
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                place.rename(_free(place.parent, f"{part}-aside"))
            place.mkdir(parents=True, exist_ok=True)
        return place

    def put_aside(self, path: Path) -> Path:
        """Move something that should not be where it is to a place where it can be looked at."""
        if path in (self.project, *self.project.parents):  # ours is in it, or is going to be
            return path.rename(_free(path.parent, f"{path.name}-aside"))
        aside = self.own_directory("aside")
        return path.rename(_free(aside, path.name))

    def copy_aside(self, content: bytes) -> Path:
        """Keep a version of the mutable file where it can be looked at."""
        aside = self.own_directory("aside")
        copy = _free(aside, self.mutable.name)
        with writing(copy):
            copy.write_bytes(content)
        return copy

    def blob_of(self, content: bytes) -> str:
        """The blob that git makes of `content` as the mutable file."""
        return self.git.hash_file(self.path, content)

    def commit(self, number: int, content: bytes, blob: str, message: str) -> Candidate:
        """The candidate that holds `content`: a commit on the tip, beside the index, the branch where it was."""
        wanted = Commit(self.tip, Change(self.path, self._mode, blob), message, self._who)
        return Candidate(number, self.chain.add(wanted), self.tip, blob, content)

    def advance(self, candidate: Candidate) -> None:
        """Make the candidate the incumbent: branch, file and index; BranchMoved if the branch is not on its parent."""
        self.move_branch(candidate.commit, candidate.parent)
        self.tip, self.blob, self.incumbent = candidate.commit, candidate.blob, candidate.content
        self.restore()
        self.locks.output(self.git, "update-index", "--add", "--", self.path)

    def move_branch(self, commit: str, parent: str) -> None:
        """Move the branch from `parent` to `commit`, and only from there; BranchMoved if it is somewhere else."""
        try:
            self.locks.output(self.git, "update-ref", f"refs/heads/{self.branch}", commit, parent)
        except GitError as error:
            if self.branch_tip() == parent:
                raise
            raise BranchMoved(self.moved(parent, commit, error.said)) from None

    def index_incumbent(self) -> None:
        """Let the index know of the incumbent's blob, whatever the file is; everything else in it is left alone.

        An index that is gone is made anew from the incumbent's commit.
        """
        if not (self.checkout / self.git.text("rev-parse", "--git-path", "index")).exists():
            self.locks.output(self.git, "read-tree", self.tip)
        self.locks.output(self.git, "update-index", "--add", "--cacheinfo", f"{self._mode},{self.blob},{self.path}")

    def indexed_blob(self) -> str:
        """The blob that the index holds for the mutable file; '' for none."""
        entry = self.git.text("ls-files", "--stage", "--", f":(top,literal){self.path}")
        return entry.split()[1] if entry else ""

    def branch_tip(self) -> str | None:
        """Where the branch is; None if there is none."""
        return self.git.ask("rev-parse", "--verify", "--quiet", f"refs/heads/{self.branch}")

    def moved(self, expected: str, wanted: str, said: str = "") -> str:
        """What to say, and what to do, about a branch that somebody moved."""
        actual, there = self.branch_tip() or "nowhere", f"git -C {shlex.quote(str(self.checkout))}"
        return (
            f"branch {self.branch} was moved: it should be on {expected[:12]} and is on {actual[:12]}"
            f"{f' ({said})' if said else ''}. To go on from the ledger: "
            f"{there} update-ref refs/heads/{self.branch} {wanted} && {there} reset --quiet. "
            f"To go on from the branch as it is: git switch --detach {self.branch} in your own checkout, and start "
            "another session there with --autoresearch-tag."
        )

    def _drop_bytecode(self) -> None:
        source = self.mutable
        pattern = f"{glob.escape(source.stem)}.*pyc"
        compiled = [*source.parent.glob(f"__pycache__/{pattern}"), source.with_suffix(".pyc")]
        if prefix := os.environ.get("PYTHONPYCACHEPREFIX"):
            compiled += (self.project / prefix).joinpath(*source.parent.resolve().parts[1:]).glob(pattern)
        for file in compiled:
            file.unlink(missing_ok=True)


def _free(directory: Path, name: str) -> Path:
    return first_free(directory / f"{number:03}-{name}" for number in count())
