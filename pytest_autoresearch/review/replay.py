"""The keeps of a session replayed onto another version of the mutable file, and which of them it does not take."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_autoresearch.git import Git, GitError


@dataclass(frozen=True, slots=True)
class Step:
    """What experiment `number` made of the mutable file, both as git stores it; people call it `label`."""

    number: int
    before: bytes
    after: bytes
    label: str


class Clash(Exception):
    """A step and the version that it is replayed onto change the same lines."""

    def __init__(self, step: Step) -> None:
        super().__init__(f"experiment {step.label}")
        self.step = step


def merge(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """`ours` with the changes that lead from `base` to `theirs`; None if both change the same lines."""
    if theirs in (base, ours):
        return ours
    if ours == base:
        return theirs
    with TemporaryDirectory(prefix="autoresearch-merge-") as name:
        directory = Path(name)
        for side, content in (("ours", ours), ("base", base), ("theirs", theirs)):
            (directory / side).write_bytes(content)
        try:
            return Git(directory).output("merge-file", "--stdout", "--quiet", "ours", "base", "theirs")
        except GitError as error:
            if error.status < 0:
                raise
            return None


def replay(start: bytes, steps: Sequence[Step]) -> list[bytes]:
    """What each of the steps makes of the mutable file if they begin with `start`; Clash if one does not fit."""
    made: list[bytes] = []
    for step in steps:
        merged = merge(made[-1] if made else start, step.before, step.after)
        if merged is None:
            raise Clash(step)
        made.append(merged)
    return made


def dead_weight(steps: Sequence[Step]) -> frozenset[int]:
    """The numbers of the steps without which the others lead to the same file.

    Those are the ones that later steps undid wholly: to revert one of them changes nothing about the last version.
    One whose lines were only changed further is none of them, nor is the step that undid another one and no more.
    """
    dropped, last = frozenset[int](), steps[-1].after
    for step in steps[:-1]:
        more = dropped | {step.number}
        if merge(last, step.after, step.before) == last and _is_whole(steps, more):
            dropped = more
    return dropped


def without(steps: Sequence[Step], dropped: Set[int]) -> list[Step]:
    """The other steps, each as it would have been without those that are dropped; Clash if one needs them."""
    start, left = steps[0].before, [one for one in steps if one.number not in dropped]
    contents = replay(start, left)
    return [
        Step(step.number, before, after, step.label)
        for step, before, after in zip(left, [start, *contents], contents, strict=False)
    ]


def _is_whole(steps: Sequence[Step], dropped: Set[int]) -> bool:
    """Whether the last version comes out without the steps that are dropped."""
    try:
        return without(steps, dropped)[-1].after == steps[-1].after
    except Clash:
        return False
