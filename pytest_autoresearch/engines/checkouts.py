"""Where the checkouts of slots are, and how they are taken away, those of a run that was killed included."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_autoresearch.checkout import worktrees_to_ourselves
from pytest_autoresearch.git import Git
from pytest_autoresearch.place import CHECKOUTS, Place

_SLOT = ".slot"


def slot_checkout(place: Place, number: int) -> Path:
    """Where a slot's checkout may be: as deep as the session's own, so that relative links lead where they did."""
    return place.worktree.with_name(f"{place.worktree.name}{_SLOT}{number}")


def slot_records(records: Path) -> Path:
    """What is known of the slots of a session; while this is there, checkouts of theirs may be there."""
    return records / "slots"


def remove_slots(place: Place, records: Path) -> None:
    """Take away the slots of this session, whatever a run that was killed left of them."""
    beginning = slot_checkout(place, 0).name.removesuffix("0")
    git = Git(place.home)
    with worktrees_to_ourselves(place):
        for path, branch in git.worktrees():
            name = path.name
            ours = path.parent == place.home / CHECKOUTS and name.startswith(beginning) and not branch
            if ours and name.removeprefix(beginning).isdigit():
                shutil.rmtree(path, ignore_errors=True)  # git refuses what it was killed over
                git.ask("worktree", "remove", "--force", "--force", str(path))
    shutil.rmtree(slot_records(records), ignore_errors=True)
