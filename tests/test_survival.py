"""Kills, interrupts, leftovers: what a session is after them. Real processes and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.conftest import MakeToy
from tests.support import Toy, alive, git, kill, properties, scores, wait_for

ESCAPING = """
echo $$ >> {pids}
(trap '' TERM; sleep 1000 & echo $! >> {pids}; wait) &
setsid sleep 1000 & echo $! >> {pids}
(setsid bash -c 'echo $$ >> {pids}; (sleep 1000 & echo $! >> {pids}); wait' &)
sleep 0.3
echo score: {score}
{then}
"""


LAST = "mkdir -p {pids}.ready; sleep 1000"
LAST_THE_FIRST_TIME = "mkdir {pids}.ready 2> /dev/null && sleep 1000; exit 0"


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


def escaping(pids: Path, score: int, then: str) -> dict[str, str]:
    """An idea whose run leaves processes in every way there is."""
    return {
        "hypothesis": f"escape, {score}",
        "content": ESCAPING.format(pids=pids, score=score, then=then.format(pids=pids)),
    }


def living(pids: Path) -> list[int]:
    return [pid for pid in map(int, pids.read_text().split()) if alive(pid)]


def in_the_middle(toy: Toy, pids: Path, number: int = 1) -> subprocess.Popen[str]:
    """A run that has come to experiment `number`, which lasts until it is ended."""
    process = toy.start("--iterations=3", "--junitxml=report.xml")
    wait_for(Path(f"{pids}.ready").exists, "the runner")
    assert len(pids.read_text().split()) == 5
    assert toy.ledger("started")[-1]["number"] == number
    return process


def test_kill_9_in_the_middle_of_an_experiment_loses_and_doubles_nothing(make_toy: MakeToy, pids: Path) -> None:
    toy = make_toy(escaping(pids, 8, LAST_THE_FIRST_TIME), *scores(9, 7))
    kill(in_the_middle(toy, pids))
    wait_for(lambda: not living(pids), "the supervisor to end what the killed run left")
    assert toy.statuses() == [("keep", 10)]
    done = toy.run("--iterations=3")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("keep", 7)]
    assert [record["number"] for record in toy.ledger("idea")] == [1, 2, 3]
    assert [row[3] for row in toy.rows()[1:]] == ["keep", "keep", "discard", "keep"]
    keeps = [record["commit"] for record in toy.ledger("result") if record["status"] == "keep"]
    assert toy.branch() == keeps
    assert not living(pids)


def test_killing_the_whole_process_group_leaves_nothing_running(make_toy: MakeToy, pids: Path) -> None:
    toy = make_toy(escaping(pids, 8, LAST))
    process = in_the_middle(toy, pids)
    os.killpg(process.pid, signal.SIGKILL)
    kill(process)
    wait_for(lambda: not living(pids), "the supervisor to end what the killed run left")


def test_what_a_killed_supervisor_left_is_ended_at_the_next_start(make_toy: MakeToy, pids: Path) -> None:
    toy = make_toy(escaping(pids, 8, LAST_THE_FIRST_TIME))
    process = in_the_middle(toy, pids)
    process.send_signal(signal.SIGSTOP)
    for child in psutil.Process(process.pid).children():
        child.kill()
    kill(process)
    assert living(pids)
    done = toy.run("--iterations=1")
    assert "process(es) that an earlier run left behind were ended" in done.stdout
    assert not living(pids)
    assert toy.statuses()[1] == ("keep", 8)


def test_nothing_outlives_a_run_that_ended_well(make_toy: MakeToy, pids: Path) -> None:
    toy = make_toy(escaping(pids, 8, "exit 0"))
    toy.run("--iterations=1")
    assert toy.statuses()[1] == ("keep", 8)
    assert not living(pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_puts_everything_back_and_writes_the_xml(
    make_toy: MakeToy, pids: Path, number: signal.Signals
) -> None:
    toy = make_toy(escaping(pids, 8, LAST))
    process = in_the_middle(toy, pids)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert not living(pids)
    assert (toy.checkout / "solution.sh").read_text() == "echo score: 10\n"
    assert git(toy.checkout, "status", "--porcelain") == ""
    assert "iteration[1]" in properties(toy.project / "report.xml")
    assert "interrupted" in (toy.project / "report.xml").read_text()
    assert toy.statuses() == [("keep", 10)]


def test_an_interrupted_experiment_is_repeated_with_the_idea_that_was_paid_for(make_toy: MakeToy, pids: Path) -> None:
    content = ESCAPING.format(pids=pids, score=8, then=LAST.format(pids=pids))
    conftest = f"""
from pathlib import Path
from pytest_autoresearch.records import Idea

def pytest_autoresearch_propose(brief):
    with Path({str(pids)!r} + ".asked").open("a") as file:
        file.write("x")
    return Idea(hypothesis="paid", content={content!r}, critic="paid")
