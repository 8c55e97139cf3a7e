"""What git knew before a coder was there, configuration, hooks, HEAD, index and refs, and how it is brought back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_autoresearch.coders.fence_refs import RefFence
from pytest_autoresearch.coders.fence_traces import Traces
from pytest_autoresearch.git import Git, GitError
from pytest_autoresearch.snapshot import Difference, Snapshot, move

# In the directory that all checkouts of a repository share, and in the checkout's own.
_SHARED = frozenset({"config", "config.worktree", "hooks", "info", "info/attributes", "info/exclude", "info/grafts"})
_OWN = frozenset({"HEAD", "index", "commondir", "gitdir", "config.worktree", "info", "info/sparse-checkout"})
# What may appear in the latter without meaning anything: traces of git's use, and what is looked at by itself.
_PASSED_OVER = _OWN | {
    *("COMMIT_EDITMSG", "FETCH_HEAD", "ORIG_HEAD", "AUTO_MERGE", "gc.log", "gc.pid", "objects", "logs", "refs"),
    *("packed-refs", "rr-cache", "worktrees", "autoresearch", "hooks", "branches", "description", "config"),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a coder did that it may not: `breaches` end the experiment, `undone` is only brought back.

    `lost` is what it changed in files that git ignores, which is no breach, and that nobody can bring back.
    """

    breaches: list[str]
    undone: list[str]
    lost: list[str]


