"""What only one session of a machine uses at a time."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from pytest_autoresearch.engines.exclusive import Exclusive
from tests.conftest import MakeToy
from tests.support import Toy, kill, scores, wait_for

pytestmark = pytest.mark.timeout(120)


def test_it_is_had_by_one_and_waited_for_by_another() -> None:
    name, told = f"gpu-{uuid.uuid4().hex}", list[str]()

    def waiting(what: str, elapsed: float) -> None:
        told.append(what)
        if len(told) == 2:
            raise KeyboardInterrupt

    first, second = Exclusive([name], waiting), Exclusive([name, "another"], waiting)
    with first.held(), first.held(), pytest.raises(KeyboardInterrupt), second.held():
        pass
    assert told == [name, name]
    assert second.waited
    with second.held():
        assert not second.waited


def test_two_sessions_measure_in_turn(make_toy: MakeToy, tmp_path: Path) -> None:
    """Each run looks for the other one's trace while it lasts."""
    trace = tmp_path / "trace"
    body = f"[ -e {trace} ] && exit 9; touch {trace}; sleep 0.2; rm {trace}; echo score: "
    resource = f"gpu-{uuid.uuid4().hex}"
    ideas = [{"hypothesis": str(value), "content": f"{body}{value}\n"} for value in (9, 8, 7, 6)]
    problem = {"engine": {"exclusive": [resource]}, "hard_timeout_s": 60}
    toys = [
        Toy(tmp_path / name, ideas, problem=problem, files={"solution.sh": f"{body}10\n"}) for name in ("one", "two")
    ]
    running = [toy.start("--iterations=4") for toy in toys]
    said = [one.communicate(timeout=100)[0] for one in running]
    assert [one.returncode for one in running] == [0, 0], said
    for toy in toys:
        assert toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8), ("keep", 7), ("keep", 6)]


def test_a_session_that_was_killed_lets_go_of_it(make_toy: MakeToy, tmp_path: Path) -> None:
    resource = f"gpu-{uuid.uuid4().hex}"
    wait = {"hypothesis": "wait", "content": f"touch {tmp_path}/there; sleep 60; echo score: 1\n"}
    problem = {"engine": {"exclusive": [resource]}, "hard_timeout_s": 100}
    one, two = Toy(tmp_path / "one", [wait], problem=problem), Toy(tmp_path / "two", scores(9), problem=problem)
    started = one.start("--iterations=1")
    wait_for((tmp_path / "there").exists, "the first session")
    kill(started)
    two.run("--iterations=1")
    assert two.statuses() == [("keep", 10), ("keep", 9)]


def test_a_round_has_it_for_all_of_its_candidates(make_toy: MakeToy, tmp_path: Path) -> None:
    place = tmp_path / "there"
    place.mkdir()
    meet = f"touch {place}/$$; until [ $(ls {place} | wc -l) -ge 2 ]; do sleep 0.02; done; echo score: "
    ideas = [{"hypothesis": str(value), "content": f"{meet}{value}\n"} for value in (9, 8)]
    toy = make_toy(*ideas, problem={"engine": {"candidates": 2, "exclusive": [f"gpu-{uuid.uuid4().hex}"]}})
    toy.run("--iterations=1")
    assert toy.statuses() == [("keep", 10), ("discard", 9), ("keep", 8)]


def test_the_candidates_of_one_session_and_those_of_another_measure_in_turn(tmp_path: Path) -> None:
    """Each run looks for the traces of the other session's while it lasts."""
    resource = f"gpu-{uuid.uuid4().hex}"
    problem = {"engine": {"candidates": 2, "exclusive": [resource]}, "hard_timeout_s": 60}

    def toy(own: str, other: str) -> Toy:
        look = f"ls {tmp_path}/{other}-trace-* 2>/dev/null && exit 9"
        body = (
            f"{look}; touch {tmp_path}/{own}-trace-$$; sleep 0.3; {look}; rm {tmp_path}/{own}-trace-$$; echo score: "
        )
        ideas = [{"hypothesis": str(value), "content": f"{body}{value}\n"} for value in (9, 8, 7, 6)]
        return Toy(tmp_path / own, ideas, problem=problem)

    toys = [toy("one", "two"), toy("two", "one")]
    for each in toys:
        each.pytest("problem.yaml", "--autoresearch-confirm")
    running = [each.start("--iterations=2") for each in toys]
    said = [one.communicate(timeout=100)[0] for one in running]
    assert [one.returncode for one in running] == [0, 0], said
    for each in toys:
        assert each.statuses() == [("keep", 10), ("discard", 9), ("keep", 8), ("discard", 7), ("keep", 6)]
