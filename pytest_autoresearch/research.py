"""One run's work on one problem: what is made once and used by preconditions and iterations alike."""

from __future__ import annotations

import importlib.util
import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.critics.choice import Choice, choose_critic
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.edits import EditError
from pytest_autoresearch.opening import OpenSession, has_begun, open_session, open_temporary
from pytest_autoresearch.place import Place, find_place
from pytest_autoresearch.problem import Problem, Sampler, load_problem
from pytest_autoresearch.records import Candidate, Experiment, Idea, Measurement, Verdict
from pytest_autoresearch.runner import Tick
from pytest_autoresearch.session import Session

DEFAULT_TAG = "run1"
GATE = Path(".autoresearch", "loop_confirmed")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; None where the problem decides. Without `loop` only the preconditions run."""

    loop: bool = True
    tag: str = DEFAULT_TAG
    confirm: bool = False
    critic: str | None = None
    ideas: Path | None = None
    sampler: Sampler | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """The replaceable steps of an experiment."""

    propose: Callable[[Brief], Idea]
    apply: Callable[[Idea, bytes], bytes]
    measure: Callable[[Candidate], Measurement]
    judge: Callable[[Measurement, Experiment], Verdict]


class Research:
    """The problem at `problem_file`, its session, and the critic; each made when it is first asked for."""

    def __init__(self, problem_file: Path, options: Options, tick: Tick) -> None:
        self.problem_file = problem_file
        self.options = options
        self.run_id = uuid.uuid4().hex[:12]
        self._tick = tick
        self._stack = ExitStack()
        self._announced = False

    @cached_property
    def problem(self) -> Problem:
        """The problem as the user's checkout has it; ProblemError if it is wrong."""
        return load_problem(self.problem_file)

    @cached_property
    def place(self) -> Place:
        """Where the session is; UserError if it can be nowhere."""
        return find_place(self.problem_file, self.problem.branch_prefix, self.options.tag)

    @cached_property
    def choice(self) -> Choice:
        """The critic and why; UserError if there is none."""
        critic = self.problem.critic
        sampler, note = self._sampler()
        tuner = Tuner(sampler, self.problem.mutable_file)
        ideas = self.options.ideas or self.problem_file.parent / critic.ideas
        choice = choose_critic(critic, self.options.critic, ideas, self._source(), tuner)
        return replace(choice, why=choice.why + note)

    @cached_property
    def opened(self) -> OpenSession:
        """The open session; one that is thrown away for a plain run on a problem that has none."""
        make = open_session if self.options.loop or has_begun(self.place) else open_temporary
        return self._stack.enter_context(make(self.place, self.problem, self._tick))

    @property
    def session(self) -> Session:
        """The same, without what measures in it."""
        return self.opened.session

    @property
    def is_open(self) -> bool:
        """Whether the session has been opened."""
        return "opened" in self.__dict__

    def announce(self) -> None:
        """Put on record, once, that this run goes on with the session and with which critic."""
        if not self._announced:
            critic, why = self.choice.critic.name, self.choice.why
            self.session.write("run", run_id=self.run_id, critic=critic, why=why)
            self._announced = True

    def confirm(self) -> None:
        """Write the gate file: a person has said that the loop may run."""
        self.place.records.mkdir(parents=True, exist_ok=True)
        stamp = {"confirmed": time.strftime("%Y-%m-%d %H:%M:%S")}
        (self.place.records / "confirmed.json").write_text(json.dumps(stamp) + "\n")

    @property
    def confirmed(self) -> bool:
        """Whether the gate is open, here or as v1.1 left it."""
        return (self.place.records / "confirmed.json").exists() or (self.problem_file.parent / GATE).exists()

    def expire(self) -> None:
        """End what runs now; called from another thread when an item's time is over."""
        if self.is_open:
            self.opened.supervisor.expire()

    def close(self) -> None:
        """Close the session, if it was opened."""
        self._stack.close()

    def _sampler(self) -> tuple[Sampler, str]:
        """How the tuner samples, and what there is to say of it: `auto` does without a library that is not there."""
        critic = self.problem.critic
        automatic = (self.options.critic or critic.provider) == "auto" and self.options.sampler is None
        if automatic and importlib.util.find_spec("optuna") is None:
            return "random", "; the tuner samples at random, as optuna is not installed"
        return self.options.sampler or critic.sampler, ""

    def _source(self) -> str:
        """The incumbent's mutable file, or the user's while there is no session."""
        if self.is_open:
            return self.session.brief().source
        return (self.problem_file.parent / self.problem.mutable_file).read_text(errors="surrogateescape")


class Attempt:
    """One experiment under way: propose and apply, measure, judge and record."""

    def __init__(self, research: Research, parts: Parts) -> None:
        self._session = research.session
        self._parts = parts
        self._misfit = ""
        incumbent = self._session.progress.incumbent
        assert incumbent is not None
        self._incumbent = incumbent
        self.number = self._session.progress.next_number
        self.idea: Idea | None = None
        self.candidate: Candidate | None = None

    @property
    def beaten(self) -> float:
        """The metric that the experiment has to beat, or had to."""
        assert self._incumbent.metric is not None
        return self._incumbent.metric

    def prepare(self) -> None:
        """Get an idea and make a candidate of it; edits that do not fit are judged later, as a crash."""
        self.idea = self._session.propose(self._parts.propose)
        try:
            self.candidate = self._session.apply(self.idea, self._parts.apply)
        except EditError as error:
            self._misfit = f"edit: {error}"

    def finish(self) -> Experiment | None:
        """Measure, judge and record; None if the idea changed nothing, so that there is no experiment."""
        assert self.idea is not None
        if self.candidate is None and not self._misfit:
            return None
        measured = self._measure()
        verdict = self._parts.judge(measured, self._incumbent)
        return self._session.record(self.idea, self.candidate, measured, verdict)

    def _measure(self) -> Measurement:
        if self.candidate is None:
            return Measurement(None, failure=self._misfit)
        return self._session.measure(self.candidate, self._parts.measure)
