"""Writing beside a candidate that may have laid out links where we write."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from pytest_autoresearch.machine import writing


def remove(path: Path) -> None:
    """Take away whatever is at `path`; a link, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def open_new(path: Path) -> BinaryIO:
    """A new file at `path`, in the place of whatever is there."""
    remove(path)
    return path.open("xb")


def replace_text(path: Path, text: str) -> None:
    """Make `text` the file at `path` in one step; what no encoding can hold is escaped."""
    replace_bytes(path, text.encode(errors="backslashreplace"))


def replace_bytes(path: Path, content: bytes) -> None:
    """Make `content` the file at `path` in one step; an OSError names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with writing(fresh), open_new(fresh) as file:
        file.write(content)
    fresh.replace(path)
