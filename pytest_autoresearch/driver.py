"""A pytest run that takes one step instead of a loop, so that every step uses the hooks that the loop would use."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.items import Iteration
from pytest_autoresearch.steps import Bench, Step


class Driver:
    """The plugin of such a run: says nothing but what the step says, and remembers whether it could be taken."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.code: int | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Take away pytest's own reporter."""
        config.pluginmanager.unregister(name="terminalreporter")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say why a problem cannot be collected."""
        if report.failed:
            self._fail(report.longreprtext)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the step on the problem that was collected."""
        files = {item.file for item in session.items if isinstance(item, Iteration)}
        for file in files if self.code is None else ():
            file.research.options = replace(file.research.options, by_hand=True)
            bench = Bench(file.research, file.checks, file.parts(), tell=_tell)
            try:
                self._step(bench)
                self.code = 0
            except UserError as error:
                self._fail(str(error))
            finally:
                if file.research.is_open:
                    file.research.session.put_back()
                file.research.close()
        return True

    def _fail(self, text: str) -> None:
        print(f"pytest-autoresearch: {text}", file=sys.stderr)
        self.code = 1


def drive(problem: Path, options: list[str], step: Step) -> int:
    """Take a step on a problem; 0 if it was taken, 1 if it could not be, else pytest's exit code."""
    driver = Driver(step)
    os.environ.pop("PYTEST_ADDOPTS", None)
    arguments = [
        str(problem),
        "--autoresearch",
        "--autoresearch-iterations=1",
        "--override-ini=addopts=",
        "-p",
        "no:cacheprovider",
        *options,
    ]
    code = pytest.main(arguments, plugins=[driver])
    return int(code) if driver.code is None else driver.code


def _tell(line: str) -> None:
    print(line, flush=True)
