"""A fence around a coder: what it may not touch is taken down before, compared afterwards, and put back.

It lasts until it is taken down: after a kill the next start finds it and puts back what the coder left behind.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path

from pytest_autoresearch.asides import drop_if_empty, new_aside
from pytest_autoresearch.coders.fence_git import Findings, GitFence
from pytest_autoresearch.coders.fence_traces import Traces
from pytest_autoresearch.files import replacing_directory
from pytest_autoresearch.git import GitError
from pytest_autoresearch.snapshot import Difference, Snapshot, Type
from pytest_autoresearch.text import one_line
from pytest_autoresearch.workspace import OWN, Workspace

_STATE = "state.json"
_WHOSE = "coder"
_SHOWN = 300


class Fence:
    """The fence around the checkout of `workspace`; what has to outlive a kill is in the directory `place`."""

    def __init__(self, workspace: Workspace, place: Path, token: str) -> None:
        self._workspace = workspace
        self._place = place
        self._traces = Traces(token, place / "trace")
        inside = workspace.project.relative_to(workspace.checkout)
        self._left_out = {".git", OWN, str(inside / OWN), workspace.path}
        own = (f"refs/heads/{workspace.branch}", workspace.ref)
        self._git = GitFence(workspace.git, own, self._traces, place)
        self._files = Snapshot(workspace.checkout, self._includes, place / "files", workspace.git)

    @classmethod
    def put_up(cls, workspace: Workspace, records: Path) -> Fence:
        """A fence around what is there now, with its state on disk; one that still stands is dealt with first."""
        if left := cls.left_standing(workspace, records):
            left.restore()
            left.take_down()
        place = _place(records)
        with replacing_directory(place) as fresh:
            cls(workspace, fresh, uuid.uuid4().hex[:12])._survey()
        return cls._standing(workspace, place)

    @staticmethod
    def stands(records: Path) -> bool:
        """Whether there is the fence of a coder that was interrupted together with us."""
        return (_place(records) / _STATE).exists()

    @classmethod
    def left_standing(cls, workspace: Workspace, records: Path) -> Fence | None:
        """The fence of a coder that was interrupted together with us, None if there was none."""
        return cls._standing(workspace, _place(records)) if cls.stands(records) else None

    @classmethod
    def _standing(cls, workspace: Workspace, place: Path) -> Fence:
        state = json.loads((place / _STATE).read_text())
        fence = cls(workspace, place, state["token"])
        fence._files.load(state["files"])
        fence._git.load(state["git"])
        return fence

    def _survey(self) -> None:
        self._files.survey()
        self._git.survey()
        state = {"token": self._traces.token, "files": self._files.state(), "git": self._git.state()}
        (self._place / _STATE).write_text(json.dumps(state))

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What the coder's environment needs, for its traces in git to be told apart."""
        return self._traces.variables(environment)

    def restore(self, readonly: Collection[str] = ()) -> Findings:
        """Put back everything but the mutable file; what the coder left there is kept in our own directory.

        What running the code leaves is no breach: files that git ignores, unless they are `readonly`, and compiled
        Python.
        """
        aside = new_aside(self._workspace, _WHOSE)
        git = self._git.restore(aside / "git")
        found = self._files.differences()
        lost = self._files.undo(found, aside / "files")
        drop_if_empty(aside)
        by_products = self._by_products(found) - set(readonly)
        breaches = [one.path for one in found if one.kind != "directory" and one.path not in by_products]
        named = [f"{path} (which cannot be put back)" if path in lost else path for path in breaches]
        return Findings(_shown([*git.breaches, *named]), _shown(git.undone), _shown(sorted(by_products & lost)))

    def take_down(self) -> None:
        """The coder is gone, and everything is in its place."""
        shutil.rmtree(self._place, ignore_errors=True)

    def _includes(self, path: str, _: Type) -> bool:
        return path not in self._left_out

    def _by_products(self, found: list[Difference]) -> set[str]:
        """Those of the paths that git ignores, and compiled Python."""
        paths = [one.path for one in found]
        compiled = {path for path in paths if path.endswith(".pyc")}
        asked, git = "\0".join(paths).encode(errors="surrogateescape"), self._workspace.git
        if not asked:
            return compiled
        try:
            # with the index git would say nothing at all of what is in a submodule
            ignored = {*git.matching("check-ignore", "--no-index", "-z", "--stdin", stdin=asked)}
        except GitError:
            return compiled
        return compiled | (ignored - {*git.listed("ls-files", "-z")} if ignored else ignored)


def _shown(texts: list[str]) -> list[str]:
    return [one_line(text, _SHOWN) for text in texts]


def _place(records: Path) -> Path:
    return records / "coding"
