"""What people call an experiment, wherever one is shown: its iteration, with its seat where that made several."""

from __future__ import annotations

from pathlib import Path

from pytest_autoresearch.critics.digest import Digest
from pytest_autoresearch.holdout import holdout_lines
from pytest_autoresearch.ledger import Ledger
from pytest_autoresearch.records import Idea
from pytest_autoresearch.reports.analysis import analysis_lines
from pytest_autoresearch.reports.page import write_page
from pytest_autoresearch.reports.summary import summary_markdown
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.review.finalize import Wishes, finalize
from tests.conftest import MakeToy
from tests.engines.test_round import meeting
from tests.reports.synthetic import story_of
from tests.reports.test_audit import audit_of
from tests.support import Toy, git, scores

THREE = {"engine": {"candidates": 3}}
LABELS = ["0", "1.1", "1.2", "1.3", "2", "3"]


def mixed(make_toy: MakeToy) -> tuple[Toy, str]:
    """Three at once, of which the second is kept and the third crashes, then two one by one; what the second run said.

    The first of the two is the same file as 1.1.
    """
    toy = make_toy(*scores(9, 8, "none", 9, 7), problem=THREE)
    toy.run("--iterations=1")
    return toy, toy.run("--iterations=2", "--autoresearch-candidates=1").stdout


def test_state_audit_and_summary(make_toy: MakeToy) -> None:
    toy, said = mixed(make_toy)
    state = (toy.checkout / "STATE.md").read_text()
    for text in ("- experiment 3, `", "| 1.2 | keep | 8 |", "| 2 | discard | 9 |", "Experiment 1.3: "):
        assert text in state
    audit = audit_of(toy.checkout)
    experiments = audit["experiments"]
    assert [one["label"] for one in experiments] == LABELS
    assert [one["number"] for one in experiments] == list(range(6))
    assert [(one["iteration"], one["seat"]) for one in experiments[1:]] == [(1, 1), (1, 2), (1, 3), (2, 0), (3, 0)]
    assert (experiments[4]["duplicate_of"], experiments[4]["duplicate_of_label"]) == (1, "1.1")
    assert experiments[4]["reason"].startswith("duplicate of experiment 1.1: worse")
    assert (audit["summary"]["best_experiment"], audit["summary"]["best_label"]) == (5, "3")
    assert (audit["summary"]["experiments"], audit["summary"]["iterations"]) == (5, 3)
    text = (toy.checkout / "AUDIT_LOG.md").read_text()
    for heading in ("### 1.2 kept", "### 1.3 crashed", "### 2 discarded", "### 3 kept", "(experiment 3)"):
        assert heading in text
    assert "| the same file as experiment | 1.1 |" in text
    assert "| experiments | 5 in 3 iterations: 2 kept" in text
    summary = summary_markdown(story_of(toy))
    assert "| best | experiment 3, commit" in summary
    assert "| 1.2 | 8 | -2 |" in summary
    assert "  1.2 -2  score 8" in said


def test_an_improvement_counts_once_though_three_were_judged_against_one_incumbent(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 7, 6.5, 6, 6.75), problem=THREE)
    toy.run("--iterations=2")
    audit = audit_of(toy.checkout)
    assert [one["beaten"] for one in audit["experiments"][1:]] == [10, 10, 10, 7, 7, 7]
    assert [one["delta"] for one in audit["experiments"][1:]] == [-1, -2, -3, -0.5, -1, -0.25]
    assert [(hit["label"], hit["gain"]) for hit in audit["top_hits"]] == [("1.3", 3), ("2.2", 1)]
    assert audit["critics"][0]["gain"] == audit["summary"]["improvement"] == 4
    assert [line.split()[:2] for line in analysis_lines(story_of(toy))][-2:] == [["1.3", "+3"], ["2.2", "+1"]]


