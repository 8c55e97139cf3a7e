"""What only one session of a machine uses at a time, so that none disturbs another's timings: `engine.exclusive`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_autoresearch.errors import UserError

_POLL_S = 1.0


class Exclusive:
    """The resources called `names`, each a lock that all users of the machine share; any name will do.

    `waiting` is called about once a second with the name of the one that is waited for and the seconds so far.
    """

    def __init__(self, names: Iterable[str], waiting: Callable[[str, float], None]) -> None:
        self._names = sorted(set(names))
        self._waiting = waiting
        self.waited = False
        self._is_held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have all of them, in one order for everybody; UserError if a lock cannot be made."""
        if self._is_held:
            yield
            return
        self.waited = False
        with ExitStack() as stack:
            for name in self._names:
                stack.callback(self._take(name).release)
            stack.callback(self._let_go)
            self._is_held = True
            yield

    def _let_go(self) -> None:
        self._is_held = False

    def _take(self, name: str) -> FileLock:
        lock, begun = FileLock(_file(name), mode=0o666), time.monotonic()
        while True:
            try:
                lock.acquire(timeout=0 if not self.waited else _POLL_S)
            except Timeout:
                self.waited = True
                self._waiting(name, time.monotonic() - begun)
            except OSError as error:
                raise UserError(f"engine.exclusive: {lock.lock_file}: {error.strerror}; make it writable") from None
            else:
                return lock


def _file(name: str) -> Path:
    directory = Path(tempfile.gettempdir(), "autoresearch-exclusive")
    if not directory.is_dir():
        directory.mkdir(exist_ok=True)
        directory.chmod(0o1777)
    return directory / f"{name}.lock"
