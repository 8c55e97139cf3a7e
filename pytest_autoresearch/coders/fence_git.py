"""What git knew before a coder was there, refs, HEAD, index, configuration and hooks, and how it is brought back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_autoresearch.files import remove
from pytest_autoresearch.git import Git

ASIDE_REFS = "refs/autoresearch-aside"
_STASH = "refs/stash"
_GUARDED = ("config", "config.worktree", "info/attributes", "info/exclude", "info/grafts", "info/sparse-checkout")
# What may appear in git's directory without meaning anything: traces of its use, and what is looked at by itself.
_PASSED_OVER = frozenset(
    {"COMMIT_EDITMSG", "FETCH_HEAD", "ORIG_HEAD", "gc.log", "gc.pid", "logs", "objects", "rr-cache", "refs", "index"}
    | {"packed-refs", "worktrees", "autoresearch", "hooks", "info", "branches", "description", "HEAD", *_GUARDED}
)
_NAME = "autoresearch coder"


def coder_identity(token: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables by which every commit and every moved ref of a coder bears a name of its own.

    They also keep the user's hooks and signing key out of it, and have git log the moves of every ref.
    """
    settings = {"core.logAllRefUpdates": "always", "core.hooksPath": "/dev/null", "commit.gpgSign": "false"}
    count = environment.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdecimal() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (name, value) in enumerate(settings.items(), start=first):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    for who in ("AUTHOR", "COMMITTER"):
        variables |= {f"GIT_{who}_NAME": _NAME, f"GIT_{who}_EMAIL": _email(token)}
    return variables


@dataclass(frozen=True, slots=True)
class Findings:
    """What a coder did that it may not: `breaches` end the experiment, `undone` is only brought back."""

    breaches: list[str]
    undone: list[str]


