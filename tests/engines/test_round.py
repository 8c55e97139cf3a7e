"""Several candidates in one iteration, in real processes."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_autoresearch.processtree import MARKER
from tests.cli.support import by_hand
from tests.conftest import MakeToy
from tests.support import Idea, Toy, git, kill, scores, wait_for

pytestmark = pytest.mark.timeout(180)
FOUR: dict[str, Any] = {"engine": {"candidates": 4}}
MEETING = (
    "touch {place}/{name}; until [ $(ls {place} | wc -l) -ge {count} ]; do sleep 0.02; done; echo score: {score}\n"
)


def meeting(place: Path, *values: float, count: int | None = None) -> list[Idea]:
    """Ideas whose runs wait for one another: only what runs at the same time gives a score."""
    place.mkdir(exist_ok=True)
    return [
        {
            "hypothesis": f"score {value}",
            "content": MEETING.format(place=place, name=number, count=count or len(values), score=value),
        }
        for number, value in enumerate(values)
    ]


def labels(toy: Toy) -> list[tuple[str, str, float | None]]:
    """Each experiment as people call it, with its status and metric."""
    found = []
    for record in toy.ledger("result"):
        name = str(record.get("iteration", record["number"]))
        found.append((f"{name}.{record['seat']}" if "seat" in record else name, record["status"], record["metric"]))
    return found


def on_record(toy: Toy) -> list[dict[str, Any]]:
    """What is on record of each, but for where and when that was written."""
    return [
        {name: value for name, value in record.items() if name not in ("prev", "at")}
        for record in toy.ledger("result")
    ]


def running(toy: Toy) -> Iterator[psutil.Process]:
    """What this repository's sessions have running."""
    session = toy.ledger("begin")[0]["session"]
    for process in psutil.process_iter():
        try:
            if session in process.environ().get(MARKER, ""):
                yield process
        except psutil.Error:
            continue


def test_four_run_at_once_and_the_best_is_kept(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*meeting(tmp_path / "there", 8, 6, 12, 7), problem=FOUR)
    done = toy.run("--iterations=1", "-v")
    assert done.returncode == 0, done.stdout
    assert "iteration[1] KEPT" in done.stdout
    assert labels(toy) == [
        ("0", "keep", 10),
        ("1.1", "discard", 8),
        ("1.2", "keep", 6),
        ("1.3", "discard", 12),
        ("1.4", "discard", 7),
    ]
    reasons = [record["reason"] for record in toy.ledger("result")[1:]]
    assert reasons == [
        "10 → 8 (-2), but experiment 1.2 of its iteration is kept",
        "10 → 6 (-4)",
        "worse: 10 → 12 (+2)",
        "10 → 7 (-3), but experiment 1.2 of its iteration is kept",
    ]
    assert len(toy.branch()) == 2
    assert git(toy.directory, "show", "toy/run1:solution.sh").endswith("echo score: 6")
    assert len(toy.rows()) == 6
    for record in toy.ledger("applied"):
        assert git(toy.directory, "merge-base", "--is-ancestor", record["commit"], "refs/autoresearch/toy/run1") == ""


def test_nothing_is_left_of_the_checkouts_and_the_users_is_as_it_was(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 7, 6), problem=FOUR)
    toy.run("--iterations=1")
    assert len(git(toy.directory, "worktree", "list").splitlines()) == 2
    assert [path.name for path in (toy.directory / ".autoresearch").iterdir()] == ["toy-run1"]
    assert toy.user_status() == ""
    assert not (toy.records / "slots").exists()


def test_the_next_iteration_begins_on_what_was_kept(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 7, 6, 5, 11, 12, 13), problem=FOUR)
    toy.run("--iterations=2")
    applied, first, second = toy.ledger("applied"), *toy.branch()[1:]
    assert labels(toy)[5:] == [
        ("2.1", "keep", 5),
        ("2.2", "discard", 11),
        ("2.3", "discard", 12),
        ("2.4", "discard", 13),
    ]
    assert {record["parent"] for record in applied[4:]} == {first}
    assert applied[4]["commit"] == second


