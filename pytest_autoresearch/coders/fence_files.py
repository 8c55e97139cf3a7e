"""The files of a checkout before a coder was in it, and what is different afterwards."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_autoresearch.files import remove
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.workspace import OWN

_SAVED_SIZE = 256 << 10
_SAVED_TOTAL = 32 << 20

Kind = Literal["new", "changed", "gone"]
Mark = list[Any]  # a JSON list: type and permissions, then what tells one content from another


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that is not as it was."""

    path: str
    kind: Kind


class FileFence:
    """What was in the checkout at `git.directory`, whose commit is `tip`.

    Copies of what git does not hold are in `copies`. Our own directory and git's are left out; no link is followed.
    """

    def __init__(self, git: Git, tip: str, copies: Path, marks: dict[str, Mark], saved: dict[str, str]) -> None:
        self._git = git
        self._top = git.directory
        self._tip = tip
        self._copies = copies
        self._marks = marks
        self._saved = saved

    @classmethod
    def around(cls, git: Git, tip: str, copies: Path) -> FileFence:
        """Take down what is there now."""
        fence = cls(git, tip, copies, survey(git.directory), {})
        fence._save()
        return fence

    @classmethod
    def from_json(cls, git: Git, copies: Path, data: dict[str, Any]) -> FileFence:
        """What `to_json` wrote."""
        return cls(git, data["tip"], copies, data["marks"], data["saved"])

    def to_json(self) -> dict[str, Any]:
        """What was taken down, as plain JSON values."""
        return {"tip": self._tip, "marks": self._marks, "saved": self._saved}

    def differences(self, but: str) -> list[Difference]:
        """What is different now, but for the file `but`; a file whose content came to the same is not."""
        now = survey(self._top)
        found = [Difference(path, self._kind(path, now)) for path in sorted(self._marks.keys() | now.keys())]
        return [one for one in found if one.path != but and self._differs(one, now)]

    def undo(self, difference: Difference, aside: Path) -> bool:
        """Make the path what it was, with what is there now put `aside`; whether that can be done."""
        place = self._top / difference.path
        if difference.kind == "new":
            _move(place, aside / difference.path)
            return True
        content = self._content(difference.path)
        if content is None:
            return False
        if os.path.lexists(place):
            _move(place, aside / difference.path)
        self._write(place, content, self._marks[difference.path])
        return True

    def remove_empty_directories(self) -> None:
        """Take away the directories that were not there and have nothing in them."""
        for path, mark in sorted(survey(self._top).items(), reverse=True):
            if path not in self._marks and mark[0] == "directory" and not any((self._top / path).iterdir()):
                (self._top / path).rmdir()

    def _kind(self, path: str, now: dict[str, Mark]) -> Kind:
        if path not in self._marks:
            return "new"
        return "changed" if path in now else "gone"

    def _differs(self, difference: Difference, now: dict[str, Mark]) -> bool:
        path = difference.path
        before, after = self._marks.get(path), now.get(path)
        if difference.kind == "new":
            return after is not None and after[0] != "directory"
        if difference.kind == "gone" or before is None or after is None or before[:2] != after[:2]:
            return True
        if before == after or before[0] != "file":
            return before != after
        return self._content(path) != (self._top / path).read_bytes()

    def _save(self) -> None:
        """Copy what git could not give back, as far as it is small."""
        tracked = set(self._git.listed("ls-files", "-z"))
        dirty = set(self._git.listed("ls-files", "--modified", "-z"))
        total = 0
        for path, mark in self._marks.items():
            if mark[0] != "file" or (path in tracked and path not in dirty):
                continue
            if mark[2] > _SAVED_SIZE or total + mark[2] > _SAVED_TOTAL:
                continue
            total += mark[2]
            name = str(len(self._saved))
            shutil.copyfile(self._top / path, self._copies / name)
            self._saved[path] = name

    def _content(self, path: str) -> bytes | None:
        """What the file or link held, None if nobody knows."""
        mark = self._marks[path]
        if mark[0] == "link":
            return os.fsencode(mark[2])
        if mark[0] == "directory":
            return b""
        if path in self._saved:
            return (self._copies / self._saved[path]).read_bytes()
        try:
            return self._git.output("cat-file", "--filters", f"{self._tip}:{path}")
        except GitError:
            return None

    def _write(self, place: Path, content: bytes, mark: Mark) -> None:
        for parent in reversed(place.relative_to(self._top).parents):
            directory = self._top / parent
            if directory.is_symlink() or not directory.is_dir():
                remove(directory)
                directory.mkdir()
        if mark[0] == "link":
            place.symlink_to(os.fsdecode(content))
        elif mark[0] == "directory":
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(content)
            place.chmod(mark[1])


def survey(top: Path) -> dict[str, Mark]:
    """Each path below `top` with a mark that changes with it."""
    return {os.path.relpath(path, top): _mark(path) for path in _walk(top)}


def _walk(top: Path) -> Iterator[str]:
    waiting = [str(top)]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name in (".git", OWN):
                continue
            yield entry.path
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)


def _mark(path: str) -> Mark:
    found = os.lstat(path)
    permissions = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return ["link", 0, str(Path(path).readlink())]
    if stat.S_ISDIR(found.st_mode):
        return ["directory", 0]
    kind = "file" if stat.S_ISREG(found.st_mode) else "other"
    return [kind, permissions, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def _move(place: Path, target: Path) -> None:
    """Move what is there, unless it went away together with the directory that it was in."""
    if not os.path.lexists(place):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    place.rename(target)
