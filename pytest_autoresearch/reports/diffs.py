"""What candidates changed, for many of them by one git process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pytest_autoresearch.git import Git
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.text import plain

_HEADER = re.compile(rb"[0-9a-f]{40,64}\n")
_PLUMBING = ("diff-tree", "--stdin", "--always", "-p", "--no-color", "--no-ext-diff", "--no-textconv")


@dataclass(slots=True)
class Diff:
    """What `commit` changed: the first lines of the patch, each cut, and how many more there are."""

    commit: str
    lines: list[str] = field(default_factory=list)
    left_out: int = 0


def diffs(git: Git, pairs: Iterable[tuple[str, str]], *, lines: int, length: int) -> Iterator[Diff]:
    """The difference of each commit to the parent beside it, in that order; those that git has no more are left out.

    Of each, at most `lines` lines of at most `length` characters are held.
    """
    asked = list(pairs)
    missing = git.missing(name for pair in asked for name in pair)
    wanted = "".join(f"{' '.join(pair)}\n" for pair in asked if missing.isdisjoint(pair))
    if wanted:
        yield from _parsed(git.stream(*_PLUMBING, stdin=wanted.encode(), length=length), lines)


def diffs_of(git: Git, experiments: Iterable[Experiment], *, lines: int, length: int) -> dict[str, Diff]:
    """What each candidate changed, by its commit; those that git has no more, and the baseline, are left out."""
    made = ((done.commit, done.parent) for done in experiments if done.number and done.commit and done.parent)
    return {diff.commit: diff for diff in diffs(git, made, lines=lines, length=length)}


def _parsed(pieces: Iterable[bytes], most: int) -> Iterator[Diff]:
    diff: Diff | None = None
    at_start = True
    for piece in pieces:
        if at_start and _HEADER.fullmatch(piece):
            if diff is not None:
                yield diff
            diff = Diff(piece.decode().strip())
        elif at_start and diff is not None:
            _add(diff, piece, most)
        at_start = piece.endswith(b"\n")
    if diff is not None:
        yield diff


def _add(diff: Diff, piece: bytes, most: int) -> None:
    if len(diff.lines) == most:
        diff.left_out += 1
        return
    text = plain(piece.decode(errors="replace").rstrip("\r\n"))
    diff.lines.append(text if piece.endswith(b"\n") else f"{text}…")