"""
    toy = make_toy(files={"conftest.py": conftest}, problem={"hard_timeout_s": 4})
    kill(in_the_middle(toy, pids))
    asked = Path(f"{pids}.asked").read_text()
    toy.run("--iterations=1")
    assert toy.ledger("result")[1]["reason"].startswith("timeout")
    assert Path(f"{pids}.asked").read_text() == asked


def test_a_second_run_on_the_same_session_is_told_who_has_it(make_toy: MakeToy, pids: Path) -> None:
    toy = make_toy(escaping(pids, 8, LAST))
    first = in_the_middle(toy, pids)
    second = toy.run("--iterations=1")
    assert second.returncode == 1
    assert f"session toy/run1 is running already (process {first.pid}, since" in second.stdout
    kill(first)


def cut(toy: Toy, kind: str) -> dict[str, object]:
    """Take the ledger back to just before its last record of `kind`, as a kill there would have left it."""
    path = toy.records / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    while json.loads(lines[-1])["kind"] != kind:
        lines.pop()
    record = json.loads(lines.pop())
    path.write_text("".join(lines))
    return dict(record)


def test_a_keep_on_record_that_is_not_on_the_branch_is_put_there(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    advanced = cut(toy, "advanced")
    start = toy.branch()[0]
    git(toy.directory, "update-ref", "refs/heads/toy/run1", start)
    (toy.checkout / "solution.sh").write_text("echo score: 8\n")
    toy.run("--iterations=1")
    assert toy.branch()[1] == advanced["commit"]
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]
    assert git(toy.checkout, "status", "--porcelain") == ""


def test_a_branch_that_advanced_without_a_record_of_it_gets_the_record(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    cut(toy, "advanced")
    toy.run("--iterations=1")
    assert [record["number"] for record in toy.ledger("advanced")] == [1, 2]
    assert len(toy.branch()) == 3


def test_a_candidate_without_a_result_is_measured_and_not_made_again(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(12, 11))
    toy.run("--iterations=1")
    lost = cut(toy, "result")
    (toy.checkout / "solution.sh").write_text("echo score: 12\n")
    toy.run("--iterations=1")
    assert [record["commit"] for record in toy.ledger("result")[1:]] == [lost["commit"]]
    assert len(toy.ledger("idea")) == len(toy.ledger("applied")) == 1
    assert len(toy.rows()) == 3


def test_a_branch_that_somebody_moved_is_reported_and_never_overwritten(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    start = toy.branch()[0]
    git(toy.directory, "update-ref", "refs/heads/toy/run1", start)
    done = toy.run("--iterations=1")
    assert done.returncode == 1
    assert "branch toy/run1 was moved" in done.stdout
    assert "update-ref refs/heads/toy/run1" in done.stdout
    assert git(toy.directory, "rev-parse", "toy/run1") == start


def test_an_edit_of_the_users_in_the_sessions_checkout_is_kept(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    (toy.checkout / "solution.sh").write_text("echo score: mine\n")
    done = toy.run("--iterations=1")
    assert done.returncode == 1
    assert "holds a change that this session did not make" in done.stdout
    assert (toy.checkout / "solution.sh").read_text() == "echo score: mine\n"


def test_results_tsv_is_rebuilt_and_the_users_version_is_kept(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    (toy.checkout / "results.tsv").write_text("my notes\n")
    done = toy.run("--iterations=1")
    assert "results.tsv was edited" in done.stdout
    assert [row[1] for row in toy.rows()] == ["score", "10.0", "8.0", "7.0"]
    assert (toy.checkout / "results.tsv.edited-1").read_text() == "my notes\n"


def test_a_checkout_that_was_deleted_is_made_again(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    subprocess.run(["rm", "-rf", str(toy.directory / ".autoresearch")], check=True)
    toy.run("--iterations=1")
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]
    assert len(toy.rows()) == 4


def test_candidates_survive_garbage_collection(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9))
    toy.run("--iterations=2")
    git(toy.directory, "reflog", "expire", "--expire=now", "--all")
    git(toy.directory, "gc", "--quiet", "--prune=now")
    discarded = toy.ledger("result")[2]["commit"]
    assert git(toy.directory, "show", f"{discarded}:solution.sh") == "echo score: 9"


def test_damage_to_the_ledger_is_found(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    path = toy.records / "ledger.jsonl"
    path.write_text(path.read_text().replace('"metric":8.0', '"metric":1.0'))
    done = toy.run("--iterations=1")
    assert done.returncode == 1
    assert "was changed after it was written" in done.stdout


def test_a_changed_contract_has_the_incumbent_measured_again(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7), problem={"fingerprint": ["data"], "link": ["data"]}, files={".gitignore": "data\n"})
    toy.write("data", "one")
    toy.run("--iterations=1")
    toy.write("data", "two")
    toy.run("--iterations=1")
    assert [(record["number"], record["metric"]) for record in toy.ledger("remeasured")] == [(1, 8.0)]
    contracts = [record["contract"] for record in toy.ledger("result")]
    assert contracts[0] == contracts[1] != contracts[2]


def test_an_interrupt_of_the_baseline_is_reported_by_name(make_toy: MakeToy, pids: Path) -> None:
    toy = make_toy(files={"solution.sh": escaping(pids, 8, LAST)["content"]})
    process = toy.start("--iterations=1", "--junitxml=report.xml")
    wait_for(Path(f"{pids}.ready").exists, "the baseline")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert not living(pids)
    assert "precondition[baseline_smoke]" in properties(toy.project / "report.xml")
