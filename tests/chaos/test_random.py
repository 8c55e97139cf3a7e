"""A session that is disturbed at random instants, by every signal that ends a run, with a runner that escapes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.chaos.scene import Act, Scene, make_scene, side_by_side
from tests.support import kill, scores

# It forks, forks twice, leaves its session, and is deaf to SIGTERM.
ESCAPE = """\
(trap '' TERM; sleep 1000) &
setsid sleep 1000 &
(setsid sh -c 'sleep 1000 & sleep 1000' &)
sleep 0.2
echo score: 8
"""
IDEAS = ({"hypothesis": "escape", "content": ESCAPE}, {"hypothesis": "crash", "content": "exit 3\n"}, *scores(9))
DEFAULT, SOAK = 6, 167

Run = subprocess.Popen[str]


def alone(process: Run) -> None:
    process.kill()


def group(process: Run) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def everything_of_ours(process: Run) -> None:
    """What the kernel may do when memory is short: the supervisor goes with pytest, and what it ran stays."""
    process.send_signal(signal.SIGSTOP)
    for child in psutil.Process(process.pid).children():
        child.kill()
    process.kill()


def told(number: signal.Signals, process: Run) -> None:
    process.send_signal(number)


def told_twice(number: signal.Signals, process: Run) -> None:
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(number)


BLOWS: dict[str, Callable[[Run], None]] = {
    "SIGKILL": alone,
    "SIGKILL to the group": group,
    "SIGKILL to all of it": everything_of_ours,
    "SIGTERM": partial(told, signal.SIGTERM),
    "SIGTERM twice": partial(told_twice, signal.SIGTERM),
    "SIGINT": partial(told, signal.SIGINT),
    "SIGINT twice": partial(told_twice, signal.SIGINT),
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"), IDEAS)


@pytest.mark.parametrize(
    "trials", [pytest.param(DEFAULT, marks=pytest.mark.long), pytest.param(SOAK, marks=pytest.mark.soak)]
)
@pytest.mark.parametrize("blow", BLOWS)
def test_at_no_instant_is_anything_lost_doubled_or_left(scene: Scene, tmp_path: Path, blow: str, trials: int) -> None:
    length = timed(scene.play(tmp_path / "length"))

    def work(trial: int) -> list[str]:
        instant = random.Random(f"{blow} {trial}").uniform(0, length)
        act = scene.play(tmp_path / str(trial))
        done = disturbed(act, instant, BLOWS[blow])
        wrong = act.wrong() or ([] if done.returncode in (0, 5) else [done.stdout])
        return [f"{blow} after {instant:.3f} of {length:.3f} s, in {act.toy.directory}: {one}" for one in wrong]

    assert side_by_side(work, range(trials)) == []


def timed(act: Act) -> float:
    """How many seconds the whole session takes on this machine at the moment."""
    began = time.monotonic()
    act.go_on()
    return time.monotonic() - began


def disturbed(act: Act, instant: float, blow: Callable[[Run], None]) -> subprocess.CompletedProcess[str]:
    """Strike after `instant` seconds, and go on to the end; sometimes what goes on is struck once more."""
    for wait in (instant, instant / 3) if instant % 0.1 < 0.03 else (instant,):
        process = act.start()
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            blow(process)
        try:
            process.communicate(timeout=60)
        finally:
            kill(process)
    return act.go_on()
