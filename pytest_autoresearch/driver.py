"""A pytest run that takes one step instead of a loop, so that every step uses the hooks that the loop would use."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.items import ProblemFile
from pytest_autoresearch.loop import Loop
from pytest_autoresearch.machine import refusals
from pytest_autoresearch.opening import has_begun, open_session
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import ProblemError, load_problem
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.research import Research
from pytest_autoresearch.steps import Bench, Step, leave
from pytest_autoresearch.text import plain

INTERRUPTED = "interrupted; what was under way is on record, and the next step goes on with it"
_FAILED = 1
_REPORTER = "terminalreporter"
# What an ini file wants of runs of tests: options, errors for warnings that pytest gives while it starts, live logs.
_OF_TESTS = {"addopts": "", "filterwarnings": "", "log_cli": "false"}
_OF_THE_LOOP = re.compile(r"--autoresearch-(?=(?:tag|critic|model|coder|ideas|sampler)\b)")


class Driver:
    """The plugin of such a run: says nothing but what the step says, and remembers whether it could be taken."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.code: int | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> None:
        """Have the last word of all plugins: one of them may put a reporter of its own in the place of pytest's."""
        config.pluginmanager.register(Silence())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say why a problem cannot be collected."""
        if report.failed:
            self._fail(report.longreprtext)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the step on the problem that was collected, whatever a conftest.py selects of its items."""
        loop = session.config.pluginmanager.get_plugin("autoresearch-loop")
        assert isinstance(loop, Loop)
        if not loop.files and self.code is None:
            self._fail("pytest finds no problem; does a conftest.py keep it from being collected?")
        for file in loop.files if self.code is None else ():
            self._take(file)
        return True

    def _take(self, file: ProblemFile) -> None:
        research = file.research
        research.options = replace(research.options, by_hand=True)

        def recorded(done: Experiment) -> None:
            try:
                file.ihook.pytest_autoresearch_experiment_recorded(research=research, experiment=done)
            except Exception as error:
                _note(f"experiment {done.label} is on record, but a hook failed: {error!r}")

        bench = Bench(research, file.checks, file.parts(), tell=_tell, note=_note, recorded=recorded)
        try:
            with refusals():
                _put_back_missing(research)
                with _left(bench):
                    self._step(bench)
            self.code = 0
        except UserError as error:
            self._fail(str(error))
        except KeyboardInterrupt:
            complain(INTERRUPTED)
            self.code = int(pytest.ExitCode.INTERRUPTED)
        except Exception as error:
            shown = pytest.ExceptionInfo.from_exception(error).getrepr(style="short")
            self._fail(f"the step failed, by a hook of a conftest.py or a bug:\n{shown}")

    def _fail(self, text: str) -> None:
        complain(text)
        self.code = _FAILED


class Silence:
    """Takes pytest's reporter away."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Unregister it, once everybody has found it there."""
        if config.pluginmanager.has_plugin(_REPORTER):
            config.pluginmanager.unregister(name=_REPORTER)


def drive(problem: Path, options: list[str], step: Step) -> int:
    """Take a step on a problem; 0 if it was taken, 1 if it could not be, 2 if interrupted, else pytest's exit code."""
    driver = Driver(step)
    with TemporaryDirectory(prefix="autoresearch-step-") as cache, _without("PYTEST_ADDOPTS"), _named(problem) as path:
        settings = {**_OF_TESTS, "cache_dir": cache}  # the user's says which tests failed last, and the seed
        arguments = [
            path,
            *("-p", "autoresearch"),
            *("-p", "no:unraisableexception"),  # collects garbage five times at the end, for tests that there are not
            "--autoresearch",
            "--autoresearch-iterations=1",
            *(f"--override-ini={key}={value}" for key, value in settings.items()),
            *options,
        ]
        code = int(pytest.main(arguments, plugins=[driver]))
    if driver.code is not None:
        return driver.code
    if code == pytest.ExitCode.INTERRUPTED:
        complain(INTERRUPTED)
    return code or _FAILED


def complain(text: str) -> None:
    """Say on stderr what is no result, with the options as this command has them."""
    with suppress(OSError):
        print(f"pytest-autoresearch: {plain(_OF_THE_LOOP.sub('--', text))}", file=sys.stderr, flush=True)


def _put_back_missing(research: Research) -> None:
    """Have a session put back the files that are gone from its own checkout: a problem's are looked for before."""
    try:
        load_problem(research.problem_file)
    except ProblemError:
        problem = load_problem(research.problem_file, look=False)
        place = find_place(research.problem_file, problem.branch_prefix, research.options.tag)
        is_sessions = place.is_at_home or research.problem_file.parent != place.project
        if is_sessions and has_begun(place):
            with open_session(place, problem, lambda stage, elapsed: None, takes_edits=True):
                _note("files were missing, and are put back")


@contextmanager
def _left(bench: Bench) -> Iterator[None]:
    """Whatever becomes of the step, the session is left as the next one expects it, and closed."""
    try:
        yield
    finally:
        try:
            if bench.research.is_open:
                leave(bench.research.session)
                for notice in bench.research.session.notices:
                    bench.note(notice)
        finally:
            bench.research.close()


@contextmanager
def _named(problem: Path) -> Iterator[str]:
    """The problem as an argument for pytest, which takes `[` and `::` in a path for parts of a test's name."""
    if not re.search(r"\[|::", str(problem.parent)):
        yield str(problem)
        return
    before = Path.cwd()
    os.chdir(problem.parent)
    try:
        yield problem.name
    finally:
        os.chdir(before)


@contextmanager
def _without(variable: str) -> Iterator[None]:
    value = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[variable] = value


def _tell(text: str) -> None:
    with suppress(OSError):  # a pipe that nobody reads any more is no reason to end a step
        print(plain(text), flush=True)


def _note(text: str) -> None:
    complain(f"note: {text}")
