"""The logs of a session's runs: the last twenty, and `run.log`, which always names the last one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_autoresearch.files import remove
from pytest_autoresearch.records import Candidate
from pytest_autoresearch.workspace import Workspace

LOGS_KEPT = 20


class Logs:
    """Where each run of a session writes, whichever checkout it is in; for any thread.

    They are in the checkout of `workspace`, and `run_log` is beside the problem there. `recent` gives the commits of
    the last experiments, the youngest last.
    """

    def __init__(self, workspace: Workspace, run_log: Path, recent: Callable[[], Iterable[str]]) -> None:
        self._workspace = workspace
        self._run_log = run_log
        self._recent = recent
        self._lock = threading.Lock()

    def of(self, candidate: Candidate) -> Path:
        """Where the runner's log of a candidate goes."""
        with self._lock:
            directory = self._workspace.own_directory("logs")
            rotate(directory, self._recent)
            log = directory / f"run-{candidate.commit[:7]}.log"
            fresh = self._run_log.with_name(f"{self._run_log.name}.new")
            remove(fresh)
            fresh.symlink_to(os.path.relpath(log, fresh.parent))
            fresh.replace(self._run_log)
            return log

    def of_evaluator(self, log: Path) -> Path:
        """Where the evaluator's goes, beside that of its runner."""
        with self._lock:
            return self._workspace.own_directory("logs") / log.with_suffix(".evaluator.log").name


def rotate(directory: Path, recent: Callable[[], Iterable[str]]) -> None:
    """Leave the youngest LOGS_KEPT - 1 runs' logs, so that the next one makes LOGS_KEPT.

    The order is that of the commits that `recent` gives: times would have it wrong after a clock was set back.
    """
    runs = [log for log in directory.glob("run-*.log") if not log.name.endswith(".evaluator.log")]
    if len(runs) < LOGS_KEPT:
        return
    place = {f"run-{commit[:7]}.log": number for number, commit in enumerate(recent(), start=1)}
    runs.sort(key=lambda log: (place.get(log.name, 0), log.lstat().st_mtime_ns))
    for old in runs[: 1 - LOGS_KEPT]:
        old.unlink(missing_ok=True)
        old.with_suffix(".evaluator.log").unlink(missing_ok=True)
