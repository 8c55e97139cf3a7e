"""`STATE.md`: where a session stands."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cli.support import apart
from tests.conftest import MakeToy
from tests.support import kill, scores, wait_for


def test_it_says_what_is_best_what_was_tried_and_what_crashed(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9), {"hypothesis": "exit", "content": "echo the end of it; exit 3\n"})
    toy.run("--iterations=3")
    text = (toy.checkout / "STATE.md").read_text()
    for said in (
        "# State of session toy/run1",
        "- score (lower is better): 10 → 8, self-reported",
        "- 3 experiments: 1 kept, 1 discarded, 1 crashed; 2 since the last keep",
        "| 2 | discard | 9 | score 9 | worse: 8 → 9 (+1) |",
        "## Recent crashes\n\nExperiment 3: the runner ended with exit status 3\n\n```\nthe end of it\n```",
        "## Kept\n\n```\n" + toy.branch()[1][:7],
    ):
        assert said in text
    assert apart(toy.project, "state").out == text


def test_it_is_made_anew_as_often_as_it_is_to_be(make_toy: MakeToy) -> None:
    toy = make_toy(
        *scores(9, 8, 7),
        {"hypothesis": "slow", "content": "sleep 100\n"},
        problem={"state": {"throttle_seconds": 1000, "rebuild_every_n_iter": 2}},
    )
    process = toy.start("--iterations=4")
    page = toy.checkout / "STATE.md"
    wait_for(lambda: (toy.checkout / "results.tsv").exists() and len(toy.rows()) == 5, "three experiments")
    shown = page.read_text()
    kill(process)
    assert "| 2 | keep | 8 |" in shown
    assert "| 3 |" not in shown
    assert "| 3 | keep | 7 |" in apart(toy.project, "state").out


def test_it_names_the_next_idea_while_that_is_measured(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "wait for it", "content": "touch started; sleep 100\n"})
    process = toy.start("--iterations=1")
    wait_for((toy.checkout / "started").exists, "the run")
    said = apart(toy.project, "state").out
    kill(process)
    assert "## Next\n\nExperiment 1, replay: wait for it\n" in said


def test_a_page_of_the_users_is_kept(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8))
    toy.run("--iterations=1")
    (toy.checkout / "STATE.md").write_text("mine\n")
    toy.run("--iterations=1")
    assert (toy.checkout / "STATE.md.edited-1").read_text() == "mine\n"
    assert (toy.checkout / "STATE.md").read_text().startswith("# State of session")


def test_one_that_is_tracked_is_left_alone(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9), files={"STATE.md": "the user's\n"})
    toy.run("--iterations=1")
    assert (toy.checkout / "STATE.md").read_text() == "the user's\n"
    assert (toy.checkout / ".autoresearch" / "STATE.md").exists()


def test_it_can_be_switched_off(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9), problem={"state": {"enabled": False}})
    toy.run("--iterations=1")
    assert not (toy.checkout / "STATE.md").exists()


def test_one_that_cannot_be_written_costs_no_experiment(make_toy: MakeToy) -> None:
    block = "rm -rf STATE.md AUDIT_LOG.md.new; mkdir -p STATE.md/in; echo score: 9\n"
    toy = make_toy({"hypothesis": "block", "content": block}, *scores(8))
    done = toy.run("--iterations=2")
    assert toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8)]
    assert done.returncode == 0, done.stdout
    assert (toy.checkout / "STATE.md").is_file()


def test_steps_by_hand_refresh_it(make_toy: MakeToy) -> None:
    toy = make_toy()
    apart(toy.project, "run")
    (toy.checkout / "solution.sh").write_text("echo score: 7\n")
    assert apart(toy.project, "run").code == 0
    assert "score (lower is better): 10 → 7" in (toy.checkout / "STATE.md").read_text()


def test_no_run_that_only_checks_makes_one(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy()
    toy.pytest("problem.yaml")
    assert not any("STATE.md" in names for _, _, names in os.walk(toy.directory))
