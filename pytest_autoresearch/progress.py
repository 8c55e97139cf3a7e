"""What a ledger adds up to: where the session stands, in memory that hardly grows with its length."""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pytest_autoresearch.ledger import Ledger, LedgerDamaged, Record, experiment, parse
from pytest_autoresearch.processes import Identity
from pytest_autoresearch.records import Experiment, Idea, Measurement
from pytest_autoresearch.spread import Spread

_CRITIC = re.compile(rb'"critic":("(?:[^"\\]|\\.)*")')


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

    @property
    def measurement(self) -> Measurement | None:
        """What stands for a measurement of the same file; None after a failure of the machine, which says nothing."""
        if self.machine:
            return None
        return Measurement(self.metric, self.resource, self.exit, failure=self.failure, duplicate_of=self.number)


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and US dollars."""

    tokens: int = 0
    usd: float = 0.0

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens, USD {self.usd:.4g}"

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.tokens - other.tokens, self.usd - other.usd)


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
    dialects: dict[tuple[str, str], Record] = field(default_factory=dict)
    uncoded: int = 0
    came_to_nothing: str = ""
    known: dict[str, Known] = field(default_factory=dict)
    samples: list[Record] = field(default_factory=list)
    spread: Spread = field(default_factory=Spread)
    _spent_before: Spent = field(default_factory=Spent)
    _idea: bytes | None = None
    _applied: bytes | None = None
    _started: list[bytes] = field(default_factory=list)

    def take(self, kind: str, line: bytes) -> None:
        """Add one record."""
        match kind:
            case "idea":
                self._idea, self._applied, self._started, self.uncoded = line, None, [], 0
                self.samples = []
                self.ideas[_critic(line)] += 1
            case "noop":
                self._drop(parse(line))
            case "applied":
                self._applied = line
            case "call":
                self.spent += _cost(parse(line))
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
                self.dialects[record["base_url"], record["model"]] = record["dialect"]
            case "remeasured" if self.incumbent is not None:
                self.incumbent = replace(self.incumbent, metric=record["metric"], contract=record["contract"])
                self.samples = []

    def _drop(self, noop: Record) -> None:
        idea = self.pending_idea
        self.came_to_nothing = f"{idea.hypothesis if idea else ''} | {noop.get('reason', '')}"
        self._idea = self._applied = None

    def _finish(self, done: Experiment) -> None:
        self._idea = self._applied = None
        self.came_to_nothing = ""
        self._started, self.samples = [], []
        self.spread.take(done)
        self._spent_before = self.spent
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

    @property
    def spent_on_next(self) -> Spent:
        """What the calls since the last experiment took."""
        return self.spent - self._spent_before

    @property
    def pending_idea(self) -> Idea | None:
        """The idea that was paid for and has no result yet."""
        return Idea.from_json(parse(self._idea)["idea"]) if self._idea else None

    @property
    def pending_candidate(self) -> Record | None:
        """The `applied` record of the pending idea, if it got that far."""
        return parse(self._applied) if self._applied else None

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
    failure = done.reason if done.metric is None else ""
    return Known(done.number, done.contract, done.metric, done.resource, done.exit, failure, done.machine)