def test_one_candidate_looks_as_before(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8), problem={"engine": {"candidates": 1}})
    toy.run("--iterations=2")
    assert labels(toy) == [("0", "keep", 10), ("1", "keep", 9), ("2", "keep", 8)]
    assert not any({"seat", "iteration", "beaten"} & record.keys() for record in toy.ledger("result"))
    assert toy.ledger("sample") == []


def test_the_number_of_candidates_may_change_from_run_to_run(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 7, 6, 5, 4))
    toy.run("--iterations=1", "--autoresearch-candidates=2")
    toy.run("--iterations=1")
    toy.run("--iterations=1", "--autoresearch-candidates=3")
    assert [name for name, _, _ in labels(toy)] == ["0", "1.1", "1.2", "2", "3.1", "3.2", "3.3"]
    assert [record["number"] for record in toy.ledger("result")] == list(range(7))


def test_workers_bound_how_many_run_at_once(make_toy: MakeToy, tmp_path: Path) -> None:
    place = tmp_path / "there"
    place.mkdir()
    count = f"echo x > {place}/$$; ls {place} | wc -l >> {tmp_path}/seen; sleep 0.3; rm {place}/$$; echo score: "
    ideas = [{"hypothesis": str(value), "content": f"{count}{value}\n"} for value in (9, 8, 7, 6)]
    toy = make_toy(*ideas, problem={"engine": {"candidates": 4, "workers": 2}})
    toy.run("--iterations=1")
    assert [status for _, status, _ in labels(toy)] == ["keep", "discard", "discard", "discard", "keep"]
    assert max(map(int, (tmp_path / "seen").read_text().split())) == 2


def test_ideas_that_run_out_make_a_smaller_round_and_then_an_end(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 7, 6, 5), problem=FOUR)
    done = toy.run("--iterations=3")
    assert [name for name, _, _ in labels(toy)] == ["0", "1.1", "1.2", "1.3", "1.4", "2.1"]
    assert "no more: all 5 ideas of ideas.yaml have been tried" in done.stdout


def test_the_same_file_is_not_measured_twice_in_a_round_nor_again(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 9, 8, 10, 7, 9, 6), problem={"engine": {"candidates": 3}})
    toy.run("--iterations=2")
    assert labels(toy) == [
        ("0", "keep", 10),
        ("1.1", "discard", 9),
        ("1.2", "discard", 8),
        ("1.3", "keep", 7),
        ("2.1", "keep", 6),
    ]
    assert [record["reason"] for record in toy.ledger("noop")] == [
        "the same file as experiment 1.1",
        "the idea changed nothing",
        "the same file as an earlier experiment",
    ]


def test_an_idea_whose_coder_broke_off_is_not_left_for_the_next_round(make_toy: MakeToy) -> None:
    conftest = """
from pytest_autoresearch.coders.base import CoderFailed
def pytest_autoresearch_apply(idea):
    if idea.hypothesis == "broken":
        raise CoderFailed("the coder broke off")
"""
    broken = {"hypothesis": "broken", "content": "echo score: 1\n"}
    toy = make_toy(
        *scores(9, 9, 9), broken, *scores(8, 7), problem={"engine": {"candidates": 2}}, files={"conftest.py": conftest}
    )
    toy.run("--iterations=2")
    assert labels(toy)[1:] == [("1.1", "keep", 9), ("2.1", "discard", 8), ("2.2", "keep", 7)]
    assert [record["reason"] for record in toy.ledger("noop")][-1] == "the coder broke off"


def test_a_crash_and_an_edit_that_does_not_fit_are_results_among_others(make_toy: MakeToy) -> None:
    misfit = {"hypothesis": "no such text", "edits": [{"search": "nowhere", "replace": "x"}]}
    toy = make_toy(*scores(9), misfit, {"hypothesis": "fails", "content": "exit 3\n"}, *scores(8), problem=FOUR)
    done = toy.run("--iterations=1")
    assert labels(toy)[1:] == [
        ("1.1", "discard", 9),
        ("1.2", "crash", None),
        ("1.3", "crash", None),
        ("1.4", "keep", 8),
    ]
    assert done.returncode == 0
    assert [row[3] for row in toy.rows()[1:]] == ["keep", "discard", "crash", "crash", "keep"]


