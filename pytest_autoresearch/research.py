"""One run's work on one problem: what is made once and used by preconditions and iterations alike."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

from filelock import FileLock

from pytest_autoresearch.coders.agent import AgentCoder
from pytest_autoresearch.coders.agents import command_of
from pytest_autoresearch.coders.base import Coder
from pytest_autoresearch.coders.choice import chosen_section, edit_limit, fallback_limit, uses_editor
from pytest_autoresearch.coders.editor import Editor
from pytest_autoresearch.coders.external import External
from pytest_autoresearch.coders.site import Site
from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.critics.choice import Choice, Kit, choose_critic
from pytest_autoresearch.critics.samplers import SamplerName
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.desk import SessionDesk
from pytest_autoresearch.edits import apply_idea
from pytest_autoresearch.engines import cluster
from pytest_autoresearch.engines.base import Engine
from pytest_autoresearch.engines.exclusive import Exclusive
from pytest_autoresearch.engines.local import LocalEngine
from pytest_autoresearch.engines.ray import RayEngine
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import EngineName, ProviderName, Sampler
from pytest_autoresearch.files import replace_text
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.models import Models, prices_of
from pytest_autoresearch.opening import OpenSession, has_begun, open_session, open_temporary
from pytest_autoresearch.place import Place, find_place
from pytest_autoresearch.problem import Problem, key_names, load_problem
from pytest_autoresearch.records import BY_HAND, Candidate, Experiment, Idea, Measurement, Verdict
from pytest_autoresearch.reports.story import Story
from pytest_autoresearch.reports.views import Views
from pytest_autoresearch.runner import Stage, Tick
from pytest_autoresearch.sections import CoderSection, EngineSection
from pytest_autoresearch.session import Session
from pytest_autoresearch.trackers.follower import Follower

GATE = Path(".autoresearch", "loop_confirmed")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; None where the problem decides.

    Without `loop` only the preconditions run. Without a `tag` the session is the one in whose checkout the problem is,
    else run1. `iterations` is how many experiments were asked for, None for as many as
    it takes. A session that is driven `by_hand`, step by step, needs no confirmation. `edit_timeout` is how many
    seconds an edit by hand is waited for. `report` is another place for the page.
    """

    loop: bool = True
    by_hand: bool = False
    iterations: int | None = None
    tag: str | None = None
    confirm: bool = False
    critic: str | None = None
    ideas: Path | None = None
    sampler: Sampler | None = None
    model: str | None = None
    coder: str | None = None
    edit_timeout: float | None = None
    report: Path | None = None
    candidates: int | None = None
    engine: EngineName | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """The replaceable steps of an experiment."""

    propose: Callable[[Brief], Idea]
    apply: Callable[[Idea, bytes], bytes]
    measure: Callable[[Candidate], Measurement]
    judge: Callable[[Measurement, Experiment], Verdict]


