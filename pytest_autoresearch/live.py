"""The line that says what runs at the moment: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest

from pytest_autoresearch.runner import Stage

_HEARTBEAT_S = 60.0
_BAR = 24


class LiveLine:
    """Writes past pytest's capture, and leaves pytest's own line as it was."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._shown = False
        self._beat = _HEARTBEAT_S

    def tick(self, stage: Stage, elapsed: float) -> None:
        """Say how far `stage` is; called about once a second while it runs."""
        with suppress(OSError):  # a terminal that has gone is no reason to end an experiment
            self._tick(stage, elapsed)

    def _tick(self, stage: Stage, elapsed: float) -> None:
        if elapsed < _HEARTBEAT_S:
            self._beat = _HEARTBEAT_S
        if self._on_terminal():
            self._draw(progress_bar(stage, elapsed))
        elif elapsed >= self._beat:
            self._beat += _HEARTBEAT_S
            self._say(f"autoresearch: {describe(stage, elapsed)}")

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self.erase()
        with suppress(OSError):
            self._say(f"autoresearch: {line}")

    def erase(self) -> None:
        """Take the bar away, and put the cursor back where pytest left it."""
        if not self._shown:
            return
        self._shown = False
        column = self._column()
        with suppress(OSError):
            self._write("\r\x1b[2K\x1b[1A\r" + (f"\x1b[{column}C" if column else ""))

    def _draw(self, text: str) -> None:
        width = self._config.get_terminal_writer().fullwidth
        self._write(("" if self._shown else "\n") + "\r\x1b[2K" + text[: width - 1])
        self._shown = True

    def _say(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            print(text, file=sys.stderr, flush=True)
        else:
            with self._uncaptured():
                reporter.ensure_newline()
                reporter.write_line(text)

    def _write(self, text: str) -> None:
        with self._uncaptured():
            sys.stdout.write(text)
            sys.stdout.flush()

    def _column(self) -> int:
        writer = self._config.get_terminal_writer()
        return int(writer.width_of_current_line % writer.fullwidth)

    def _on_terminal(self) -> bool:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter is not None and reporter.isatty and os.environ.get("TERM") != "dumb"

    @contextmanager
    def _uncaptured(self) -> Iterator[None]:
        capture: Any = self._config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            yield


def describe(stage: Stage, elapsed: float) -> str:
    """What runs, how long, of what budget."""
    name = "baseline" if stage.number == 0 else f"{stage.unit} {stage.label or stage.number}"
    if stage.budget_s is None or stage.timeout_s is None:
        return f"{name}, {stage.what}: {elapsed:.0f} s"
    return f"{name}, {stage.what}: {elapsed:.0f} s of {stage.budget_s:g} s (ended at {stage.timeout_s:g} s)"


def progress_bar(stage: Stage, elapsed: float) -> str:
    """The same with a bar."""
    share = min(elapsed / stage.budget_s, 1.0) if stage.budget_s else 0.0
    done = int(share * _BAR)
    return f"[{'█' * done}{'░' * (_BAR - done)}] {describe(stage, elapsed)}"