def test_all_that_crash_make_a_crashed_iteration(make_toy: MakeToy) -> None:
    toy = make_toy(
        *({"hypothesis": f"{n}", "content": f"exit {n}\n"} for n in (1, 2)), problem={"engine": {"candidates": 2}}
    )
    done = toy.run("--iterations=1", "-v")
    assert "iteration[1] CRASHED" in done.stdout
    assert done.returncode == 1


def test_each_is_measured_in_a_checkout_of_its_own_that_holds_what_the_sessions_does(make_toy: MakeToy) -> None:
    show = (
        "pwd; cat data.txt cache.txt; test -e STATE.md || echo no views; git rev-parse --abbrev-ref HEAD; echo score: "
    )
    ideas = [{"hypothesis": str(value), "content": f"{show}{value}\n"} for value in (9, 8)]
    toy = make_toy(
        *ideas,
        problem={
            "engine": {"candidates": 2},
            "runner": "test -e cache.txt || echo cached > cache.txt; bash solution.sh",
        },
        files={"data.txt": "the data\n"},
    )
    toy.run("--iterations=1")
    logs = [log.read_text().splitlines() for log in (toy.checkout / ".autoresearch" / "logs").glob("run-*.log")]
    seen = [lines for lines in logs if "the data" in lines]
    assert len(seen) == 2
    assert {lines[0] for lines in seen} == {f"{toy.checkout}.slot{number}" for number in (1, 2)}
    assert all(lines[1:5] == ["the data", "cached", "no views", "HEAD"] for lines in seen)


def test_what_a_candidate_leaves_its_sibling_and_successor_do_not_find(make_toy: MakeToy) -> None:
    leave = "ls left* 2>/dev/null && exit 7; touch left-$$; sleep 0.2; echo score: "
    ideas = [{"hypothesis": str(value), "content": f"{leave}{value}\n"} for value in (9, 8, 7, 6)]
    toy = make_toy(*ideas, problem={"engine": {"candidates": 2}})
    toy.run("--iterations=2")
    assert [status for _, status, _ in labels(toy)] == ["keep", "discard", "keep", "discard", "keep"]
    asides = list((toy.checkout / ".autoresearch" / "aside").glob("*-run/left-*"))
    assert len(asides) == 4


@pytest.mark.parametrize("moment", ["measuring", "between"])
def test_a_kill_loses_nothing_and_pays_for_no_idea_twice(make_toy: MakeToy, tmp_path: Path, moment: str) -> None:
    go = tmp_path / "go"
    wait = f"touch {tmp_path}/there; until [ -e {go} ]; do sleep 0.02; done; echo score: 6\n"
    ideas = [*scores(9, 8), {"hypothesis": "wait", "content": wait}, *scores(7)]
    toy = make_toy(*ideas, problem={**FOUR, "hard_timeout_s": 100})
    started = toy.start("--iterations=1")
    wait_for((tmp_path / "there").exists, "the third candidate")
    if moment == "between":
        wait_for(lambda: len(toy.ledger("sample")) == 3, "three measured")
    kill(started)
    go.touch()
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [
        ("1.1", "discard", 9),
        ("1.2", "discard", 8),
        ("1.3", "keep", 6),
        ("1.4", "discard", 7),
    ]
    assert len(toy.ledger("idea")) == 4
    assert len(toy.branch()) == 2
    assert list(running(toy)) == []
    assert len(git(toy.directory, "worktree", "list").splitlines()) == 2
    if moment == "between":
        first = [
            record["number"] for record in toy.ledger("started") if record["what"] == "runner" and record["number"]
        ]
        assert sorted(first) == [1, 2, 3, 3, 4]


