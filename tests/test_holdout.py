"""The second evaluator: whom it judges, who gets to see it, and what it says of a keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.holdout import Held, Holdout
from pytest_autoresearch.problem import ProblemError, parse_problem
from tests.chaos import check
from tests.cli.support import Said, apart
from tests.conftest import MakeToy
from tests.support import Toy

# What the second evaluator says is in no file, so that wherever it is found it comes from there.
SECOND = "awk '{ print \"score: \" $2 * 1.0307 }' answer\n"
FILES = {
    "solution.sh": "echo 10 10 > answer\n",
    "evaluate.sh": "awk '{ print \"score: \" $1 }' answer\n",
    "second.sh": SECOND,
}
PROBLEM = {
    "artifacts": ["answer"],
    "evaluator": "bash evaluate.sh",
    "holdout": "bash second.sh",
    "readonly_files": ["evaluate.sh", "second.sh"],
}


def answers(*pairs: tuple[object, object], then: str = "") -> list[dict[str, str]]:
    """Ideas whose runs give the first of two numbers to the evaluator, and the second one to the other."""
    return [{"hypothesis": f"{one}", "content": f"echo {one} {two} > answer; {then}\n"} for one, two in pairs]


def held_out(make_toy: MakeToy, *ideas: Any, files: dict[str, str] | None = None, **keys: Any) -> Toy:
    return make_toy(*ideas, files={**FILES, **(files or {})}, problem={**PROBLEM, **keys})


def shown(toy: Toy) -> Said:
    return apart(toy.project, "holdout")


def test_the_baseline_and_each_keep_are_held_out_and_a_keep_that_loses_there_is_flagged(make_toy: MakeToy) -> None:
    toy = held_out(make_toy, *answers((8, 8), (9, 1), (7, 9), (6, 5)))
    done = toy.run("--iterations=4", "--junitxml=report.xml")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("keep", 7), ("keep", 6)]
    told = shown(toy)
    assert told.code == 0, told.err
    assert told.out.splitlines() == [
        "             score      holdout",
        "    0           10       10.307",
        "    1            8       8.2456",
        "    3            7       9.2763  better on the metric, worse on the holdout (+1.031)",
        "    4            6       5.1535",
    ]
    assert [record["number"] for record in toy.ledger("started") if record["what"] == "holdout"] == [0, 1, 3, 4]
    assert check.violations(toy.directory) == []


def test_nobody_gets_to_see_it(make_toy: MakeToy) -> None:
    look = "env > environment; pytest-autoresearch holdout > told 2>&1; cat told"
    toy = held_out(make_toy, *answers((8, 8), (7, 9), then=look))
    done = toy.run("--iterations=2", "--junitxml=report.xml", "-v", "-s")
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]
    values = ("10.307", "8.2456", "9.2763")
    assert [value for value in values if value not in shown(toy).out] == []
    private = {toy.records / "holdout.jsonl", toy.records / "holdout.log"}
    files = [file for file in toy.directory.rglob("*") if file.is_file() and file not in private]
    leaks = [file for file in files if any(value.encode() in file.read_bytes() for value in values)]
    assert leaks == []
    assert not any(value in done.stdout for value in values)
    log = (toy.checkout / "run.log").read_text()
    assert "the holdout is not for a runner or a coder to see" in log


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("exit 3\n", "the holdout ended with exit status 3"),
        ("echo nothing\n", "no metric: nothing that the holdout printed matches metric_regex"),
    ],
)
def test_one_that_fails_decides_nothing(make_toy: MakeToy, second: str, told: str) -> None:
    toy = held_out(make_toy, *answers((8, 8)), files={"second.sh": second})
    assert toy.run("--iterations=1").returncode == 0
    assert toy.statuses() == [("keep", 10), ("keep", 8)]
    assert shown(toy).out.splitlines()[2] == f"    1            8            -  {told}"


def test_under_noise_each_keep_is_held_out_once(make_toy: MakeToy) -> None:
    toy = held_out(make_toy, *answers((8, 8), (12, 1)), noise={"repeats": 3})
    assert toy.run("--iterations=2").returncode == 0
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 12)]
    assert [record["number"] for record in toy.ledger("started") if record["what"] == "holdout"] == [0, 1]


def test_what_it_does_to_its_directory_is_not_there_for_the_next_evaluation(make_toy: MakeToy) -> None:
    vandal = SECOND + "echo echo score: 1 > evaluate.sh; echo 1 1 > answer\n"
    toy = held_out(make_toy, *answers((8, 8), (9, 9)), files={"second.sh": vandal})
    toy.run("--iterations=2")
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9)]


def test_a_line_that_was_torn_is_cut_off(tmp_path: Path) -> None:
    held = Held("c0ffee", "contract", 1.5)
    Holdout(tmp_path).add(held)
    whole = (tmp_path / "holdout.jsonl").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "holdout.jsonl").write_bytes(whole + whole[:size])
        holdout = Holdout(tmp_path)
        assert holdout.get("c0ffee", "contract") == held
        holdout.add(Held("bead", "contract", None, "why"))
        assert len((tmp_path / "holdout.jsonl").read_bytes().splitlines()) == 2


def test_where_nothing_was_held_out_it_is_said(make_toy: MakeToy) -> None:
    told = shown(make_toy())
    assert (told.code, told.out) == (1, "")
    assert "nothing was held out: give `holdout`, a second evaluator, in problem.yaml" in told.err


def test_a_second_evaluator_needs_a_first_one(tmp_path: Path) -> None:
    (tmp_path / "solution.sh").touch()
    text = json.dumps(
        {
            "objective": "o",
            "metric_name": "m",
            "metric_regex": "(.*)",
            "mutable_file": "solution.sh",
            "runner": "true",
            "holdout": "true",
        }
    )
    with pytest.raises(ProblemError, match="holdout: a second `evaluator`; it needs a first one"):
        parse_problem(tmp_path / "problem.yaml", text)
