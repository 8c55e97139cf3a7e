"""What a run that is ours needs of pytest: order, growth, clocks, interrupts, exit code."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pytest_autoresearch.items import INTERRUPTED, Item, Iteration, ProblemFile
from pytest_autoresearch.live import LiveLine
from pytest_autoresearch.machine import Refused, starting
from pytest_autoresearch.preconditions import Result
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.reports.junit import JunitView
from pytest_autoresearch.reports.properties import best_of, of_candidates
from pytest_autoresearch.settings import Settings
from pytest_autoresearch.terminal import Summary, announcement, status_word


class Loop:
    """The plugin object of one pytest run."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.live = LiveLine(config)
        self.files: list[ProblemFile] = []
        self._summary = Summary()
        self._timers: dict[Item, threading.Timer] = {}
        self._failed = False
        self.endless = False
        self._xml: JunitView | None = None

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
        """A loop without end never comes to a second problem; and where items were picked, it has an end."""
        numbers = [item.number for item in session.items if isinstance(item, Iteration)]
        self.endless = self.settings.iterations is None and numbers == [1, 2]
        problems = {item.file for item in session.items if isinstance(item, Iteration)}
        if self.settings.iterations is None and len(problems) > 1 and not self.config.getoption("collectonly"):
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
        with _terminable():
            return (yield)

    @contextmanager
    def interruptible(self, item: Item) -> Iterator[None]:
        """Let an interrupt end the run after this item, which then is reported by name."""
        try:
            yield
        except KeyboardInterrupt:
            item.session.shouldstop = "interrupted"
            pytest.skip(INTERRUPTED)
        finally:
            self.live.erase()

    # --- results

    def checked(self, result: Result) -> None:
        """Take notice of a precondition."""
        self.live.erase()
        self._failed = self._failed or not result.holds

    def recorded(self, item: Iteration, made: list[Experiment]) -> None:
        """Take notice of the experiments of an iteration, and tell everybody who wants to know."""
        lower = item.file.research.session.problem.lower_is_better
        item.user_properties.extend(item.properties(best_of(made, lower_is_better=lower)))
        item.user_properties.extend(of_candidates(made))
        for done in made:
            self._summary.add(item.file.nodeid, done)
        item.file.research.views.take(made)
        self._refresh_xml(item.file)
        for done in made:
            self._tell(item, done)

    def _tell(self, item: Iteration, done: Experiment) -> None:
        try:
            item.ihook.pytest_autoresearch_experiment_recorded(research=item.file.research, experiment=done)
        except Exception as error:
            warnings.warn(f"experiment {done.label} is on record, but a hook failed: {error!r}", stacklevel=1)

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
        self._summary.closing(file.nodeid, file.research, file.why_no_more)

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
        self._summary.write(terminalreporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """0: the session did its work; 1: a check failed or every experiment crashed; 5: no experiment was made."""
        if self.settings.loop and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            session.exitstatus = self._exit_code(exitstatus)

    def _exit_code(self, exitstatus: int) -> int:
        if self.config.getoption("collectonly"):
            return exitstatus
        if exitstatus == pytest.ExitCode.TESTS_FAILED or self._failed or self._summary.all_crashed:
            return pytest.ExitCode.TESTS_FAILED
        return pytest.ExitCode.OK if self._summary.experiments else pytest.ExitCode.NO_TESTS_COLLECTED


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM once is an interrupt, and no more than that while it is answered; only the main thread can say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
