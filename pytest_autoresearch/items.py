"""A problem file as pytest sees it: nine preconditions and N iterations, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_autoresearch.attempt import Attempt
from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import EngineName, Sampler
from pytest_autoresearch.machine import refusal, refusals
from pytest_autoresearch.memory import release_memory
from pytest_autoresearch.preconditions import NAMES, Preconditions, Result
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.reports.properties import of_check, of_experiment, of_nothing
from pytest_autoresearch.reports.story import Entry
from pytest_autoresearch.research import Options, Parts, Research
from pytest_autoresearch.round import Round, attempt_of
from pytest_autoresearch.settings import BY_PROBLEM

if TYPE_CHECKING:
    from pytest_autoresearch.loop import Loop

INTERRUPTED = "interrupted; it will be measured again at the next start"
_RUNNING_US = re.compile(r"[/\\](_pytest|pluggy|contextlib|functools)([/\\]|\.py$)")
_SPARE_S = 120.0
_RUNS_OF_A_CHECK = 2
_SPARE_OF_CLUSTER_S = 900.0  # one that grows when it is asked to takes minutes
_FRUITLESS = 3


class ProblemFile(pytest.File):
    """Collects one problem. Collecting reads and writes nothing but the problem file."""

    loop: Loop
    order: int
    research: Research
    checks: Preconditions
    fruitless: int
    why_no_more: str

    @classmethod
    def make(cls, parent: pytest.Collector, path: Path, loop: Loop, order: int) -> ProblemFile:
        """The collector of the problem at `path`, the `order`-th of this run."""
        file: ProblemFile = cls.from_parent(parent, path=path)
        file.loop, file.order, file.fruitless, file.why_no_more = loop, order, 0, ""
        asked = loop.settings
        options = Options(
            loop=asked.loop,
            iterations=asked.iterations,
            tag=asked.tag,
            confirm=asked.confirm,
            critic=asked.critic,
            ideas=asked.ideas,
            sampler=cast("Sampler | None", asked.sampler),
            model=asked.model,
            coder=asked.coder,
            edit_timeout=asked.edit_timeout,
            report=asked.report,
            candidates=asked.candidates,
            engine=cast("EngineName | None", asked.engine),
        )
        file.research = Research(path.resolve(), options, loop.live.tick, loop.live.say)
        file.checks = Preconditions(file.research)
        return file

    def collect(self) -> Iterator[pytest.Item]:
        """The nine preconditions, then the iterations that are known to come."""
        if self.loop.is_scattered:
            way = f"add --dist {BY_PROBLEM}, or run without -n"
            raise self.CollectError(f"{self.path.name}: its checks run in order, in one process; {way}")
        for index, name in enumerate(NAMES):
            yield Precondition.make(self, index, name)
        if self.loop.settings.loop:
            ahead = self.loop.settings.iterations or 2
            for number in range(1, ahead + 1):
                yield Iteration.make(self, number)

    def parts(self) -> Parts:
        """The steps as the hooks that apply to this file define them."""
        hook, research = self.ihook, self.research
        return Parts(
            propose=lambda brief: hook.pytest_autoresearch_propose(research=research, brief=brief),
            apply=lambda idea, source: hook.pytest_autoresearch_apply(research=research, idea=idea, source=source),
            measure=lambda candidate: hook.pytest_autoresearch_measure(research=research, candidate=candidate),
            judge=lambda measured, incumbent: hook.pytest_autoresearch_judge(
                research=research, measurement=measured, incumbent=incumbent
            ),
        )

    def budget_s(self, *, iteration: bool) -> float:
        """The outer clock over an item: each process has its own deadline, and this one is never first."""
        try:
            problem, engine = self.research.problem, self.research.engine_section
        except UserError:
            return _SPARE_S
        runs, each = (engine.waves, engine.candidates) if iteration else (_RUNS_OF_A_CHECK, 1)
        if problem.noise is not None:
            runs += max(each, runs) * problem.noise.most_runs
        processes = runs * (1 + bool(problem.evaluator) + bool(problem.holdout))
        return processes * problem.hard_timeout_s + (_SPARE_OF_CLUSTER_S if engine.kind == "ray" else _SPARE_S)

    def teardown(self) -> None:
        """Close the session after the last item of this file."""
        self.loop.closing(self)
        with briefly():
            self.research.close()


@contextmanager
def briefly() -> Iterator[None]:
    """Let what a user has to mend fail a teardown in one message, where pytest asks no item how to show it."""
    try:
        with refusals():
            yield
    except UserError as error:
        pytest.fail(str(error), pytrace=False)


class Item(pytest.Item):
    """What both kinds of items share. `funcargs` is there for other plugins, which expect it of every item."""

    file: ProblemFile
    index: int
    funcargs: dict[str, object]

    @classmethod
    def _make(cls, file: ProblemFile, name: str, index: int, *, iteration: bool) -> Any:
        # The id is given as a string: pytest 9.2 loses `--lf` and `--sw` for a name with brackets (pytest #15045).
        item = cls.from_parent(file, name=name, nodeid=f"{file.nodeid}::{name}")
        item.file, item.index, item.funcargs = file, index, {}
        file.loop.set_budget(item, file.budget_s(iteration=iteration))
        return item

    @property
    def sort_key(self) -> tuple[int, int]:
        """Where the item belongs, whatever other plugins make of the order."""
        return self.file.order, self.index

    def expire(self) -> None:
        """End what runs; called by pytest-timeout's timer from a thread of its own."""
        self.file.research.expire()

    def hindered(self, error: UserError) -> None:
        """Fail, because something that the item needs is not to be had."""
        raise error

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What pytest shows as the place of the item."""
        return self.path, None, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        """A user's mistake or a machine's refusal in one message; everything else, which is ours, with a traceback."""
        error = excinfo.value
        if isinstance(error, OSError):
            error = refusal(error) or error
        if isinstance(error, UserError):
            return str(error)
        excinfo.traceback = excinfo.traceback.filter(lambda entry: not _RUNNING_US.search(str(entry.path)))
        return excinfo.getrepr(style="short")


class Precondition(Item):
    """One of the nine checks."""

    check: str

    @classmethod
    def make(cls, file: ProblemFile, index: int, name: str) -> Precondition:
        """The item of check `name`."""
        item: Precondition = cls._make(file, f"precondition[{name}]", index, iteration=False)
        item.add_marker("precondition")
        item.check = name
        return item

    def runtest(self) -> None:
        """Make the check, or take its result from whoever made it before."""
        with self.file.loop.interruptible(self):
            result = self.file.checks.result(self.check, self.file.parts())
        self.user_properties.extend(of_check(result))
        self.file.loop.checked(result)
        if result.outcome == "failed":
            raise UserError(result.detail)
        if result.outcome != "passed":
            pytest.skip(result.detail)


class Iteration(Item):
    """One experiment."""

    number: int
    attempt: Attempt | Round | None
    failure: Exception | None

    @classmethod
    def make(cls, file: ProblemFile, number: int) -> Iteration:
        """The `number`-th experiment of this run."""
        item: Iteration = cls._make(file, f"iteration[{number}]", len(NAMES) + number, iteration=True)
        item.add_marker("iteration")
        item.number, item.attempt, item.failure = number, None, None
        return item

    def setup(self) -> None:
        """Propose and apply; what goes wrong is kept for the call, as pytest would not let us say it here."""
        self.file.loop.grow(self)
        with self._uninterrupted():
            try:
                self._prepare()
            except Exhausted as exhausted:
                self._stop(str(exhausted))
            except Exception as error:
                self._failed(error)

    def hindered(self, error: UserError) -> None:
        """Fail when it comes to the call, and let nothing come after."""
        self._failed(error)

    def runtest(self) -> None:
        """Measure, judge and record."""
        if self.failure is not None:
            raise self.failure
        with self._uninterrupted():
            try:
                done = self._finish()
            except Exception as error:
                self._failed(error)
                raise
        if not done:
            self._nothing()
            return
        self.file.fruitless = 0
        self.file.loop.recorded(self, done)
        if (reason := self.file.research.session.stop_reason()) is not None:
            self.file.why_no_more = reason
            self.file.loop.shrink(self)

    def teardown(self) -> None:
        """The safety net: the incumbent's file is in place, however the experiment ended.

        What hinders that is said once; the next start puts the file back.
        """
        said = self.attempt is None or self.failure is not None
        with suppress(OSError, UserError) if said else briefly():
            if self.file.research.is_open:
                self.file.research.session.hand.put_back()
        self.attempt = None  # pytest keeps the item to its end, and with it a copy of the mutable file
        release_memory()

    def properties(self, done: Experiment) -> list[tuple[str, object]]:
        """What the JUnit XML says of the experiment."""
        research, attempt = self.file.research, self.attempt
        progress = research.session.progress
        assert attempt is not None
        assert progress.baseline is not None
        assert progress.incumbent is not None
        told = Entry(done, research.run_id, beaten=attempt.beaten, best=progress.incumbent.metric)
        return of_experiment(told, research.session.tag, research.session.problem, progress.baseline)

    def _prepare(self) -> None:
        self._check()
        self.file.research.announce()
        self.attempt = attempt_of(self.file.research, self.file.parts())
        self.attempt.prepare()

    def _finish(self) -> list[Experiment]:
        assert self.attempt is not None
        return self.attempt.finish()

    def _nothing(self) -> None:
        """Say that no experiment came of the idea; one that a coder broke off with is only put off."""
        assert self.attempt is not None
        reason = self.attempt.why_nothing
        self.user_properties.extend(of_nothing(reason))
        self.file.loop.live.say(f"iteration {self.number}: no experiment: {reason}")
        if not self.attempt.is_put_off:
            self._fruitless(reason)

    def _check(self) -> None:
        failed = self.file.checks.first_failure(self.file.parts())
        if failed is not None:
            self._blocked(failed)
        if self.file.why_no_more or (reason := self.file.research.session.stop_reason()) is not None:
            self._stop(self.file.why_no_more or reason or "")

    def _blocked(self, failed: Result) -> None:
        self.file.loop.shrink(self)
        self.file.loop.checked(failed)
        pytest.skip(f"blocked by precondition[{failed.name}]: {failed.detail}")

    def _stop(self, reason: str) -> None:
        self.file.why_no_more = reason
        self.file.loop.shrink(self)
        pytest.skip(reason)

    def _failed(self, error: Exception) -> None:
        """A bug may pass, in a hook that asks a server, say; what the user has to mend does not mend itself."""
        if isinstance(error, OSError):
            error = refusal(error) or error
        self.failure = error
        self._fruitless(repr(error))
        if isinstance(error, UserError):
            self.file.why_no_more = str(error).split("\n")[0]
            self.file.loop.shrink(self)

    def _fruitless(self, reason: str) -> None:
        """Count an iteration that led to no experiment; after three in a row a loop without end is at its end."""
        self.file.fruitless += 1
        if self.file.fruitless >= _FRUITLESS and self.file.loop.endless:
            self.file.why_no_more = f"{_FRUITLESS} iterations in a row led to no experiment; the last one: {reason}"
            self.file.loop.shrink(self)

    def _uninterrupted(self) -> Any:
        return self.file.loop.interruptible(self)
