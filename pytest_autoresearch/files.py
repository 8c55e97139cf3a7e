"""Writing beside a candidate that may have laid out links where we write, and so that a loss of power leaves it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

from pytest_autoresearch.machine import writing


def remove(path: Path) -> None:
    """Take away whatever is at `path`; a link, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def first_free(paths: Iterable[Path]) -> Path:
    """The first of `paths` where nothing is, not even a link that leads nowhere."""
    return next(path for path in paths if not os.path.lexists(path))


def open_new(path: Path) -> BinaryIO:
    """A new file at `path`, in the place of whatever is there."""
    remove(path)
    return path.open("xb")


def replace_text(path: Path, text: str) -> None:
    """Make `text` the file at `path` in one step; what no encoding can hold is escaped."""
    replace_bytes(path, text.encode(errors="backslashreplace"))


def replace_bytes(path: Path, content: bytes, *, flush: bool = False) -> None:
    """Make `content` the file at `path` in one step; with `flush` it is on the disk once this returns.

    An OSError names the file.
    """
    with replacing(path, flush=flush) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, *, flush: bool = False) -> Iterator[BinaryIO]:
    """A new file that becomes the one at `path` in one step once it is written; if that fails, nothing changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with writing(fresh), open_new(fresh) as file:
        yield file
        if flush:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)
    if flush:
        flush_directory(path.parent)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """The same for a directory: what was at `path` is gone before the new one, which is whole, takes its place."""
    fresh = path.with_name(f"{path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    yield fresh
    shutil.rmtree(path, ignore_errors=True)
    fresh.rename(path)


def keep_edited(path: Path) -> Path:
    """Move a file away that somebody has edited; where it is kept, beside its place."""
    return path.rename(first_free(path.with_name(f"{path.name}.edited-{number}") for number in count(1)))


def flush_directory(directory: Path) -> None:
    """Put the names in `directory` on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_way(top: Path, directory: Path) -> None:
    """Put the way from `top` down to `directory` on the disk."""
    for part in (directory.relative_to(top), *directory.relative_to(top).parents):
        flush_directory(top / part)
