"""The one file of an exported session: a compressed tar whose first member says what the others are to be."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_autoresearch.data import hash_file
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import flush_directory
from pytest_autoresearch.machine import writing

VERSION = 1
_FORMAT = "pytest-autoresearch session"
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 1 << 26
_BLOCK = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class NotOurs(UserError):
    """A file is no exported session."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Which session a file holds: its names, its problem's path, and commits of its repository.

    `chain` is what keeps the candidates, '' if there is none yet. `roots` are where the history begins, of which those
    in `shallow` have parents that the file lacks.
    """

    prefix: str
    tag: str
    problem: str
    session: str
    start: str
    tip: str
    chain: str
    roots: tuple[str, ...]
    shallow: tuple[str, ...]


def write_archive(file: Path, contents: Contents, members: Mapping[str, Path]) -> None:
    """Make `file`, in one step, of the members by their names."""
    digests = {name: hash_file(path) for name, path in members.items()}
    manifest = {"format": _FORMAT, "version": VERSION, "contents": asdict(contents), "sha256": digests}
    fresh = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        with writing(fresh), fresh.open("xb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as stream, _tar(stream) as tar:
                _add(tar, _MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()), executable=False)
                for name, path in members.items():
                    with path.open("rb") as source:
                        _add(tar, name, source, executable=os.access(path, os.X_OK))
            raw.flush()
            os.fsync(raw.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    flush_directory(file.parent)


def read_contents(file: Path) -> Contents:
    """Which session is in `file`; UserError if there is none in it that this version can read."""
    with _open(file) as tar:
        return _manifest(file, tar)[0]


def unpack(file: Path, directory: Path, belongs: Callable[[str], bool]) -> Contents:
    """Put the members of `file` into `directory`, which is empty; UserError if it is not as it was written.

    Only regular files are made, only such as the first member names and as belong to a session, and only below
    `directory`.
    """
    with _open(file) as tar:
        contents, digests = _manifest(file, tar)
        left = {name: digest for name, digest in digests.items() if belongs(name) and _is_below(name)}
        try:
            while (member := tar.next()) is not None:
                if not member.isreg() or member.name not in left:
                    raise UserError(
                        f"{file}: holds {member.name[:200]!r}, which has no place there; nothing was imported"
                    )
                _extract(file, tar, member, directory, left.pop(member.name))
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
            raise UserError(_damaged(file)) from None
    if left:
        raise UserError(_damaged(file))
    return contents


def _tar(stream: gzip.GzipFile) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)


def _add(tar: tarfile.TarFile, name: str, source: io.IOBase, *, executable: bool) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = source.seek(0, os.SEEK_END)
    entry.mode = 0o755 if executable else 0o644
    source.seek(0)
    tar.addfile(entry, source)


def _open(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file, "r:gz")
    except FileNotFoundError:
        raise UserError(f"{file}: there is no such file; name one that pytest-autoresearch export wrote") from None
    except (IsADirectoryError, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
        raise NotOurs(_no_session(file)) from None


def _manifest(file: Path, tar: tarfile.TarFile) -> tuple[Contents, dict[str, str]]:
    """What the first member says; UserError if it is none of ours, or a newer version's."""
    try:
        member = tar.next()
        if member is None or member.name != _MANIFEST or not member.isreg() or member.size > _LARGEST_MANIFEST:
            raise NotOurs(_no_session(file))
        stream = tar.extractfile(member)
        found: dict[str, Any] = json.loads(stream.read()) if stream else {}
        if found.get("format") != _FORMAT or not isinstance(found.get("version"), int):
            raise NotOurs(_no_session(file))
        if found["version"] > VERSION:
            raise UserError(
                f"{file}: was written by a newer version of pytest-autoresearch; upgrade this one: "
                "pip install --upgrade pytest-autoresearch"
            )
        fields: dict[str, Any] = dict(found["contents"])
        fields |= {name: tuple(fields[name]) for name in ("roots", "shallow")}
        contents, digests = Contents(**fields), {str(name): str(one) for name, one in found["sha256"].items()}
        names = (contents.prefix, contents.tag, contents.problem, contents.session)
        commits = (contents.start, contents.tip, contents.chain or contents.tip, *contents.roots, *contents.shallow)
        if not all(_COMMIT.fullmatch(one) for one in commits) or not all(isinstance(one, str) for one in names):
            raise UserError(_damaged(file))
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, TypeError, KeyError, AttributeError):
        raise NotOurs(_no_session(file)) from None
    return contents, digests


def _extract(file: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path, digest: str) -> None:
    """Put one member where it belongs; UserError if it is not what was written."""
    source, target, found = tar.extractfile(member), directory / member.name, hashlib.sha256()
    assert source is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing(target), target.open("xb") as made:
        while block := source.read(_BLOCK):
            found.update(block)
            made.write(block)
        made.flush()
        os.fsync(made.fileno())
    target.chmod(0o755 if member.mode & 0o100 else 0o644)
    if found.hexdigest() != digest:
        raise UserError(_damaged(file))


def _is_below(name: str) -> bool:
    """Whether a member's name leads to a place below the directory that it is put into."""
    path = PurePosixPath(name)
    return name == str(path) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _damaged(file: Path) -> str:
    return f"{file}: is damaged; nothing was imported. Export the session again, or copy the file once more"


def _no_session(file: Path) -> str:
    return f"{file}: is no session that pytest-autoresearch export wrote, or its beginning is damaged"
