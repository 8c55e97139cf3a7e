"""A session that dies by SIGKILL at each point where anything outside the process changes, and then goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.points import anywhere
from tests.chaos.scene import Scene, died, make_scene, side_by_side
from tests.support import mostly_long, scores

STEPS = (
    "nothing",
    "begin",
    "checkout",
    "run",
    "probe",
    "started 0",
    "result 0",
    "idea 1",
    "applied 1",
    "started 1",
    "advanced 1",
    "result 2",
    "result 4",
)
# What comes again with each experiment is looked at once more after a keep and after a discard, where there is time.
AGAIN = ("result 1", "result 3", *(f"{kind} {number}" for number in (2, 3) for kind in ("idea", "applied", "started")))

# A coder of one's own, which writes what the idea says; and a problem whose score another program gives.
AGENT = """\
grep --only-matching 'score [0-9]*' next_idea.json > noted.txt
read -r _ number < noted.txt
rm noted.txt
echo "echo score: $number" > solution.sh
"""
CRITIC = """\
from pytest_autoresearch.records import Idea

def pytest_autoresearch_propose(brief):
    return Idea(hypothesis=f"score {7 + brief.number}", critic="mine")
"""
EVALUATED = {"artifacts": ["answer"], "evaluator": "bash evaluate.sh", "readonly_files": ["evaluate.sh"]}
ANSWERS: dict[str, Any] = {
    "ideas": [{"hypothesis": f"score {n}", "content": f"echo {n} > answer\n"} for n in (8, 9)],
    "files": {"evaluate.sh": "echo score: $(cat answer)\n", "solution.sh": "echo 10 > answer\n"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "a coder": {
        "ideas": scores(8, 9),
        "problem": {"coder": {"enabled": True, "command": ["bash", "agent.sh"], "timeout_s": 60}},
        "files": {"agent.sh": AGENT, "conftest.py": CRITIC},
    },
    "an evaluator": {**ANSWERS, "problem": EVALUATED},
    "checkpoints of the shortest ledger": {
        "ideas": scores(8, 9),
        "files": {"conftest.py": "from pytest_autoresearch import checkpoint\n\ncheckpoint._LEAST = 0\n"},
    },
    "noise and a second evaluator": {
        **ANSWERS,
        "problem": {**EVALUATED, "holdout": "bash evaluate.sh", "noise": {"repeats": 2}},
    },
}
LONG = {"noise and a second evaluator"}

# Iterations of several candidates, one after the other in one slot: what a kill interrupts is the same each time.
MISFIT = {"hypothesis": "misfit", "edits": [{"search": "nowhere", "replace": "x"}]}
CRASH = {"hypothesis": "crash", "content": "exit 3\n"}
TWO: dict[str, Any] = {
    "ideas": scores(8, 8, 9),
    "iterations": 1,
    "problem": {"engine": {"candidates": 2, "workers": 1}},
}
ROUNDS: dict[str, dict[str, Any]] = {
    "two iterations": {
        "ideas": [*scores(9, 9, 8), CRASH, *scores(7, 10, 8), MISFIT, *scores(6)],
        "iterations": 2,
        "problem": {"engine": {"candidates": 3, "workers": 1}},
    },
    "noise, and the incumbent beside them": {
        "ideas": [*scores(5), MISFIT, *scores(9)],
        "iterations": 1,
        "problem": {
            "engine": {"candidates": 3, "workers": 1, "concurrent_baseline": True},
            "noise": {"repeats": 2, "confirm": 4, "alpha": 0.05},
        },
    },
}
# Of that, what is looked at each time: records, git's changes, new names, and the end of a slot.
STRIKING = re.compile(r"(half of|after) record|started git|rename|remove \.git$|(mkdir|rmdir) .*slots?/?1$")
BETWEEN = ("result 1", "advanced 1")
VIEWS = ("AUDIT_LOG", "STATE.md", "report.html", "preconditions.json")


def test_every_point_is_in_a_step(scene: Scene) -> None:
    last = {"idea 4", "applied 4", "started 4", "advanced 4"}
    assert {point.split("\t")[0] for point in scene.points} - last == {*STEPS, *AGAIN}


@pytest.mark.parametrize(
    "step",
    [
        *mostly_long(STEPS, "advanced 1"),
        *(pytest.param(step, marks=pytest.mark.soak) for step in AGAIN),
    ],
)
def test_a_kill_loses_nothing_doubles_nothing_and_leaves_nothing(scene: Scene, tmp_path: Path, step: str) -> None:
    assert wrong_after_kills(scene, [point for point in scene.points if point.startswith(f"{step}\t")], tmp_path) == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.soak if name in LONG else pytest.mark.long) for name in OTHERS]
)
def test_the_same_at_the_points_that_other_problems_add(scene: Scene, tmp_path: Path, name: str) -> None:
    other = make_scene(tmp_path / "scene", **OTHERS[name])
    common = {point.split("\t")[1] for point in scene.points}
    first = {point.split("\t")[1]: point for point in reversed(other.points)}
    assert wrong_after_kills(other, [point for what, point in first.items() if what not in common], tmp_path) == []


@pytest.mark.long
def test_a_kill_at_any_point_that_several_candidates_add_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    """The first of each kind, and all between the results of one iteration or about the checkout of a slot."""
    other = make_scene(tmp_path / "scene", **TWO)
    known, points = {point.split("\t")[1] for point in scene.points}, list[str]()
    for point, wherever in zip(other.points, anywhere(other.points), strict=True):
        on_record, what, _ = point.split("\t")
        is_new = what not in known or on_record in BETWEEN or "worktree" in what
        if is_new and STRIKING.match(what):
            points.append(wherever)
    assert len(points) > 20
    assert wrong_after_kills(other, points, tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", ROUNDS)
def test_a_kill_at_any_point_of_an_iteration_of_several_loses_nothing(tmp_path: Path, name: str) -> None:
    """From its first idea on; what is written for people to read is like that of any other iteration."""
    other = make_scene(tmp_path / "scene", **ROUNDS[name])
    points = list(anywhere(other.points))
    points = points[points.index("*\tbefore record idea 1\t1") :]
    points = [point for point in points if not any(view in point for view in VIEWS)]
    assert len(points) > 150
    assert wrong_after_kills(other, points, tmp_path) == []


def wrong_after_kills(scene: Scene, points: Sequence[str], directory: Path) -> list[str]:
    """What is wrong after a kill at each of the points and a run that goes on from there."""
    assert points

    def work(numbered: tuple[int, str]) -> list[str]:
        number, point = numbered
        act = scene.play(directory / str(number))
        if not died(act.until(point)):
            return [f"{point}: never reached"]
        ends = pytest.ExitCode.OK if act.left() else pytest.ExitCode.NO_TESTS_COLLECTED
        done = act.go_on()
        wrong = act.wrong()
        if wrong or done.returncode != ends:
            return [f"{point}: {one}" for one in wrong] or [f"{point}: {done.stdout}"]
        return []

    return side_by_side(work, enumerate(points))
