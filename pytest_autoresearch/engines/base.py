"""What every engine is: something that measures several candidates at the same time."""

from __future__ import annotations

from typing import Protocol

from pytest_autoresearch.records import Candidate, Measurement


class Engine(Protocol):
    """Measures candidates, as many at a time as it has workers."""

    @property
    def doing(self) -> str:
        """What there is to say of what it does at the moment, '' if nothing."""

    def measure(self, candidate: Candidate) -> Measurement:
        """What came of a candidate, once there was a worker for it; for any thread, UserError if it cannot be run."""

    def expire(self) -> None:
        """End what runs now, as its deadline would; for any thread."""

    def close(self) -> None:
        """End what runs, and give back what the workers took."""
