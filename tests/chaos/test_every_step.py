"""A session that dies by SIGKILL at each point where anything outside the process changes, and then goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.scene import Scene, died, make_scene, side_by_side

STEPS = (
    "nothing",
    "begin",
    "checkout",
    "run",
    "probe",
    *(f"{kind} {number}" for number in range(1, 4) for kind in ("idea", "applied", "started", "result")),
    "started 0",
    "result 0",
    "advanced 1",
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"))


def test_every_point_is_in_a_step(scene: Scene) -> None:
    last = {"idea 4", "applied 4", "started 4", "result 4", "advanced 4"}
    assert {point.split("\t")[0] for point in scene.points} - last == set(STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_loses_nothing_doubles_nothing_and_leaves_nothing(scene: Scene, tmp_path: Path, step: str) -> None:
    def work(numbered: tuple[int, str]) -> list[str]:
        number, point = numbered
        act = scene.play(tmp_path / str(number))
        if not died(act.until(point)):
            return [f"{point}: never reached"]
        done = act.go_on()
        wrong = act.wrong()
        if wrong or done.returncode:
            return [f"{point}: {one}" for one in wrong] or [f"{point}: {done.stdout}"]
        return []

    points = [point for point in scene.points if point.startswith(f"{step}\t")]
    assert points
    assert side_by_side(work, enumerate(points)) == []
