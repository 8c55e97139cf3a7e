"""Keeping the views for people up to date while a session runs, and fresh at its end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import keep_edited, replace_text
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.reports.audit import write_audit
from pytest_autoresearch.reports.page import write_page
from pytest_autoresearch.reports.state import RECENT, is_ours, state_text
from pytest_autoresearch.reports.story import Story

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_autoresearch.session import Session

_REST = 20


class Views:
    """The views of an open session; one that cannot be written costs a word through `say`, and no experiment.

    `paths` says where each goes. The page, if it is `with_page`, is written while the session runs only as often as
    that takes a twentieth of the time; what is read from the whole ledger, at the end.
    """

    def __init__(
        self,
        session: Session,
        story: Story,
        paths: Mapping[str, Path],
        mask: Mask,
        say: Callable[[str], None],
        *,
        with_page: bool,
    ) -> None:
        self._with_page = with_page
        self._session = session
        self._story = story
        self._paths = paths
        self._mask = mask
        self._say = say
        self._recent: deque[Experiment] = deque(session.recent(RECENT), maxlen=RECENT)
        self._refreshed = 0.0
        self._page_rests_until = 0.0

    def take(self, made: Sequence[Experiment]) -> None:
        """Count in what an iteration made; the page on the state is made anew as often as `state:` says."""
        for done in made:
            if not self._recent or self._recent[-1].number < done.number:
                self._recent.append(done)
        state = self._session.problem.state
        is_due = time.monotonic() - self._refreshed >= state.throttle_seconds
        if is_due or made[-1].made_in % state.rebuild_every_n_iter == 0:
            self.refresh()
            if self._with_page:
                self._show(live=True)

    def refresh(self) -> None:
        """Make the page on the state anew."""
        if not self._session.problem.state.enabled:
            return
        self._refreshed = time.monotonic()
        session, path = self._session, self._paths["STATE.md"]
        with self._at_least_said(path):
            _keep_the_users(path)
            text = state_text(
                session.problem,
                session.progress,
                list(self._recent),
                session.workspace.branch or "",
                session.workspace.git,
            )
            replace_text(path, self._mask.text(text))

    def close(self) -> None:
        """Have everything fresh."""
        self.refresh()
        if not self._with_page:
            return
        self._show(live=False)
        directory = self._paths["AUDIT_LOG.md"].parent
        with self._at_least_said(directory):
            write_audit(self._story, directory, self._mask)

    def _show(self, *, live: bool) -> None:
        """Write the page; a `live` one only where it is time to."""
        began = time.monotonic()
        if live and began < self._page_rests_until:
            return
        path = self._paths["report.html"]
        with self._at_least_said(path):
            write_page(self._story, path, live=live)
        self._page_rests_until = time.monotonic() + _REST * (time.monotonic() - began)

    @contextmanager
    def _at_least_said(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, UserError) as error:
            self._say(f"{path} is not up to date: {error}")
        except Exception as error:  # a bug in a view is no reason to end a night
            self._say(f"{path} is not up to date, which is a bug: {error!r}")


def _keep_the_users(path: Path) -> None:
    """Move a file of that name away that we did not write."""
    if path.is_file() and not path.is_symlink() and not is_ours(path.read_text(errors="replace")):
        keep_edited(path)
