"""A disk that fills up at each point of a run: the run says so and ends; with room again it goes on."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.chaos.machine import in_a_namespace, needs_root, small_disk, unclear
from tests.chaos.points import FILLER, anywhere, fill
from tests.chaos.scene import Scene, make_scene, side_by_side
from tests.chaos.test_every_step import TWO
from tests.support import COMMAND, clean_environment

FULL = ("No space left on device", "Out of diskspace", "MiB are free on the disk")
# Just before, or halfway through, what takes room; the numbers of experiments apart, each is there once.
_WRITES = re.compile(r"half of (record|\.)|before git")


def one_of_each(points: Iterable[str]) -> list[str]:
    """The first point of each kind at which something is written."""
    first: dict[str, str] = {}
    for point in points:
        if _WRITES.match(point.split("\t")[1]):
            first.setdefault(kind_of(point), point)
    return list(first.values())


def kind_of(point: str) -> str:
    """What happens there, without the number of an experiment."""
    return re.sub(r" \d+$", "", point.split("\t")[1])


def fills_up(scene: Scene, directory: Path, point: str) -> list[str]:
    """What is wrong with a run whose disk is full from `point` on, and with the next one, which has room."""
    with small_disk(directory) as disk:
        act = scene.play(disk / "repository")
        full = act.until(point, f"fill {disk}")
        wrong = unclear(full, *FULL) if act.left() or full.returncode else []
        (disk / FILLER).unlink()
        act.go_on()
        return [f"{point}: {one}" for one in [*wrong, *act.wrong()]]


@pytest.mark.long
@needs_root
def test_a_full_disk_is_said_and_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    points = one_of_each(scene.points)
    assert len(points) > 15
    assert side_by_side(lambda case: fills_up(scene, tmp_path / str(case[0]), case[1]), enumerate(points)) == []


@pytest.mark.long
@needs_root
def test_a_full_disk_in_an_iteration_of_several_is_said_and_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    """At the first point of each kind that such an iteration adds."""
    several, known = make_scene(tmp_path / "scene", **TWO), {kind_of(point) for point in scene.points}
    points = one_of_each(
        wherever
        for point, wherever in zip(several.points, anywhere(several.points), strict=True)
        if kind_of(point) not in known or "worktree add\t2" in wherever
    )
    assert len(points) > 4
    assert side_by_side(lambda case: fills_up(several, tmp_path / str(case[0]), case[1]), enumerate(points)) == []


@needs_root
@pytest.mark.soak
def test_a_disk_that_is_full_at_any_point_is_said_and_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    cases = enumerate(scene.points)
    assert side_by_side(lambda case: fills_up(scene, tmp_path / str(case[0]), case[1]), cases) == []


@needs_root
@pytest.mark.long
def test_a_step_by_hand_on_a_full_disk_says_so_and_is_taken_afterwards(scene: Scene, tmp_path: Path) -> None:
    def by_hand(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words],
            cwd=act.toy.project,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    with small_disk(tmp_path / "disk") as disk:
        act = scene.play(disk / "repository")
        fill(disk)
        assert unclear(by_hand("run"), *FULL) == []
        assert unclear(by_hand("init", "--example", "template", "--target", str(disk / "new")), *FULL) == []
        (disk / FILLER).unlink()
        assert by_hand("run").returncode == 0
        fill(disk)
        assert unclear(by_hand("propose"), *FULL) == []
        (disk / FILLER).unlink()
        for step in ("propose", "apply", "run"):
            done = by_hand(step)
            assert done.returncode == 0, done.stderr
        act.go_on()
        assert act.wrong() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no namespace to mount a disk")
def test_in_a_namespace_for_a_user_without_rights(request: pytest.FixtureRequest) -> None:
    in_a_namespace(__file__, request.config.option.markexpr)
