"""Measured figures, and the Markdown tables that show them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Scale = Literal["full", "quick", "smoke"]


@dataclass(frozen=True, slots=True)
class Series:
    """The same thing measured several times."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    def minus(self, other: Series) -> Series:
        """What this costs more than `other`, pair by pair: the two were measured in turn."""
        return Series([mine - its for mine, its in zip(self.values, other.values, strict=True)])

    def text(self, digits: int = 1) -> str:
        """Median and range."""
        return f"{self.median:.{digits}f} ({min(self.values):.{digits}f}..{max(self.values):.{digits}f})"


@dataclass(frozen=True, slots=True)
class Table:
    """What one benchmark found; `notes` say how to read it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The table as Markdown."""
        head = [f"### {self.title}", "", _line(self.columns), _line(["---"] * len(self.columns))]
        notes = ["", *self.notes] if self.notes else []
        return "\n".join([*head, *map(_line, self.rows), *notes])


def met(value: float, budget: float, unit: str) -> str:
    """A budget, and whether `value` keeps it."""
    return f"{budget:g} {unit}: {'met' if value <= budget else 'MISSED'}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
