"""The files of a directory at one time, what is different at another, and how it is made what it was."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

from pytest_autoresearch.files import first_free
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.machine import writing

_SAVED_SIZE = 256 << 10
_SAVED_TOTAL = 32 << 20
_COPY, _NAME = "copy-", "name-"

Kind = Literal["new", "directory", "changed", "gone"]
Type = Literal["file", "directory", "link", "repository", "other"]
Mark = list[Any]  # a JSON list: type and permissions, then what tells one content from another


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that is not as it was; a "directory" is there or gone, and no more to be told of it."""

    path: str
    kind: Kind


class Snapshot:
    """What was below `top`, as far as `includes` says yes to a path and what is there.

    What `git` holds it gives back; what it does not, or what there is without a `git`, is in `copies`: as a copy, or
    where that were too much as a second name of the file, which outlasts all but a change in place. No link is
    followed, and no repository within is looked into.
    """

    def __init__(self, top: Path, includes: Callable[[str, Type], bool], copies: Path, git: Git | None) -> None:
        self._top = top
        self._includes = includes
        self._copies = copies
        self._git = git
        self._marks: dict[str, Mark] = {}
        self._saved: dict[str, str] = {}
        self._by_directory: dict[str, dict[str, Mark]] | None = None

    def survey(self) -> None:
        """Take down what is there now."""
        self._copies.mkdir(exist_ok=True)
        self._marks, self._by_directory = self._now(), None
        given = _given_back(self._git) if self._git else frozenset[str]()
        total = 0
        for path, mark in self._marks.items():
            if mark[0] != "file" or path in given:
                continue
            small = self._git is None or (mark[2] <= _SAVED_SIZE and total + mark[2] <= _SAVED_TOTAL)
            total += mark[2] if small else 0
            name, self._saved[path] = f"{_COPY if small else _NAME}{len(self._saved)}", ""
            with _one_by_one(), writing(self._copies / name):
                (shutil.copyfile if small else os.link)(self._top / path, self._copies / name)
                self._saved[path] = name
                self._marks[path] = mark if small else _mark(self._top / path)

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._marks, self._saved, self._by_directory = state["marks"], state["saved"], None

    def state(self) -> dict[str, Any]:
        """What was taken down, as plain JSON values."""
        return {"marks": self._marks, "saved": self._saved}

    def differences(self) -> list[Difference]:
        """What is different now; a file whose content came to the same is not."""
        if self._is_untouched():
            return []
        self._open_directories()
        now = self._now()
        kinds = {path: self._kind(path, now) for path in sorted(self._marks.keys() | now)}
        for path in [path for path, kind in kinds.items() if kind is None and self._marks[path] != now[path]]:
            self._renew(path)
        return [Difference(path, kind) for path, kind in kinds.items() if kind]

    def undo(self, found: list[Difference], aside: Path) -> set[str]:
        """Make everything what it was, with what is there now put `aside`; the paths for which that cannot be done.

        What is new goes first, lest it tell git what to ignore or how files are stored; then directories come back,
        so that no path leads out through a link, and what tells git how to store files before the files.
        """
        new = {self._outermost(one.path) for one in found if one.path not in self._marks}
        self._top.mkdir(parents=True, exist_ok=True)
        lost = {path for path in sorted(new) if not _done(move, self._top / path, aside / path)}
        old = sorted((one.path for one in found if one.path in self._marks), key=self._turn)
        return lost | {path for path in old if not _done(self._give_back, path, aside / path)}

    def retake(self, path: str) -> None:
        """Take down anew what is at one path, a small file then and now."""
        shutil.copyfile(self._top / path, self._copies / self._saved[path])
        self._remark(path)

    def forget(self, path: str) -> None:
        """Miss a path no more that is gone for good."""
        self._marks.pop(path, None)
        self._by_directory = None

    def copy_of(self, path: str) -> Path | None:
        """The copy of a file; None if there is none, or if it was changed together with the file that it is."""
        if not self._saved.get(path):
            return None
        copy = self._copies / self._saved[path]
        return copy if copy.name.startswith(_COPY) or _mark(copy)[2:5] == self._marks[path][2:5] else None

    # --- what is different

    def _kind(self, path: str, now: dict[str, Mark]) -> Kind | None:
        before, after = self._marks.get(path), now.get(path)
        if before is None or after is None:
            mark = before or now[path]
            return "directory" if mark[0] == "directory" else "new" if before is None else "gone"
        return None if before == after or (before[:2] == after[:2] and self._is_same(path)) else "changed"

    def _is_same(self, path: str) -> bool:
        """Whether a file holds what it held; its times do not say so."""
        place = self._top / path
        if self._marks[path][0] != "file":
            return False
        with suppress(OSError, GitError):
            if copy := self.copy_of(path):
                return filecmp.cmp(copy, place, shallow=False)
            return self._from_git(path) == place.read_bytes()
        return False

    def _is_untouched(self) -> bool:
        """Whether all is as it was: the usual case, for which nothing is taken down."""
        if self._by_directory is None:
            self._by_directory = _by_directory(self._marks)
        try:
            return all(self._is_as_before(*place) for place in self._by_directory.items())
        except OSError:
            return False

    def _is_as_before(self, directory: str, marks: Mapping[str, Mark]) -> bool:
        """Whether a directory holds what it held, each file by its name in it alone, which is the cheapest look."""
        place = f"{self._top}/{directory}"
        descriptor = _opened(place)
        try:
            with os.scandir(descriptor) as entries:
                new = {entry.name for entry in entries} - marks.keys()
            if any(self._includes(f"{directory}{name}", _mark(Path(place, name))[0]) for name in new):
                return False
            return all(_is_still(mark, descriptor, name, place) for name, mark in marks.items())
        finally:
            os.close(descriptor)

    def _now(self) -> dict[str, Mark]:
        now: dict[str, Mark] = {}
        waiting = [""]
        while waiting:
            directory = waiting.pop()
            for entry in _entries(f"{self._top}/{directory}"):
                path = directory + entry.name
                if (mark := self._mark_now(entry, path)) is not None:
                    now[path] = mark
                    if mark[0] == "directory":
                        waiting.append(f"{path}/")
        return now

    def _mark_now(self, entry: os.DirEntry[str], path: str) -> Mark | None:
        """The mark of what is there, the one that it had where nothing has happened; None if it is not to be had."""
        try:
            found = entry.stat(follow_symlinks=False)
            known = self._marks.get(path)
            if known is not None and known[2:] == _state(found):
                return known
            mark = _mark_of(found, f"{self._top}/{path}")
        except OSError:  # somebody else's, and gone by now
            return None
        return mark if self._includes(path, mark[0]) else None

    def _renew(self, path: str) -> None:
        """Take the present state of a path for the one that it had, unless its other name is known by that."""
        if not self._saved.get(path, "").startswith(_NAME):
            self._remark(path)

    def _remark(self, path: str) -> None:
        self._marks[path] = _mark(self._top / path)
        self._by_directory = None

    def _open_directories(self) -> None:
        """Directories have the permissions that they had, so that their files can be seen and moved."""
        for path in [path for path, mark in self._marks.items() if mark[0] == "directory"]:
            place, mark = self._top / path, self._marks[path]
            with suppress(OSError):
                there = _mark(place)
                if there[0] == mark[0] and there != mark and self._is_real(path):
                    place.chmod(mark[1])

    # --- how it comes back

    def _turn(self, path: str) -> tuple[bool, bool, str]:
        return self._marks[path][0] != "directory", "/.git" not in f"/{path}", path

    def _outermost(self, path: str) -> str:
        """The outermost of the paths that lead to a new one which was no directory either."""
        parts = Path(path).parts
        outer = (str(Path(*parts[:count])) for count in range(1, len(parts)))
        return next((one for one in outer if self._marks.get(one, [""])[0] != "directory"), path)

    def _give_back(self, path: str, aside: Path) -> None:
        """Make the path what it was; OSError or GitError, before anything is done, if nobody knows what that is."""
        place, mark = self._top / path, self._marks[path]
        if not self._is_real(path):
            raise NotADirectoryError(path)
        there = _mark(place) if os.path.lexists(place) else None
        if there and there[0] == mark[0] and (there[2:] == mark[2:] or self._is_same(path)):
            place.chmod(mark[1])
            return
        write = self._writer(path)
        if there:
            move(place, aside)
        write(place)
        if mark[0] != "link":
            place.chmod(mark[1])
        self._renew(path)

    def _writer(self, path: str) -> Callable[[Path], object]:
        """What writes the path as it was; OSError or GitError if nothing can."""
        mark = self._marks[path]
        if mark[0] == "link":
            return lambda place: place.symlink_to(mark[2])
        if mark[0] == "directory":
            return Path.mkdir
        if copy := self.copy_of(path):
            return partial(os.link if copy.name.startswith(_NAME) else shutil.copyfile, copy)
        content = self._from_git(path)
        return lambda place: place.write_bytes(content)

    def _from_git(self, path: str) -> bytes:
        """What git holds, as a checkout has it; GitError if it holds nothing of that name."""
        if self._git is None or path in self._saved:
            raise FileNotFoundError(path)
        return self._git.output("cat-file", "--filters", f":0:{path}")

    def _is_real(self, path: str) -> bool:
        """Whether no link leads to a path."""
        return is_real(self._top, Path(path).parent)