@pytest.mark.long
@pytest.mark.parametrize("noise", [None, {"repeats": 2, "confirm": 4, "alpha": 0.05}])
@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_round_whose_results_are_partly_on_record_is_brought_to_its_end(
    make_toy: MakeToy, kept: int, noise: dict[str, float] | None
) -> None:
    """As a kill between two results leaves it, whichever of them is the keep."""
    values = [9.0, 8.5, 8.0]
    values[kept - 1] = 5.0
    toy = make_toy(*scores(*values), problem={"engine": {"candidates": 3}, "noise": noise})
    toy.run("--iterations=1")
    whole, runs = on_record(toy), sorted(record["number"] for record in toy.ledger("started"))
    ledger = toy.records / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    for results in (1, 2):
        positions = [index for index, line in enumerate(lines) if '"kind":"result"' in line and '"seat"' in line]
        ledger.write_text("".join(lines[: positions[results - 1] + 1]))
        start, tip = toy.branch()[0], toy.ledger("result")[kept]["commit"] if results > kept else None
        git(toy.directory, "update-ref", "refs/heads/toy/run1", tip or start)
        done = toy.run("--iterations=1")
        assert done.returncode == 0, done.stdout
        assert on_record(toy) == whole
        assert len(toy.branch()) == 2
        assert sorted(record["number"] for record in toy.ledger("started")) == runs


def test_fewer_candidates_after_a_kill_take_up_the_ideas_that_wait(make_toy: MakeToy, tmp_path: Path) -> None:
    wait = f"touch {tmp_path}/there; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo score: 8\n"
    toy = make_toy(*scores(7), {"hypothesis": "wait", "content": wait}, *scores(9), problem={"hard_timeout_s": 100})
    started = toy.start("--iterations=1", "--autoresearch-candidates=3")
    wait_for((tmp_path / "there").exists, "the second candidate")
    kill(started)
    (tmp_path / "go").touch()
    toy.run("--iterations=3")
    assert labels(toy) == [("0", "keep", 10), ("1.1", "keep", 7), ("1.2", "discard", 8), ("1.3", "discard", 9)]
    assert len(toy.ledger("idea")) == 3


def test_an_interrupt_ends_all_of_them(make_toy: MakeToy, tmp_path: Path) -> None:
    place = tmp_path / "there"
    ideas = meeting(place, 9, 8, 7, 6, count=99)
    toy = make_toy(*ideas, problem={**FOUR, "hard_timeout_s": 100})
    started = toy.start("--iterations=1")
    wait_for(lambda: len(list(place.iterdir())) == 4, "all four")
    started.send_signal(signal.SIGINT)
    output, _ = started.communicate(timeout=60)
    assert started.returncode == 2, output
    assert list(running(toy)) == []
    assert toy.ledger("sample") == []
    assert len(git(toy.directory, "worktree", "list").splitlines()) == 2


def test_an_interrupt_begins_none_of_those_that_wait_for_a_worker(make_toy: MakeToy, tmp_path: Path) -> None:
    place = tmp_path / "there"
    ideas = meeting(place, 9, 8, 7, 6, count=99)
    toy = make_toy(*ideas, problem={"engine": {"candidates": 4, "workers": 2}, "hard_timeout_s": 100})
    started = toy.start("--iterations=1")
    wait_for(lambda: len(list(place.iterdir())) == 2, "the first two")
    started.send_signal(signal.SIGINT)
    output, _ = started.communicate(timeout=60)
    assert started.returncode == 2, output
    assert len(list(place.iterdir())) == 2


def test_a_timeout_ends_one_and_not_its_siblings(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "sleeps", "content": "sleep 60\n"},
        *scores(8),
        problem={"engine": {"candidates": 2}, "hard_timeout_s": 2, "time_budget_s": 1},
    )
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "crash", None), ("1.2", "keep", 8)]
    assert toy.ledger("result")[1]["reason"].startswith("timeout")


