"""The engine of one machine: a checkout, a supervisor process and GPUs for each worker."""

from __future__ import annotations

from contextlib import ExitStack
from queue import SimpleQueue

from pytest_autoresearch.engines.gpus import shares
from pytest_autoresearch.engines.slot import Slot, open_slots
from pytest_autoresearch.opening import OpenSession
from pytest_autoresearch.place import Place
from pytest_autoresearch.records import Candidate, Measurement
from pytest_autoresearch.sections import EngineSection

_NOT_BEGUN = Measurement(None, failure="ended before there was a worker for it", machine=True)


class LocalEngine:
    """Measures as many candidates at a time as the section says; UserError if it cannot have what they need."""

    def __init__(self, place: Place, opened: OpenSession, section: EngineSection) -> None:
        self._stack = ExitStack()
        variables = shares(section.at_once, section.gpus, section.workers)
        self._slots = self._stack.enter_context(open_slots(place, opened, variables))
        self._free: SimpleQueue[Slot] = SimpleQueue()
        self._ended = 0
        for slot in self._slots:
            self._free.put(slot)

    @property
    def doing(self) -> str:
        """Nothing that the log files do not say."""
        return ""

    def measure(self, candidate: Candidate) -> Measurement:
        """Run a candidate in the first slot that is free; one that was still waiting when all ended is not begun."""
        ended = self._ended
        slot = self._free.get()
        try:
            return slot.measure(candidate) if ended == self._ended else _NOT_BEGUN
        finally:
            self._free.put(slot)

    def expire(self) -> None:
        """End what runs, and what waits for a slot."""
        self._ended += 1
        for slot in self._slots:
            slot.supervisor.expire()

    def close(self) -> None:
        """End the supervisors, and take the checkouts away."""
        self._stack.close()
