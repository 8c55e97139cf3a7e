"""Directories for what a coder or a run left where it should not be, so that it can be looked at."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from pytest_autoresearch.snapshot import is_real, move
from pytest_autoresearch.workspace import OWN, Workspace

KEPT = 20
_LARGE = 1 << 20
_ONE_AT_A_TIME = threading.Lock()


def new_aside(workspace: Workspace, whose: str, *, slim: bool = False) -> Path:
    """A new directory; of `whose`, the oldest of twenty gives way.

    With `slim`, what would fill a disk goes from the one before: its files of more than a mebibyte. For any thread.
    """
    with _ONE_AT_A_TIME:
        return _new_aside(workspace, whose, slim=slim)


def _new_aside(workspace: Workspace, whose: str, *, slim: bool) -> Path:
    aside = _own_directory(workspace) / "aside"
    _make_real(aside)
    names = (path.name.removesuffix(f"-{whose}") for path in aside.glob(f"*-{whose}"))
    earlier = sorted(int(name) for name in names if name.isdecimal())
    for old in earlier[: max(0, len(earlier) - KEPT + 1)]:
        shutil.rmtree(aside / f"{old:04}-{whose}", ignore_errors=True)
    if slim and earlier:
        _drop_large_files(aside / f"{earlier[-1]:04}-{whose}")
    place = aside / f"{earlier[-1] + 1 if earlier else 0:04}-{whose}"
    place.mkdir()
    return place


def drop_if_empty(aside: Path) -> None:
    """Take a directory away again in which nothing was put."""
    if not any(aside.iterdir()):
        aside.rmdir()


def _own_directory(workspace: Workspace) -> Path:
    """Our own directory; at the top of the checkout where something stands in the way to the one that is ours."""
    if is_real(workspace.checkout, workspace.project.relative_to(workspace.checkout)):
        with suppress(OSError):
            return workspace.own_directory()
    own = workspace.checkout / OWN
    _make_real(own)
    return own


def _make_real(directory: Path) -> None:
    """Make it a directory, with what stands in its place moved away."""
    if directory.is_symlink() or not directory.is_dir():
        if os.path.lexists(directory):
            move(directory, directory.with_name(f"{directory.name}.was"))
        directory.mkdir()


def _drop_large_files(aside: Path) -> None:
    for top, _, names in os.walk(aside):
        for file in (Path(top) / name for name in names):
            with suppress(OSError):
                if file.lstat().st_size > _LARGE:
                    file.unlink()
