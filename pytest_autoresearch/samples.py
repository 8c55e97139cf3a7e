"""What was measured for results that wait for more: on record, and not measured again."""

from __future__ import annotations

import math
from dataclasses import asdict, fields, replace

from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import Record
from pytest_autoresearch.records import Candidate, Measurement

FIRST = "first"
BESIDE = "beside"
MISFIT = "misfit"
OF_ROUNDS = (BESIDE, MISFIT)
_RECORDED = tuple(one.name for one in fields(Measurement) if one.name not in ("values", "confirmation", "twin"))


class Samples:
    """The measurements of a session that were made under the contract with this `fingerprint`."""

    def __init__(self, journal: Journal, fingerprint: str) -> None:
        self._journal = journal
        self._fingerprint = fingerprint

    def known(self, candidate: Candidate) -> Measurement | None:
        """What is known of a candidate: measured for this very result, or for one before."""
        return self.of(candidate.number, FIRST) or self.before(candidate.blob)

    def before(self, blob: str) -> Measurement | None:
        """What an earlier experiment gave with the same mutable file."""
        known = self._journal.progress.known.get(blob)
        return known.measurement if known is not None and known.contract == self._fingerprint else None

    def of(self, number: int, role: str) -> Measurement | None:
        """What was measured in that role for a result that waits."""
        for sample in self.all(number):
            if sample["role"] == role:
                return measurement_of(sample)
        return None

    def all(self, number: int) -> list[Record]:
        """All that was measured for a result that waits, oldest first."""
        samples = self._journal.progress.samples
        return [one for one in samples if one["number"] == number and one["contract"] == self._fingerprint]

    def take(self, number: int, measured: Measurement, role: str = FIRST) -> Measurement:
        """Put on record what was measured for a result that waits for others."""
        measured = finite(measured)
        values = {name: value for name, value in asdict(measured).items() if name in _RECORDED}
        self._journal.write("sample", role=role, number=number, contract=self._fingerprint, **values)
        return measured


def measurement_of(sample: Record) -> Measurement:
    """The measurement that such a record tells of."""
    return Measurement(**{name: sample[name] for name in _RECORDED if name in sample})


def finite(measured: Measurement) -> Measurement:
    """What a hook measured is a number that can be compared and put on record, or it is a failure."""
    resource = measured.resource if measured.resource is None or math.isfinite(measured.resource) else None
    also = {name: value for name, value in measured.also.items() if math.isfinite(value)}
    measured = replace(measured, resource=resource, also=also)
    if measured.metric is None or math.isfinite(measured.metric):
        return measured
    failure = f"the metric {measured.metric} is not a finite number"
    return replace(measured, metric=None, failure=failure)
