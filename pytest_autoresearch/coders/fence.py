"""A fence around a coder: what it may not touch is taken down before, compared afterwards, and put back.

It lasts until it is taken down: after a kill the next start finds it and puts back what the coder left behind.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path

from pytest_autoresearch.coders.fence_files import FileFence
from pytest_autoresearch.coders.fence_git import Findings, GitFence, coder_identity
from pytest_autoresearch.workspace import OWN, Workspace

_STATE = "state.json"
_ASIDES = 20


class Fence:
    """The fence around the checkout of `workspace`; what has to outlive a kill is in the directory `place`."""

    def __init__(self, workspace: Workspace, place: Path, files: FileFence, git: GitFence) -> None:
        self._workspace = workspace
        self._place = place
        self._files = files
        self._git = git

    @classmethod
    def put_up(cls, workspace: Workspace, records: Path) -> Fence:
        """A fence around what is there now, with its state on disk."""
        place, fresh = _place(records), _place(records).with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        files = FileFence.around(workspace.git, workspace.tip, fresh)
        own = (f"refs/heads/{workspace.branch}", workspace.ref)
        git = GitFence.around(workspace.git, fresh, own, uuid.uuid4().hex[:12])
        (fresh / _STATE).write_text(json.dumps({"files": files.to_json(), "git": git.to_json()}))
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
        return cls._standing(workspace, place)

    @classmethod
    def left_standing(cls, workspace: Workspace, records: Path) -> Fence | None:
        """The fence of a coder that was interrupted together with us, None if there was none."""
        place = _place(records)
        return cls._standing(workspace, place) if (place / _STATE).exists() else None

    @classmethod
    def _standing(cls, workspace: Workspace, place: Path) -> Fence:
        state = json.loads((place / _STATE).read_text())
        files = FileFence.from_json(workspace.git, place, state["files"])
        return cls(workspace, place, files, GitFence.from_json(workspace.git, place, state["git"]))

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What the coder's environment needs, for its traces in git to be told apart."""
        return coder_identity(self._git.token, environment)

    def restore(self, readonly: Collection[str] = ()) -> Findings:
        """Put back everything but the mutable file; what the coder left there is kept in our own directory.

        What running the code leaves is no breach: files that git ignores, unless they are `readonly`, and compiled
        Python.
        """
        aside = self._aside()
        git = self._git.restore(aside)
        found = self._files.differences(but=self._workspace.path)
        old = [one for one in found if one.kind != "new"]
        lost = {one.path for one in old if not self._files.undo(one, aside)}
        by_products = self._by_products([one.path for one in found]) - set(readonly)
        for new in (one for one in found if one.kind == "new"):
            self._files.undo(new, aside)
        self._files.remove_empty_directories()
        if not any(aside.iterdir()):
            aside.rmdir()
        breaches = [one.path for one in found if one.path not in by_products]
        return Findings([*git.breaches, *(_named(path, path in lost) for path in breaches)], git.undone)

    def take_down(self) -> None:
        """The coder is gone, and everything is in its place."""
        shutil.rmtree(self._place, ignore_errors=True)

    def _by_products(self, paths: list[str]) -> set[str]:
        """Those of the paths that git ignores, and compiled Python."""
        compiled = {path for path in paths if path.endswith(".pyc")}
        if not paths:
            return compiled
        asked = "\0".join(paths).encode(errors="surrogateescape")
        ignored = self._workspace.git.matching("check-ignore", "-z", "--stdin", stdin=asked)
        return compiled | set(ignored)

    def _aside(self) -> Path:
        """A new directory for what is put aside; the oldest of twenty gives way."""
        aside = self._workspace.project / OWN / "aside"
        aside.mkdir(parents=True, exist_ok=True)
        kept = sorted(aside.glob("*-coder"))
        for old in kept[: len(kept) - _ASIDES + 1]:
            shutil.rmtree(old, ignore_errors=True)
        number = int(kept[-1].name.split("-")[0]) + 1 if kept else 0
        place = aside / f"{number:04}-coder"
        place.mkdir()
        return place


def _named(path: str, lost: bool) -> str:
    return f"{path} (which cannot be put back)" if lost else path


def _place(records: Path) -> Path:
    return records / "coding"