def test_the_incumbent_is_measured_beside_them_if_that_is_asked_for(make_toy: MakeToy, tmp_path: Path) -> None:
    """What runs beside others is slower; so is the incumbent then."""
    place = tmp_path / "there"
    place.mkdir()
    alone = f"ls {place}/* >/dev/null 2>&1 && echo score: 20 || echo score: 10\n"
    busy = f"touch {place}/$$; sleep 1; echo score: "
    ideas = [{"hypothesis": str(value), "content": f"{busy}{value}\n"} for value in (15, 25)]
    toy = make_toy(
        *ideas,
        problem={"engine": {"candidates": 2, "concurrent_baseline": True}},
        files={"solution.sh": f"sleep 0.5; {alone}"},
    )
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "keep", 15), ("1.2", "discard", 25)]
    assert [record["beaten"] for record in toy.ledger("result")[1:]] == [20, 20]
    assert toy.ledger("result")[1]["reason"] == "20 → 15 (-5)"


def test_with_noise_the_best_is_confirmed_alone_and_the_next_best_if_it_fails(
    make_toy: MakeToy, tmp_path: Path
) -> None:
    lucky = f"pwd >> {tmp_path}/was; [ $(cat {tmp_path}/was | wc -l) = 1 ] && echo score: 1 || echo score: 11\n"
    ideas = [{"hypothesis": "lucky", "content": lucky}, *scores(5, 12)]
    toy = make_toy(*ideas, problem={"engine": {"candidates": 3}, "noise": {"repeats": 2, "confirm": 4, "alpha": 0.05}})
    toy.run("--iterations=1")
    assert [(name, status) for name, status, _ in labels(toy)] == [
        ("0", "keep"),
        ("1.1", "discard"),
        ("1.2", "keep"),
        ("1.3", "discard"),
    ]
    results = toy.ledger("result")
    assert results[1]["reason"].startswith("inconclusive")
    assert results[2]["confirmation"]["p"] <= 0.05
    assert "confirmation" not in results[3]
    roles = [record["role"] for record in toy.ledger("sample") if record["number"]]
    assert roles.count("first") == 3
    first, *again = (tmp_path / "was").read_text().split()
    assert first.startswith(f"{toy.checkout}.slot")
    assert set(again) == {str(toy.checkout)}


def test_the_others_of_a_round_are_not_confirmed_when_the_best_is(make_toy: MakeToy) -> None:
    toy = make_toy(
        *scores(5, 6),
        problem={"engine": {"candidates": 2}, "noise": {"repeats": 2, "confirm": 4, "alpha": 0.05}},
    )
    toy.run("--iterations=1")
    assert [status for _, status, _ in labels(toy)] == ["keep", "keep", "discard"]
    assert "confirmation" not in toy.ledger("result")[2]


def test_a_judge_of_the_users_has_the_say_and_only_one_is_kept(make_toy: MakeToy) -> None:
    conftest = """
from pytest_autoresearch.records import Verdict
def pytest_autoresearch_judge(measurement, incumbent):
    return Verdict("discard", "no") if measurement.metric < 7 else Verdict("keep", "yes")
"""
    toy = make_toy(*scores(6, 8, 9), problem={"engine": {"candidates": 3}}, files={"conftest.py": conftest})
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "discard", 6), ("1.2", "keep", 8), ("1.3", "discard", 9)]


def test_a_judge_of_the_users_that_keeps_everything_has_one_of_an_iteration_kept(make_toy: MakeToy) -> None:
    conftest = """
from pytest_autoresearch.records import Verdict
def pytest_autoresearch_judge(measurement, incumbent):
    return Verdict("keep", "yes")
"""
    toy = make_toy(*scores(11, 12, 8), problem={"engine": {"candidates": 3}}, files={"conftest.py": conftest})
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "discard", 11), ("1.2", "discard", 12), ("1.3", "keep", 8)]
    assert [record["reason"] for record in toy.ledger("result")[1:3]] == [
        "experiment 1.3 of its iteration is kept"
    ] * 2


