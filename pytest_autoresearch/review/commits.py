"""Commits made from objects alone: no index, no ref and no checkout has a part in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from pytest_autoresearch.git import Git


@dataclass(frozen=True, slots=True)
class File:
    """A file of a commit: `content` as git stores it, with `mode` at `path` (relative to the top of the tree)."""

    path: str
    mode: str
    content: bytes


def find_file(git: Git, commit: str, path: str) -> File | None:
    """The regular file at `path` in a commit; None if there is none."""
    entry = git.text("ls-tree", "-z", "--full-tree", commit, "--", path).rstrip("\0")
    if not entry.startswith("100"):
        return None
    mode, _, blob = entry.split("\t")[0].split()
    return File(path, mode, git.output("cat-file", "blob", blob))


def commit_file(git: Git, parent: str, file: File, message: str, *, who: str, when: int) -> str:
    """The commit that puts `file` on top of `parent`, by `who` at `when` (seconds since 1970).

    The same arguments give the same commit.
    """
    author = f"{who} {when} +0000"
    text = (
        f"tree {_tree_with(git, parent, file)}\nparent {parent}\nauthor {author}\ncommitter {author}\n\n"
        f"{message.rstrip()}\n"
    )
    raw = text.encode(errors="surrogateescape")
    return git.output("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()


def _tree_with(git: Git, commit: str, file: File) -> str:
    """The tree of a commit with `file` in it."""
    path = PurePosixPath(file.path)
    made = git.output("hash-object", "-w", "--stdin", stdin=file.content).decode().strip()
    kind = f"{file.mode} blob"
    for name, directory in zip((path, *path.parents), path.parents, strict=False):
        above = git.listed("ls-tree", "-z", f"{commit}:{'' if directory == PurePosixPath() else directory}")
        others = [entry for entry in above if entry.split("\t", 1)[1] != name.name]
        listing = "".join(f"{entry}\0" for entry in (*others, f"{kind} {made}\t{name.name}"))
        stdin = listing.encode(errors="surrogateescape")
        made, kind = git.output("mktree", "-z", "--missing", stdin=stdin).decode().strip(), "040000 tree"
    return made
