"""A desk that allows everything and keeps what it is told, for models that no session stands behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.llm.dialect import Dialect
from pytest_autoresearch.llm.endpoint import Endpoint
from pytest_autoresearch.llm.model import Call


@dataclass
class OpenDesk:
    """`calls`, `lines`, `notes` and `dialects` are what it was told; with `spent` nothing more is allowed."""

    calls: list[Call] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    notes: list[tuple[str, Any]] = field(default_factory=list)
    dialects: dict[str, Dialect] = field(default_factory=dict)
    spent: str = ""
    stop: str | None = None

    def allow(self) -> None:
        if self.spent:
            raise Exhausted(self.spent)

    def book(self, call: Call) -> None:
        self.calls.append(call)

    def dialect(self, endpoint: Endpoint) -> Dialect | None:
        return self.dialects.get(endpoint.model)

    def learned(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self.dialects[endpoint.model] = dialect

    def say(self, line: str) -> None:
        self.lines.append(line)

    def note(self, what: str, value: Any) -> str:
        self.notes.append((what, value))
        return "log.jsonl"

    def enough(self) -> str | None:
        return self.stop