def test_an_executor_of_the_users_gets_them_all_at_once(make_toy: MakeToy) -> None:
    conftest = """
import threading
from pytest_autoresearch.records import Measurement
ALL = threading.Barrier(3, timeout=30)
def pytest_autoresearch_measure(candidate):
    if not candidate.seat:
        return None
    ALL.wait()
    return Measurement(metric=float(candidate.content.split()[-1]))
"""
    toy = make_toy(*scores(6, 8, 9), problem={"engine": {"candidates": 3}}, files={"conftest.py": conftest})
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "keep", 6), ("1.2", "discard", 8), ("1.3", "discard", 9)]


def test_what_goes_wrong_in_one_ends_the_others_and_keeps_what_was_measured(make_toy: MakeToy, tmp_path: Path) -> None:
    conftest = f"""
import os
from pytest_autoresearch.errors import UserError
def pytest_autoresearch_measure(candidate):
    if candidate.seat == 2 and not os.path.exists({str(tmp_path / "mended")!r}):
        while not os.path.exists({str(tmp_path / "there")!r}):
            pass
        raise UserError("mend it and run again")
"""
    late = f"[ -e {tmp_path}/mended ] || {{ sleep 30; touch {tmp_path}/left-alone; }}"
    slow = f"touch {tmp_path}/there; sleep 1; {late}; echo score: 7\n"
    toy = make_toy(
        *scores(8),
        {"hypothesis": "broken", "content": "echo broken; echo score: 6\n"},
        {"hypothesis": "slow", "content": slow},
        problem={"engine": {"candidates": 3}, "hard_timeout_s": 100},
        files={"conftest.py": conftest},
    )
    done = toy.run("--iterations=1")
    assert done.returncode == 1
    assert "mend it and run again" in done.stdout
    assert labels(toy) == [("0", "keep", 10)]
    assert not (tmp_path / "left-alone").exists()
    assert list(running(toy)) == []
    (tmp_path / "mended").touch()
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "discard", 8), ("1.2", "keep", 6), ("1.3", "discard", 7)]
    assert len(toy.ledger("idea")) == 3


def test_edits_by_hand_come_one_at_a_time(make_toy: MakeToy) -> None:
    toy = make_toy(problem={**FOUR, "critic": {"enabled": False}})
    done = toy.run("--iterations=1")
    assert done.returncode == 1
    assert "engine.candidates is 4, and edits by hand come one at a time" in done.stdout
    toy.write("solution.sh", "echo score: 10\n")
    assert by_hand(toy.project, "run").code == 0


def test_the_tuner_proposes_different_ones(make_toy: MakeToy) -> None:
    pytest.importorskip("optuna", reason="the tuner needs optuna: pip install 'pytest-autoresearch[tuner]'")
    for sampler in ("tpe", "cmaes", "random"):
        toy = make_toy(
            problem={
                "engine": {"candidates": 4},
                "critic": {"provider": "tuner", "sampler": sampler},
                "mutable_file": "solution.py",
                "runner": "python solution.py",
                "branch_prefix": sampler,
            },
            files={"solution.py": "X = 3  # search: 1..8\nprint('score:', abs(X - 5))\n"},
            prefix=sampler,
        )
        toy.run("--iterations=2")
        proposed = [record["idea"]["parameters"]["X"] for record in toy.ledger("idea")]
        assert len(proposed) == len(set(proposed)) == 7
        assert toy.ledger("result")[-1]["number"] == 7


