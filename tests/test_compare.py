"""Sessions side by side."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_autoresearch.compare import compare, verdict
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.reports.comparands import find_sessions
from pytest_autoresearch.reports.comparison import comparison_json, comparison_lines, grid
from pytest_autoresearch.reports.comparison_chart import write_comparison
from pytest_autoresearch.reports.contender import Named
from pytest_autoresearch.reports.repeats import estimate
from tests.conftest import MakeToy
from tests.reports.sessions import Trial, descent, session
from tests.support import git, scores

Values = list[float | None]


def named(directory: Path, tag: str, values: Values, label: str = "", **fields: Any) -> Named:
    return Named(tag, session(directory / tag, descent(values, **fields), tag), label)


def nothing() -> Path:
    raise AssertionError("no tag was named")


def test_what_was_reached_after_as_many_experiments_and_in_the_same_time(tmp_path: Path) -> None:
    slow = named(tmp_path, "slow", [10, 6, 5, 2], critic="llm", seconds=10.0)
    fast = named(tmp_path, "fast", [10, 9, 8, 7, 6, 5, 4], critic="tuner", seconds=1.0)
    (group,) = compare([slow, fast]).groups
    assert group.horizon("experiments") == 3
    assert [(label, found.mean) for label, found in group.ranked("experiments")] == [("llm", 2), ("tuner", 7)]
    assert group.horizon("seconds of runs") == 6
    assert [(label, found.mean) for label, found in group.ranked("seconds of runs")] == [("tuner", 4), ("llm", 10)]
    assert group.horizon("seconds of wall clock") == 30


def test_what_runs_at_once_counts_once_at_equal_time(tmp_path: Path) -> None:
    """Three of ten seconds each in 15 seconds, as they overlap; then an iteration of one."""
    trials = descent([10, 9, 8, 7, 6], seconds=10.0)
    places = [(1, 1), (1, 2), (1, 3), (2, 1)]
    seated = [
        replace(one, more={"iteration": it, "seat": seat}) for one, (it, seat) in zip(trials[1:], places, strict=True)
    ]
    ended = {1: (110.0, 110.5, 115.0), 4: (220.0,)}
    story = session(tmp_path / "many", [trials[0], *seated], "many", samples=ended)
    alone = named(tmp_path, "alone", [10, 9, 8, 7, 6], label="alone", seconds=10.0)
    (group,) = compare([Named("many", story, "many"), alone]).groups
    many, one = group.contenders
    assert list(many.positions["seconds of runs"]) == [0, 15, 15, 15, 25]
    assert list(one.positions["seconds of runs"]) == [0, 10, 20, 30, 40]
    assert [found.best_at("seconds of runs", 15) for found in (many, one)] == [7, 9]
    assert [found.best_at("experiments", 2) for found in (many, one)] == [8, 8]
    assert (many.tried, many.iterations, one.iterations) == (4, 2, 4)
    (said,) = [line for line in comparison_lines(compare([Named("many", story), alone])) if "iterations" in line]
    assert said.startswith("many: 4 experiments in 2 iterations: ")


def test_how_many_experiments_a_share_of_the_best_known_gain_took(tmp_path: Path) -> None:
    (group,) = compare([named(tmp_path, "one", [10, 7, 4, 0]), named(tmp_path, "two", [10, 6, 5, 5, 5])]).groups
    one, two = group.contenders
    assert group.best == 0
    assert [one.experiments_to(share, group.best) for share in (0.5, 0.9, 1.0)] == [2, 3, 3]
    assert [two.experiments_to(share, group.best) for share in (0.5, 0.9)] == [2, None]


def test_where_higher_is_better_it_is_the_other_way_round(tmp_path: Path) -> None:
    def higher(tag: str, values: Values) -> Named:
        trials = descent(values, lower_is_better=False, critic=tag)
        return Named(tag, session(tmp_path / tag, trials, tag, lower_is_better=False))

    comparison = compare([higher("a", [0, 5, 10]), higher("b", [0, 1, 2])])
    (group,) = comparison.groups
    assert group.best == 10
    assert [label for label, _ in group.ranked("experiments")] == ["a", "b"]
    assert group.contenders[0].experiments_to(0.5, 10) == 1
    assert next(comparison_lines(comparison)) == "score, higher is better"


def repeats(directory: Path, label: str, finals: list[float]) -> list[Named]:
    return [named(directory, f"{label}{at}", [10, final], label) for at, final in enumerate(finals)]


def test_repeats_have_a_mean_and_students_interval(tmp_path: Path) -> None:
    (group,) = compare(repeats(tmp_path, "llm", [1, 2, 3])).groups
    found = group.at("experiments", 1)["llm"]
    assert (found.mean, found.repeats) == (2, 3)
    assert found.low == pytest.approx(2 - 4.30265 / 3**0.5, rel=1e-4)
    assert found.high == pytest.approx(2 + 4.30265 / 3**0.5, rel=1e-4)
    two = estimate([1, 3])
    assert two.high == pytest.approx(2 + 12.7062, rel=1e-4)
    assert (estimate([7]).low, str(estimate([7]))) == (None, "7")


def test_whether_the_intervals_overlap_is_said(tmp_path: Path) -> None:
    apart = [*repeats(tmp_path / "a", "llm", [1, 1.1, 1.2]), *repeats(tmp_path / "a", "tuner", [5, 5.1, 5.2])]
    (group,) = compare(apart).groups
    first, *_ = verdict(group)
    assert first.startswith("at 1 experiment each, llm reached 1.1 (0.851")
    assert first.endswith("llm is better than tuner: the intervals do not overlap")
    near = [*repeats(tmp_path / "b", "llm", [1, 4, 6]), *repeats(tmp_path / "b", "tuner", [2, 5, 7])]
    first, *_ = verdict(compare(near).groups[0])
    assert first.endswith("llm is ahead of tuner, but the intervals overlap: this does not tell them apart")


def test_one_session_of_a_label_is_no_proof(tmp_path: Path) -> None:
    sessions = [named(tmp_path, "a", [10, 1], "llm"), named(tmp_path, "b", [10, 2], "tuner")]
    sentences = list(verdict(compare(sessions).groups[0]))
    assert len(sentences) == 3
    assert all("one session of a label has no interval, so this may be luck" in one for one in sentences)
    same = [named(tmp_path, "c", [10, 1], "llm"), named(tmp_path, "d", [10, 1], "tuner")]
    assert next(verdict(compare(same).groups[0])).endswith("llm and tuner are equal")
    assert not list(verdict(compare([named(tmp_path, "e", [1]), named(tmp_path, "f", [1])]).groups[0]))


def test_numbers_of_different_contracts_are_compared_only_if_one_insists(tmp_path: Path) -> None:
    sessions = [
        named(tmp_path, "a", [10, 9], "llm"),
        named(tmp_path, "b", [10, 8], "tuner"),
        named(tmp_path, "c", [100, 50], "tuner", contract="c2"),
    ]
    comparison = compare(sessions)
    assert [[one.name for one in group.contenders] for group in comparison.groups] == [["a", "b"], ["c"]]
    assert "the sessions rest on 2 different contracts" in list(comparison_lines(comparison))[1]
    insisted = compare(sessions, insist=True)
    assert len(insisted.groups) == 1
    assert list(comparison_lines(insisted))[1].endswith("compared because you insist")
    assert not compare(sessions[:2], insist=True).insisted


def test_what_came_before_a_change_of_contract_is_not_compared(tmp_path: Path) -> None:
    trials = [*descent([10, 1]), *descent([50, 40], contract="c2")]
    changed = Named("a", session(tmp_path / "a", trials, "a"))
    comparison = compare([changed, named(tmp_path, "b", [50, 45], contract="c2")])
    (group,) = comparison.groups
    assert (group.contenders[0].baseline, group.contenders[0].final, group.best) == (50, 40, 40)
    assert "a: 2 experiments before its contract changed are counted, not compared" in comparison_lines(comparison)


def test_other_metrics_and_too_few_sessions_are_refused(tmp_path: Path) -> None:
    one = named(tmp_path, "a", [10])
    other = Named("b", session(tmp_path / "b", descent([10]), "b", lower_is_better=False))
    with pytest.raises(UserError, match="a minimises score and b maximises score: sessions are compared"):
        compare([one, other])
    with pytest.raises(UserError, match="takes two sessions or more"):
        compare([one])
    with pytest.raises(UserError, match="session c has no value to compare yet"):
        compare([one, Named("c", session(tmp_path / "c", [], "c"))])


def test_the_table_says_who_and_what_it_cost(tmp_path: Path) -> None:
    llm = named(tmp_path, "night", [10, 11, None, 5], critic="openai", tokens=2_000)
    lines = list(comparison_lines(compare([llm, named(tmp_path, "day", [10, 9])])))
    header, first, second = (" ".join(line.split()) for line in lines[2:5])
    assert header.startswith("session label experiments kept crashed from to to 50% to 90% ")
    assert first == "night openai m 3 1 (33%) 1 10 5 3 3 3.0 30.0 6,000 0.006"
    assert second == "day tuner 1 1 (100%) 0 10 9 never never 1.0 10.0 0 0"


def test_the_json_has_the_curves_and_can_be_written(tmp_path: Path) -> None:
    sessions = [named(tmp_path, "a", [10, 6, 5], "llm"), named(tmp_path, "b", [10, 9, 8], "tuner")]
    comparison = compare(sessions)
    told = json.loads(json.dumps(comparison_json(comparison), allow_nan=False))
    (group,) = told["groups"]
    assert group["curves"]["experiments"]["at"] == [0, 1, 2]
    assert [one["mean"] for one in group["curves"]["experiments"]["labels"]["llm"]] == [10, 6, 5]
    assert [one["name"] for one in group["sessions"]] == ["a", "b"]
    assert group["verdict"] == list(verdict(comparison.groups[0]))
    assert told["front"] is None


def test_a_session_of_its_baseline_alone_can_be_compared(tmp_path: Path) -> None:
    comparison = compare([named(tmp_path, "a", [10], "llm"), named(tmp_path, "b", [10, 9], "tuner")])
    assert grid(comparison.groups[0], "experiments") == [0]
    assert list(comparison_lines(comparison))
    assert comparison_json(comparison)["groups"][0]["best"] == 9


def test_the_chart_names_labels_as_text(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib, of the extra report")
    sessions = [*repeats(tmp_path, "llm", [1, 2, 3]), named(tmp_path, "b", [10, 9], "_a$b$c"), *_raw(tmp_path)]
    write_comparison(compare(sessions), tmp_path / "a.svg")
    ElementTree.parse(tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    for text in ("llm, mean of 3, 95 % interval", "score (lower is better)", "seconds of runs", "Pareto front of 4"):
        assert f"<!-- {text}" in drawn
    assert "<!-- a$b$c" in drawn
    write_comparison(compare(sessions), tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text() == drawn


def _raw(directory: Path) -> Iterator[Named]:
    """Two scalarizations with raw metrics, and so contracts."""
    for tag, raw in (("sum", [(1, 9), (3, 3)]), ("max", [(2, 4), (9, 1)])):
        trials = [
            Trial(float(score), kept=score == 0, contract=tag, more={"also": {"error": a, "size": b}})
            for score, (a, b) in enumerate(raw)
        ]
        yield Named(tag, session(directory / tag, trials, tag))


def test_several_scalarizations_have_one_front(tmp_path: Path) -> None:
    comparison = compare(list(_raw(tmp_path)))
    assert len(comparison.groups) == 2
    assert comparison.front is not None
    assert [(point.session, point.number) for point in comparison.front.points] == [
        ("sum", 0),
        ("max", 0),
        ("sum", 1),
        ("max", 1),
    ]
    aims = "error (lower is better), size (lower is better)"
    assert f"Pareto front of {aims}: 4 of 4 experiments with raw metrics on record" in comparison_lines(comparison)
    assert comparison_json(comparison)["front"]["points"][0] == {
        "session": "sum",
        "number": 0,
        "label": "0",
        "also": {"error": 1, "size": 9},
    }


def test_raw_metrics_of_a_real_session_are_on_record(make_toy: MakeToy) -> None:
    both = {"hypothesis": "both", "content": "echo size: 5; echo score: 8; echo size: 3\n"}
    one = {"hypothesis": "no size", "content": "echo size: nan; echo score: 9\n"}
    toy = make_toy(both, one, problem={"also": {"size": r"^size: (\S+)"}})
    toy.run("--iterations=2")
    assert [record.get("also") for record in toy.ledger("result")] == [None, {"size": 3}, None]
    toy.run("--iterations=2", "--autoresearch-tag=other")
    front = compare(find_sessions(["run1", "other"], lambda: toy.project / "problem.yaml")).front
    assert front is not None
    assert [(point.session, point.number, point.also) for point in front.points] == [("run1", 1, {"size": 3})]


def test_sessions_are_found_by_tag_path_and_label(make_toy: MakeToy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = make_toy(*scores(9, 8), inside="deep")
    for tag in ("run1", "run2"):
        toy.run("--iterations=2", f"--autoresearch-tag={tag}")
    file = toy.project / "problem.yaml"
    found = find_sessions(["run1", f"{file}@run2"], lambda: file)
    assert [(one.name, one.label, one.story.place.tag) for one in found] == [
        ("run1", "", "run1"),
        (f"{file}@run2"[:59] + "…", "", "run2"),
    ]
    labelled = find_sessions([f"llm={toy.project},run2"], lambda: file)
    assert [(one.label, one.story.place.tag) for one in labelled] == [("llm", "run1"), ("llm", "run2")]
    monkeypatch.chdir(toy.directory)
    (group,) = compare(find_sessions(["deep", "deep@run2"], nothing)).groups
    assert [(one.name, one.label, one.final) for one in group.contenders] == [
        ("deep", "replay", 8),
        ("deep@run2", "replay", 8),
    ]
    assert git(toy.directory, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run1", "run1"], "run1 is the session that run1 is: name each of them once"),
        (["run1", "run3"], "there is no session toy/run3 yet"),
        (["=run1", "run1"], "=run1: expected LABEL=TAG,TAG"),
        (["a=run1,", "run1"], "a=run1,: expected LABEL=TAG,TAG"),
        (["no/such/place", "run1"], "no/such/place: there is no problem here"),
        (["nowhere@run1", "run1"], "nowhere: there is no problem here"),
        (["run 1", "run1"], "tag 'run 1': expected letters"),
    ],
)
def test_what_names_no_session_is_refused(make_toy: MakeToy, arguments: list[str], said: str) -> None:
    toy = make_toy(*scores(9))
    toy.run("--iterations=1")
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        find_sessions(arguments, lambda: toy.project / "problem.yaml")


def test_long_sessions_are_compared_without_holding_them(tmp_path: Path) -> None:
    draw = random.Random(3)
    values: Values = [10 - number / 1_000 + draw.random() for number in range(3_000)]
    (group,) = compare([named(tmp_path, "a", values, "llm"), named(tmp_path, "b", values[::-1], "tuner")]).groups
    assert [one.length("experiments") for one in group.contenders] == [2_999, 2_999]
    assert len(grid(group, "experiments")) == 100
    assert grid(group, "experiments")[-1] == 2_999
