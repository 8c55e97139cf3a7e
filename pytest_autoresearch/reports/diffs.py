"""The diffs of many candidates, asked of one git at a time for a batch of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from pytest_autoresearch.git import Git
from pytest_autoresearch.reports.story import Entry
from pytest_autoresearch.text import head, plain

_BATCH = 50
_LENGTH = 6000


def with_diffs(git: Git, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """Each experiment with what its candidate changed, bounded; '' where there is no candidate."""
    waiting = iter(entries)
    while batch := list(islice(waiting, _BATCH)):
        diffs = _diffs(git, {one.experiment.commit for one in batch if one.experiment.number} - {""})
        yield from ((one, diffs.get(one.experiment.commit, "")) for one in batch)


def _diffs(git: Git, commits: set[str]) -> dict[str, str]:
    """The diff of each commit against its parent, of those that git still has."""
    there = sorted(commits - git.missing(sorted(commits)))
    asked = "".join(f"{commit}\n" for commit in there).encode()
    command = ("diff-tree", "--stdin", "-p", "--unified=2", "--no-color", "--no-ext-diff", "--no-textconv")
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in git.output(*command, stdin=asked).decode(errors="replace").split("\n") if there else ():
        if line in commits:
            lines = found.setdefault(line, [])
        elif not line.startswith(("diff --git ", "index ", "--- ", "+++ ")):
            lines.append(line)
    return {commit: head(plain("\n".join(text)).strip("\n"), _LENGTH) for commit, text in found.items()}