def is_real(top: Path, inside: Path) -> bool:
    """Whether no link below `top` leads to the directory `inside` it."""
    return not any((top / one).is_symlink() for one in (inside, *inside.parents)[:-1])


def move(place: Path, target: Path) -> None:
    """Move what is there to `target`, or beside it if something is there already; to another disk as well."""
    free = first_free(chain([target], (target.with_name(f"{target.name}.{number}") for number in count(1))))
    free.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir() and not place.is_symlink():
        place.chmod(stat.S_IMODE(place.stat().st_mode) | stat.S_IRWXU)
    shutil.move(place, free)


def _done(step: Callable[..., None], *arguments: object) -> bool:
    """Whether a step could be taken."""
    done = False
    with suppress(GitError), _one_by_one():
        step(*arguments)
        done = True
    return done


@contextmanager
def _one_by_one() -> Iterator[None]:
    """Let pass what cannot be done with one path, but not what the machine lacks for all of them."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
            raise


def _given_back(git: Git) -> frozenset[str]:
    """The paths whose content git holds: tracked, not changed, and neither assumed unchanged nor skipped."""
    looked_at = {entry[2:] for entry in git.listed("ls-files", "-v", "-z") if entry.startswith("H ")}
    return frozenset(looked_at - {*git.listed("ls-files", "--modified", "-z")})


def _opened(directory: str) -> int:
    """A descriptor of a directory that is no link; OSError if there is none."""
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    """What is in a directory, each to be looked at by its name alone; nothing where it is gone or is none."""
    try:
        descriptor = _opened(directory)
    except OSError:
        return
    try:
        with os.scandir(descriptor) as entries:
            yield from entries
    finally:
        os.close(descriptor)


def _by_directory(marks: Mapping[str, Mark]) -> dict[str, dict[str, Mark]]:
    """The same by the directories, each with a slash behind it, and the names in them."""
    places: dict[str, dict[str, Mark]] = {"": {}}
    for path, mark in marks.items():
        directory, slash, name = path.rpartition("/")
        places.setdefault(directory + slash, {})[name] = mark
        if mark[0] == "directory":
            places.setdefault(f"{path}/", {})
    return places


def _is_still(mark: Mark, directory: int, name: str, place: str) -> bool:
    """Whether what has this name in a directory has this mark."""
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if mark[0] != "file":
        return mark == _mark_of(found, f"{place}{name}")
    return bool(
        found.st_ctime_ns == mark[5]
        and found.st_mtime_ns == mark[4]
        and found.st_ino == mark[3]
        and found.st_size == mark[2]
    )


def _mark(path: Path) -> Mark:
    return _mark_of(path.lstat(), str(path))


def _state(found: os.stat_result) -> list[int]:
    """What changes with a file's content, and with its permissions; the last of it cannot be set back."""
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def _mark_of(found: os.stat_result, path: str) -> Mark:
    permissions = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return ["link", 0, os.readlink(path)]  # noqa: PTH115
    if stat.S_ISDIR(found.st_mode):
        return ["repository" if path.endswith("/.git") else "directory", permissions]
    if stat.S_ISREG(found.st_mode):
        return ["file", permissions, *_state(found)]
    return ["other", permissions, found.st_ino]
