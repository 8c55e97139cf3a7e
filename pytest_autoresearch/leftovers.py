"""What a run leaves in the checkout, and the next one must not find."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.asides import drop_if_empty, new_aside
from pytest_autoresearch.files import replace_text, replacing_directory
from pytest_autoresearch.snapshot import Difference, Snapshot, Type, move
from pytest_autoresearch.workspace import OWN, Workspace

_STATE, _RUNNING = "state.json", "running"
_LINK = ".git"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Left:
    """Paths of the checkout that were not as they had been.

    What a run has left is put `aside`; what somebody has done before it stays as it is, and `aside` is None.
    """

    paths: tuple[str, ...]
    aside: Path | None

    @property
    def in_words(self) -> str:
        """The first of them."""
        more = len(self.paths) - _SHOWN
        return ", ".join(self.paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


class Leftovers:
    """Has each run find the checkout as the first one left it, its caches included, but for the mutable file.

    What is new or changed after a later run is put aside, and is made what it was. `artifacts` and `views` are not
    touched: each run finds them anew. What somebody else does between two runs is taken over; it is not looked for
    while we are `alone`. The reference is in the directory `place` and outlives a kill. Things are put aside in the
    checkout of `aside_of`, if that is another one.
    """

    def __init__(
        self,
        workspace: Workspace,
        place: Path,
        artifacts: Iterable[str],
        views: Iterable[str],
        *,
        alone: bool = False,
        aside_of: Workspace | None = None,
    ) -> None:
        self._workspace = workspace
        self._aside_of = aside_of or workspace
        self._place = place
        self._alone = alone
        self._is_first = self._is_sure = False
        inside = workspace.project.relative_to(workspace.checkout)
        self._left_out = {OWN, str(inside / OWN), workspace.path}
        self._left_out |= {os.path.normpath(inside / name) for name in artifacts}
        self._views = tuple(str(inside / name) for name in views)
        self._compiled = f"{Path(workspace.path).with_name('__pycache__') / workspace.mutable.stem}."
        self._snapshot = self._load() if (place / _STATE).exists() else None

    @property
    def is_interrupted(self) -> bool:
        """Whether we were killed in a run, which then has left whatever is there."""
        return (self._place / _RUNNING).exists()

    def before_run(self) -> Left | None:
        """Take over what somebody has done since the last run."""
        left = None
        if self._snapshot is None:
            self._is_first = True
            self.take_down()
        elif not self._is_sure and (found := self._snapshot.differences()):
            left = _left(found, None)
            self.take_down()
        (self._place / _RUNNING).touch()
        return left

    def after_run(self, *, broken: bool) -> Left | None:
        """Deal with what it has left; a first one that has `broken` the contract leaves nothing either."""
        self._is_sure = self._alone
        if self._is_first and not broken:
            self._is_first = False
            self.take_down()
            return None
        return self.clear()

    def know(self, *, anew: bool) -> None:
        """Have a reference before the first run; `anew` if that is still to come, and the next one is it."""
        if anew:
            shutil.rmtree(self._place, ignore_errors=True)
            self._snapshot = None
        elif self._snapshot is None:
            self.take_down()

    def take_down(self) -> None:
        """Make what is there now the reference."""
        with replacing_directory(self._place) as fresh:
            snapshot = self._of(fresh)
            snapshot.survey()
            replace_text(fresh / _STATE, json.dumps(snapshot.state()))
        self._snapshot = self._load()

    def clear(self) -> Left | None:
        """Make the checkout what it was; what was not, None if all was. Without a reference nothing is done."""
        if self._snapshot is None:
            return None
        left = None
        if found := self._snapshot.differences():
            aside = new_aside(self._aside_of, "run", slim=True)
            for path in self._snapshot.undo(found, aside):
                self._give_up(self._snapshot, path, aside)
            drop_if_empty(aside)
            left = _left(found, aside)
        (self._place / _RUNNING).unlink(missing_ok=True)
        return left

    def _give_up(self, snapshot: Snapshot, path: str, aside: Path) -> None:
        """Have nothing there at all rather than what a candidate left."""
        snapshot.forget(path)
        if os.path.lexists(self._workspace.checkout / path):
            move(self._workspace.checkout / path, aside / path)

    def _load(self) -> Snapshot:
        """The reference on disk; but the checkout's link to its repository is right as it is, which git may mend."""
        snapshot = self._of(self._place)
        snapshot.load(json.loads((self._place / _STATE).read_text()))
        if (self._workspace.checkout / _LINK).is_file():
            snapshot.retake(_LINK)
        return snapshot

    def _of(self, place: Path) -> Snapshot:
        return Snapshot(self._workspace.checkout, self._includes, place / "files", self._workspace.git)

    def _includes(self, path: str, kind: Type) -> bool:
        if path in self._left_out:
            return False
        if path.startswith(self._views):
            rest = next(path.removeprefix(view) for view in self._views if path.startswith(view))
            return "/" in rest or (kind == "directory" and rest in ("", ".new"))
        return not (kind == "file" and path.startswith(self._compiled))


def _left(found: list[Difference], aside: Path | None) -> Left | None:
    """What is worth a word: neither a directory nor compiled Python."""
    paths = tuple(one.path for one in found if one.kind != "directory" and not one.path.endswith(".pyc"))
    return Left(paths, aside) if paths else None
