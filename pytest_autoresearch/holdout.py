"""A second opinion on what is kept, which nobody sees who could be led by it: `holdout:`.

Its values are in a file of their own beside the ledger, and in nothing that a critic or a coder is given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.judge import is_better
from pytest_autoresearch.ledger import Ledger
from pytest_autoresearch.machine import writing
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.processtree import MARKER
from pytest_autoresearch.records import Candidate
from pytest_autoresearch.session import Session
from pytest_autoresearch.text import number

_NAME = "holdout.jsonl"


@dataclass(frozen=True, slots=True)
class Held:
    """The value of one commit, None with the reason if there is none."""

    commit: str
    contract: str
    metric: float | None
    failure: str = ""


class Holdout:
    """The values of a session, in its `records`."""

    def __init__(self, records: Path) -> None:
        self.path = records / _NAME
        self._held = {(one.commit, one.contract): one for one in self._read()}

    def get(self, commit: str, contract: str) -> Held | None:
        """The value of a commit under a contract, if it was asked for."""
        return self._held.get((commit, contract))

    def add(self, held: Held) -> None:
        """Put a value on disk."""
        with writing(self.path), self.path.open("ab") as file:
            file.write(json.dumps(asdict(held)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._held[held.commit, held.contract] = held

    def _read(self) -> Iterator[Held]:
        """What is there; a line that was torn has told nobody anything."""
        content = self.path.read_bytes() if self.path.exists() else b""
        whole, newline, _ = content.rpartition(b"\n")
        if newline and len(whole) + 1 < len(content):
            os.truncate(self.path, len(whole) + 1)
        yield from (Held(**json.loads(line)) for line in whole.split(b"\n") if line)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a metric has to be better than; `beaten` is None if any will do."""

    beaten: float | None
    lower_is_better: bool

    def is_passed(self, metric: float) -> bool:
        """Whether this metric is."""
        return self.beaten is None or is_better(metric, self.beaten, self.lower_is_better)


class SecondOpinion:
    """Whether a candidate is worth holding out, and what came of it; of a session that asks for none, never.

    That is the baseline, and whatever is better than the incumbent, before it is known whether it is kept.
    """

    def __init__(self, problem: Problem, records: Path, session: Session) -> None:
        self.log = records / "holdout.log"
        self._problem = problem
        self._holdout = Holdout(records)
        self._session = session

    def bar(self, candidate: Candidate) -> Bar | None:
        """What a candidate has to be better than to be held out; None if it is not, or was already."""
        lower = self._problem.lower_is_better
        if self._problem.holdout is None or self._holdout.get(candidate.commit, self._session.fingerprint):
            return None
        incumbent = self._session.progress.incumbent
        if incumbent is None or incumbent.metric is None or candidate.commit == incumbent.commit:
            return Bar(None, lower)
        return Bar(incumbent.metric, lower)

    def take(self, candidate: Candidate, metric: float | None, failure: str) -> None:
        """Put what the second evaluator said on disk."""
        self._holdout.add(Held(candidate.commit, self._session.fingerprint, metric, failure))


@dataclass(frozen=True, slots=True)
class HeldKeep:
    """A keep with both of its values; `worse` is by how much the second one is worse than that of the keep before.

    It is None where it is no worse, or where one of the two has no value.
    """

    number: int
    label: str
    metric: float | None
    holdout: float | None
    failure: str
    worse: float | None


def held_keeps(place: Place, problem: Problem) -> Iterator[HeldKeep]:
    """The keeps with both of their values; UserError if there is nothing to show.

    Refused inside a run: whoever could be led by the values is not to see them.
    """
    if MARKER in os.environ:
        raise UserError("the holdout is not for a runner or a coder to see")
    ledger, holdout = Ledger(place.records / "ledger.jsonl"), Holdout(place.records)
    if not holdout.path.exists():
        raise UserError("nothing was held out: give `holdout`, a second evaluator, in problem.yaml")
    before: float | None = None
    for done in (done for done in ledger.experiments() if done.status == "keep"):
        held = holdout.get(done.commit, done.contract)
        value = None if held is None else held.metric
        worse = _worse(before, value, lower_is_better=problem.lower_is_better)
        yield HeldKeep(done.number, done.label, done.metric, value, "" if held is None else held.failure, worse)
        before = value if value is not None else before


def holdout_lines(place: Place, problem: Problem) -> Iterator[str]:
    """The same in lines for people."""
    keeps = list(held_keeps(place, problem))
    yield f"{'':5} {problem.metric_name:>12} {'holdout':>12}"
    for one in keeps:
        flag = "" if one.worse is None else f"  better on the metric, worse on the holdout ({one.worse:+.4g})"
        yield f"{one.label:>5} {one.metric:12.6g} {number(one.holdout):>12}{one.failure and f'  {one.failure}'}{flag}"


def _worse(before: float | None, value: float | None, *, lower_is_better: bool) -> float | None:
    if before is None or value is None or (value <= before if lower_is_better else value >= before):
        return None
    return value - before
