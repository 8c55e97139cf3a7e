"""A process beside the run that copies what is on record to a tracker: slow or broken, it delays no experiment."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pytest_autoresearch.machine import refusal
from pytest_autoresearch.place import Place
from pytest_autoresearch.text import one_line

_PATIENCE_S = 30.0
_MESSAGE = 500
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONSAFEPATH": "1",
}


class Follower:
    """Follows the session at `place`, whose problem is at `problem_file`, until it is closed.

    What hinders it is told to `warn`, once; the ledger has what is missing then, and the next run copies it.
    `patience_s` is how long `close` waits for the last experiments to be copied, in seconds.
    """

    def __init__(
        self, place: Place, problem_file: Path, warn: Callable[[str], None], patience_s: float = _PATIENCE_S
    ) -> None:
        self._place = place
        self._problem_file = problem_file
        self._tell = warn
        self._patience_s = patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._warned = False

    def notice(self) -> None:
        """Take notice of a new experiment; returns at once."""
        if self._process is None and not self._warned:
            self._start()
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it is busy, or it has ended and said why
                os.write(self._process.stdin.fileno(), b"\n")
            self._hear(self._process)

    def close(self) -> None:
        """Have it copy what is left, and end it."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            status = process.wait(self._patience_s)
            self._hear(process)
            if status:
                self._warn(f"ended with exit status {status}")
        except subprocess.TimeoutExpired:
            self._warn(f"was not done in {self._patience_s:g} s; the next run copies what is missing")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def _start(self) -> None:
        if importlib.util.find_spec("mlflow") is None:
            self._warn("mlflow is not installed; pip install 'pytest-autoresearch[mlflow]'")
            return
        command = (sys.executable, "-m", "pytest_autoresearch.trackers", str(self._problem_file), self._place.tag)
        try:
            self._process = subprocess.Popen(
                command,
                cwd=self._place.records,
                env={**_QUIET, **os.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the run
            )
        except OSError as error:
            self._warn(str(refusal(error) or error))
            return
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on the first thing that it says."""
        assert process.stdout is not None
        with suppress(OSError):  # it has nothing to say
            if said := os.read(process.stdout.fileno(), 1 << 16).decode(errors="replace").strip():
                self._warn(said.splitlines()[0])

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            self._tell(f"tracker mlflow: {one_line(text, _MESSAGE)}. No experiment is lost: they are on record")
