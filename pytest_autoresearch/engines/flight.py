"""A run on a cluster, as the session sees it: where it is, since when, and what it has printed so far."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pytest_autoresearch.engines.board import News
from pytest_autoresearch.files import open_new
from pytest_autoresearch.records import Candidate
from pytest_autoresearch.runner import LogFiles
from pytest_autoresearch.text import one_line

_LINE = 80


class Flight:
    """The run called `label`, which is a `task` of Ray's; `asked` is the answer to come of who asks how it stands."""

    def __init__(self, label: str, task: Any) -> None:
        self.label = label
        self.task = task
        self.asked: Any = None
        self.node = ""
        self.waiting = ""
        self._begun = time.monotonic()
        self._cancelled: float | None = None
        self._attempt = ""
        self._line = ""
        self._log: Path | None = None
        self._descriptor = -1

    @property
    def seconds(self) -> float:
        """How long ago it began, or was asked for."""
        return time.monotonic() - self._begun

    @property
    def cancelled_s(self) -> float:
        """How long ago it was to end; 0 if it is to go on."""
        return 0.0 if self._cancelled is None else max(time.monotonic() - self._cancelled, 1e-9)

    @property
    def has_begun(self) -> bool:
        """Whether a node has taken it."""
        return bool(self._attempt)

    @property
    def in_words(self) -> str:
        """Where it is and what it printed last, or what it waits for; '' if there is nothing to say."""
        if not self.has_begun:
            return self.waiting
        return f"{self.label} on {self.node}{self._line and f': {self._line}'}"

    def cancel(self) -> None:
        """It is to end."""
        if self._cancelled is None:
            self._cancelled = time.monotonic()

    @contextmanager
    def following(self, logs: LogFiles, candidate: Candidate) -> Iterator[None]:
        """Have its log in the session's as it grows."""
        self._log = logs.of(candidate)
        with open_new(self._log) as file:
            self._descriptor = file.fileno()
            yield

    def take(self, news: Iterable[News]) -> Iterator[str]:
        """Take what it says; each node on which it was lost, if it begins anew."""
        for one in news:
            if one.attempt != self._attempt:
                if self.has_begun:
                    yield self.lose()
                self._attempt, self.node, self._begun = one.attempt, one.node, time.monotonic()
            self._write(one.piece, one.offset)

    def lose(self) -> str:
        """It has to begin anew: the node that it was on."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        self._attempt, self._line, self._begun = "", "", time.monotonic()
        return self.node

    def write_logs(self, logs: LogFiles, written: Mapping[str, bytes]) -> None:
        """Make its logs what they came to be in the end."""
        assert self._log is not None
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        self._write(written.get("run", b""), 0)
        if "evaluator" in written:
            with suppress(OSError), open_new(logs.of_evaluator(self._log)) as file:
                file.write(written["evaluator"])

    def _write(self, piece: bytes, offset: int) -> None:
        with suppress(OSError):  # a disk that is full costs the log and not the run
            os.pwrite(self._descriptor, piece, offset)
        if lines := piece.decode(errors="replace").split("\n")[-2:]:
            self._line = one_line(lines[-1] or lines[0], _LINE) or self._line