class Research:
    """The problem at `problem_file`, its session, critic and coder; each made when it is first asked for.

    `tick` is called about once a second while something runs, `say` with a line for the person at the terminal.
    """

    def __init__(self, problem_file: Path, options: Options, tick: Tick, say: Callable[[str], None]) -> None:
        self.problem_file = problem_file
        self.options = options
        self.run_id = uuid.uuid4().hex[:12]
        self._tick = tick
        self._say = say
        self._stack = ExitStack()
        self._announced = False

    def tick(self, stage: Stage, elapsed: float) -> None:
        """Say how far something is that runs."""
        if stage.unit == "experiment" and self.is_open:
            stage = replace(stage, label=self.session.progress.label_of(stage.number))
        self._tick(stage, elapsed)

    @cached_property
    def problem(self) -> Problem:
        """The problem as the user's checkout has it; ProblemError if it is wrong."""
        return load_problem(self.problem_file)

    @cached_property
    def place(self) -> Place:
        """Where the session is; UserError if it can be nowhere."""
        return find_place(self.problem_file, self.problem.branch_prefix, self.options.tag)

    @cached_property
    def models(self) -> Models:
        """The language models; none is asked before there is something to ask."""
        provider = self.options.critic or self.problem.critic.provider
        return self._stack.enter_context(
            closing(Models(self.problem, provider, self.options.model, self._desk, self.mask))
        )

    @cached_property
    def choice(self) -> Choice:
        """The critic and why; UserError if there is none."""
        critic = self.problem.critic
        sampler, note = self._sampler()
        kit = Kit(
            problem=self.problem,
            models=self.models,
            mask=self.mask,
            watch=self._desk,
            tuner=Tuner(sampler, self.problem.mutable_file),
            ideas=self.options.ideas or self.problem_file.parent / critic.ideas,
            source=self._source(),
            with_edits=uses_editor(self.coder_section) and self.problem.coder.model is None,
            has_coder=self.coder_section.enabled,
        )
        choice = choose_critic(kit, self.options.critic)
        return replace(choice, why=choice.why + note)

    @cached_property
    def coder_section(self) -> CoderSection:
        """`coder:` of the problem, with the coder that the user asked for."""
        return chosen_section(self.problem.coder, self.options.coder)

    @property
    def agent_program(self) -> str | None:
        """The program that the coder is, if it is one; None too while the problem cannot be read."""
        try:
            section = self.coder_section
        except UserError:
            return None
        return command_of(section)[0] if section.enabled and not uses_editor(section) else None

    @property
    def coder_in_words(self) -> str:
        """Who applies the ideas, for the header; '' where they carry their own edits."""
        section = self.coder_section
        if self.waits_for_edits:
            return "coder external: edits by hand, in the session's checkout"
        if self.uses_editor:
            return "coder editor: the critic's model, or coder.model, makes the edits"
        name = "command" if section.command is not None else section.agent
        return f"coder {name}: {shlex.join(command_of(section))}" if section.enabled else ""

    @property
    def uses_editor(self) -> bool:
        """Whether the built-in editor makes the edits."""
        return self.choice.brings_editor or uses_editor(self.coder_section)

    @property
    def estimate_in_words(self) -> str:
        """What the iterations that were asked for may take of a model at most; '' if they ask none."""
        if self.choice.models is None:
            return ""
        return self.choice.models.estimate(self._source(), self.options.iterations)

    @property
    def waits_for_edits(self) -> bool:
        """Whether edits by hand are what the session measures."""
        section = self.problem.critic
        provider = self.options.critic or (section.provider if section.enabled else BY_HAND)
        return self.options.by_hand or (
            not self.coder_section.enabled and provider in (*get_args(ProviderName), BY_HAND)
        )

    @cached_property
    def coder(self) -> Coder:
        """Who makes the edits that an idea does not carry."""
        section = self.coder_section
        if section.enabled and not uses_editor(self.coder_section):
            bounded = self.options.iterations is not None
            wait_s = 0 if self.options.by_hand else fallback_limit(section, self.options.edit_timeout, bounded=bounded)
            return AgentCoder(self.site, section, wait_s, self.models.key_names)
        if section.enabled or self.choice.brings_editor:
            watch = None if self.options.by_hand else self._desk
            return Editor(self.problem, self.models.editor, self.mask, watch)
        return External(self.site, 0 if self.options.by_hand else edit_limit(section, self.options.edit_timeout))

    def apply(self, idea: Idea, source: bytes) -> bytes:
        """The mutable file that the idea makes of `source`, by the edits that it carries or by the coder's."""
        return apply_idea(idea, source) if self._needs_no_coder(idea) else self.coder.apply(idea, source)

    def plan(self, idea: Idea) -> str:
        """What `apply` would do with the idea."""
        return "make the edits that the idea carries" if self._needs_no_coder(idea) else self.coder.plan(idea)

    def _needs_no_coder(self, idea: Idea) -> bool:
        """Whether the idea's own edits are all there is to it; the editor mends those that do not fit."""
        carries_edits = bool(idea.edits) or idea.content is not None
        return carries_edits and not self.uses_editor

    @property
    def site(self) -> Site:
        """Where the coder works."""
        opened = self.opened
        return Site(opened.session, self.place, opened.contract, opened.supervisor, self.tick, self._say)

    @cached_property
    def opened(self) -> OpenSession:
        """The open session; one that is thrown away for a plain run on a problem that has none."""
        if self.options.loop or has_begun(self.place):
            made = open_session(self.place, self.problem, self.tick, takes_edits=self.waits_for_edits)
        else:
            made = open_temporary(self.place, self.problem, self.tick)
        return self._stack.enter_context(made)

    @property
    def session(self) -> Session:
        """The same, without what measures in it."""
        return self.opened.session

    @cached_property
    def views(self) -> Views:
        """What people look at, kept up to date."""
        session, by_hand = self.session, self.options.by_hand
        story = Story(self.place, session.problem)
        return Views(session, story, self.paths, self.mask, self._say, with_page=not by_hand)

    @property
    def paths(self) -> dict[str, Path]:
        """Where each view of the open session goes."""
        paths, report = self.opened.views, self.options.report
        return paths if report is None else {**paths, "report.html": report}

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
        stamp = {"confirmed": time.strftime("%Y-%m-%d %H:%M:%S")}
        self.place.records.mkdir(parents=True, exist_ok=True)
        with FileLock(self.place.records / "confirmed.lock"):  # the session's own lock may be another run's
            replace_text(self.place.records / "confirmed.json", json.dumps(stamp) + "\n")

    @property
    def confirmed(self) -> bool:
        """Whether the gate is open, here or as v1.1 left it."""
        return (self.place.records / "confirmed.json").exists() or (self.problem_file.parent / GATE).exists()

    @cached_property
    def follower(self) -> Follower | None:
        """What copies the experiments to a tracker, None if the problem has none."""
        follower = Follower(self.place, self.problem_file, self._warn)
        return None if self.problem.tracker.kind == "none" else self._stack.enter_context(closing(follower))

    @property
    def engine_section(self) -> EngineSection:
        """`engine:` of the problem, with what the user asked for."""
        asked = {"candidates": self.options.candidates, "kind": self.options.engine}
        chosen: dict[str, object] = {name: value for name, value in asked.items() if value is not None}
        if self.options.by_hand:
            chosen["candidates"] = 1
        return self.problem.engine.model_copy(update=chosen)

    @cached_property
    def engine(self) -> Engine:
        """Where several candidates are measured at once, or all there are; UserError if it lacks what that takes."""
        section, opened = self.engine_section, self.opened
        made: Engine = (
            RayEngine(self.place, opened, section, self.tick, self._warn)
            if section.kind == "ray"
            else LocalEngine(self.place, opened, section)
        )
        return self._stack.enter_context(closing(made))

    @property
    def engine_in_words(self) -> str:
        """Which cluster the runs go to, for the header; '' where they are on this machine."""
        return cluster.in_words(self.engine_section) if self.engine_section.kind == "ray" else ""

    @cached_property
    def exclusive(self) -> Exclusive:
        """What no other session of this machine uses while this one measures."""

        def waiting(name: str, elapsed: float) -> None:
            self.tick(Stage(f"waiting for {name}", self.session.number, None, None), elapsed)

        return Exclusive(self.engine_section.exclusive, waiting)

    def measure(self, candidate: Candidate) -> Measurement:
        """Run a candidate: on the cluster, or here; one of several in a checkout of its own, or in the session's."""
        if candidate.seat:
            return self.engine.measure(candidate)
        with self.exclusive.held():
            on_cluster = self.engine_section.kind == "ray"
            return self.engine.measure(candidate) if on_cluster else self.opened.runner.measure(candidate)

    def expire(self) -> None:
        """End what runs now; called from another thread when an item's time is over.

        Where another session was waited for, that time says nothing; each process has a deadline of its own.
        """
        if not self.is_open or self.exclusive.waited:
            return
        self.opened.supervisor.expire()
        if "engine" in self.__dict__:
            self.engine.expire()

    def close(self) -> None:
        """Close the session, if it was opened, with every view of it fresh."""
        if "views" in self.__dict__:
            self.views.close()
        self._stack.close()

    @cached_property
    def mask(self) -> Mask:
        """What hides the keys of this run wherever something is written."""
        return Mask(os.environ, key_names(self.problem))

    def _warn(self, text: str) -> None:
        """Say what went wrong beside the session: among pytest's warnings, or in a step by hand at once."""
        with suppress(Warning):  # the user may have made errors of warnings
            if not self.options.by_hand:
                warnings.warn(text, stacklevel=1)
                return
        self._say(text)

    @cached_property
    def _desk(self) -> SessionDesk:
        return SessionDesk(lambda: self.session, prices_of(self.problem), self.mask, self._say)

    def _sampler(self) -> tuple[SamplerName, str]:
        """How the tuner samples, and what there is to say of it.

        Where it is only one of several critics it does without a library that is not there.
        """
        provider = self.options.critic or self.problem.critic.provider
        named = self.options.sampler or self.problem.critic.sampler or ("cmaes" if provider == "hybrid" else "tpe")
        needed = provider in ("tuner", "hybrid") or self.options.sampler is not None
        if needed or importlib.util.find_spec("optuna") is not None:
            return named, ""
        return "random", "; the tuner samples at random, as optuna is not installed" if provider == "auto" else ""

    def _source(self) -> str:
        """The incumbent's mutable file, or the user's while there is no session."""
        if self.is_open:
            return self.session.brief().source
        return (self.problem_file.parent / self.problem.mutable_file).read_text(errors="surrogateescape")
