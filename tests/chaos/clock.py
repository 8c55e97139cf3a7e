"""A pytest plugin for runs in which the clock is set back by an hour: from the start, or after an experiment.

Loaded with `-p tests.chaos.clock`; `CLOCK_BACK_AFTER` is the number of the experiment, -1 for the start.
"""

from __future__ import annotations

import os
import time

import pytest

from pytest_autoresearch.records import Experiment

_HOUR_S = 3600
_AFTER = int(os.environ.get("CLOCK_BACK_AFTER", "-1"))


class Clock:
    """What the time is, for this process and those it asks for it."""

    def __init__(self) -> None:
        self._back = 0
        self._time, self._localtime = time.time, time.localtime
        time.time, time.time_ns = self.now, lambda: int(self.now() * 1e9)
        time.strftime = self._strftime(time.strftime)  # type: ignore[assignment]

    def now(self) -> float:
        return self._time() - self._back

    def set_back(self) -> None:
        self._back = _HOUR_S

    def _strftime(self, real: object) -> object:
        def strftime(form: str, when: object = None) -> str:
            return str(real(form, when or self._localtime(self.now())))  # type: ignore[operator]

        return strftime


CLOCK = Clock()


def pytest_configure(config: pytest.Config) -> None:
    """Begin an hour ago, if it is to be from the start."""
    if _AFTER < 0:
        CLOCK.set_back()


@pytest.hookimpl(optionalhook=True)
def pytest_autoresearch_experiment_recorded(experiment: Experiment) -> None:
    """Set the clock back once the experiment is on record."""
    if experiment.number == _AFTER:
        CLOCK.set_back()
