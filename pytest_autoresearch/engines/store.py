"""The place on a node where archives are kept and runs have their directories."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_autoresearch.data import hash_file
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import replace_bytes

_ARCHIVES_KEPT = 4
_LOCK = "lock"


class Store:
    """The directory that all runs of this user on this machine share."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.gettempdir(), f"autoresearch-ray-{os.getuid()}")
        self.directory.mkdir(mode=0o700, exist_ok=True)
        found = self.directory.lstat()
        if self.directory.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise UserError(f"{self.directory} is not this user's alone; delete it, or set TMPDIR for Ray's workers")

    def archive(self, digest: str, fetch: Callable[[], bytes]) -> Path:
        """The archive with that SHA-256, fetched if it is not here, or not whole."""
        path = self.directory / "archives" / f"{digest}.tar"
        path.parent.mkdir(exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file() or hash_file(path) != digest:
                content = fetch()
                if hashlib.sha256(content).hexdigest() != digest:
                    raise UserError("the archive of the session's checkout was damaged on its way; run again")
                replace_bytes(path, content)
            path.touch()
        self._drop_old(path)
        return path

    @contextmanager
    def room(self) -> Iterator[Path]:
        """An empty directory for one run, gone afterwards; those of runs that were killed go too."""
        runs = self.directory / "runs"
        runs.mkdir(exist_ok=True)
        room = runs / uuid.uuid4().hex[:12]
        lock = FileLock(room.with_suffix(f".{_LOCK}"))
        with lock:
            room.mkdir()
            try:
                self._clear(runs)
                yield room
            finally:
                shutil.rmtree(room, ignore_errors=True)
                Path(lock.lock_file).unlink(missing_ok=True)

    def _clear(self, runs: Path) -> None:
        """Take away what runs that were killed have left."""
        for held in runs.glob(f"*.{_LOCK}"):
            try:
                with FileLock(held, timeout=0):
                    shutil.rmtree(held.with_suffix(""), ignore_errors=True)
                    held.unlink(missing_ok=True)
            except Timeout:
                continue

    def _drop_old(self, current: Path) -> None:
        """Keep the archives that were used last."""
        archives = sorted(current.parent.glob("*.tar"), key=lambda path: path.stat().st_mtime)
        for old in archives[:-_ARCHIVES_KEPT]:
            if old != current:
                old.unlink(missing_ok=True)
                old.with_suffix(".lock").unlink(missing_ok=True)
