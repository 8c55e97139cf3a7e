"""What a measurement rests on and no candidate may change: read-only files, commands, data, interpreter."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import open_new, remove
from pytest_autoresearch.git import Git
from pytest_autoresearch.problem import Problem

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
_Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Pinned:
    """One read-only file as it was when the session began; `blob` is None for a file that git ignores."""

    path: str
    sha256: str
    blob: str | None
    executable: bool


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
        for file in [] if entries else _files(self.copies / name):
            yield Pinned(str(file.relative_to(self.copies)), hash_file(file), None, os.access(file, os.X_OK))

    def content(self, pin: Pinned) -> bytes:
        """The pinned file."""
        if pin.blob is None:
            return (self.copies / pin.path).read_bytes()
        return self.blob(pin.blob, self.in_tree(pin.path))


class Contract:
    """The pinned files of a session and the fingerprint of all that its numbers rest on."""

    def __init__(self, origin: Origin, problem: Problem, problem_name: str) -> None:
        self._origin = origin
        self._problem = problem
        self._signatures: dict[Path, _Signature] = {}
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
            "data": dict(self._data(project)),
            "python": [platform.python_implementation(), platform.python_version(), platform.machine()],
        }
        return hashlib.sha256(json.dumps(rests_on, sort_keys=True).encode()).hexdigest()[:16]

    def changed(self, directory: Path) -> list[str]:
        """The pinned files that are not in `directory` as they were pinned; only what was touched is read."""
        return [path for path, pin in self.files.items() if not self._holds(directory, pin)]

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

    def _data(self, project: Path) -> Iterator[tuple[str, str]]:
        for pattern in self._problem.fingerprint:
            try:
                matches = [project] if pattern == "." else sorted(project.glob(pattern))
            except ValueError as error:
                raise UserError(f"fingerprint: {pattern!r} is no pattern ({error})") from None
            if not matches:
                raise UserError(
                    f"fingerprint: nothing in {project} matches {pattern!r}; mend the pattern, or link: it"
                )
            for file in (file for match in matches for file in _files(match)):
                yield str(file.relative_to(project)), hash_file(file)


class Pristine:
    """A directory that holds the pinned files and nothing else, in which the evaluator runs."""

    def __init__(self, directory: Path, contract: Contract, links: dict[str, Path]) -> None:
        self.directory = directory
        self._contract = contract
        self._links = links

    def restore(self) -> None:
        """Make the directory what it is to be, whatever has been done to it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for path in self._contract.changed(self.directory):
            self._contract.put_back(self.directory, path)
        for path, target in self._links.items():
            link = self.directory / path
            if not link.is_symlink() or link.readlink() != target:
                _make_directories(self.directory, link.parent)
                remove(link)
                link.symlink_to(target)
        self._remove_all_else()

    def _remove_all_else(self) -> None:
        wanted = {self.directory / path for path in (*self._contract.files, *self._links)}
        parents = {parent for path in wanted for parent in path.parents}
        for top, directories, files in os.walk(self.directory):
            here = Path(top)
            for name in [*files, *directories]:
                if here / name not in wanted and here / name not in parents:
                    remove(here / name)
            directories[:] = [name for name in directories if here / name in parents]


def hash_file(file: Path) -> str:
    """The SHA-256 of a file's content."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


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


def _signature(file: Path) -> _Signature | None:
    """What changes with a file's content; None if it is no regular file. The change time cannot be set back."""
    try:
        found = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for top, directories, names in os.walk(path):
            directories.sort()
            yield from (path for name in sorted(names) if (path := Path(top) / name).is_file())
    elif path.is_file():
        yield path
