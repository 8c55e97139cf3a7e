"""The chain of a session's candidates: the ref that keeps each of them from git's garbage collection."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_autoresearch.git import Git
from pytest_autoresearch.git_locks import GitLocks


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


class Chain:
    """The links on `ref`: each has the one before it as first parent and a candidate as second.

    The first one stands on `base`. Commits are made beside the index, and kept alive by `ref` and by nothing else.
    """

    def __init__(self, git: Git, ref: str, base: str, locks: GitLocks) -> None:
        self._git = git
        self._ref = ref
        self._locks = locks
        self._tip = git.ask("rev-parse", "--verify", "--quiet", ref) or base

    def add(self, wanted: Commit) -> str:
        """Make a commit and link it in; the commit."""
        author = f"{wanted.who} {int(time.time())} +0000"
        text, change = wanted.message.encode(errors="replace"), wanted.change
        before = f"feature done\ncommit {self._ref}\nmark :1\ncommitter {author}\ndata {len(text)}\n"
        after = (
            f"\nfrom {wanted.parent}\nM {change.mode} {change.blob} {_quoted(change.path)}\n"
            f"{_link(self._ref, 2, author, self._tip, ':1')}get-mark :1\nget-mark :2\ndone\n"
        )
        made, self._tip = self._import(text.join(_encoded(part) for part in (before, after))).decode().split()
        return made

    def holds(self, commit: str) -> bool:
        """Whether a commit is kept alive by the chain."""
        return self._git.ask("merge-base", "--is-ancestor", commit, self._ref) is not None

    def mend(self, commits: Iterable[str]) -> int:
        """Link in commits that were in the chain once; how many of them git has no more."""
        asked = list(dict.fromkeys(commits))
        missing = self._git.missing(asked)
        there = [commit for commit in asked if commit not in missing]
        if there:
            author = f"{self._git.identity()} {int(time.time())} +0000"
            tips = [self._tip, *(f":{number}" for number in range(1, len(there)))]
            links = (
                _link(self._ref, number, author, tip, commit)
                for number, (tip, commit) in enumerate(zip(tips, there, strict=True), start=1)
            )
            stream = f"feature done\n{''.join(links)}get-mark :{len(there)}\ndone\n"
            self._tip = self._import(_encoded(stream)).decode().strip()
        return len(asked) - len(there)

    def _import(self, stream: bytes) -> bytes:
        return self._locks.output(self._git, "fast-import", "--quiet", "--date-format=raw", stdin=stream)


def _link(ref: str, mark: int, author: str, before: str, commit: str) -> str:
    return f"commit {ref}\nmark :{mark}\ncommitter {author}\ndata 0\nfrom {before}\nmerge {commit}\n"


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
