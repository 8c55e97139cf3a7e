"""One run: the runner, then the evaluator if the problem has one, and the metric that comes out."""

from __future__ import annotations

import errno
import math
import os
import re
import signal
import stat
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from pytest_autoresearch.contract import Contract, Pristine
from pytest_autoresearch.environment import evaluator_environment, runner_environment
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import remove
from pytest_autoresearch.holdout import Bar
from pytest_autoresearch.leftovers import Left
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.processes import Command, Identity, Outcome, Supervisor
from pytest_autoresearch.records import Candidate, Measurement
from pytest_autoresearch.sandbox import Sandbox
from pytest_autoresearch.workspace import Workspace

_BLOCK = 1 << 20
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs at the moment, for the live line; without a budget it takes as long as it takes.

    `label` is what people call number `number` of its `unit`, '' if that is no other name.
    """

    what: str
    number: int
    budget_s: float | None
    timeout_s: float | None
    unit: str = "experiment"
    label: str = ""


Tick = Callable[[Stage, float], None]
Started = Callable[[str, int, Identity], None]
Strayed = Callable[[int, Left], None]


class Order(Protocol):
    """What deals with what a run finds and leaves in its checkout: `leftovers.Leftovers`."""

    def before_run(self) -> Left | None:
        """What somebody has done since the last run."""

    def after_run(self, *, broken: bool) -> Left | None:
        """What the run has left; `broken` says that it broke the contract."""


class Opinion(Protocol):
    """Who is shown what is worth holding out: `holdout.SecondOpinion`."""

    @property
    def log(self) -> Path:
        """Where the second evaluator's log goes."""

    def bar(self, candidate: Candidate) -> Bar | None:
        """What a candidate has to be better than to be held out; None if it is not, whatever it gives."""

    def take(self, candidate: Candidate, metric: float | None, failure: str) -> None:
        """Take what the second evaluator said."""


class LogFiles(Protocol):
    """Where the logs go: `logs.Logs`."""

    def of(self, candidate: Candidate) -> Path:
        """Where the runner's log of a candidate goes."""

    def of_evaluator(self, log: Path) -> Path:
        """Where the evaluator's goes, beside that of its runner."""


@dataclass(frozen=True, slots=True)
class RunnerParts:
    """What measuring takes.

    `started` is told of each process before it runs, `strayed` of what was in the checkout before or after a run and
    had no place there; `tick` is called about once a second while one runs. `secrets` are texts that no log may hold,
    `variables` what the processes see besides what is theirs anyway.
    """

    problem: Problem
    workspace: Workspace
    contract: Contract
    pristine: Pristine
    supervisor: Supervisor
    sandbox: Sandbox
    second: Opinion
    leftovers: Order
    logs: LogFiles
    started: Started
    strayed: Strayed
    tick: Tick
    secrets: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


