"""The data that a session's numbers rest on: `fingerprint:`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from pytest_autoresearch.errors import UserError

Signature = tuple[int, int, int, int, int]


class Data:
    """The files in `project` that match the patterns; each is read once, and again only where its state has changed.

    What a run may leave is no data: what is below one of the paths in `left_out`, and compiled Python. A file that one
    of the `known` has too, as linked ones are, is not read again.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        project: Path,
        left_out: Collection[str] = (),
        *,
        known: Iterable[Data] = (),
    ) -> None:
        self._patterns = patterns
        self._left_out = left_out
        self._project = project
        self._signatures: dict[str, Signature] = {}
        self.hashes: dict[str, str] = {}
        for path in self._files():
            self._signatures[path] = signature = signature_of((project / path).stat())
            there = (other.hashes[path] for other in known if other._signatures.get(path) == signature)
            self.hashes[path] = next(there, "") or hash_file(project / path)

    def changed(self) -> list[str]:
        """The files that are not as they were, or were not there, or are not there any more."""
        now = set(self._files(strict=False))
        there = {path for path in now & self.hashes.keys() if not self._is_same(path)}
        return sorted(there | (now ^ self.hashes.keys()))

    def _is_same(self, path: str) -> bool:
        file = self._project / path
        try:
            signature = signature_of(file.stat())
            if signature != self._signatures[path] and hash_file(file) != self.hashes[path]:
                return False
        except OSError:
            return False
        self._signatures[path] = signature
        return True

    def _files(self, *, strict: bool = True) -> Iterator[str]:
        for pattern in self._patterns:
            matches = self._matches(pattern)
            if strict and not matches:
                raise UserError(
                    f"fingerprint: nothing in {self._project} matches {pattern!r}; mend the pattern, or link: it"
                )
            paths = (str(file.relative_to(self._project)) for match in matches for file in files_below(match))
            yield from (path for path in paths if not self._is_left_out(path))

    def _is_left_out(self, path: str) -> bool:
        above = (path, *map(str, Path(path).parents))
        return path.endswith(".pyc") or any(one in self._left_out for one in above)

    def _matches(self, pattern: str) -> list[Path]:
        try:
            return [self._project] if pattern == "." else sorted(self._project.glob(pattern))
        except ValueError as error:
            raise UserError(f"fingerprint: {pattern!r} is no pattern ({error})") from None


def hash_file(file: Path) -> str:
    """The SHA-256 of a file's content."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


def files_below(path: Path) -> Iterator[Path]:
    """The files that a path stands for: itself, or those in the directory that it is."""
    if path.is_dir():
        for top, directories, names in os.walk(path):
            directories.sort()
            yield from (path for name in sorted(names) if (path := Path(top) / name).is_file())
    elif path.is_file():
        yield path


def signature_of(found: os.stat_result) -> Signature:
    """What changes with a file's content; the change time cannot be set back."""
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode
