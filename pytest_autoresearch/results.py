"""`results.tsv`: one row an experiment, a view of the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.files import keep_edited, open_new
from pytest_autoresearch.machine import writing
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.text import one_line

_DESCRIPTION = 200


def header(columns: Iterable[str]) -> str:
    """The first line."""
    return "\t".join(columns) + "\n"


def row(experiment: Experiment) -> str:
    """The line of one experiment: commit, metric, resource, status, description; a crash has an empty metric."""
    return (
        "\t".join(
            (
                experiment.commit[:7] or "-",
                number(experiment.metric),
                number(experiment.resource),
                experiment.status,
                one_line(experiment.description, _DESCRIPTION),
            )
        )
        + "\n"
    )


def number(value: float | None) -> str:
    """The shortest text that reads back as the same number; '' for none."""
    return "" if value is None else repr(value)


@dataclass(slots=True)
class Rows:
    """What the rows below the header add up to, without the rows: their bytes, and a hash of them in order."""

    size: int = 0
    digest: str = ""

    def add(self, experiment: Experiment) -> None:
        """Count in one more row."""
        self._take(row(experiment).encode())

    def are(self, content: bytes) -> bool:
        """Whether `content` is these rows."""
        if len(content) != self.size:
            return False
        found = Rows()
        for line in content.splitlines(keepends=True):
            found._take(line)
        return found == self

    def _take(self, line: bytes) -> None:
        self.size += len(line)
        self.digest = hashlib.sha256(self.digest.encode() + line).hexdigest()


class ResultsTable:
    """Keeps the file at `path` equal to what the ledger says, row by row."""

    def __init__(self, path: Path, columns: Iterable[str], rows: Rows) -> None:
        self.path = path
        self._header = header(columns).encode()
        self._rows = rows

    def agrees(self) -> bool:
        """Whether the file is byte for byte what it should be."""
        if self.path.is_symlink():
            return False
        try:
            content = self.path.read_bytes()
        except OSError:
            return False
        return content.startswith(self._header) and self._rows.are(content[len(self._header) :])

    def add(self, experiment: Experiment) -> None:
        """Write the row of an experiment that `rows` has counted in; a link waits to be replaced at the end."""
        if self.path.is_symlink():
            return
        with self.path.open("ab") as file:
            file.write(row(experiment).encode())

    def rebuild(self, experiments: Iterable[Experiment]) -> Path | None:
        """Write the file anew; a version that is no beginning of the new one is the user's and is kept beside it.

        Returns where it was kept.
        """
        fresh = self.path.with_name(f"{self.path.name}.new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        with writing(fresh), open_new(fresh) as file:
            file.write(self._header)
            file.writelines(row(experiment).encode() for experiment in experiments)
        kept = self._keep_edited(fresh)
        fresh.replace(self.path)
        return kept

    def _keep_edited(self, fresh: Path) -> Path | None:
        if self.path.is_symlink() or not self.path.exists():
            return None
        if self.path.is_file():
            old = self.path.read_bytes()
            with fresh.open("rb") as file:
                if file.read(len(old)) == old:
                    return None
        return keep_edited(self.path)
