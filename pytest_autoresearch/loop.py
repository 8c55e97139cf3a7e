"""What a run that is ours needs of pytest: order, growth, clocks, interrupts, exit code."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.items import INTERRUPTED, Item, Iteration, ProblemFile
from pytest_autoresearch.live import LiveLine
from pytest_autoresearch.machine import Refused, starting
from pytest_autoresearch.preconditions import Result
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.reports.junit import JunitView
from pytest_autoresearch.reports.properties import best_of, of_candidates
from pytest_autoresearch.settings import BY_PROBLEM, DISTRIBUTION, Settings
from pytest_autoresearch.terminal import News, Summary, announcement, of_end, of_experiment, status_word
from pytest_autoresearch.workers import INTERRUPT, Controller, Worker, answering, pass_over


class Loop:
    """The plugin object of one pytest run, or of each of its workers where pytest-xdist distributes it."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.worker = Worker(config) if hasattr(config, "workerinput") else None
        self.controller = Controller(config, self._take) if settings.loop and is_distributed(config) else None
        for part in filter(None, (self.worker, self.controller)):
            config.pluginmanager.register(part)
        self.live: LiveLine | Worker = self.worker or LiveLine(config)
        self.files: list[ProblemFile] = []
        self._summary = Summary()
        self._timers: dict[Item, threading.Timer] = {}
        self._failed = False
        self.endless = False
        self._xml: JunitView | None = None

    @property
    def is_scattered(self) -> bool:
        """Whether the items of one problem may come to several workers."""
        return self.worker is not None and self.config.workerinput[DISTRIBUTION] != BY_PROBLEM  # type: ignore[attr-defined]

    # --- collection

    def collect(self, path: Path, parent: pytest.Collector) -> ProblemFile:
        """The collector of one problem, in the order in which pytest comes to them."""
        file = ProblemFile.make(parent, path, self, len(self.files))
        self.files.append(file)
        return file

    def set_budget(self, item: Item, seconds: float) -> None:
        """Give the item its outer clock, if pytest-timeout is there to run it; setup has clocks of its own."""
        if self.config.hook.pytest_timeout_set_timer.has_spec():
            item.add_marker(pytest.mark.timeout(seconds, func_only=True))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, None, None]:
        """Put our items in order, each once, in the places that they have, after every other plugin.

        Before pytest 9 a file that is named twice is collected twice.
        """
        yield
        once = {item.nodeid: item for item in reversed(items) if isinstance(item, Item)}
        items[:] = [item for item in items if not isinstance(item, Item) or item is once[item.nodeid]]
        ours = iter(sorted(once.values(), key=lambda item: item.sort_key))
        items[:] = [next(ours) if isinstance(item, Item) else item for item in items]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Where items were picked, a loop without end has one; refuse problems that cannot run in one run."""
        iterations = [item for item in session.items if isinstance(item, Iteration)]
        self.endless = self.settings.iterations is None and [item.number for item in iterations] == [1, 2]
        problems = list(dict.fromkeys(item.file for item in iterations))
        if self.worker is None and len(problems) > 1 and not self.config.getoption("collectonly"):
            self._refuse_forever(problems)
            _refuse_shared_sessions(problems)

    def _refuse_forever(self, problems: list[ProblemFile]) -> None:
        """A loop without end never comes to a second problem."""
        if self.settings.iterations is None:
            names = ", ".join(sorted(file.nodeid for file in problems))
            raise pytest.UsageError(f"--iterations=forever goes with one problem, found {names}; say --iterations=N")

    # --- the loop without end: always one iteration ahead, so that pytest sees a next item

    def grow(self, item: Iteration) -> None:
        """While `item` runs, add the iteration after the next one."""
        last = item.session.items[-1]
        if self.endless and isinstance(last, Iteration) and last.number == item.number + 1:
            item.session.items.append(Iteration.make(item.file, last.number + 1))
            item.session.testscollected = len(item.session.items)

    def shrink(self, item: Iteration) -> None:
        """Without end, nothing comes after `item`; of a number that was asked for, each says why it is not run."""
        if self.settings.iterations is None:
            position = item.session.items.index(item)
            del item.session.items[position + 1 :]
            item.session.testscollected = len(item.session.items)

    # --- clocks and interrupts

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool | None:
        """Let an item of ours end what it runs, instead of being interrupted where it waits for it."""
        if not isinstance(item, Item):
            return None
        timer = threading.Timer(settings.timeout, item.expire)
        timer.daemon = True
        try:
            with starting("the clock over an experiment"):
                timer.start()
        except Refused as refused:
            item.hindered(refused)
        else:
            self._timers[item] = timer
        return True

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool | None:
        """Stop that clock."""
        if not isinstance(item, Item):
            return None
        if timer := self._timers.pop(item, None):
            timer.cancel()
            timer.join()
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """While experiments run, a request to terminate is an interrupt: everything is put back and written."""
        with self._terminable():
            return (yield)

    def _terminable(self) -> AbstractContextManager[None]:
        """A worker is interrupted where it expects it, and the run that has workers when these have ended."""
        both = (signal.SIGINT, signal.SIGTERM)
        if self.worker is not None and self.settings.loop:
            return answering(both, self.worker.interrupt, pass_over)
        if self.controller is not None:
            return answering(both, self.controller.interrupt, signal.default_int_handler)
        return answering((signal.SIGTERM,), _interrupt, pass_over)

    @contextmanager
    def interruptible(self, item: Item) -> Iterator[None]:
        """Let an interrupt end the run after this item, which then is reported by name."""
        try:
            with self.worker.interruptible() if self.worker else nullcontext():
                yield
        except KeyboardInterrupt:
            item.session.shouldstop = INTERRUPT
            pytest.skip(INTERRUPTED)
        finally:
            self.live.erase()

    # --- results

    def checked(self, result: Result) -> None:
        """Take notice of a precondition."""
        self.live.erase()
        if not result.holds:
            self._tell(News("failed", "", []))

    def recorded(self, item: Iteration, made: list[Experiment]) -> None:
        """Take notice of the experiments of an iteration, and tell everybody who wants to know."""
        lower = item.file.research.session.problem.lower_is_better
        item.user_properties.extend(item.properties(best_of(made, lower_is_better=lower)))
        item.user_properties.extend(of_candidates(made))
        for done in made:
            self._tell(of_experiment(item.file.nodeid, done))
        item.file.research.views.take(made)
        self._refresh_xml(item.file)
        for done in made:
            self._announce(item, done)

    def _announce(self, item: Iteration, done: Experiment) -> None:
        try:
            item.ihook.pytest_autoresearch_experiment_recorded(research=item.file.research, experiment=done)
        except Exception as error:
            warnings.warn(f"experiment {done.label} is on record, but a hook failed: {error!r}", stacklevel=1)

    def _tell(self, news: News) -> None:
        """Have the run take it in, which may be another process."""
        (self.worker.tell if self.worker else self._take)(news)

    def _take(self, news: News) -> None:
        if news.kind == "said":
            for line in news.lines:
                self.live.say(line)
        elif news.kind == "failed":
            self._failed = True
        else:
            self._summary.take(news)

    def _refresh_xml(self, file: ProblemFile) -> None:
        """Of a loop without end, keep the XML up to date that pytest writes when it has ended."""
        if not self.endless or not (path := self.config.getoption("xmlpath", None)):
            return
        if self._xml is None:
            research = file.research
            throttle_s = research.problem.state.throttle_seconds
            self._xml = JunitView(
                research.place,
                research.problem,
                Path(self.config.invocation_params.dir, path).resolve(),
                throttle_s=throttle_s,
                run_id=research.run_id,
                module=file.nodeid,
            )
        self._xml.refresh()

    def closing(self, file: ProblemFile) -> None:
        """Remember what the summary says of a session that is about to be closed."""
        if file.research.is_open and self.settings.loop:
            self._tell(of_end(file.nodeid, file.research, file.why_no_more))

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """The words for an experiment."""
        return status_word(report)

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say what is about to run."""
        return [line for file in self.files if self.settings.loop for line in announcement(file.nodeid, file.research)]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what came of it, and what to do next."""
        self._summary.write(terminalreporter, [file.nodeid for file in self.files])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """0: the session did its work; 1: a check failed or every experiment crashed; 5: no experiment was made."""
        if self.controller is not None:
            exitstatus = session.exitstatus = self.controller.exit_code(exitstatus)
            for file in self.files:
                file.research.close()  # the announcement may have opened something
        if self.settings.loop and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            session.exitstatus = self._exit_code(exitstatus)

    def _exit_code(self, exitstatus: int) -> int:
        if self.config.getoption("collectonly"):
            return exitstatus
        if exitstatus == pytest.ExitCode.TESTS_FAILED or self._failed or self._summary.all_crashed:
            return pytest.ExitCode.TESTS_FAILED
        return pytest.ExitCode.OK if self._summary.experiments else pytest.ExitCode.NO_TESTS_COLLECTED


def is_distributed(config: pytest.Config) -> bool:
    """Whether this run has workers do the work."""
    distributed = config.getoption("dist", "no") != "no" and config.getoption("tx", None)
    return bool(distributed) and not config.getoption("collectonly")


def _interrupt() -> None:
    raise KeyboardInterrupt


def _refuse_shared_sessions(problems: list[ProblemFile]) -> None:
    """Two problems cannot be one session; UsageError names them."""
    owners: dict[tuple[Path, str], str] = {}
    for file in problems:
        try:
            place = file.research.place
        except UserError:  # its preconditions say so
            continue
        owner = owners.setdefault((place.common, place.branch), file.nodeid)
        if owner != file.nodeid:
            raise pytest.UsageError(
                f"{owner} and {file.nodeid} would both be session {place.branch}; "
                "give each problem a branch_prefix of its own, or run them apart with --autoresearch-tag"
            )