class GitFence:
    """Around what git keeps of the checkout at `git.directory`, whose branch and ref are `own`, the branch first."""

    def __init__(self, git: Git, own: tuple[str, str], traces: Traces, copies: Path) -> None:
        self._git = git
        self._own = own
        self._traces = traces
        self._directory, self._common = _directories(git)
        self._link = None if self._directory == self._common else (git.directory / ".git").read_bytes()
        self._shared_files = Snapshot(self._common, lambda path, _: _is_shared(path), copies / "shared", None)
        self._own_files = Snapshot(self._directory, lambda path, _: path in _OWN, copies / "own", None)
        self._refs = RefFence(git, own, traces, [self._common / "HEAD", *self._common.glob("worktrees/*/HEAD")])
        self._entries: frozenset[str] = frozenset()
        self._staged: str | None = None

    def survey(self) -> None:
        """Take down what is there now."""
        self._shared_files.survey()
        self._own_files.survey()
        self._refs.survey()
        self._entries = _names(self._directory)
        self._staged = _staged(self._git)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self._shared_files.load(state["shared"])
        self._own_files.load(state["own"])
        self._refs.load(state["refs"])
        self._entries, self._staged = frozenset(state["entries"]), state["staged"]

    def state(self) -> dict[str, Any]:
        """What was taken down, as plain JSON values."""
        return {
            "shared": self._shared_files.state(),
            "own": self._own_files.state(),
            "refs": self._refs.state(),
            "entries": sorted(self._entries),
            "staged": self._staged,
        }

    def restore(self, aside: Path) -> Findings:
        """Bring git back to what it was; what is different now is kept, as refs or in `aside`.

        The files come first: git says nothing at all if one of them is wrong.
        """
        breaches = [*self._restore_link(aside), *self._restore_shared(aside), *self._restore_own(aside)]
        undone = [*self._clear(aside), *self._restore_head(aside), *self._restore_index(aside), *self._refs.restore()]
        return Findings(breaches, undone, [])

    def _restore_link(self, aside: Path) -> Iterator[str]:
        """The file by which a checkout knows its repository."""
        link = self._git.directory / ".git"
        if self._link is None or (link.is_file() and not link.is_symlink() and link.read_bytes() == self._link):
            return
        if os.path.lexists(link):
            move(link, aside / "link")
        link.write_bytes(self._link)
        yield ".git"

    def _restore_shared(self, aside: Path) -> Iterator[str]:
        found = [one for one in self._shared_files.differences() if not self._is_anothers(one.path)]
        self._shared_files.undo(found, aside)
        yield from (f".git/{one.path}" for one in found)

    def _is_anothers(self, name: str) -> bool:
        """Whether a file is different in a way in which others change it at any time.

        A session that begins adds anchored lines to `info/exclude`, a user's `git push -u` an upstream to `config`.
        """
        file, old = self._common / name, self._shared_files.copy_of(name)
        if old is None or file.is_symlink() or not file.is_file():
            return False
        if name == "info/exclude":
            return _only_anchored(old.read_bytes(), file.read_bytes())
        return name == "config" and self._settings(old) == self._settings(file)

    def _settings(self, file: Path) -> list[str]:
        """What a configuration file sets, but for what may be the user's."""
        try:
            listed = self._git.listed("config", "--file", str(file), "--no-includes", "--list", "-z")
        except GitError:
            return [file.read_text(errors="replace")]
        return [setting for setting in listed if not self._is_users(setting)]

    def _is_users(self, setting: str) -> bool:
        """Whether a setting is of a branch that is neither ours nor was ever named by the coder."""
        key, _, _ = setting.partition("\n")
        branch = f"refs/heads/{key.removeprefix('branch.').rpartition('.')[0]}"
        return key.startswith("branch.") and branch != self._own[0] and not self._traces.named(branch)

    def _clear(self, aside: Path) -> Iterator[str]:
        """Take away what an operation of git left half-done, and the locks of a git that was killed."""
        for ref in self._own:
            (self._common / f"{ref}.lock").unlink(missing_ok=True)
        left = []
        for name in sorted(_names(self._directory) - self._entries - _PASSED_OVER):
            if name.endswith(".lock"):
                (self._directory / name).unlink(missing_ok=True)
            elif not name.startswith("sharedindex."):
                move(self._directory / name, aside / name)
                left.append(name)
        if left:
            yield f"an unfinished operation of git ({', '.join(left)})"

    def _restore_head(self, aside: Path) -> Iterator[str]:
        branch = self._own[0]
        now = self._git.ask("symbolic-ref", "--quiet", "HEAD")
        if now == branch:
            return
        commit = None if now else self._git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        kept = f" (kept as {self._refs.keep(commit)})" if commit else ""
        self._own_files.undo(self._different("HEAD"), aside)
        if self._git.ask("symbolic-ref", "--quiet", "HEAD") != branch:
            self._git.output("symbolic-ref", "HEAD", branch)
        yield f"another branch checked out{kept}"

    def _restore_index(self, aside: Path) -> Iterator[str]:
        """Bring back the index, to the last bit; with the same entries, git only looked at the files again."""
        different = self._different("index")
        same = _staged(self._git) == self._staged
        if different and same:
            (self._directory / "index").unlink(missing_ok=True)
        self._own_files.undo(different, aside)
        if different and not same:
            yield "staged changes"

    def _restore_own(self, aside: Path) -> Iterator[str]:
        found = self._different(*(_OWN - {"HEAD", "index"}))
        self._own_files.undo(found, aside)
        yield from (f".git/{one.path}" for one in found)

    def _different(self, *names: str) -> list[Difference]:
        return [one for one in self._own_files.differences() if one.path in names]


def _is_shared(path: str) -> bool:
    return path in _SHARED or path.startswith("hooks/")


def _directories(git: Git) -> tuple[Path, Path]:
    """The git directory of the checkout, and the one that all checkouts share."""
    directory, common = git.text("rev-parse", "--absolute-git-dir", "--git-common-dir").split("\n")
    return Path(directory).resolve(), (git.directory / common).resolve()


def _names(directory: Path) -> frozenset[str]:
    return frozenset(path.name for path in directory.iterdir()) if directory.is_dir() else frozenset()


def _staged(git: Git) -> str | None:
    """What tells the entries of one index from those of another; None if git cannot read it."""
    try:
        return hashlib.sha256(git.output("ls-files", "--stage", "-z")).hexdigest()
    except GitError:
        return None


def _only_anchored(old: bytes, new: bytes) -> bool:
    """Whether lines were added only, and such as a session of this package adds when it begins."""
    before, after = old.splitlines(), new.splitlines()
    added = after[len(before) :]
    return after[: len(before)] == before and all(line.startswith(b"/") for line in added)
