"""What a run finds in a session's checkout, as an archive that travels to other machines."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pytest_autoresearch.contract import Pinned
from pytest_autoresearch.engines.slot import left_out
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Tree:
    """An uncompressed tar and its SHA-256."""

    digest: str
    content: bytes = field(repr=False)


def pack(workspace: Workspace) -> Tree:
    """All that a run finds in the checkout but for the mutable file, which each candidate brings."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in _paths(workspace):
            tar.add(path, str(path.relative_to(workspace.checkout)), recursive=False, filter=_nobodys)
    content = buffer.getvalue()
    return Tree(hashlib.sha256(content).hexdigest(), content)


def unpack(archive: Path, directory: Path) -> None:
    """Make `directory` what was packed; links lead where they led."""
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
        tar.extractall(directory)


@dataclass(frozen=True, slots=True)
class Carried:
    """Pinned files that come from an archive; `inside` is the project's directory in it."""

    archive: Path
    inside: str
    pinned: tuple[Pinned, ...]

    def pins(self, name: str) -> Iterator[Pinned]:
        """The files that `name`, a file or a directory of the project, stands for."""
        named = Path(os.path.normpath(name))
        return (pin for pin in self.pinned if named in (Path(pin.path), *Path(pin.path).parents))

    def content(self, pin: Pinned) -> bytes:
        """The pinned file."""
        found = self.recorded(pin.path)
        if found is None:
            raise UserError(f"{pin.path} is no file in the session's checkout; put it back and run again")
        return found

    def recorded(self, path: str) -> bytes | None:
        """A file of the project as it was packed; None if there was none."""
        with tarfile.open(self.archive) as tar:
            try:
                found = tar.extractfile(os.path.normpath(f"{self.inside}/{path}"))
            except KeyError:
                return None
            return found.read() if found else None


def _paths(workspace: Workspace) -> Iterator[Path]:
    """What is packed, directories before what is in them."""
    compiled = f"{workspace.mutable.stem}."
    cache = workspace.mutable.with_name("__pycache__")
    for top, directories, files in os.walk(workspace.checkout):
        here = Path(top)
        out = left_out(workspace.checkout, workspace.project, here, [*directories, *files])
        directories[:] = sorted(set(directories) - out)
        for name in sorted({*directories, *files} - out):
            if here / name != workspace.mutable and not (here == cache and name.startswith(compiled)):
                yield here / name


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same without whose it is, which says nothing on another machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
