"""A pytest plugin: notes, experiment by experiment, when it was recorded and where the time before that went."""

from __future__ import annotations

import functools
import json
import os
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import peak_mib, rss_mib
from pytest_autoresearch.git import Git
from pytest_autoresearch.ledger import Ledger
from pytest_autoresearch.processes import Outcome, Supervisor
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.research import Research


class Parts:
    """How long each named function took and how often it was called; what one calls of another counts there only."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.runner_seconds = 0.0
        self._inner: list[float] = []

    def watch(self, patch: pytest.MonkeyPatch, owner: type, method: str, name: str) -> None:
        """Take the time of a method from now on."""
        patch.setattr(owner, method, self._timing(name, getattr(owner, method)))

    def take(self) -> dict[str, Any]:
        """What has come together since the last time."""
        taken = {
            "seconds": dict(self.seconds),
            "calls": dict(self.calls),
            "runner": self.runner_seconds,
        }
        self.seconds.clear()
        self.calls.clear()
        self.runner_seconds = 0.0
        return taken

    def _timing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            self._inner.append(0.0)
            try:
                result = function(*arguments, **options)
            finally:
                self._count(name, time.perf_counter() - began)
            if isinstance(result, Outcome):
                self.runner_seconds += result.seconds
            return result

        return wrapped

    def _count(self, name: str, seconds: float) -> None:
        self.seconds[name] += seconds - self._inner.pop()
        self.calls[name] += 1
        if self._inner:
            self._inner[-1] += seconds


class Probe:
    """Writes one JSON object for every `every`-th experiment of this run to `path`, and keeps none of them."""

    def __init__(self, path: Path, every: int) -> None:
        self._file = path.open("w")
        self._every = every
        self._number = 0
        self._parts = Parts()
        self._patch = pytest.MonkeyPatch()
        self._parts.watch(self._patch, Ledger, "append", "ledger")
        self._parts.watch(self._patch, Git, "output", "git")
        self._parts.watch(self._patch, Supervisor, "run", "process")

    def pytest_autoresearch_experiment_recorded(self, research: Research, experiment: Experiment) -> None:
        """Note what is known; what that takes lies between `begin` and `end` and is nobody's cost."""
        begin = time.perf_counter()
        self._number += 1
        if self._number % self._every:
            return
        supervisor = research.opened.supervisor.identity.pid
        seen = {
            "number": experiment.number,
            "metric": experiment.metric,
            "status": experiment.status,
            "begin": begin,
            "pytest_mib": rss_mib(os.getpid()),
            "pytest_peak_mib": peak_mib(os.getpid()),
            "supervisor_mib": rss_mib(supervisor),
            "supervisor_peak_mib": peak_mib(supervisor),
            "cpu": _cpu(),
            **self._parts.take(),
        }
        self._file.write(json.dumps({**seen, "end": time.perf_counter()}) + "\n")

    def pytest_unconfigure(self) -> None:
        """Leave everything as it was."""
        self._patch.undo()
        self._file.close()


def _cpu() -> float:
    """The seconds of processor time of this process and of its children that have ended: git, not the runner."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to observe."""
    probe = Probe(Path(os.environ["BENCHMARKS_OBSERVED"]), int(os.environ["BENCHMARKS_EVERY"]))
    config.pluginmanager.register(probe, "benchmarks-probe")
