"""Commits packed into a git bundle and taken from one, between repositories of which either may be shallow."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git


def write_bundle(git: Git, file: Path, refs: Mapping[str, str], more: Iterable[str]) -> None:
    """Pack the commits that `refs` name, and `more`, with all that leads to them.

    The refs need not be there: the header is written as gitformat-bundle(5) has it, so that what a ref says meanwhile
    plays no part.
    """
    asked = "".join(f"{commit}\n" for commit in dict.fromkeys((*refs.values(), *more)))
    kind = git.text("rev-parse", "--show-object-format")
    signature = "# v2 git bundle\n" if kind == "sha1" else f"# v3 git bundle\n@object-format={kind}\n"
    header = signature + "".join(f"{commit} {ref}\n" for ref, commit in refs.items()) + "\n"
    with TemporaryDirectory(dir=file.parent) as directory:
        base = f"{directory}/pack"
        git.output("pack-objects", "-q", "--revs", "--delta-base-offset", base, stdin=asked.encode())
        (pack,) = Path(directory).glob("*.pack")
        with pack.open("rb") as source, file.open("wb") as made:
            made.write(header.encode())
            shutil.copyfileobj(source, made)


def find_roots(git: Git, commits: Iterable[str]) -> tuple[str, ...]:
    """Where the history that leads to the commits begins, as far as the repository has it."""
    return tuple(git.text("rev-list", "--max-parents=0", *dict.fromkeys(commits)).split())


def cut_off(common: Path) -> set[str]:
    """The commits whose parents a shallow repository does not have."""
    file = common / "shallow"
    return set(file.read_text().split()) if file.exists() else set()


def take_bundle(git: Git, common: Path, file: Path, *, start: str, shallow: Iterable[str]) -> None:
    """Put the objects of a bundle into the repository; no ref is made.

    A shallow repository becomes so at the commits in `shallow` as well. UserError for one that is whole and lacks
    them: its history would have a hole.
    """
    new = git.missing(shallow)
    if new and not cut_off(common):
        raise UserError(
            f"commit {start[:12]}, with which the session began, is not in {git.directory}, and the file has it "
            f"without its history; fetch it: git -C {shlex.quote(str(git.directory))} fetch origin {start}"
        )
    git.output("bundle", "unbundle", str(file))
    if new:
        _add_cuts(common, new)


def _add_cuts(common: Path, commits: set[str]) -> None:
    """Have git know that it lacks the parents of some commits, under the lock that it takes for that itself."""
    lock = common / "shallow.lock"
    try:
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise UserError(f"{lock}: git is at work there; if it is not, delete the file and run again") from None
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{commit}\n" for commit in sorted(cut_off(common) | commits))
        file.flush()
        os.fsync(file.fileno())
    lock.replace(common / "shallow")
