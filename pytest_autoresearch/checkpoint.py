"""What a long ledger adds up to as of one of its lines, so that the next start reads only what came after it.

It saves time and decides nothing: unless the ledger still begins with the very bytes that it was made from, it is
passed over, and the ledger is read from its first line on.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from pytest_autoresearch import __version__
from pytest_autoresearch.files import replacing
from pytest_autoresearch.ledger import Ledger, Reach
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.results import Rows

_LAYOUT = 1
_LEAST = 1 << 20
_SHARE = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A session as of the line of its ledger that `reach` ends with."""

    reach: Reach
    progress: Progress
    rows: Rows


def is_due(size: int, saved: int) -> bool:
    """Whether a ledger of `size` bytes wants a checkpoint after the one at `saved`.

    Each is an eighth further than the one before, so that a start has an eighth to read, whatever ended the last run,
    and a night writes few of them. What is shorter than 1 MiB is read as fast without.
    """
    return size - saved >= max(_LEAST, saved // _SHARE)


def save(ledger: Ledger, progress: Progress, rows: Rows) -> None:
    """Write one beside `ledger`; nothing if the disk does not take it, or if it cannot be written as text."""
    with contextlib.suppress(OSError, PydanticSerializationError):
        body = _adapter().dump_json(Checkpoint(ledger.reach, progress, rows))
        with replacing(_beside(ledger)) as written:
            written.writelines((_seal(ledger.digest(), body), b"\n", body))


def load(ledger: Ledger) -> Checkpoint | None:
    """The checkpoint beside `ledger`, which is taken back to where it was then; None if it is not of that ledger."""
    try:
        seal, body = _beside(ledger).read_bytes().split(b"\n", 1)
        found = _adapter().validate_json(body)
        is_its_own = ledger.resume(found.reach) and seal == _seal(ledger.digest(), body)
    except (OSError, ValueError):
        is_its_own = False
    if is_its_own:
        return found
    ledger.begin()
    return None


def _beside(ledger: Ledger) -> Path:
    return ledger.path.with_name("checkpoint")


def _seal(ledger: str, body: bytes) -> bytes:
    """What tells that a checkpoint is whole, of this package, and of a ledger that begins as `ledger` says."""
    digest = hashlib.sha256(f"{__version__} {_LAYOUT} {ledger}\n".encode())
    digest.update(body)
    return digest.hexdigest().encode()


@functools.cache
def _adapter() -> TypeAdapter[Checkpoint]:
    return TypeAdapter(Checkpoint)
