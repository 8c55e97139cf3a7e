"""The git program, with the user's hooks, signing and environment kept out of what this package does."""

from __future__ import annotations

import functools
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.machine import hardship, starting

_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.fsync": "objects,reference",
    "core.fsyncMethod": "batch",
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "fastimport.unpackLimit": "100",
}
_IDENTITY = "pytest-autoresearch <pytest-autoresearch@localhost>"
_LOCK_PATIENCE_S = 10.0


class GitError(UserError):
    """git refused in `directory`; the message is what it said."""

    def __init__(self, directory: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
        self.status = status
        self.said = said.strip()
        told = f"{self.said or 'it said nothing'}{hardship(directory)}"
        super().__init__(f"git {' '.join(arguments[:3])} failed in {directory} ({status}): {told}")


@functools.cache
def repository_variables() -> frozenset[str]:
    """The environment variables that point git at a repository, index or configuration of the caller's."""
    try:
        listed = subprocess.run(
            ["git", "rev-parse", "--local-env-vars"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return frozenset()
    kept = {"GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_CONFIG"}
    return frozenset(listed.stdout.split()) - kept


def git_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a git that finds its repository by its directory alone and asks nobody anything."""
    kept = {name: value for name, value in environment.items() if name not in repository_variables()}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Change:
    """One file of one commit: `blob` with `mode` at `path` (relative to the top of the tree)."""

    path: str
    mode: str
    blob: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit to be made: one changed file on top of `parent`, by `who` (as `Git.identity` gives it)."""

    parent: str
    change: Change
    message: str
    who: str


@dataclass(frozen=True, slots=True)
class Git:
    """git in one directory; no repository in `ceiling` or above it is taken for the directory's own."""

    directory: Path
    ceiling: Path | None = None

    def output(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What `git <arguments>` prints; GitError if it fails, UserError if it cannot be started."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        try:
            with starting("git"):
                done = subprocess.run(
                    ["git", *settings, *arguments],
                    cwd=self.directory,
                    env=git_environment(os.environ)
                    | ({"GIT_CEILING_DIRECTORIES": str(self.ceiling)} if self.ceiling else {}),
                    input=stdin,
                    capture_output=True,
                    check=False,
                )
        except FileNotFoundError:
            raise UserError("git: not found; install git and run again") from None
        if done.returncode:
            raise GitError(self.directory, arguments, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def text(self, *arguments: str) -> str:
        """The same as text, without the last newline."""
        return self.output(*arguments).decode(errors="surrogateescape").rstrip("\n")

    def ask(self, *arguments: str) -> str | None:
        """The same, or None where git says no; one that was killed has said nothing."""
        try:
            return self.text(*arguments)
        except GitError as error:
            if error.status < 0:
                raise
            return None

    def listed(self, *arguments: str) -> list[str]:
        """The entries of a command called with `-z`."""
        return [entry for entry in self.text(*arguments).split("\0") if entry]

    def matching(self, *arguments: str, stdin: bytes) -> list[str]:
        """The entries that a command which fails where nothing matches prints, called with `-z`."""
        try:
            found = self.output(*arguments, stdin=stdin)
        except GitError as error:
            if error.status != 1:
                raise
            return []
        return [entry for entry in found.decode(errors="surrogateescape").split("\0") if entry]

    def when_unlocked(self, *arguments: str) -> None:
        """Run a command that writes the index; somebody else's index lock is waited for, up to ten seconds."""
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                self.output(*arguments)
            except GitError as error:
                if "index.lock" not in error.said or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def identity(self) -> str:
        """Who commits: the user, or this package where the user has no name."""
        line = self.ask("var", "GIT_COMMITTER_IDENT")
        return line.rsplit(" ", 2)[0] if line else _IDENTITY

    def hash_file(self, path: str, content: bytes) -> str:
        """The blob of `content` as git would store it at `path`, clean filters and line endings applied; written."""
        return self.output("hash-object", "-w", "--stdin", "--path", path, stdin=content).decode().strip()

    def commit_file(self, ref: str, chain: str, commit: Commit) -> tuple[str, str]:
        """Make a commit beside the index, kept alive by `ref` and by nothing else.

        `ref` is a chain: its new tip has the old one, `chain`, as first parent and the commit as second.
        Returns the commit and the chain's new tip.
        """
        author = f"{commit.who} {int(time.time())} +0000"
        text, change = commit.message.encode(errors="replace"), commit.change
        before = f"feature done\ncommit {ref}\nmark :1\ncommitter {author}\ndata {len(text)}\n"
        after = (
            f"\nfrom {commit.parent}\nM {change.mode} {change.blob} {_quoted(change.path)}\n"
            f"commit {ref}\nmark :2\ncommitter {author}\ndata 0\nfrom {chain}\nmerge :1\n"
            "get-mark :1\nget-mark :2\ndone\n"
        )
        stream = text.join(part.encode(errors="surrogateescape") for part in (before, after))
        made, tip = self.output("fast-import", "--quiet", "--date-format=raw", stdin=stream).decode().split()
        return made, tip

    def worktrees(self) -> Iterator[tuple[Path, str | None]]:
        """Each checkout of the repository with the branch in it (None if detached), the main one first."""
        path: Path | None = None
        branch: str | None = None
        for line in [*self.text("worktree", "list", "--porcelain").split("\n"), ""]:
            key, _, value = line.partition(" ")
            if key == "worktree":
                path, branch = Path(value), None
            elif key == "branch":
                branch = value.removeprefix("refs/heads/")
            elif not line and path is not None:
                yield path, branch
                path = None


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
