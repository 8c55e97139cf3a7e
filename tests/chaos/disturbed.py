"""A session that has run, is disturbed by its user, and is run again."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.chaos import check
from tests.chaos.scene import BRANCH, PLAIN, Act, Scene, differences
from tests.support import clean_environment, git

_WHO = {"GIT_AUTHOR_NAME": "U", "GIT_AUTHOR_EMAIL": "u@example.org"}
_IDENTITY = {**_WHO, "GIT_COMMITTER_NAME": "U", "GIT_COMMITTER_EMAIL": "u@example.org"}


def begun(scene: Scene, directory: Path, experiments: int = 2) -> Act:
    """The scene's session after its first experiments."""
    act = scene.play(directory)
    done = act.toy.run(f"--iterations={experiments}", *PLAIN)
    assert done.returncode == 0, done.stdout
    return act


def shell(act: Act, command: str) -> str:
    """What a user's command prints, given at the top of the repository."""
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=act.toy.directory,
        env=clean_environment(_IDENTITY),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(act: Act) -> str:
    """What a run says that does not go on: no traceback, and nothing of the user's is touched."""
    before = act.mine()
    done = act.go_on()
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert act.mine() == before
    return done.stdout


def between(text: str, start: str, end: str) -> str:
    """What stands between two phrases of a message: a command, for one."""
    found = re.search(f"{re.escape(start)}(.*?){re.escape(end)}", text, re.DOTALL)
    assert found, text
    return found[1]


def wrong_since(act: Act, before: Mapping[str, object]) -> list[str]:
    """What is not as it must be now that the session has gone on by itself, the user's things being `before`."""
    after = act.mine()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [
        *check.violations(act.toy.directory),
        *(f"[3] {name} is changed" for name in changed),
        *differences(check.summary(act.toy.directory), act.scene.undisturbed),
    ]


def refused_and_moved_back(act: Act) -> str:
    """What a run says of a branch that it leaves where it is; the next one goes on after the command that it names."""
    tip = git(act.toy.directory, "rev-parse", f"refs/heads/{BRANCH}")
    said = refused(act)
    assert git(act.toy.directory, "rev-parse", f"refs/heads/{BRANCH}") == tip
    shell(act, between(said, "To go on from the ledger: ", ". To go on from the branch"))
    goes_on(act)
    return said


def goes_on(act: Act) -> str:
    """What a run says that goes on to the end, with the session and the user's things as they must be."""
    before = act.mine()
    done = act.go_on()
    assert done.returncode == 0, done.stdout
    wrong = wrong_since(act, before)
    assert not wrong, wrong
    return done.stdout


def everything(directory: Path) -> Mapping[str, bytes]:
    """Every file of a repository, but for who looked at it last."""
    found = {}
    for top, _, names in os.walk(directory):
        for name in names:
            path = Path(top) / name
            if name not in ("holder.json", "lock") and not path.is_symlink():
                found[str(path)] = path.read_bytes()
    return found
