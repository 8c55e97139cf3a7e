"""The git program, with the user's hooks, signing and environment kept out of what this package does."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
_LOCK = re.compile(r"Unable to create '(.+\.lock)': File exists")
_UNTRUSTED = re.compile(r"safe\.directory (.+)")


class GitError(UserError):
    """git refused in `directory`; the message is what it said."""

    def __init__(self, directory: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
        self.status = status
        self.said = said.strip()
        told = f"{self.said or 'it said nothing'}{hardship(directory)}"
        super().__init__(f"git {' '.join(arguments[:3])} failed in {directory} ({status}): {told}")


class Locked(GitError):
    """git found the lock file `lock` in its way."""

    def __init__(self, directory: Path, arguments: tuple[str, ...], status: int, said: str, lock: Path) -> None:
        super().__init__(directory, arguments, status, said)
        self.lock = lock


class Untrusted(GitError):
    """The repository is another user's, which git works in only where it is told to."""

    def __init__(self, directory: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
        super().__init__(directory, arguments, status, said)
        asked = _UNTRUSTED.search(said)
        path = asked.group(1) if asked else shlex.quote(str(directory))
        self.args = (
            f"{directory}: the repository belongs to another user and git does not trust it; if you do: "
            f"git config --global --add safe.directory {path}",
        )


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


def worktree_entry(checkout: Path) -> Path | None:
    """The entry among a repository's worktrees that `checkout` names as its own; None if it names none."""
    try:
        return (checkout / (checkout / ".git").read_text().removeprefix("gitdir:").strip()).resolve()
    except OSError:
        return None


def checkout_of(entry: Path) -> Path:
    """The checkout that an entry among a repository's worktrees stands for."""
    return (entry / (entry / "gitdir").read_text().strip()).parent


@dataclass(frozen=True, slots=True)
class Git:
    """git in one directory; no repository in `ceiling` or above it is taken for the directory's own."""

    directory: Path
    ceiling: Path | None = None

    def output(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What `git <arguments>` prints; GitError if it fails, UserError if it cannot be started."""
        with _found():
            done = subprocess.run(
                self._command(arguments),
                cwd=self.directory,
                env=self._environment(),
                input=stdin,
                capture_output=True,
                check=False,
            )
        if done.returncode:
            raise self._error(arguments, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def stream(self, *arguments: str, stdin: bytes, length: int) -> Iterator[bytes]:
        """What `git <arguments>` prints, line by line as it prints it; a line longer than `length` comes in pieces.

        GitError if it fails, UserError if it cannot be started.
        """
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
            asked.write(stdin)
            asked.seek(0)
            with self._start(arguments, asked, said) as process:
                printed = process.stdout
                assert printed is not None
                yield from iter(lambda: printed.readline(length), b"")
            if process.returncode:
                said.seek(0)
                raise self._error(arguments, process.returncode, said.read().decode(errors="replace"))

    def _start(self, arguments: tuple[str, ...], stdin: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        with _found():
            return subprocess.Popen(
                self._command(arguments),
                cwd=self.directory,
                env=self._environment(),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return ["git", *(part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")), *arguments]

    def _environment(self) -> dict[str, str]:
        ceiling = {"GIT_CEILING_DIRECTORIES": str(self.ceiling)} if self.ceiling else {}
        return git_environment(os.environ) | ceiling

    def _error(self, arguments: tuple[str, ...], status: int, said: str) -> GitError:
        if lock := _LOCK.search(said):
            return Locked(self.directory, arguments, status, said, (self.directory / lock.group(1)).resolve())
        kind = Untrusted if "dubious ownership" in said else GitError
        return kind(self.directory, arguments, status, said)

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

    def missing(self, objects: Iterable[str]) -> set[str]:
        """Those of the objects that the repository does not have."""
        asked = "".join(f"{name}\n" for name in objects)
        told = self.output("cat-file", "--batch-check", stdin=asked.encode()).decode().splitlines()
        return {line.removesuffix(" missing") for line in told if line.endswith(" missing")}

    def identity(self) -> str:
        """Who commits: the user, or this package where the user has no name."""
        line = self.ask("var", "GIT_COMMITTER_IDENT")
        return line.rsplit(" ", 2)[0] if line else _IDENTITY

    def hash_file(self, path: str, content: bytes) -> str:
        """The blob of `content` as git would store it at `path`, clean filters and line endings applied; written."""
        return self.output("hash-object", "-w", "--stdin", "--path", path, stdin=content).decode().strip()

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


@contextmanager
def _found() -> Iterator[None]:
    """Let a git that cannot be started be a UserError that says why."""
    try:
        with starting("git"):
            yield
    except FileNotFoundError:
        raise UserError("git: not found; install git and run again") from None
