"""A session that is to be disturbed, and what must be true of it afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.chaos import check
from tests.support import Toy, git, scores

ROOT = Path(__file__).parents[2]
BRANCH = "toy/run1"
T = TypeVar("T")

# One experiment of each kind, and one more for a run that goes on after any of them.
IDEAS = (*scores(8, 9), {"hypothesis": "crash", "content": "exit 3\n"}, *scores(7))


@dataclass(frozen=True)
class Scene:
    """What a session works on, and what it comes to where nobody disturbs it."""

    template: Path
    iterations: int
    undisturbed: Mapping[str, Any]
    points: Sequence[str]
    inside: str = "."

    def play(self, directory: Path) -> Act:
        """The same again, to be disturbed in `directory`."""
        shutil.copytree(self.template, directory, symlinks=True)
        return Act(self, existing(directory, self.inside))


@dataclass(frozen=True)
class Act:
    """One session of a scene."""

    scene: Scene
    toy: Toy

    def until(self, point: str, how: str = "kill") -> subprocess.CompletedProcess[str]:
        """Run it to its end, which may be `point`."""
        return self.toy.run(
            f"--iterations={self.scene.iterations}", *PLAIN, *WATCHED, env=watching(self.toy, point, how)
        )

    def start(self) -> subprocess.Popen[str]:
        """Begin what remains of its experiments."""
        return self.toy.start(f"--iterations={max(1, self.left())}", *PLAIN)

    def go_on(self) -> subprocess.CompletedProcess[str]:
        """Run what remains of its experiments; one that is already done is opened, and does nothing."""
        return self.toy.run(f"--iterations={max(1, self.left())}", *PLAIN)

    def left(self) -> int:
        """How many iterations remain; one of several candidates is over when all of them have their results."""
        ledger = self.toy.records / "ledger.jsonl"
        *whole, _ = ledger.read_bytes().split(b"\n") if ledger.exists() else [b""]
        over, waiting = set[int](), dict[int, int]()
        for record in map(json.loads, whole):
            number = record.get("number")
            if record["kind"] == "idea":
                waiting[number] = record.get("iteration", number)
            elif record["kind"] in ("noop", "result"):
                waiting.pop(number, None)
            if record["kind"] == "result" and number:
                over.add(record.get("iteration", number))
        return self.scene.iterations - len(over.difference(waiting.values()))

    def wrong(self) -> list[str]:
        """What is not as it must be: the invariants, the user's own work, and what the session came to."""
        found = check.violations(self.toy.directory)
        if self.mine() != check.users_things(self.scene.template):
            found.append(f"[3] something of the user's is changed: {self._changed()}")
        if not found:
            found += differences(check.summary(self.toy.directory), self.scene.undisturbed)
        return found

    def mine(self) -> Mapping[str, object]:
        """All that is the user's."""
        return check.users_things(self.toy.directory)

    def _changed(self) -> list[str]:
        before, after = check.users_things(self.scene.template), self.mine()
        return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def make_scene(
    directory: Path,
    ideas: Iterable[Mapping[str, Any]] = IDEAS,
    prepare: Callable[[Toy], object] = lambda toy: None,
    iterations: int | None = None,
    **options: Any,
) -> Scene:
    """A scene, once played undisturbed in `directory`; the user has work of every kind lying about.

    It has as many `iterations` as ideas if nothing is said. `prepare` does to the repository what makes it a special
    one.
    """
    ideas = list(ideas)
    template = Toy(directory / "template", ideas, **options)
    leave_work(template)
    prepare(template)
    undisturbed = directory / "undisturbed"
    shutil.copytree(template.directory, undisturbed, symlinks=True)
    toy, log = existing(undisturbed, template.inside), directory / "points"
    iterations = len(ideas) if iterations is None else iterations
    done = toy.run(f"--iterations={iterations}", *PLAIN, *WATCHED, env=watching(toy, log=log))
    assert done.returncode == 0, done.stdout
    wrong = check.violations(undisturbed)
    assert not wrong, wrong
    return Scene(
        template.directory, iterations, check.summary(undisturbed), log.read_text().splitlines(), template.inside
    )


WATCHED = ("-p", "tests.chaos.points")
PLAIN = ("-p", "no:cacheprovider")


def watching(toy: Toy, point: str = "", how: str = "kill", log: Path | None = None) -> dict[str, str]:
    """The environment in which points are watched."""
    settings = {"CHAOS_REPOSITORY": str(toy.directory), "CHAOS_AT": point, "CHAOS_HOW": how}
    return {"PYTHONPATH": str(ROOT), **settings, **({"CHAOS_LOG": str(log)} if log else {})}


def existing(directory: Path, inside: str = ".") -> Toy:
    """The toy that is in `directory` already."""
    toy = Toy.__new__(Toy)
    toy.directory, toy.inside, toy.prefix = directory, inside, "toy"
    return toy


def leave_work(toy: Toy) -> None:
    """Work of the user's that no run may touch: changed, staged, untracked, ignored, stashed, a branch, a hook."""
    toy.write("notes.txt", "first\n")
    toy.write("staged.txt", "first\n")
    toy.write(".gitignore", "*.secret\n")
    toy.commit("more files")
    git(toy.directory, "branch", "mine", "HEAD~1")
    git(toy.directory, "tag", "v1")
    toy.write("notes.txt", "stashed\n")
    git(toy.directory, "stash")
    toy.write("notes.txt", "changed\n")
    toy.write("staged.txt", "changed\n")
    git(toy.project, "add", "staged.txt")
    toy.write("untracked/file.txt", "untracked\n")
    toy.write("my.secret", "ignored\n")
    hook = toy.directory / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Where two summaries differ."""
    return [
        f"[2] {name} is {found[name]}, and undisturbed {wanted[name]}"
        for name in wanted
        if found[name] != wanted[name]
    ]


def side_by_side(work: Callable[[T], list[str]], cases: Iterable[T], at_once: int | None = None) -> list[str]:
    """What `work` finds wrong, all cases together; as many at once as there are processors, or `at_once`."""
    with ThreadPoolExecutor(at_once or os.cpu_count() or 1) as pool:
        return [wrong for found in pool.map(work, cases) for wrong in found]


def died(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a run was killed as it should be."""
    return done.returncode == -signal.SIGKILL
