"""The refs of a repository before a coder was there, and how those that it moved are brought back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_autoresearch.coders.fence_traces import Traces
from pytest_autoresearch.git import Git, GitError

ASIDE_REFS = "refs/autoresearch-aside"
_STASH = "refs/stash"
_OF_ONE_CHECKOUT = ("refs/bisect/", "refs/rewritten/", "refs/worktree/")
_KINDS = {"refs/heads/": "branch ", "refs/tags/": "tag ", "refs/remotes/": "remote branch "}


class RefFence:
    """Around all refs, the stash, and the HEADs of the repository's checkouts, which are the files `heads`.

    What somebody else moved in the meantime (the user, another session) is told apart by who logged the move, or by
    whether the coder ever named a ref that is gone, and left alone; `own`, the session's own, are brought back whoever
    it was.
    """

    def __init__(self, git: Git, own: Collection[str], traces: Traces, heads: Collection[Path]) -> None:
        self._git = git
        self._own = own
        self._traces = traces
        self._files = heads
        self._refs: dict[str, str] = {}
        self._stash: list[list[str]] = []
        self._heads: dict[str, str] = {}

    def survey(self) -> None:
        """Take down what is there now."""
        self._refs = _refs(self._git)
        self._stash = [[commit, message] for commit, message, _ in _stash(self._git)]
        self._heads = {str(head): _read(head) for head in self._files if head.is_file()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self._refs, self._stash, self._heads = state["refs"], state["stash"], state["heads"]

    def state(self) -> dict[str, Any]:
        """What was taken down, as plain JSON values."""
        return {"refs": self._refs, "stash": self._stash, "heads": self._heads}

    def restore(self) -> Iterator[str]:
        """Bring back what the coder moved, with what it made kept as refs; says what was done."""
        now = _refs(self._git)
        moved = {ref for ref in {*self._refs, *now} - {_STASH} if self._refs.get(ref) != now.get(ref)}
        coders = {ref for ref in moved if self._is_own(ref) or self._is_coders(ref, now)}
        # a branch a/b that is new stands in the way of the branch a that was there
        for ref in sorted(coders, key=lambda ref: (ref in self._refs, ref)):
            yield self._bring_back(ref, now.get(ref))
        self._restore_heads(coders - self._refs.keys())
        yield from self._drop_stashes()
        yield from self._store_stashes()

    def keep(self, commit: str) -> str:
        """Keep a commit from being forgotten; the ref that does."""
        ref = f"{ASIDE_REFS}/{commit[:16]}"
        self._git.output("update-ref", ref, commit)
        return ref

    def _is_own(self, ref: str) -> bool:
        return ref in self._own or ref.startswith(_OF_ONE_CHECKOUT)

    def _is_coders(self, ref: str, now: Mapping[str, str]) -> bool:
        """Whether the coder logged the last move of a ref, signed the tag that it is, or named it if it is gone."""
        if ref not in now:
            return self._traces.named(ref)
        tagger = self._git.ask("for-each-ref", "--format=%(taggeremail:trim)", ref)
        mover = self._git.ask("log", "-g", "-1", "--format=%ge", ref, "--")
        return self._traces.email in (tagger, mover)

    def _bring_back(self, ref: str, new: str | None) -> str:
        old = self._refs.get(ref)
        what = f"{_named(ref)} {'made' if old is None else 'moved' if new else 'deleted'}"
        order = ["-d", ref] if old is None else [ref, old]
        try:
            kept = f" (kept as {self.keep(new)})" if new else ""
            self._git.output("update-ref", "--no-deref", *order, *([new] if new else []))
        except GitError as error:
            return f"{what}, which cannot be undone: {error.said}"
        return f"{what}{kept}"

    def _restore_heads(self, made: set[str]) -> None:
        """Other checkouts that git took along to a branch that is gone again."""
        for path, old in self._heads.items():
            head = Path(path)
            if head.is_file() and _read(head).removeprefix("ref: ").strip() in made:
                head.write_text(old, errors="surrogateescape")

    def _drop_stashes(self) -> Iterator[str]:
        """Take the coder's entries off the stash, which all checkouts of a repository share."""
        entries = _stash(self._git)
        for number in reversed(range(len(entries))):
            commit, _, email = entries[number]
            if email == self._traces.email and commit not in {known for known, _ in self._stash}:
                kept = self.keep(commit)
                self._git.ask("stash", "drop", "--quiet", f"stash@{{{number}}}")
                yield f"a stash entry made (kept as {kept})"

    def _store_stashes(self) -> Iterator[str]:
        """Bring back the entries that it took off, the newest on top."""
        if not self._traces.ended_stashes():
            return
        there = {commit for commit, _, _ in _stash(self._git)}
        for commit, message in reversed(self._stash):
            if commit not in there:
                stored = self._git.ask("stash", "store", "--message", message, commit) is not None
                yield f"a stash entry dropped{'' if stored else ', which cannot be undone'}: {message}"


def _refs(git: Git) -> dict[str, str]:
    """Each ref and the object that it names, but for symbolic ones and what we put aside."""
    lines = git.text("for-each-ref", "--format=%(refname) %(objectname) %(symref)").split("\n")
    fields = (line.split(" ") for line in lines if line)
    return {ref: name for ref, name, symbolic in fields if not symbolic and not ref.startswith(f"{ASIDE_REFS}/")}


def _stash(git: Git) -> list[list[str]]:
    """The commit, the message and who made it of each entry of the stash, the newest first."""
    listed = git.ask("log", "-g", "--format=%H%x00%gs%x00%ge", _STASH, "--")
    return [line.split("\0") for line in (listed or "").split("\n") if line]


def _read(head: Path) -> str:
    return head.read_text(errors="surrogateescape")


def _named(ref: str) -> str:
    return next((kind + ref.removeprefix(prefix) for prefix, kind in _KINDS.items() if ref.startswith(prefix)), ref)
