"""Several experiments of one iteration: proposed and applied in turn, measured at once, judged together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pytest_autoresearch.attempt import Attempt, made_of
from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.engines.together import together
from pytest_autoresearch.judge import change_in_words, is_better
from pytest_autoresearch.noise import looks_better
from pytest_autoresearch.records import Candidate, Experiment, Idea, Measurement, Seat, Verdict, label
from pytest_autoresearch.research import Parts, Research
from pytest_autoresearch.runner import Stage
from pytest_autoresearch.samples import BESIDE, MISFIT

_TRIES = 3
_INTERRUPTED = Measurement(None, failure="its iteration was interrupted and is over", machine=True)


@dataclass(slots=True)
class _Entry:
    """One of the experiments under way; without a candidate `misfit` says why none could be made of the idea."""

    seat: Seat
    idea: Idea
    candidate: Candidate | None
    misfit: str = ""
    measured: Measurement | None = None
    verdict: Verdict | None = None

    @property
    def label(self) -> str:
        return label(self.seat.iteration, self.seat.seat)

    @property
    def metric(self) -> float | None:
        return self.measured.metric if self.measured else None


class Round:
    """The steps of an iteration that makes `count` experiments, with the parts that the hooks of a problem give.

    All of them are judged against one incumbent; of those that pass the judge the best is kept. A round that was
    interrupted goes on with the ideas that it had; one whose results are partly on record is only brought to its end.
    `beaten` is the metric that all of them have to beat.
    """

    def __init__(self, research: Research, parts: Parts, count: int) -> None:
        self._research = research
        self._session = research.session
        self._parts = parts
        self._entries: list[_Entry] = []
        self.is_put_off = False
        progress = self._session.progress
        assert progress.incumbent is not None
        assert progress.incumbent.metric is not None
        self._incumbent = progress.incumbent
        self._first = progress.next_number
        self._iteration, seat = progress.place_of(self._first)
        self._seat = seat or 1
        waiting = [number for number in progress.pending if progress.place_of(number)[0] == self._iteration]
        self._is_closing = progress.iteration == self._iteration
        self._count = len(waiting) if self._is_closing else max(count, len(waiting))
        self.beaten: float = progress.incumbent.metric
        self._parent = progress.incumbent.commit
        if self._is_closing and progress.last is not None and progress.last.beaten is not None:
            self.beaten, self._parent = progress.last.beaten, progress.last.parent

    @property
    def why_nothing(self) -> str:
        """Why there is no experiment, if `finish` gave none."""
        return self._session.why_nothing

    def prepare(self) -> None:
        """Get ideas and make candidates of them, none of them twice; Exhausted if there is no idea at all."""
        while len(self._entries) < self._count:
            count = len(self._entries)
            seat = Seat(self._first + count, self._iteration, self._seat + count)
            try:
                entry = self._filled(seat)
            except Exhausted:
                if not self._entries:
                    raise
                return
            if entry is None:
                if not self._entries:
                    self._session.write("fruitless", iteration=self._iteration, reason=self.why_nothing)
                return
            self._entries.append(entry)

    def finish(self) -> list[Experiment]:
        """Measure, judge and record them; empty if nothing came of any idea."""
        if not self._entries:
            return []
        with self._research.exclusive.held():
            self._measure()
            self._judge()
        return [self._record(entry) for entry in self._entries]

    # --- ideas and candidates

    def _filled(self, seat: Seat) -> _Entry | None:
        """The experiment of a seat; None if three ideas in a row came to nothing."""
        with self._session.working_on(seat):
            for _ in range(_TRIES):
                if (entry := self._tried(seat)) is not None:
                    return entry
            if self._session.progress.idea_of(seat.number) is not None:  # its coder broke off
                self._session.drop(self.why_nothing)
        return None

    def _tried(self, seat: Seat) -> _Entry | None:
        idea = self._session.propose(self._parts.propose)
        if self._is_closing:
            return _Entry(seat, idea, self._session.candidate(seat.number))
        try:
            candidate, misfit = made_of(idea, self._session, self._parts)
        finally:
            self._session.hand.put_back()
        if misfit:
            return _Entry(seat, idea, None, misfit)
        if candidate is None:
            return None
        if twin := self._twin(candidate):
            self._session.drop(f"the same file as {twin}")
            return None
        return _Entry(seat, idea, candidate)

    def _twin(self, candidate: Candidate) -> str:
        """Who has the same mutable file, here or, where that gives the same number each time, before; '' if nobody."""
        for entry in self._entries:
            if entry.candidate is not None and entry.candidate.blob == candidate.blob:
                return f"experiment {entry.label}"
        known = self._session.samples.known(candidate) if self._session.problem.noise is None else None
        return "an earlier experiment" if known is not None and known.duplicate_of is not None else ""

    # --- measuring

    def _measure(self) -> None:
        session, jobs = self._session, dict[str, Callable[[], Measurement]]()
        numbers = {entry.label: entry.seat.number for entry in self._entries}
        for entry in self._entries:
            if entry.candidate is not None and not self._is_closing and session.samples.known(entry.candidate) is None:
                jobs[entry.label] = partial(self._parts.measure, entry.candidate)
        if (
            jobs
            and self._research.engine_section.concurrent_baseline
            and session.samples.of(self._first, BESIDE) is None
        ):
            jobs[BESIDE] = partial(self._parts.measure, session.standing(self._first, len(self._entries) + 1))
        if jobs:
            self._research.models.release(left_behind=False)
        for name, measured in together(jobs, tick=self._tick, stop=self._research.engine.expire) if jobs else ():
            if name == BESIDE:
                session.samples.take(self._first, measured, BESIDE)
            else:
                session.samples.take(numbers[name], measured)
        self._look()

    def _look(self) -> None:
        """Take over what is on record by now."""
        for entry in self._entries:
            if entry.candidate is None:
                entry.measured = self._unfit(entry)
            else:
                entry.measured = self._session.samples.known(entry.candidate) or _INTERRUPTED
        beside = self._session.samples.of(self._first, BESIDE)
        if beside is not None and beside.metric is not None:
            self.beaten = beside.metric

    def _unfit(self, entry: _Entry) -> Measurement:
        """Why there is no candidate, on record before the first result: who ends the round does not try again."""
        number = entry.seat.number
        if entry.misfit:
            return self._session.samples.take(number, Measurement(None, failure=entry.misfit), MISFIT)
        return self._session.samples.of(number, MISFIT) or _INTERRUPTED

    def _tick(self, elapsed: float) -> None:
        problem, count = self._session.problem, len(self._entries)
        what = f"{count} candidates" if count > 1 else "1 candidate"
        what += f" ({doing})" if (doing := self._research.engine.doing) else ""
        stage = Stage(what, self._iteration, problem.time_budget_s, problem.hard_timeout_s, unit="iteration")
        self._research.tick(stage, elapsed)

    # --- judging

    def _judge(self) -> None:
        """Find the best that passes the judge; where there is noise, one after the other is measured again, alone."""
        kept = self._kept_before()
        for entry in self._by_metric():
            assert entry.measured is not None
            if kept and entry.metric is not None and self._may_be_kept(entry):
                change = change_in_words(self.beaten, entry.metric)
                entry.verdict = Verdict("discard", f"{change}, but {kept} of its iteration is kept")
                continue
            entry.measured = self._confirmed(entry)
            entry.verdict = self._parts.judge(entry.measured, replace(self._incumbent, metric=self.beaten))
            if entry.verdict.status == "keep" and kept:
                entry.verdict = Verdict("discard", f"{kept} of its iteration is kept")
            if entry.verdict.status == "keep":
                kept = f"experiment {entry.label}"

    def _kept_before(self) -> str:
        """Which experiment of this round is on record as kept, '' for none."""
        incumbent = self._incumbent
        same = incumbent.seat and incumbent.made_in == self._iteration
        return f"experiment {incumbent.label}" if same else ""

    def _by_metric(self) -> list[_Entry]:
        """The best first, those without a metric last."""
        sign = 1 if self._session.problem.lower_is_better else -1
        return sorted(self._entries, key=lambda one: (one.metric is None, sign * (one.metric or 0.0), one.seat.number))

    def _may_be_kept(self, entry: _Entry) -> bool:
        problem, metric = self._session.problem, entry.metric
        if metric is None:
            return False
        if problem.noise is not None:
            return looks_better(problem.noise, metric, self.beaten, problem.lower_is_better)
        return is_better(metric, self.beaten, problem.lower_is_better)

    def _confirmed(self, entry: _Entry) -> Measurement:
        """What the entry gave; measured again in turn with the incumbent, where the problem asks for that."""
        assert entry.measured is not None
        if self._session.problem.noise is None or entry.candidate is None or not self._may_be_kept(entry):
            return entry.measured
        earlier = sum(one.measured is not None and one.measured.confirmation is not None for one in self._entries)
        return self._session.confirm(entry.candidate, self._parts.measure, self.beaten, earlier=earlier)

    def _record(self, entry: _Entry) -> Experiment:
        assert entry.measured is not None
        assert entry.verdict is not None
        candidate = entry.candidate or Candidate(entry.seat.number, "", self._parent, "", b"")
        return self._session.record(entry.idea, candidate, entry.measured, entry.verdict, self.beaten)


def attempt_of(research: Research, parts: Parts) -> Attempt | Round:
    """The next iteration: of one experiment, or of as many as the engine is to measure at once.

    What a run that was killed left goes on as what it was.
    """
    count, progress = research.engine_section.candidates, research.session.progress
    _, seat = progress.place_of(progress.next_number)
    several = seat > 0 if progress.pending_idea is not None else count > 1
    return Round(research, parts, count) if several else Attempt(research, parts)