def test_page(make_toy: MakeToy) -> None:
    toy, _ = mixed(make_toy)
    path = toy.directory / "page.html"
    write_page(story_of(toy), path, live=False)
    page = path.read_text()
    assert '<td class="n" data-v="2"><a href="#e2">1.2</a></td>' in page
    assert '<span class="number">1.3</span>' in page
    assert 'best: <a href="#r5">experiment 3</a>' in page
    assert "the same file as experiment 1.1;" in page
    assert 'aria-label="what experiment 1.2 changed"' in page
    assert "5 experiments in 3 iterations: 2 kept" in page
    assert "experiments so far" in page


def test_finalize(make_toy: MakeToy) -> None:
    toy, _ = mixed(make_toy)
    story = story_of(toy)
    request = finalize(story.place, story.problem, Wishes(remeasure=False), print)
    messages = git(toy.directory, "log", "--reverse", "--format=%B", "main..toy/run1-review").splitlines()
    told = [line for line in messages if line.startswith("Experiment: ")]
    assert told == [f"Experiment: {name} of session toy/run1" for name in ("1.2", "3")]
    assert "| 1.2 | score 8 |" in request
    assert "| 3 | score 7 |" in request


def test_holdout(make_toy: MakeToy) -> None:
    toy = make_toy(
        *scores(9, 8),
        problem={
            "engine": {"candidates": 2},
            "runner": "bash solution.sh > out",
            "artifacts": ["out"],
            "evaluator": "cat out",
            "holdout": "cat out",
        },
    )
    toy.run("--iterations=1")
    story = story_of(toy)
    assert [line.split()[0] for line in holdout_lines(story.place, story.problem)][1:] == ["0", "1.2"]


def test_what_a_model_is_shown(make_toy: MakeToy) -> None:
    """The change of each is that against what all of its iteration had to beat."""
    toy = make_toy(*scores(8, 9, "none"), {"hypothesis": "new", "content": "echo; echo score: 9\n"}, problem=THREE)
    toy.run("--iterations=1")
    toy.run("--iterations=1", "--autoresearch-candidates=1")
    digest = Digest(10, lower_is_better=True)
    digest.read(Ledger(toy.records / "ledger.jsonl"))
    shown = [(entry.label, entry.delta) for entry in digest.recent]
    assert shown == [("0", None), ("1.1", -2), ("1.2", -1), ("1.3", None), ("2", 1)]
    again = digest.seen(Idea("Score 9"))
    assert again == "1.2"
    found = digest.entry(again)
    assert found is not None
    assert found.status == "discard"


def test_the_page_on_the_state_is_made_anew_after_iterations(make_toy: MakeToy) -> None:
    conftest = """
from pathlib import Path

def pytest_autoresearch_experiment_recorded(research, experiment):
    found = (research.session.workspace.project / "STATE.md").exists()
    with open(Path(__file__).parent / "seen", "a") as file:
        print(experiment.label, found, file=file)
"""
    toy = make_toy(
        *scores(9, 8, 7, 6),
        problem={"engine": {"candidates": 2}, "state": {"throttle_seconds": 10**9, "rebuild_every_n_iter": 2}},
        files={"conftest.py": conftest},
    )
    toy.run("--iterations=2")
    seen = (toy.project / "seen").read_text().splitlines()
    assert seen == ["1.1 False", "1.2 False", "2.1 True", "2.2 True"]


def test_time_that_candidates_share_counts_once(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*meeting(tmp_path / "there", 9, 8, 7), problem=THREE)
    toy.run("--iterations=1")
    tally, entries = Tally(lower_is_better=True), list(story_of(toy).entries())
    for entry in entries:
        tally.take(entry)
    assert [bool(entry.elapsed) for entry in entries] == [True, True, False, False]
    assert entries[1].elapsed < sum(entry.experiment.seconds for entry in entries[1:])
    assert tally.elapsed == entries[0].elapsed + entries[1].elapsed
    assert tally.iterations == 1
