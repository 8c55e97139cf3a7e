"""Limits on open files and processes, and directories that cannot be written: said clearly, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.machine import (
    LOOP,
    as_somebody,
    frozen,
    give_to_somebody,
    home_of_somebody,
    limited,
    needs_root,
    run_limited,
    unclear,
)
from tests.chaos.scene import Act, Scene, side_by_side

FILES = "Too many open files"
PROCESSES = "Resource temporarily unavailable"
FROZEN = ("Read-only file system", "Permission denied")


@pytest.fixture
def home() -> Iterator[Path]:
    with home_of_somebody() as directory:
        yield directory


def pytest_starts(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether pytest and its plugins, this one too, had what they need to list a problem."""
    return "collected 13 items" in done.stdout


def goes_on(act: Act) -> list[str]:
    """What is wrong after one more run, which has everything it needs."""
    act.go_on()
    return act.wrong()


def few_files(scene: Scene, directory: Path, limit: int) -> list[str]:
    """What is wrong with a run that may open `limit` files, and with the next one."""
    act = scene.play(directory)
    done = run_limited(act.toy, f"-n {limit}", scene.iterations)
    wrong = unclear(done, FILES) if act.left() and pytest_starts(done) else []
    return [f"{limit} files: {one}" for one in [*wrong, *goes_on(act)]]


def test_a_limit_on_open_files_is_said_and_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    limits = (25, 24, 22, 17)
    assert side_by_side(lambda limit: few_files(scene, tmp_path / str(limit), limit), limits) == []


@pytest.mark.soak
def test_every_limit_on_open_files_is_said_and_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    assert side_by_side(lambda limit: few_files(scene, tmp_path / str(limit), limit), range(3, 45)) == []


@needs_root
def test_a_limit_on_processes_is_said_and_loses_nothing(scene: Scene, home: Path) -> None:
    """One more process at a time: pytest and a clock of its own, then git, then what git starts."""
    wrong = []
    for limit in range(2, 5):
        act = borrowed(scene, home / str(limit))
        command = [*LOOP, f"--iterations={scene.iterations}"]
        done = as_somebody(limited(f"-u {limit}", command), act.toy.project)
        wrong += unclear(done, PROCESSES) if act.left() and pytest_starts(done) else []
        as_somebody([*LOOP, f"--iterations={max(1, act.left())}"], act.toy.project)
        give_back(act.toy.directory)
        wrong += [f"{limit} processes: {one}" for one in act.wrong()]
    assert wrong == []


def borrowed(scene: Scene, directory: Path) -> Act:
    """The scene in a directory that is all somebody else's."""
    act = scene.play(directory)
    give_to_somebody(directory)
    return act


def the_checkouts(repository: Path) -> Path:
    return repository / ".autoresearch"


def the_records(repository: Path) -> Path:
    return repository / ".git" / "autoresearch"


def our_directory_in_the_checkout(repository: Path) -> Path:
    return repository / ".autoresearch" / "toy-run1" / ".autoresearch"


PLACES = (the_checkouts, the_records, our_directory_in_the_checkout)


@needs_root
@pytest.mark.parametrize("place", PLACES)
def test_a_read_only_directory_is_named_and_nothing_is_lost(
    scene: Scene, tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    act = scene.play(tmp_path / "repository")
    begun = act.toy.run("--iterations=2", "-p", "no:cacheprovider")
    assert begun.returncode == 0, begun.stdout
    with frozen(place(act.toy.directory)):
        done = act.go_on()
        assert unclear(done, *FROZEN) == []
        assert str(place(act.toy.directory)) in done.stdout
    assert goes_on(act) == []


@needs_root
def test_a_directory_of_another_users_is_named_and_nothing_is_lost(scene: Scene, home: Path) -> None:
    act = borrowed(scene, home / "repository")
    command = [*LOOP, "--iterations=1"]
    for place in (the_records, the_checkouts):
        directory = place(act.toy.directory)
        directory.mkdir()
        directory.chmod(0o755)
        done = as_somebody(command, act.toy.project)
        assert unclear(done, *FROZEN) == []
        assert str(directory) in done.stdout
        give_to_somebody(directory)
    done = as_somebody([*LOOP, f"--iterations={scene.iterations}"], act.toy.project)
    assert done.returncode == 0, done.stdout
    give_back(act.toy.directory)
    assert act.wrong() == []


def give_back(directory: Path) -> None:
    """Let everything in `directory` be ours again, so that git trusts it."""
    subprocess.run(["chown", "-R", f"{os.getuid()}:{os.getgid()}", str(directory)], check=True)