def test_status_says_what_is_under_way(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(
        *meeting(tmp_path / "there", 9, 8, count=99), problem={"engine": {"candidates": 2}, "hard_timeout_s": 90}
    )
    started = toy.start("--iterations=1")
    wait_for(lambda: len(list((tmp_path / "there").iterdir())) == 2, "both")
    told = by_hand(toy.project, "status").out
    kill(started)
    assert re.findall(r"^under way: experiment (\S+), applied: (.*)$", told, re.MULTILINE) == [
        ("1.1", "score 9"),
        ("1.2", "score 8"),
    ]


def test_the_incumbent_beside_them_is_no_part_of_a_confirmation(make_toy: MakeToy, tmp_path: Path) -> None:
    """It ends before the candidates do, and what they gave is not forgotten for that."""
    ideas = [
        {"hypothesis": str(value), "content": f"echo x >> {tmp_path}/{value}; sleep 0.5; echo score: {value}\n"}
        for value in (5, 9)
    ]
    problem = {
        "engine": {"candidates": 2, "concurrent_baseline": True},
        "noise": {"repeats": 2, "confirm": 4, "alpha": 0.05},
    }
    toy = make_toy(*ideas, problem=problem)
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "keep", 5), ("1.2", "discard", 9)]
    roles = [(record["number"], record["role"]) for record in toy.ledger("sample")]
    assert roles.index((1, "beside")) < roles.index((1, "first"))
    assert roles.count((1, "first")) == 1
    assert (tmp_path / "5").read_text().count("x") == 5


def test_all_of_a_round_stand_on_what_they_were_to_beat(make_toy: MakeToy) -> None:
    misfit = {"hypothesis": "no such text", "edits": [{"search": "nowhere", "replace": "x"}]}
    toy = make_toy(*scores(8, 9), misfit, problem={"engine": {"candidates": 3}})
    toy.run("--iterations=1")
    assert [status for _, status, _ in labels(toy)] == ["keep", "keep", "discard", "crash"]
    assert {record["parent"] for record in toy.ledger("result")[1:]} == {toy.branch()[0]}


def test_an_iteration_that_is_only_brought_to_its_end_measures_nothing_any_more(make_toy: MakeToy) -> None:
    """Its first results are on record, and the others were measured under a contract that holds no more."""
    toy = make_toy(*scores(9, 8), problem={"engine": {"candidates": 2}, "fingerprint": ["data"], "link": ["data"]})
    toy.write(".gitignore", "data\n")
    toy.commit("data are not git's")
    toy.write("data", "first\n")
    toy.run("--iterations=1")
    ledger = toy.records / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    position = next(index for index, line in enumerate(lines) if '"kind":"result"' in line and '"seat"' in line)
    ledger.write_text("".join(lines[: position + 1]))
    git(toy.directory, "update-ref", "refs/heads/toy/run1", toy.branch()[0])
    begun = len(toy.ledger("started"))
    toy.write("data", "second\n")
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "discard", 9), ("1.2", "crash", None)]
    crash = toy.ledger("result")[-1]
    assert (crash["reason"], crash["machine"]) == ("its iteration was interrupted and is over", True)
    assert {record["number"] for record in toy.ledger("started")[begun:]} == {0}


def test_why_an_idea_came_to_no_candidate_is_still_known_after_a_kill(make_toy: MakeToy) -> None:
    misfit = {"hypothesis": "no such text", "edits": [{"search": "nowhere", "replace": "x"}]}
    toy = make_toy(*scores(8), misfit, problem={"engine": {"candidates": 2}})
    toy.run("--iterations=1")
    whole = on_record(toy)
    ledger = toy.records / "ledger.jsonl"
    *before, _ = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(before))
    toy.run("--iterations=1")
    assert on_record(toy) == whole
    assert whole[2]["reason"].startswith("edit: ")


def test_one_candidate_after_a_kill_is_judged_as_the_several_that_it_was(make_toy: MakeToy, tmp_path: Path) -> None:
    wait = f"touch {tmp_path}/there; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo score: 8\n"
    ideas = [*scores(9), {"hypothesis": "wait", "content": wait}, *scores(7)]
    toy = make_toy(*ideas, problem={"hard_timeout_s": 100})
    started = toy.start("--iterations=1", "--autoresearch-candidates=3")
    wait_for((tmp_path / "there").exists, "the second candidate")
    kill(started)
    (tmp_path / "go").touch()
    toy.run("--iterations=1")
    assert labels(toy)[1:] == [("1.1", "discard", 9), ("1.2", "discard", 8), ("1.3", "keep", 7)]
    assert [record["beaten"] for record in toy.ledger("result")[1:]] == [10, 10, 10]
