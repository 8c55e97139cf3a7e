"""A session told experiment by experiment from its ledger, in one pass and in memory that does not grow with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pytest_autoresearch.checkout import own_paths
from pytest_autoresearch.ledger import LedgerDamaged, Record, number_of, parse
from pytest_autoresearch.lock import holder
from pytest_autoresearch.place import Place, find_place
from pytest_autoresearch.problem import Problem, load_problem
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.records import Experiment, Idea
from pytest_autoresearch.reports.stopwatch import Stopwatch
from pytest_autoresearch.status import checkout_of, ledger_of

_PUT_OFF = ("noop", "uncoded")


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a model: who asked it what for, what it took, and what went wrong ('' if nothing did)."""

    role: str
    provider: str
    model: str
    tokens: int
    usd: float
    seconds: float
    fault: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One experiment with all that the ledger has of it.

    `beaten` is the incumbent's metric when it was measured, `best` the one after it, both None where there was none
    under the contract of this experiment: numbers of two contracts cannot be compared. `left` is what the run left in
    the checkout, `besides` what somebody had changed there before it. `elapsed` is by how many seconds it adds to the
    time in which something was measured, which is less than its own where several are measured at once. `twin` is what
    people call the experiment that measured the same file before, '' for none.
    """

    experiment: Experiment
    run_id: str
    beaten: float | None
    best: float | None
    calls: tuple[Call, ...] = ()
    left: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    elapsed: float = 0.0
    twin: str = ""

    @property
    def idea(self) -> Idea | None:
        """The idea, None for the baseline."""
        return self.experiment.idea

    @property
    def critic(self) -> str:
        """Who proposed it, '' for the baseline."""
        return self.idea.critic if self.idea else ""

    @property
    def delta(self) -> float | None:
        """The change of the metric against what it had to beat."""
        metric = self.experiment.metric
        return None if metric is None or self.beaten is None else metric - self.beaten

    @property
    def expected(self) -> float | None:
        """The change that the critic expected."""
        return self.idea.expected_delta if self.idea else None

    @property
    def breaks_contract(self) -> bool:
        """Whether it was caught changing what its number rests on."""
        return self.experiment.status == "crash" and self.experiment.reason.startswith("contract")


@dataclass(frozen=True, slots=True)
class Run:
    """One run began: its id, its critic, and when, in seconds since the epoch."""

    run_id: str
    critic: str
    at: float


@dataclass(frozen=True, slots=True)
class Nothing:
    """An iteration that came to no experiment, and why."""

    reason: str


@dataclass(slots=True)
class _Pending:
    """What the ledger has told of the experiment that is under way."""

    idea: Idea | None = None
    calls: list[Call] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    besides: list[str] = field(default_factory=list)
    elapsed: float = 0.0
    twin: str = ""

    def take(self, kind: str, record: Record) -> None:
        match kind:
            case "idea":
                self.idea = Idea.from_json(record["idea"])
            case "call":
                self.calls.append(_call(record))
            case "left":
                (self.left if record["when"] == "after" else self.besides).extend(record["paths"])


class Story:
    """The session at `place`; UserError if there is none. It may be running.

    `progress` is what the ledger adds up to as far as `entries` has read it.
    """

    def __init__(self, place: Place, problem: Problem) -> None:
        self.place = place
        self.problem = problem
        self.progress = Progress()
        self._ledger = ledger_of(place)

    @property
    def is_running(self) -> bool:
        """Whether somebody has the session open."""
        return bool(holder(self.place.records))

    @property
    def views(self) -> dict[str, Path]:
        """Where each view of the session goes."""
        return own_paths(self.project)

    @cached_property
    def project(self) -> Path:
        """The problem's directory in the session's checkout, where the views are."""
        recorded = [record["path"] for record in self._ledger.records("checkout")]
        return checkout_of(self.place, recorded[-1] if recorded else None)

    def entries(self) -> Iterator[Entry]:
        """Each finished experiment, oldest first; LedgerDamaged if the ledger is not as it was written."""
        return (one for one in self.events() if isinstance(one, Entry))

    def events(self) -> Iterator[Run | Entry | Nothing]:
        """The same with the runs that made them and the iterations that made none, in order."""
        self.progress = progress = Progress()
        pending, run_id = defaultdict[int, _Pending](_Pending), ""
        stopwatch = Stopwatch()
        for number, (kind, line) in enumerate(self._ledger.lines(), start=1):
            event: Run | Entry | Nothing | None = None
            try:
                before, lone = progress.incumbent, kind not in _PUT_OFF or _is_alone(progress, line)
                progress.take(kind, line)
                if kind in ("run", "fruitless", *_PUT_OFF):
                    event = _event(kind, parse(line)) if lone else None
                elif kind in ("idea", "call", "left"):
                    pending[number_of(line)].take(kind, parse(line))
                elif kind == "sample":
                    stopwatch.take(parse(line))
            except (KeyError, TypeError, ValueError):
                raise LedgerDamaged(self._ledger.damage(number)) from None
            if isinstance(event, Run):
                run_id = event.run_id
            elif kind == "result" and progress.last is not None:
                told = pending.pop(progress.last.number, _Pending())
                told.elapsed = stopwatch.elapsed(progress.last)
                told.twin = _twin(progress)
                event = _entry(progress.last, before, progress.incumbent, told, run_id)
            if event is not None:
                yield event


def find_session(problem_file: Path, tag: str | None) -> tuple[Place, Problem]:
    """The session that a problem and a tag name, whether it has begun or not, and the problem as the user has it."""
    problem = load_problem(problem_file, look=False)
    return find_place(problem_file, problem.branch_prefix, tag), problem


def _event(kind: str, record: Record) -> Run | Nothing:
    if kind == "run":
        return Run(record["run_id"], record["critic"], record["at"])
    return Nothing(record["reason"])


def _is_alone(progress: Progress, line: bytes) -> bool:
    """Whether the idea that nothing came of was all that its iteration had."""
    _, seat = progress.place_of(number_of(line))
    return not seat


def _twin(progress: Progress) -> str:
    """What people call the experiment that measured the file of the last one before; '' for none."""
    done = progress.last
    if done is None or done.duplicate_of is None:
        return ""
    known = progress.known.get(done.blob)
    return known.label if known and known.number == done.duplicate_of else str(done.duplicate_of)


def _entry(
    done: Experiment, before: Experiment | None, after: Experiment | None, pending: _Pending, run_id: str
) -> Entry:
    def metric(one: Experiment | None) -> float | None:
        return one.metric if one is not None and one.contract == done.contract else None

    return Entry(
        experiment=replace(done, idea=pending.idea),
        run_id=run_id,
        beaten=metric(before) if done.beaten is None else done.beaten,
        best=metric(after),
        calls=tuple(pending.calls),
        left=tuple(pending.left),
        besides=tuple(pending.besides),
        elapsed=pending.elapsed,
        twin=pending.twin,
    )


def _call(record: Record) -> Call:
    return Call(
        role=record["role"],
        provider=record["provider"],
        model=record["model"],
        tokens=record["prompt"] + record["completion"],
        usd=record["usd"],
        seconds=record["seconds"],
        fault=record["fault"],
    )
