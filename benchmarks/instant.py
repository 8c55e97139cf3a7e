"""A pytest plugin: an executor that takes no time, so that what is left is what a session does itself."""

from __future__ import annotations

import zlib

from pytest_autoresearch.records import Candidate, Measurement


def pytest_autoresearch_measure(candidate: Candidate) -> Measurement | None:
    """A number between 20 and 21 that only the file decides, which is worse than the baseline's; that one is run."""
    return Measurement(metric=20 + zlib.crc32(candidate.content) / 2**32) if candidate.number else None