class Runner:
    """Measures candidates in one checkout."""

    def __init__(self, parts: RunnerParts) -> None:
        self.parts = parts
        self._problem = parts.problem
        self._project = parts.workspace.project
        self._contract = parts.contract
        self._pristine = parts.pristine
        self._second = parts.second
        self._leftovers = parts.leftovers
        self._source = "evaluator" if parts.problem.evaluator else "runner"

    def measure(self, candidate: Candidate) -> Measurement:
        """Run what is in the checkout, which is to be `candidate`, and say what came of it.

        UserError if it cannot be run, which says nothing of the candidate.
        """
        self._require_data()
        self._tell(candidate.number, self._leftovers.before_run())
        logs = self.parts.logs.of(candidate)
        self._remove_artifacts()
        outcome = self._run("runner", self._problem.runner, candidate.number, self._project, logs)
        measured = self._judge_runner(outcome, candidate.number)
        if measured.failure or not self._problem.evaluator:
            return measured
        if failure := self._hand_over():
            return Measurement(
                None, seconds=outcome.seconds, exit=outcome.exit, failure=failure, log_tail=outcome.tail
            )
        log = self.parts.logs.of_evaluator(logs)
        evaluated = self._run("evaluator", self._problem.evaluator, candidate.number, self._pristine.directory, log)
        measured = self._read(evaluated, "evaluator")
        bar = self._second.bar(candidate) if candidate.blob else None
        if measured.metric is not None and bar is not None and bar.is_passed(measured.metric):
            self._hold_out(candidate)
        return replace(measured, seconds=outcome.seconds + evaluated.seconds)

    def _hold_out(self, candidate: Candidate) -> None:
        """Have the second evaluator judge the artifacts, for nobody's eyes but the user's."""
        assert self._problem.holdout is not None
        failure, metric = self._hand_over(), None
        if not failure:
            directory = self._pristine.directory
            outcome = self._run("holdout", self._problem.holdout, candidate.number, directory, self._second.log)
            read = self._read(outcome, "holdout")
            metric, failure = read.metric, read.failure
        self._second.take(candidate, metric, failure)

    def _judge_runner(self, outcome: Outcome, number: int) -> Measurement:
        measured = self._read(outcome, "runner") if self._source == "runner" else self._exit_of(outcome, "runner")
        project, contract, data = self._project, self._contract, self._contract.data(self._project)
        pinned, changed = {path: contract.found(project, path) for path in contract.changed(project)}, data.changed()
        self._tell(number, self._leftovers.after_run(broken=bool(pinned or changed)))
        if not pinned and not changed:
            return measured
        done = "".join(contract.difference(path, found) for path, found in pinned.items())
        for path in pinned:
            contract.put_back(project, path)
        lost = [path for path in data.changed() if not contract.put_back_data(project, path)]
        named = ", ".join([*pinned, *changed][:5])
        failure = f"contract: the run changed {named}, which {'cannot be' if lost else 'was'} put back"
        return replace(measured, metric=None, failure=failure, machine=False, log_tail=f"{measured.log_tail}\n{done}")

    def _tell(self, number: int, left: Left | None) -> None:
        if left:
            self.parts.strayed(number, left)

    def _require_data(self) -> None:
        """UserError if the data are not what the session's numbers rest on any more."""
        if changed := self._contract.data(self._project).changed():
            named, project = ", ".join(changed[:5]), self._project
            raise UserError(
                f"fingerprint: {named} in {project} changed since this run began. Put it back as it was; or, if it is "
                "to be so, run again: the best experiment is measured anew"
            )

    def _exit_of(self, outcome: Outcome, what: str) -> Measurement:
        failure, machine = _failure(outcome, what, self._problem.hard_timeout_s)
        return Measurement(
            None, exit=outcome.exit, seconds=outcome.seconds, failure=failure, machine=machine, log_tail=outcome.tail
        )

    def _read(self, outcome: Outcome, what: str) -> Measurement:
        measured = self._exit_of(outcome, what)
        if measured.failure:
            return measured
        found = outcome.matches.get("metric")
        if found is None:
            return replace(measured, failure=f"no metric: nothing that the {what} printed matches metric_regex")
        metric, failure = parse_metric(found)
        return replace(
            measured, metric=metric, failure=failure, resource=self._resource(outcome), also=self._also(outcome)
        )

    def _resource(self, outcome: Outcome) -> float | None:
        value, _ = parse_metric(outcome.matches.get("resource", ""))
        return None if value is None else value / self._problem.resource_divisor

    def _also(self, outcome: Outcome) -> dict[str, float]:
        found = {name: parse_metric(outcome.matches.get(f"also.{name}", ""))[0] for name in self._problem.also}
        return {name: value for name, value in found.items() if value is not None}

    def _run(self, what: str, command: str, number: int, directory: Path, log: Path) -> Outcome:
        remove(log)  # a candidate may have laid out anything there
        stage = Stage(what, number, self._problem.time_budget_s, self._problem.hard_timeout_s)
        argv = ("bash", "-c", command)
        outcome = self.parts.supervisor.run(
            Command(
                argv=self.parts.sandbox.command(argv, directory) if what == "runner" else argv,
                cwd=directory,
                env=self._environment(what),
                log=log,
                timeout_s=self._problem.hard_timeout_s,
                patterns=self._problem.patterns if what in (self._source, "holdout") else {},
                secrets=self.parts.secrets,
            ),
            lambda identity: self.parts.started(what, number, identity),
            lambda elapsed: self.parts.tick(stage, elapsed),
        )
        if outcome.error:
            raise UserError(f"the {what} could not be started: {outcome.error}; mend that and run again")
        return outcome

    def _environment(self, what: str) -> dict[str, str]:
        given_back = self._problem.env
        if what != "runner":
            return {**evaluator_environment(os.environ, given_back), **self.parts.variables}
        critics = filter(None, [self._problem.critic.api_key_env])
        return {**runner_environment(os.environ, given_back, critics), **self.parts.variables}

    def _remove_artifacts(self) -> None:
        """An artifact of the run before must never be taken for this one's."""
        for name in self._problem.artifacts:
            remove(self._project / name)

    def _hand_over(self) -> str:
        """Copy the artifacts to where the evaluator runs; why not, if that cannot be."""
        self._pristine.restore()
        for name in self._problem.artifacts:
            if failure := _copy_regular(self._project / name, self._pristine.directory / name):
                return f"artifact {name}: {failure}"
        return ""


def parse_metric(text: str) -> tuple[float | None, str]:
    """The finite number that `text` is, or None and why it is none."""
    value = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
    if math.isfinite(value):
        return value, ""
    return None, f"the metric {text.strip()[:40]!r} is not a finite number"


def _failure(outcome: Outcome, what: str, timeout_s: float) -> tuple[str, bool]:
    """Why a process that has ended is a failure, and whether that is the machine's making; '' if it is none."""
    if outcome.expired:
        return f"timeout: the {what} was ended after {timeout_s:g} s (hard_timeout_s)", False
    if outcome.lost:
        return f"the process that supervised the {what} was killed", True
    if outcome.exit is not None and outcome.exit < 0:
        name = signal.Signals(-outcome.exit).name if -outcome.exit in set(signal.Signals) else str(-outcome.exit)
        return f"the {what} was killed by {name}", outcome.exit == -signal.SIGKILL
    if outcome.exit == 128 + signal.SIGKILL:
        return f"a process of the {what} was killed by SIGKILL (out of memory?)", True
    return (f"the {what} ended with exit status {outcome.exit}", False) if outcome.exit else ("", False)


def _copy_regular(source: Path, target: Path) -> str:
    """Copy a regular file, and only what it holds now; why not, if it is none."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return "the runner did not write it"
    except OSError as error:
        return f"not a regular file ({error.strerror})"
    with ExitStack() as stack:
        stack.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "not a regular file"
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_data(descriptor, stack.enter_context(target.open("xb")))
    return ""


def _copy_data(source: int, copy: BinaryIO) -> None:
    """Copy what the file holds; its holes take no room in the copy either."""
    size, end = os.fstat(source).st_size, 0
    copy.truncate(size)
    while (start := _next_data(source, end)) is not None:
        end = min(os.lseek(source, start, os.SEEK_HOLE), start + _BLOCK)
        copy.seek(start)
        copy.write(os.pread(source, end - start, start))


def _next_data(descriptor: int, offset: int) -> int | None:
    """Where, from `offset` on, a file has data; None if it has no more."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None
