"""What a measurement rests on and no candidate may change: read-only files, commands, data, interpreter."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from pytest_autoresearch.checkout import VIEWS
from pytest_autoresearch.data import Data, Signature, files_below, hash_file, signature_of
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import open_new, remove, replace_bytes
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.text import one_line
from pytest_autoresearch.workspace import OWN

_RELEVANT = {
    "runner",
    "evaluator",
    "artifacts",
    "metric_regex",
    "lower_is_better",
    "hard_timeout_s",
    "resource_metric_regex",
    "resource_metric_transform",
    "env",
}
# Of a file that was changed, so much is read, and so many lines of so many characters of the diff are shown.
_DIFFED, _LINES, _LINE = 1 << 20, 30, 120


@dataclass(frozen=True, slots=True)
class Pinned:
    """One read-only file as it was when the session began; `blob` is None for a file that git ignores."""

    path: str
    sha256: str
    blob: str | None
    executable: bool


class Source(Protocol):
    """Where pinned files come from."""

    def pins(self, name: str) -> Iterator[Pinned]:
        """The files that `name`, a file or a directory of the project, stands for."""

    def content(self, pin: Pinned) -> bytes:
        """The pinned file."""

    def recorded(self, path: str) -> bytes | None:
        """Any other file of the project as it was when the session began; None if that is not known."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the pinned files come from: a commit's tree, or the copies of what git ignores.

    `inside` is the project's directory in the tree; `copies` has the same layout as the project.
    """

    git: Git
    commit: str
    inside: str
    copies: Path

    def in_tree(self, path: str) -> str:
        """A path of the project from the top of the tree."""
        return os.path.normpath(f"{self.inside}/{path}")

    def blob(self, blob: str, path: str) -> bytes:
        """A file of the tree as a checkout has it."""
        return self.git.output("cat-file", "--filters", f"--path={path}", blob)

    def pins(self, name: str) -> Iterator[Pinned]:
        """The files that `name`, a file or a directory, stands for."""
        entries = self.git.listed("ls-tree", "-r", "-z", "--full-tree", self.commit, "--", self.in_tree(name))
        for entry in entries:
            (mode, _, blob), path = entry.split("\t")[0].split(), entry.split("\t", 1)[1]
            if not mode.startswith("100"):
                raise UserError(f"{path}: a link or submodule in a read-only directory; name the files one by one")
            digest = hashlib.sha256(self.blob(blob, path)).hexdigest()
            yield Pinned(os.path.relpath(path, self.inside), digest, blob, mode == "100755")
        for file in [] if entries else files_below(self.copies / name):
            yield Pinned(str(file.relative_to(self.copies)), hash_file(file), None, os.access(file, os.X_OK))

    def content(self, pin: Pinned) -> bytes:
        """The pinned file."""
        if pin.blob is None:
            return (self.copies / pin.path).read_bytes()
        return self.blob(pin.blob, self.in_tree(pin.path))

    def recorded(self, path: str) -> bytes | None:
        """Any other file of the tree."""
        try:
            return self.git.output("cat-file", "--filters", f"{self.commit}:{self.in_tree(path)}")
        except GitError:
            return None


class Contract:
    """The pinned files of a session and the fingerprint of all that its numbers rest on."""

    def __init__(self, origin: Source, problem: Problem, problem_name: str) -> None:
        self._origin = origin
        self._problem = problem
        self._signatures: dict[Path, Signature] = {}
        self._data: dict[Path, Data] = {}
        names = [problem_name, *problem.readonly_files]
        self.files = {
            pin.path: pin
            for name in names
            for pin in origin.pins(name)
            if pin.path != os.path.normpath(problem.mutable_file)
        }

    def fingerprint(self, project: Path) -> str:
        """Sixteen hexadecimal digits over everything that a number measured in `project` rests on."""
        rests_on = {
            "files": {path: pin.sha256 for path, pin in self.files.items() if path in self._readonly()},
            "keys": self._problem.model_dump(mode="json", include=_RELEVANT),
            "data": self.data(project).hashes,
            "python": [platform.python_implementation(), platform.python_version(), platform.machine()],
        }
        return hashlib.sha256(json.dumps(rests_on, sort_keys=True).encode()).hexdigest()[:16]

    def data(self, project: Path) -> Data:
        """The data of a project, read once."""
        if project not in self._data:
            left_out = {".git", OWN, self._problem.mutable_file, *VIEWS, *self._problem.artifacts}
            known = [data for other, data in self._data.items() if other != project]
            self._data[project] = Data(self._problem.fingerprint, project, left_out, known=known)
        return self._data[project]

    def forget_others(self, project: Path) -> None:
        """Let go of what is known of other directories than `project`."""
        self._data = {one: data for one, data in self._data.items() if one == project}
        self._signatures = {file: one for file, one in self._signatures.items() if project in file.parents}

    def changed(self, directory: Path) -> list[str]:
        """The pinned files that are not in `directory` as they were pinned; only what was touched is read."""
        return [path for path, pin in self.files.items() if not self._holds(directory, pin)]

    def found(self, directory: Path, path: str) -> str | bytes:
        """What is there in the place of a pinned file: its first part, or what it is if it is no other file."""
        file = directory / path
        if file.is_symlink():
            return f"a link to {file.readlink()}"
        if not file.is_file():
            return "something else" if file.exists() else "gone"
        if any(parent.is_symlink() for parent in _between(directory, file.parent)):
            return "behind a link"
        if hash_file(file) == self.files[path].sha256:
            return "its permissions"
        with file.open("rb") as stream:
            return stream.read(_DIFFED)

    def difference(self, path: str, found: str | bytes) -> str:
        """What was done to a pinned file that was `found` so, as a diff of bounded length."""
        if isinstance(found, str):
            return f"{path}: {found}\n"
        old = self._origin.content(self.files[path])
        lines = difflib.unified_diff(_lines(old), _lines(found), f"a/{path}", f"b/{path}", n=1, lineterm="")
        return "".join(f"{one_line(line, _LINE)}\n" for line in islice(lines, _LINES))

    def put_back_data(self, project: Path, path: str) -> bool:
        """Write a file of the data as it was, if git holds it so; whether it does."""
        content = self._origin.recorded(path)
        if content is None or hashlib.sha256(content).hexdigest() != self.data(project).hashes.get(path):
            return False
        _make_directories(project, (project / path).parent)
        replace_bytes(project / path, content)
        return True

    def put_back(self, directory: Path, path: str) -> None:
        """Write one pinned file as it was."""
        pin, target = self.files[path], directory / path
        content = self._origin.content(pin)
        if hashlib.sha256(content).hexdigest() != pin.sha256:
            raise UserError(f"{path}: what it is to be put back from was changed as well; start another session")
        _make_directories(directory, target.parent)
        temporary = target.with_name(f"{target.name}.autoresearch-new")
        with open_new(temporary) as file:
            file.write(content)
        temporary.chmod(0o755 if pin.executable else 0o644)
        remove(target)
        temporary.replace(target)

    def _readonly(self) -> set[str]:
        named = [Path(name) for name in self._problem.readonly_files]
        return {path for path in self.files if any(name in (Path(path), *Path(path).parents) for name in named)}

    def _holds(self, directory: Path, pin: Pinned) -> bool:
        file = directory / pin.path
        if any(parent.is_symlink() for parent in _between(directory, file.parent)):
            return False
        signature = _signature(file)
        if signature is None or bool(signature[-1] & 0o100) != pin.executable:
            return False
        if self._signatures.get(file) != signature:
            if hash_file(file) != pin.sha256:
                return False
            self._signatures[file] = signature
        return True


class Pristine:
    """A directory that holds the pinned files and nothing else, in which the evaluator runs."""

    def __init__(self, directory: Path, contract: Contract, links: dict[str, Path]) -> None:
        self.directory = directory
        self._contract = contract
        self.links = links

    def restore(self) -> None:
        """Make the directory what it is to be, whatever has been done to it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for path in self._contract.changed(self.directory):
            self._contract.put_back(self.directory, path)
        for path, target in self.links.items():
            link = self.directory / path
            if not link.is_symlink() or link.readlink() != target:
                _make_directories(self.directory, link.parent)
                remove(link)
                link.symlink_to(target)
        self._remove_all_else()

    def _remove_all_else(self) -> None:
        wanted = {self.directory / path for path in (*self._contract.files, *self.links)}
        parents = {parent for path in wanted for parent in path.parents}
        for top, directories, files in os.walk(self.directory):
            here = Path(top)
            for name in [*files, *directories]:
                if here / name not in wanted and here / name not in parents:
                    remove(here / name)
            directories[:] = [name for name in directories if here / name in parents]


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").splitlines()


def _between(top: Path, path: Path) -> list[Path]:
    """The directories below `top` that lead to `path`, the outermost first."""
    parts = path.relative_to(top).parts
    return [top.joinpath(*parts[: count + 1]) for count in range(len(parts))]


def _make_directories(top: Path, path: Path) -> None:
    """Directories from `top` to `path`, in the place of whatever else is there; no link is followed."""
    for directory in _between(top, path):
        if directory.is_symlink() or not directory.is_dir():
            remove(directory)
            directory.mkdir()


def _signature(file: Path) -> Signature | None:
    """The signature of a regular file; None if it is none."""
    try:
        found = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return signature_of(found)
