"""What the machine refuses, as a full disk, a limit or a read-only directory does, said so that it can be mended."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_autoresearch.errors import UserError

_ROOM = 1 << 16
_WRITABLE = ("cannot be written", "make it writable for this user")
_FILES = ("cannot be opened", "allow more open files (ulimit -n)")
_REFUSALS = {
    errno.ENOSPC: ("cannot be written", "make room on that disk"),
    errno.EDQUOT: ("cannot be written", "make room in the disk quota"),
    errno.EFBIG: ("cannot be written", "allow larger files (ulimit -f)"),
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EIO: ("cannot be read or written", "see to that disk"),
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: ("cannot be started", "allow more processes (ulimit -u)"),
    errno.ENOMEM: ("cannot be had", "free some memory"),
}


class Refused(UserError):
    """The machine did not let us."""


def refusal(error: OSError) -> Refused | None:
    """What to say to the user about `error`; None if it is not the machine's, so that it is a bug."""
    if error.errno not in _REFUSALS:
        return None
    what, mend = _REFUSALS[error.errno]
    name = error.filename2 or error.filename
    said = f"{what} ({os.strerror(error.errno)}); {mend} and run again"
    return Refused(said if name is None else f"{os.fsdecode(name)}: {said}")


def hardship(directory: Path) -> str:
    """What the machine lacks, for the message of a program that failed in `directory` and may not say so; '' if not.

    git, for one, does not say why it could not write a ref.
    """
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return ""
    return "" if free >= _ROOM else f"; {os.strerror(errno.ENOSPC)}: {_REFUSALS[errno.ENOSPC][1]} and run again"


@contextmanager
def refusals() -> Iterator[None]:
    """Let what the machine refuses meanwhile be a `Refused`."""
    try:
        yield
    except OSError as error:
        if (refused := refusal(error)) is None:
            raise
        raise refused from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let an OSError that does not say which file it is about, as those of `write` do not, name `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def starting(what: str) -> Iterator[None]:
    """Let a process or a thread that the machine does not start be a `Refused` that says `what` it is."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise _unstarted(what, error.errno) from None
    except RuntimeError:  # all that `threading` says of EAGAIN
        raise _unstarted(what, errno.EAGAIN) from None


def _unstarted(what: str, number: int) -> Refused:
    _, mend = _REFUSALS[number]
    return Refused(f"{what}: cannot be started ({os.strerror(number)}); {mend} and run again")
