"""Many problems at once: what a run that pytest-xdist distributes and its workers do for each other.

The run collects, announces and sums up; a worker does the research on the problems that it is given. What it has to
tell goes with its reports, and the rest with its last word.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from types import FrameType
from typing import Any

import pytest

from pytest_autoresearch.runner import Stage
from pytest_autoresearch.terminal import News

_NEWS = "autoresearch"
_HALF = re.compile("[\ud800-\udfff]")
INTERRUPT = "interrupted"


class Worker:
    """The plugin of a worker. Stands in for the live line, as nobody sees a worker's terminal."""

    def __init__(self, config: Any) -> None:
        self._news: list[dict[str, object]] = []
        self._run = os.getppid()
        self._inside = False
        self._interrupted = False
        config.workeroutput[_NEWS] = self._news

    def tell(self, news: News) -> None:
        """Have the run know of it with the next report."""
        self._news.append(_sendable(asdict(news)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send with a report what there is to tell; attributes of reports travel as they are."""
        report = yield
        if self._news:
            vars(report)[_NEWS] = list(self._news)
            self._news.clear()
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, object, object]:
        """Make a report fit for the way to the run, whatever a model, a candidate or a hook had a hand in."""
        return _sendable((yield))

    def interrupt(self) -> None:
        """End the experiment that runs, or the next one as soon as it begins: the run has been told to stop."""
        self._interrupted = True
        if self._inside:
            raise KeyboardInterrupt

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Here an interrupt is expected, and nowhere else."""
        try:
            self._inside = True
            if self._interrupted:
                raise KeyboardInterrupt
            yield
        finally:
            self._inside = False

    def tick(self, stage: Stage, elapsed: float) -> None:
        """End with the run, however it ended: there is nobody left to report to."""
        if os.getppid() != self._run and not self._interrupted:
            self.interrupt()

    def say(self, line: str) -> None:
        """Have the run say it."""
        self.tell(News("said", "", [line]))

    def erase(self) -> None:
        """Nothing is shown."""


class Controller:
    """The plugin of the run that has workers; `take` is given their news."""

    def __init__(self, config: pytest.Config, take: Callable[[News], None]) -> None:
        self._config = config
        self._take = take
        self._most_failures = config.getoption("maxfail") or 0
        self._nodes: dict[Any, int] = {}
        self._failures = 0
        self._gave_up = False
        self._broken = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """Collect here too, which reads the problems and no more: to announce them, and to refuse what cannot be."""
        session.perform_collect()
        if session.testsfailed and not self._config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} error(s) during collection")
        return True

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        """Remember the worker's process."""
        self._nodes[node] = node.gateway._rinfo().pid

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what the worker had left to tell when it ended."""
        self._nodes.pop(node, None)
        self._receive(getattr(node, "workeroutput", {}))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what came with a report; `-x` ends the other workers, which would else go on to their ends."""
        self._receive(vars(report))
        self._failures += report.failed
        if 0 < self._most_failures <= self._failures and not self._gave_up:
            self._gave_up = True
            self._end_workers()

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, sched: Any) -> None:
        """Leave to other workers only the problems that a lost one did not finish.

        pytest-xdist (3.8) hands out again all that the worker ever had, and waits for ever where that is finished.
        """
        for problem in [name for name, items in sched.workqueue.items() if all(items.values())]:
            del sched.workqueue[problem]

    def pytest_internalerror(self) -> None:
        """Remember it: pytest-xdist loses the rest of a worker's items over one, and calls that a success."""
        self._broken = True

    def interrupt(self) -> None:
        """Have the workers put everything back and report, and the run end when they have."""
        distributed: Any = self._config.pluginmanager.get_plugin("dsession")
        distributed.shouldstop = INTERRUPT
        self._end_workers()

    def exit_code(self, exitstatus: int) -> int:
        """That of pytest-xdist, but for two things that it calls by another name than pytest does."""
        if self._broken and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return pytest.ExitCode.INTERNAL_ERROR
        return (
            pytest.ExitCode.TESTS_FAILED if self._gave_up and exitstatus == pytest.ExitCode.INTERRUPTED else exitstatus
        )

    def _end_workers(self) -> None:
        for pid in self._nodes.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _receive(self, carrier: dict[str, Any]) -> None:
        for news in carrier.pop(_NEWS, ()):
            self._take(News(**news))


def _sendable(value: Any) -> Any:
    """`value` in the types that execnet takes, which are exact, and in text that UTF-8 can hold."""
    if isinstance(value, str):
        return _HALF.sub(lambda found: f"#x{ord(found[0]):04X}", value)  # as pytest's own XML has it
    if isinstance(value, dict):
        return {_sendable(key): _sendable(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_sendable, value))
    if isinstance(value, list):
        return [_sendable(entry) for entry in value]
    exact = next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)
    return exact(value) if exact else value


def pass_over(number: int, frame: FrameType | None) -> None:
    """Do nothing about a signal. SIG_IGN would be inherited, and is an error where the signal has come already."""


@contextmanager
def answering(numbers: tuple[signal.Signals, ...], answer: Callable[[], None], then: Any) -> Iterator[None]:
    """The first of these signals is answered; `then` is what SIGINT does from there on, and SIGTERM does nothing.

    Only the main thread can say so. A signal that is ignored stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    mine = [number for number in numbers if before[number] is not signal.SIG_IGN]

    def once(number: int, frame: FrameType | None) -> None:
        for each in mine:
            signal.signal(each, then if each == signal.SIGINT else pass_over)
        answer()

    for number in mine:
        signal.signal(number, once)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])
