"""What a ledger adds up to: where the session stands, in memory that hardly grows with its length."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pytest_autoresearch.ledger import Ledger, LedgerDamaged, Record, experiment, number_of, parse
from pytest_autoresearch.processes import Identity
from pytest_autoresearch.records import Experiment, Idea, Measurement, label
from pytest_autoresearch.spread import Spread
from pytest_autoresearch.text import plain

_CRITIC = re.compile(rb'"critic":("(?:[^"\\]|\\.)*")')


@dataclass(slots=True)
class _Pending:
    """The records of an idea that has no result yet: how far it has come."""

    idea: bytes
    applied: bytes | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A mutable file that was tried before, and what came of it."""

    number: int
    contract: str
    metric: float | None
    resource: float | None
    exit: int | None
    failure: str
    machine: bool
    label: str

    @property
    def measurement(self) -> Measurement | None:
        """What stands for a measurement of the same file; None after a failure of the machine, which says nothing."""
        if self.machine:
            return None
        return Measurement(
            self.metric, self.resource, self.exit, failure=self.failure, duplicate_of=self.number, twin=self.label
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and US dollars."""

    tokens: int = 0
    usd: float = 0.0

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens, USD {self.usd:.4g}"

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.usd + other.usd)


@dataclass(slots=True)
class Progress:
    """The state of a session, record by record; the same after a replay as after the run that was replayed."""

    begin: Record | None = None
    checkout: str | None = None
    probed: bool = False
    next_number: int = 0
    baseline: Experiment | None = None
    incumbent: Experiment | None = None
    last: Experiment | None = None
    keeps_from: int = 0
    unadvanced: Experiment | None = None
    counts: Counter[str] = field(default_factory=Counter)
    ideas: Counter[str] = field(default_factory=Counter)
    spent: Spent = field(default_factory=Spent)
    dialects: dict[str, dict[str, Record]] = field(default_factory=dict)
    uncoded: int = 0
    came_to_nothing: str = ""
    known: dict[str, Known] = field(default_factory=dict)
    samples: list[Record] = field(default_factory=list)
    spread: Spread = field(default_factory=Spread)
    iteration: int = 0
    _spent_on: dict[int, Spent] = field(default_factory=dict)
    _pending: dict[int, _Pending] = field(default_factory=dict)
    _started: list[bytes] = field(default_factory=list)

    def take(self, kind: str, line: bytes) -> None:
        """Add one record."""
        match kind:
            case "idea":
                number = number_of(line)
                self._forget(number)
                self._pending[number] = _Pending(line)
                self._started, self.uncoded = [], 0
                self.ideas[_critic(line)] += 1
            case "noop":
                self._drop(parse(line))
            case "applied":
                self._pending[number_of(line)].applied = line
            case "call":
                self._pay(parse(line))
            case "started":
                self._started.append(line)
            case "sample":
                self.samples.append(parse(line))
            case "result":
                self._finish(experiment(parse(line)))
            case "advanced":
                self.unadvanced = None
            case _:
                self._take_rare(kind, parse(line))

    def _take_rare(self, kind: str, record: Record) -> None:
        match kind:
            case "begin":
                self.begin = record
            case "checkout":
                self.checkout = record["path"]
            case "probe":
                self.probed = True
            case "uncoded":
                self.uncoded += 1
                self._started = []
            case "dialect":
                self.dialects.setdefault(record["base_url"], {})[record["model"]] = record["dialect"]
            case "remeasured" if self.incumbent is not None:
                self.incumbent = replace(self.incumbent, metric=record["metric"], contract=record["contract"])
                self.samples = []

    def _pay(self, call: Record) -> None:
        cost, number = _cost(call), call["number"]
        self.spent += cost
        self._spent_on[number] = self.spent_on(number) + cost

    def _drop(self, noop: Record) -> None:
        idea = self.idea_of(noop["number"])
        self.came_to_nothing = f"{idea.hypothesis if idea else ''} | {noop.get('reason', '')}"
        self._forget(noop["number"])

    def _forget(self, number: int) -> None:
        """Let go of an idea, and of what was measured for it."""
        self._pending.pop(number, None)
        self.samples = [one for one in self.samples if one["number"] != number]

    def _finish(self, done: Experiment) -> None:
        self._forget(done.number)
        self._spent_on.pop(done.number, None)
        self.came_to_nothing = ""
        self._started = []
        self.spread.take(done)
        self.iteration = done.made_in
        self.next_number = done.number + 1
        self.counts[done.status] += 1
        self.last = done
        if done.number == 0:
            self.baseline = done
        if done.status == "keep":
            self.incumbent, self.keeps_from = done, done.number
            self.unadvanced = done if done.number else None
        if done.blob and done.duplicate_of is None:
            self.known[done.blob] = _known(done)

    @property
    def beginning(self) -> Record:
        """The `begin` record of a session that has begun."""
        assert self.begin is not None
        return self.begin

    @property
    def tip(self) -> str:
        """The commit that the session's branch stands on."""
        return str(self.incumbent.commit if self.incumbent else self.beginning["commit"])

    @property
    def experiments(self) -> int:
        """How many there were, without the baseline."""
        return max(0, self.next_number - 1)

    @property
    def kept(self) -> int:
        """How many of them were kept."""
        return self.counts["keep"] - (self.baseline is not None)

    @property
    def since_keep(self) -> int:
        """How many experiments came after the last keep."""
        return max(0, self.next_number - 1 - self.keeps_from)

    def spent_on(self, number: int) -> Spent:
        """What the calls for an experiment took that has no result yet."""
        return self._spent_on.get(number, Spent())

    def place_of(self, number: int) -> tuple[int, int]:
        """The iteration and the seat of an experiment that has no result yet; without others beside it seat 0."""
        found = self._pending.get(number)
        record = parse(found.idea) if found else {}
        return record.get("iteration", self.iteration + 1 if number else 0), record.get("seat", 0)

    def label_of(self, number: int) -> str:
        """What people call an experiment that has no result yet, the incumbent or the last one."""
        for done in (self.incumbent, self.last):
            if done is not None and done.number == number:
                return done.label
        return label(*self.place_of(number))

    @property
    def pending(self) -> list[int]:
        """The numbers of the ideas that were paid for and have no result yet."""
        return sorted(self._pending)

    def idea_of(self, number: int) -> Idea | None:
        """The idea for an experiment that has no result yet."""
        found = self._pending.get(number)
        return Idea.from_json(parse(found.idea)["idea"]) if found else None

    def candidate_of(self, number: int) -> Record | None:
        """The `applied` record of such an idea, if it got that far."""
        found = self._pending.get(number)
        return parse(found.applied) if found and found.applied else None

    @property
    def pending_idea(self) -> Idea | None:
        """The idea for the next experiment, if there is one."""
        return self.idea_of(self.next_number)

    @property
    def pending_candidate(self) -> Record | None:
        """The `applied` record of that idea, if it got that far."""
        return self.candidate_of(self.next_number)

    @property
    def pending_candidates(self) -> list[Record]:
        """The `applied` records of all ideas that have no result yet, in order."""
        return [found for number in self.pending if (found := self.candidate_of(number))]

    @property
    def pending_processes(self) -> list[Identity]:
        """The processes that were started and not seen to end."""
        return [Identity(**parse(line)["process"]) for line in self._started]


def replay(ledger: Ledger, progress: Progress, start: int = 0) -> Iterator[tuple[str, bytes]]:
    """The lines of a ledger from byte `start` on, each once it is counted into `progress`.

    LedgerDamaged if one is not as it was written.
    """
    for number, (kind, line) in enumerate(ledger.lines(start), start=1):
        try:
            progress.take(kind, line)
        except (KeyError, TypeError, ValueError):
            raise LedgerDamaged(ledger.damage(number, start)) from None
        yield kind, line


def _critic(line: bytes) -> str:
    found = _CRITIC.search(line)
    assert found is not None
    return _name(found[1])


@functools.lru_cache(maxsize=64)
def _name(quoted: bytes) -> str:
    return str(json.loads(quoted))


def _cost(call: Record) -> Spent:
    return Spent(call["prompt"] + call["completion"], call["usd"])


def _known(done: Experiment) -> Known:
    failure = plain(done.reason) if done.metric is None else ""
    return Known(
        done.number, done.contract, done.metric, done.resource, done.exit, failure, done.machine, label=done.label
    )
