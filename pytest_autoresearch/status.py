"""Where a session stands, read from its ledger without opening it: it may be running."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_autoresearch import checkpoint
from pytest_autoresearch.checkout import today
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.ledger import Ledger, Reach, experiment, parse
from pytest_autoresearch.lock import holder
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.progress import Progress, replay
from pytest_autoresearch.records import Experiment, label
from pytest_autoresearch.text import number, one_line

_LAST = 5
_DESCRIPTION = 100


@dataclass(slots=True)
class Standing:
    """What a session's ledger adds up to as far as it was read, and the last experiments.

    `offset` is the byte behind the last record that was read.
    """

    progress: Progress = field(default_factory=Progress)
    last: deque[Experiment] = field(default_factory=lambda: deque(maxlen=_LAST))
    offset: int = 0
    _line: bytes = b""

    @classmethod
    def resumed(cls, ledger: Ledger) -> Standing:
        """What the checkpoint beside a long ledger says; nothing read where there is none."""
        standing = cls()
        if saved := checkpoint.load(ledger):
            standing.progress = saved.progress
            standing._look_back(ledger, saved.reach)
        return standing

    def _look_back(self, ledger: Ledger, reach: Reach) -> None:
        """Read the end of what `reach` spans once more, for the last experiments."""
        self.offset = reach.ends[-_LAST - 1] if len(reach.ends) > _LAST else 0
        for kind, line in ledger.lines(self.offset):
            if self.offset >= reach.size:
                break
            self._pass(line)
            if kind == "result":
                self.last.append(experiment(parse(line)))

    def read_on(self, ledger: Ledger) -> None:
        """Count in what was written since; LedgerDamaged if it is not as it was written."""
        for kind, line in replay(ledger, self.progress, self.offset):
            self._pass(line)
            if kind == "result" and self.progress.last is not None:
                self.last.append(self.progress.last)

    def _pass(self, line: bytes) -> None:
        self.offset += len(line) + 1
        self._line = line

    @property
    def heard(self) -> float:
        """When the last record was written, in seconds since the epoch."""
        return float(parse(self._line)["at"]) if self._line else 0.0


def ledger_of(place: Place) -> Ledger:
    """The ledger of the session at `place`; UserError if there is none."""
    ledger = Ledger(place.records / "ledger.jsonl")
    if not ledger.path.exists():
        raise no_session(place)
    return ledger


def no_session(place: Place) -> UserError:
    """What to say where there is none."""
    return UserError(f"there is no session {place.branch} yet; begin it: pytest-autoresearch run")


def status_lines(place: Place, problem: Problem) -> Iterator[str]:
    """The state of the session at `place` in lines for people; UserError if there is none."""
    ledger = ledger_of(place)
    standing = Standing.resumed(ledger)
    standing.read_on(ledger)
    yield from standing_lines(place, problem, standing, holder(place.records))


def standing_lines(place: Place, problem: Problem, standing: Standing, running: str) -> Iterator[str]:
    """The same of what was read; `running` is the process that has the session, '' if none has."""
    progress, last = standing.progress, standing.last
    yield f"session {place.branch}: {f'running, {running}' if running else 'not running'}"
    yield f"checkout: {checkout_of(place, progress.checkout)}"
    yield from _standing(problem, progress)
    yield from progress.spread.lines()
    yield from _keeps(progress, last)
    yield from _under_way(progress)
    for done in last:
        yield f"{done.label:>5} {done.status:8} {number(done.metric):>12}  {one_line(done.description, _DESCRIPTION)}"
    if standing.heard:
        yield f"last record: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(standing.heard))}"


def checkout_of(place: Place, recorded: str | None) -> Path:
    """Where the problem is in the session's checkout, of which the ledger says last that it was at `recorded`."""
    if recorded is None or place.is_at_home:
        return place.checkout / place.inside
    return today(place, Path(recorded)) / place.inside


def _standing(problem: Problem, progress: Progress) -> Iterator[str]:
    counts, baseline, best = progress.counts, progress.baseline, progress.incumbent
    if baseline is None or best is None:
        yield "no baseline yet"
        return
    count = progress.experiments
    yield (
        f"{count} experiment{'' if count == 1 else 's'}: {progress.kept} kept, {counts['discard']} discarded, "
        f"{counts['crash']} crashed; {progress.since_keep} since the last keep"
    )
    yield f"{problem.metric_name}: {baseline.metric:.6g} → {best.metric:.6g} (experiment {best.label})"
    if progress.spent.tokens:
        yield f"models: {progress.spent}"


def _keeps(progress: Progress, last: Iterable[Experiment]) -> Iterator[str]:
    """What the last keeps are worth, where they were measured again."""
    for done in last:
        if done.status == "keep" and done.confirmation is not None:
            found = done.confirmation
            yield f"experiment {done.label} kept: {progress.spread.effect(found)}, {found.in_words}"


def _under_way(progress: Progress) -> Iterator[str]:
    for waiting in progress.pending:
        idea = progress.idea_of(waiting)
        if idea is not None:
            state = "applied" if progress.candidate_of(waiting) else "proposed"
            name = label(*progress.place_of(waiting))
            yield f"under way: experiment {name}, {state}: {one_line(idea.hypothesis, _DESCRIPTION)}"
