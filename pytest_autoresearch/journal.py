"""A ledger and what it adds up to, always together."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from pytest_autoresearch import checkpoint
from pytest_autoresearch.ledger import Ledger, LedgerDamaged
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.results import Rows


class Journal:
    """The ledger at `path`, read from the start; `progress` and `rows` follow each record that is written.

    A long one is read from the checkpoint beside it on.
    """

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self.progress = Progress()
        self.rows = Rows()
        self._lock = threading.RLock()
        if saved := checkpoint.load(self.ledger):
            self.progress, self.rows = saved.progress, saved.rows
        self._saved = start = self.ledger.reach.size
        for number, (kind, line) in enumerate(self.ledger.open(), start=1):
            try:
                self._take(kind, line)
            except (KeyError, TypeError, ValueError):
                raise LedgerDamaged(self.ledger.damage(number, start)) from None
        self._save()

    def write(self, kind: str, **fields: Any) -> None:
        """Put a record on disk, then count it in; for any thread."""
        with self._lock:
            self._take(kind, self.ledger.append(kind, **fields))
            self._save()

    def close(self) -> None:
        """Let go of the file."""
        self.ledger.close()

    def _save(self) -> None:
        """Leave a checkpoint, if it is time for one."""
        if checkpoint.is_due(self.ledger.reach.size, self._saved):
            self._saved = self.ledger.reach.size
            checkpoint.save(self.ledger, self.progress, self.rows)

    def _take(self, kind: str, line: bytes) -> None:
        self.progress.take(kind, line)
        if kind == "result" and self.progress.last is not None:
            self.rows.add(self.progress.last)
