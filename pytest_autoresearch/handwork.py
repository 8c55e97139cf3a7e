"""What somebody writes into a session's mutable file: it is kept, whatever is measured in its place."""

from __future__ import annotations

from pathlib import Path

from pytest_autoresearch.files import replace_bytes
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.records import Candidate
from pytest_autoresearch.workspace import PROBE, Workspace


class Handwork:
    """The change by hand that waits to be measured, `edit`, and what comes to the file while something else is in it.

    Without `takes_edits` nothing by hand is measured, and `edit` is None. The file `kept` holds the edit where it has
    given way to what is measured before it, so that the next start finds it.
    """

    def __init__(
        self, workspace: Workspace, progress: Progress, kept: Path, *, takes_edits: bool, edit: bytes | None
    ) -> None:
        self.edit = edit
        self.takes_edits = takes_edits
        self._workspace = workspace
        self._progress = progress
        self._kept = kept

    def take(self) -> bytes:
        """The edit, which is taken with this."""
        content, self.edit = self.edit, None
        assert content is not None
        return content

    def put_back(self) -> None:
        """Leave the incumbent's file in place, whatever was going on; what somebody else wrote there is kept."""
        content = self._workspace.read()
        if content is not None and self._is_foreign(content):
            if self.takes_edits:
                self.edit = content
                return
            self._workspace.copy_aside(content)
        self._workspace.restore()

    def keep_what_came(self, candidate: Candidate) -> None:
        """Put aside what somebody wrote in the place of a candidate."""
        content = self._workspace.read()
        if content is not None and content not in (candidate.content, self.edit) and self._is_foreign(content):
            self._workspace.copy_aside(content)

    def keep_safe(self) -> None:
        """Keep the edit where the next start finds it, before another file is measured in its place."""
        if self.edit is not None:
            replace_bytes(self._kept, self.edit, flush=True)

    def show(self) -> None:
        """Put the edit back where it was made."""
        if self.edit is not None:
            self._workspace.write(self.edit)
            self._kept.unlink(missing_ok=True)

    def _is_foreign(self, content: bytes) -> bool:
        """Whether the session never made `content` the mutable file."""
        if content in (self._workspace.incumbent, PROBE):
            return False
        blob = self._workspace.blob_of(content)
        return blob not in self._progress.known and blob not in [
            one["blob"] for one in self._progress.pending_candidates
        ]
