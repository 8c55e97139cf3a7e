"""Edits by hand: somebody, a person or an agent of theirs, changes the mutable file while the session waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pytest_autoresearch.coders.base import NoEdit
from pytest_autoresearch.coders.program import write_program
from pytest_autoresearch.coders.site import Site
from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.records import Idea
from pytest_autoresearch.runner import Stage

_POLL_S = 5.0
_LATER_POLL_S = 30.0
_LATER_S = 300.0
_SETTLE_S = 1.0
_TICK_S = 1.0


class HandEdits:
    """Waits until the mutable file of the session's checkout holds something new."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def wait(self, limit_s: float | None) -> bytes:
        """The edited file, once it stays as it is; NoEdit after `limit_s` seconds, Exhausted if a stop rule holds.

        Looks every five seconds, after five minutes every thirty.
        """
        elsewhere = _Watch(self._site.place.project / self._site.problem.mutable_file)
        mine = self._site.workspace.mutable
        stage = Stage("waiting for an edit", self._site.number, limit_s, limit_s)
        began = time.monotonic()
        while True:
            if (content := self._settled()) is not None:
                return content
            if elsewhere.changed() and elsewhere.path.resolve() != mine.resolve():
                self._site.say(f"{elsewhere.path} was edited, which is not measured; the session's own file is {mine}")
            if reason := self._site.session.stop_reason():
                raise Exhausted(reason)
            waited = time.monotonic() - began
            if limit_s is not None and waited >= limit_s:
                raise NoEdit(f"nobody edited {mine} within {limit_s:g} s")
            poll = _POLL_S if waited < _LATER_S else _LATER_POLL_S
            left = poll if limit_s is None else min(poll, limit_s - waited)
            self._sleep(left, lambda now: self._site.tick(stage, now - began))

    def _settled(self) -> bytes | None:
        """What somebody wrote; None if the file is the incumbent's, is gone, or still changes."""
        workspace = self._site.workspace
        content = workspace.read()
        if content is None or content == workspace.incumbent:
            return None
        time.sleep(_SETTLE_S)
        return content if workspace.read() == content else None

    def _sleep(self, seconds: float, tick: Callable[[float], None]) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_S))
            tick(time.monotonic())


class External:
    """The coder that is not there: the idea is written down, and whoever reads it makes the edit.

    `limit_s` is how many seconds it waits for one, None for as long as it takes.
    """

    name = "external"

    def __init__(self, site: Site, limit_s: float | None) -> None:
        self._site = site
        self._limit_s = limit_s

    def plan(self, idea: Idea) -> str:
        """Whose turn it is."""
        return f"edit {self._site.workspace.mutable} yourself"

    def apply(self, idea: Idea, source: bytes) -> bytes:
        """The file as somebody edited it; UserError at once if nobody is to be waited for."""
        if self._limit_s == 0:
            raise UserError(f"no coder is switched on: {self.plan(idea)}, then have it measured")
        program = write_program(self._site)
        where = f"the idea is in {self._site.session.idea_file}, how to go about it in {program}"
        self._site.say(f"experiment {self._site.label}: edit {self._site.workspace.mutable} ({where})")
        return HandEdits(self._site).wait(self._limit_s)


class _Watch:
    """Notices that a file was written, once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._mark()

    def changed(self) -> bool:
        """Whether it was since this was asked last."""
        before, self._seen = self._seen, self._mark()
        return self._seen is not None and self._seen != before

    def _mark(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
