"""Iterations of several candidates whose processes are killed: pytest, the supervisors, all of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from pytest_autoresearch.processtree import MARKER
from tests.chaos import check
from tests.chaos.scene import PLAIN, died, make_scene
from tests.chaos.test_every_step import TWO
from tests.chaos.test_random import alone, everything_of_ours, group
from tests.cli.support import by_hand
from tests.conftest import MakeToy
from tests.engines.test_round import labels, running
from tests.support import Idea, Toy, kill, scores, wait_for

pytestmark = pytest.mark.timeout(180)
BLOWS = {"pytest": alone, "its group": group, "it and the supervisors": everything_of_ours}


def escaping(place: Path, score: int) -> Idea:
    """A run that leaves its session, is deaf to SIGTERM, and lasts until there is a sign."""
    content = (
        f"(trap '' TERM; sleep 1000) & setsid sleep 1000 & echo $$ > {place}/{score}\n"
        f"until [ -e {place}/go ]; do sleep 0.02; done\necho score: {score}\n"
    )
    return {"hypothesis": f"score {score}", "content": content}


def in_mid_round(
    make_toy: MakeToy, place: Path, values: Sequence[int], more: Sequence[Idea]
) -> tuple[Toy, subprocess.Popen[str]]:
    """A run of pytest whose candidates are all being measured."""
    ideas = [escaping(place, value) for value in values]
    toy = make_toy(*ideas, *more, problem={"engine": {"candidates": len(values)}, "hard_timeout_s": 100})
    started = toy.start("--iterations=1")
    wait_for(lambda: all((place / str(value)).exists() for value in values), "all of them")
    return toy, started


def supervisor_of(started: subprocess.Popen[str], slot: int) -> psutil.Process:
    """The process that runs what is measured in a slot."""
    for supervisor in psutil.Process(started.pid).children():
        if any(process.environ().get(MARKER, "").endswith(f".{slot}") for process in supervisor.children()):
            return supervisor
    raise AssertionError(f"nothing runs in slot {slot}")


@pytest.mark.parametrize("candidates", [2, 1])
@pytest.mark.parametrize("blow", BLOWS)
def test_what_a_killed_iteration_of_several_left_is_gone_after_the_next_start(
    make_toy: MakeToy, tmp_path: Path, blow: str, candidates: int
) -> None:
    toy, started = in_mid_round(make_toy, tmp_path, (9, 8), scores(5))
    strike: Callable[[subprocess.Popen[str]], None] = BLOWS[blow]
    strike(started)
    kill(started)
    assert len(list(toy.checkout.parent.glob("*.slot*"))) == 2
    assert (list(running(toy)) != []) or blow != "it and the supervisors"
    (tmp_path / "go").touch()
    done = toy.run("--iterations=1", f"--autoresearch-candidates={candidates}")
    assert done.returncode == 0, done.stdout
    assert (
        "process(es) that an earlier run left behind were ended" in done.stdout
    ) or blow != "it and the supervisors"
    assert check.violations(toy.directory) == []
    assert labels(toy) == [("0", "keep", 10), ("1.1", "discard", 9), ("1.2", "keep", 8)]
    assert [len(toy.ledger(kind)) for kind in ("idea", "applied", "result")] == [2, 2, 3]


def test_what_is_left_of_an_iteration_of_several_goes_though_the_next_run_measures_nothing(
    make_toy: MakeToy, tmp_path: Path
) -> None:
    toy, started = in_mid_round(make_toy, tmp_path, (9, 8), scores(5))
    group(started)
    kill(started)
    first, _ = sorted(toy.checkout.parent.glob("*.slot*"))
    (first / ".git").unlink()  # as a git that was killed leaves what it is removing
    done = toy.pytest("problem.yaml")
    assert done.returncode == 0, done.stdout
    assert check.violations(toy.directory) == []


def test_a_slot_that_was_just_made_goes_too(tmp_path: Path) -> None:
    act = make_scene(tmp_path / "scene", **TWO).play(tmp_path / "act")
    assert died(act.until("*\tafter git worktree add\t2"))
    assert list(act.toy.checkout.parent.glob("*.slot*"))
    act.toy.pytest("problem.yaml", *PLAIN)
    assert check.violations(act.toy.directory) == []


@pytest.mark.parametrize("step", ["run", "reset"])
def test_a_step_by_hand_takes_up_or_drops_a_killed_iteration_of_several_as_a_whole(
    make_toy: MakeToy, tmp_path: Path, step: str
) -> None:
    toy, started = in_mid_round(make_toy, tmp_path, (9, 8), scores(5))
    kill(started)
    (tmp_path / "go").touch()
    done = by_hand(toy.project, step)
    assert done.code == 0, done.err
    assert labels(toy)[1:] == ([("1.1", "discard", 9), ("1.2", "keep", 8)] if step == "run" else [])
    assert [record["number"] for record in toy.ledger("noop")] == ([] if step == "run" else [1, 2])
    assert check.violations(toy.directory) == []
    toy.run("--iterations=1", "--autoresearch-candidates=1")
    assert labels(toy)[-1] == ("2" if step == "run" else "1", "keep", 5)


def test_a_supervisor_that_is_killed_costs_its_candidate_and_none_beside_it(make_toy: MakeToy, tmp_path: Path) -> None:
    """The machine is to blame and not the idea: the same file may be proposed again, and is measured then."""
    toy, started = in_mid_round(make_toy, tmp_path, (9, 8), [escaping(tmp_path, 8)])
    supervisor_of(started, 2).kill()
    wait_for(lambda: len(toy.ledger("sample")) == 1, "the end of what it ran")
    (tmp_path / "go").touch()
    output, _ = started.communicate(timeout=60)
    assert started.returncode == 0, output
    assert labels(toy) == [("0", "keep", 10), ("1.1", "keep", 9), ("1.2", "crash", None)]
    crash = toy.ledger("result")[2]
    assert (crash["reason"], crash["machine"]) == ("the process that supervised the runner was killed", True)
    assert check.violations(toy.directory) == []
    toy.run("--iterations=1", "--autoresearch-candidates=1")
    assert labels(toy)[3:] == [("2", "keep", 8)]
