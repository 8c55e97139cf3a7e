"""Whatever happens to a directory is seen, each change by itself, and taken back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_autoresearch.snapshot import Difference, Snapshot

Change = Callable[[Path], object]


def furnish(top: Path) -> None:
    """A directory with one of everything."""
    (top / "deep" / "deeper").mkdir(parents=True)
    (top / "empty").mkdir()
    for name in ("plain", "other", "deep/deeper/plain"):
        (top / name).write_text("content\n")
    (top / "link").symlink_to("plain")


def same_size_and_time(top: Path) -> None:
    path = top / "plain"
    before = path.stat()
    path.write_text("CONTENT\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def as_a_link(path: Path) -> None:
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved.name)


def another_target(top: Path) -> None:
    (top / "link").unlink()
    (top / "link").symlink_to("other")


def a_file_instead(top: Path) -> None:
    (top / "empty").rmdir()
    (top / "empty").touch()


def written_again(top: Path) -> None:
    (top / "plain").unlink()
    (top / "plain").write_text("content\n")


CHANGES: dict[str, tuple[Change, list[tuple[str, str]]]] = {
    "content of the same size and time": (same_size_and_time, [("plain", "changed")]),
    "permissions of a file": (lambda top: (top / "plain").chmod(0o600), [("plain", "changed")]),
    "permissions of a link's target": (lambda top: (top / "link").chmod(0o600), [("plain", "changed")]),
    "a link that leads elsewhere": (another_target, [("link", "changed")]),
    "a new file": (lambda top: (top / "new").touch(), [("new", "new")]),
    "a new file in an empty directory": (lambda top: (top / "empty" / "new").touch(), [("empty/new", "new")]),
    "a new directory": (lambda top: (top / "deep" / "new").mkdir(), [("deep/new", "directory")]),
    "a new link that leads nowhere": (lambda top: (top / "new").symlink_to("nowhere"), [("new", "new")]),
    "a file that is gone": (lambda top: (top / "deep" / "deeper" / "plain").unlink(), [("deep/deeper/plain", "gone")]),
    "a directory that is gone": (lambda top: (top / "empty").rmdir(), [("empty", "directory")]),
    "a file in a directory's place": (a_file_instead, [("empty", "changed")]),
    "a link in a file's place": (lambda top: as_a_link(top / "plain"), [("moved", "new"), ("plain", "changed")]),
    "a link in a directory's place": (
        lambda top: as_a_link(top / "deep"),
        [
            ("deep", "changed"),
            ("deep/deeper", "directory"),
            ("deep/deeper/plain", "gone"),
            ("moved", "directory"),
            ("moved/deeper", "directory"),
            ("moved/deeper/plain", "new"),
        ],
    ),
    "another file of the same content": (written_again, []),
    "permissions of a directory": (lambda top: (top / "deep").chmod(0o500), []),
    "a directory that nobody may enter": (lambda top: (top / "deep").chmod(0), []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_seen_and_taken_back(tmp_path: Path, name: str) -> None:
    change, expected = CHANGES[name]
    top = tmp_path / "top"
    top.mkdir()
    furnish(top)
    permissions = {path: path.stat().st_mode for path in [top / "deep", top / "plain"]}
    snapshot = Snapshot(top, lambda path, kind: True, tmp_path / "copies", None)
    snapshot.survey()
    assert snapshot.differences() == []
    change(top)
    found = snapshot.differences()
    assert [(one.path, one.kind) for one in found] == expected
    assert snapshot.undo(found, tmp_path / "aside") == set()
    assert snapshot.differences() == []
    assert {path: path.stat().st_mode for path in permissions} == permissions
    assert (top / "deep" / "deeper" / "plain").read_text() == (top / "link").read_text() == "content\n"


def test_what_is_left_out_may_come_and_go(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    furnish(top)
    snapshot = Snapshot(top, lambda path, kind: not path.startswith("out"), tmp_path / "copies", None)
    snapshot.survey()
    (top / "out").mkdir()
    (top / "out" / "file").touch()
    assert snapshot.differences() == []
    (top / "in").touch()
    assert snapshot.differences() == [Difference("in", "new")]
