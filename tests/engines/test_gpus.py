"""Which GPUs the workers of a machine get."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_autoresearch.engines.gpus import VISIBLE, shares
from pytest_autoresearch.errors import UserError
from tests.conftest import MakeToy


def visible(most: int, each: int, workers: int | None, found: str) -> list[str]:
    return [one[VISIBLE] for one in shares(most, each, workers, {VISIBLE: found})]


def test_each_worker_gets_gpus_of_its_own() -> None:
    assert visible(2, 1, None, "0,1,2") == ["0", "1"]
    assert visible(2, 2, 2, "4, 5,6,7") == ["4,5", "6,7"]
    assert visible(1, 1, None, "GPU-8a3b,1") == ["GPU-8a3b"]


def test_there_are_no_more_workers_than_there_are_gpus_for() -> None:
    assert visible(8, 1, None, "0,1,2") == ["0", "1", "2"]
    assert visible(8, 2, None, "0,1,2") == ["0,1"]


@pytest.mark.parametrize(
    ("each", "workers", "found"), [(1, 3, "0,1"), (1, None, ""), (2, None, "-1,0"), (4, None, "0")]
)
def test_too_few_gpus_are_the_users_to_mend(each: int, workers: int | None, found: str) -> None:
    with pytest.raises(UserError, match=r"engine: \d worker\(s\) with \d GPU\(s\) each need"):
        visible(2, each, workers, found)


def test_without_gpus_to_give_nothing_is_set() -> None:
    assert shares(3, 0) == [{}, {}, {}]
    assert shares(3, 0, 2) == [{}, {}]


def test_runs_at_the_same_time_see_different_ones_and_so_does_the_baseline(make_toy: MakeToy) -> None:
    ideas = [
        {"hypothesis": f"{value}", "content": f"echo gpu $CUDA_VISIBLE_DEVICES; echo score: {value}\n"}
        for value in (9, 8)
    ]
    toy = make_toy(
        *ideas,
        problem={
            "engine": {"candidates": 2, "resources": {"num_gpus": 1}},
            "runner": "echo gpu $CUDA_VISIBLE_DEVICES; bash solution.sh",
        },
    )
    toy.run("--iterations=1", env={VISIBLE: "5,7"})
    commits = {record["number"]: record["commit"][:7] for record in toy.ledger("result")}
    logs = {
        number: Path(toy.checkout, f".autoresearch/logs/run-{commit}.log").read_text()
        for number, commit in commits.items()
    }
    assert logs[0].startswith("gpu 5\n")
    assert {logs[1].splitlines()[0], logs[2].splitlines()[0]} == {"gpu 5", "gpu 7"}


def test_a_machine_without_gpus_says_so_before_anything_is_run(make_toy: MakeToy) -> None:
    toy = make_toy(problem={"engine": {"resources": {"num_gpus": 1}}})
    done = toy.run("--iterations=1", env={VISIBLE: ""})
    assert done.returncode == 1
    assert "1 worker(s) with 1 GPU(s) each need 1, and 0 are here" in done.stdout