@dataclass(frozen=True, slots=True)
class GitFence:
    """What git knew in the checkout at `git.directory`.

    `own` are the session's branch and ref, the branch first. `refs` are all refs, `entries` the names in the
    checkout's git directory, `files` the guarded files by the names of their copies in `copies`. Refs that somebody
    else moved in the meantime (the user, another session) are told apart by who logged the move, and left alone; the
    session's own are brought back whoever it was.
    """

    git: Git
    copies: Path
    own: tuple[str, str]
    token: str
    refs: Mapping[str, str]
    entries: tuple[str, ...]
    files: Mapping[str, str]

    @classmethod
    def around(cls, git: Git, copies: Path, own: tuple[str, str], token: str) -> GitFence:
        """Take down what is there now."""
        directory, common = _directories(git)
        files: dict[str, str] = {}
        for path in _guarded(directory, common):
            name = f"git-{len(files)}"
            shutil.copyfile(path, copies / name)
            files[os.path.relpath(path, common)] = name
        return cls(git, copies, own, token, _refs(git), _names(directory), files)

    @classmethod
    def from_json(cls, git: Git, copies: Path, data: Mapping[str, Any]) -> GitFence:
        """What `to_json` wrote."""
        branch, ref = data["own"]
        return cls(git, copies, (branch, ref), data["token"], data["refs"], tuple(data["entries"]), data["files"])

    def to_json(self) -> dict[str, Any]:
        """What was taken down, as plain JSON values."""
        return {
            "own": self.own,
            "token": self.token,
            "refs": dict(self.refs),
            "entries": self.entries,
            "files": dict(self.files),
        }

    def restore(self, aside: Path) -> Findings:
        """Bring git back to what it was; what is different now is kept, as refs or in `aside`."""
        directory, common = _directories(self.git)
        breaches = list(self._restore_files(directory, common, aside))
        undone = [*self._clear(directory, aside), *self._restore_head(), *self._restore_refs()]
        if self._put_back(directory / "index", common):
            undone.append("staged changes")
        return Findings(breaches, undone)

    # --- files

    def _restore_files(self, directory: Path, common: Path, aside: Path) -> Iterator[str]:
        now = set(_guarded(directory, common))
        before = {common / path for path in self.files}
        for path in sorted((now | before) - {directory / "index"}):
            name = os.path.relpath(path, common)
            old = (self.copies / self.files[name]).read_bytes() if name in self.files else None
            new = path.read_bytes() if path in now else None
            if new == old or (name == "info/exclude" and _only_anchored(old, new)):
                continue
            if new is not None:
                _move(path, aside / "git" / name)
            if old is not None:
                self._put_back(path, common)
            yield f".git/{name}"

    def _put_back(self, path: Path, common: Path) -> bool:
        """Write one file as it was; whether it was any different."""
        name = self.files.get(os.path.relpath(path, common))
        if name is None:
            return False
        old = self.copies / name
        if path.is_file() and not path.is_symlink() and path.read_bytes() == old.read_bytes():
            return False
        fresh = path.with_name(f"{path.name}.autoresearch-new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        remove(fresh)
        shutil.copyfile(old, fresh)
        shutil.copymode(old, fresh)
        fresh.replace(path)
        return True

    def _clear(self, directory: Path, aside: Path) -> Iterator[str]:
        """Take away what an operation of git left half-done, and the locks of a git that was killed."""
        for name in sorted(set(_names(directory)) - set(self.entries) - _PASSED_OVER):
            if name.endswith(".lock"):
                (directory / name).unlink(missing_ok=True)
                continue
            _move(directory / name, aside / "git" / name)
            yield f"an unfinished operation of git ({name})"

    # --- refs

    def _restore_head(self) -> Iterator[str]:
        branch = self.own[0]
        if self.git.ask("symbolic-ref", "--quiet", "HEAD") != branch:
            self.git.output("symbolic-ref", "HEAD", branch)
            yield "another branch checked out"

    def _restore_refs(self) -> Iterator[str]:
        now = _refs(self.git)
        for ref in sorted(self.refs.keys() | now.keys()):
            old, new = self.refs.get(ref), now.get(ref)
            if old == new or not (ref in self.own or self._is_coders(ref)):
                continue
            if new is not None:
                self.git.output("update-ref", f"{ASIDE_REFS}/{new[:16]}", new)
            if ref == _STASH:
                self._drop_stashes()
            elif old is None:
                self.git.output("update-ref", "-d", ref, new or "")
            else:
                self.git.output("update-ref", ref, old, *([new] if new else []))
            kept = f" (kept as {ASIDE_REFS}/{new[:16]})" if new else ""
            yield f"{_short(ref)} {'made' if old is None else 'moved'}{kept}"

    def _is_coders(self, ref: str) -> bool:
        """Whether the last move of a ref was logged under the coder's name."""
        return self.git.ask("log", "-g", "-1", "--format=%ce", ref, "--") == _email(self.token)

    def _drop_stashes(self) -> None:
        """Take the coder's entries off the stash, which all checkouts of a repository share."""
        while self._is_coders(_STASH):
            if len(self.git.text("log", "-g", "--format=%H", _STASH, "--").split()) == 1:
                self.git.output("update-ref", "-d", _STASH)
                return
            self.git.output("reflog", "delete", "--updateref", "--rewrite", f"{_STASH}@{{0}}")


def _directories(git: Git) -> tuple[Path, Path]:
    """The git directory of the checkout, and the one that all checkouts share."""
    directory, common = git.text("rev-parse", "--absolute-git-dir", "--git-common-dir").split("\n")
    return Path(directory), (git.directory / common).resolve()


def _guarded(directory: Path, common: Path) -> Iterator[Path]:
    """The files of git's that are compared and put back, as far as they are there."""
    candidates = [common / name for name in _GUARDED]
    candidates += [directory / "config.worktree", directory / "info/sparse-checkout", directory / "index"]
    with suppress(OSError):
        candidates += sorted((common / "hooks").rglob("*"))
    yield from (path for path in dict.fromkeys(candidates) if path.is_file() and not path.is_symlink())


def _names(directory: Path) -> tuple[str, ...]:
    return tuple(path.name for path in directory.iterdir())


def _refs(git: Git) -> dict[str, str]:
    lines = git.text("for-each-ref", "--format=%(refname) %(objectname)").split("\n")
    pairs = (line.rsplit(" ", 1) for line in lines if line)
    return {ref: commit for ref, commit in pairs if not ref.startswith(ASIDE_REFS)}


def _only_anchored(old: bytes | None, new: bytes | None) -> bool:
    """Whether lines were added only, and such as a session of this package adds when it begins."""
    before, after = (old or b"").splitlines(), (new or b"").splitlines()
    added = after[len(before) :]
    return after[: len(before)] == before and all(line.startswith(b"/") for line in added)


def _short(ref: str) -> str:
    for prefix, kind in (("refs/heads/", "branch "), ("refs/tags/", "tag "), ("refs/remotes/", "remote branch ")):
        if ref.startswith(prefix):
            return kind + ref.removeprefix(prefix)
    return "a stash entry" if ref == _STASH else ref


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def _email(token: str) -> str:
    return f"coder-{token}@localhost"
