"""examples/tsp_heuristic: the published trajectory from its four ideas, and an evaluator that cannot be fooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.examples import Example, copy_example, with_literals

BEST_KNOWN = 5.625659
"""No tour shorter than this one has been found."""

TOUR = list(range(50))


@pytest.fixture
def tsp(tmp_path: Path) -> Example:
    return copy_example("tsp_heuristic", tmp_path)


def ideas(example: Example) -> list[Mapping[str, Any]]:
    content = yaml.safe_load((example.directory / example.problem["critic"]["ideas"]).read_text())
    return list(content["ideas"])


def applied(idea: Mapping[str, Any], solution: str) -> str:
    for edit in idea.get("edits", []):
        assert solution.count(edit["search"]) == 1, edit["search"]
        solution = solution.replace(edit["search"], edit["replace"])
    return str(idea.get("content", solution))


def trajectory(example: Example) -> Iterator[tuple[float, str]]:
    """Each idea's tour length and solution; an idea is applied to the best solution before it."""
    best, incumbent = float("inf"), example.solution
    for idea in ({}, *ideas(example)):
        candidate = applied(idea, incumbent)
        assert example.solve(candidate).returncode == 0
        length = example.metric()
        yield length, candidate
        if length < best:
            best, incumbent = length, candidate


def test_the_baseline_is_the_random_tour_and_the_runner_prints_nothing(tsp: Example) -> None:
    assert tsp.solve().stdout == ""
    assert "tour_length: 25.251112\n" in tsp.evaluate().stdout
    assert tsp.resource() == pytest.approx(1.084029)


def test_the_ideas_in_order_give_the_published_trajectory(tsp: Example) -> None:
    lengths = [length for length, _ in trajectory(tsp)]
    assert [round(length, 5) for length in lengths[:3]] == [25.25111, 5.97483, 5.89270]
    annealing, or_opt = lengths[3:]
    assert annealing > 5.89270
    assert BEST_KNOWN <= or_opt <= 5.64


def test_an_idea_fits_whether_or_not_the_annealing_before_it_was_kept(tsp: Example) -> None:
    kept = tsp.solution
    for idea in ideas(tsp):
        kept = applied(idea, kept)
    assert tsp.solve(kept).returncode == 0
    assert tsp.metric() <= 5.64


def test_what_the_ideas_leave_to_tune_reaches_the_best_tour_known(tsp: Example) -> None:
    *_, (_, last) = trajectory(tsp)
    assert tsp.solve(with_literals(last, KICKS=40)).returncode == 0
    assert tsp.metric() == pytest.approx(BEST_KNOWN, abs=1e-6)


def test_even_the_baseline_has_something_to_tune(tsp: Example) -> None:
    assert tsp.solve(with_literals(tsp.solution, STARTS=50)).returncode == 0
    assert tsp.metric() < 25.25111


def test_a_solution_runs_twice_to_the_same_tour(tsp: Example) -> None:
    tsp.solve()
    first = (tsp.judge / "tour.json").read_bytes()
    tsp.solve()
    assert (tsp.judge / "tour.json").read_bytes() == first


def test_every_idea_says_all_that_a_critic_says(tsp: Example) -> None:
    expected = {
        "hypothesis",
        "thought_process",
        "alternatives_considered",
        "expected_delta",
        "justification",
        "code_pseudocode",
        "risk_level",
    }
    for idea in ideas(tsp):
        assert set(idea) - {"edits", "content"} == expected
        assert ("edits" in idea) != ("content" in idea)
        assert idea["expected_delta"] < 0
        assert idea["risk_level"] in {"low", "med", "high"}


@pytest.mark.parametrize(
    ("artifact", "reason"),
    [
        ({"tour": TOUR[:-1]}, "not a list of 50 cities"),
        ({"tour": [*TOUR, 0]}, "not a list of 50 cities"),
        ({"tour": []}, "not a list of 50 cities"),
        ({"tour": {str(city): city for city in TOUR}}, "not a list of 50 cities"),
        ({"tour": [0, 0, *TOUR[2:]]}, "exactly once"),
        ({"tour": [*TOUR[:-1], 50]}, "exactly once"),
        ({"tour": [-1, *TOUR[1:]]}, "exactly once"),
        ({"tour": [float("nan"), *TOUR[1:]]}, "not an integer"),
        ({"tour": [0, 1.0, *TOUR[2:]]}, "not an integer"),
        ({"tour": [False, True, *TOUR[2:]]}, "not an integer"),
        ({"tour": ["0", *TOUR[1:]]}, "not an integer"),
        ({"tour": [None, *TOUR[1:]]}, "not an integer"),
        ({"tour": [[0], *TOUR[1:]]}, "not an integer"),
        ({"tour": TOUR, "tour_length": 1.0}, "one key"),
        ({"path": TOUR}, "one key"),
        (TOUR, "one key"),
        (None, "one key"),
        ("tour_length: 1.0\n", "not JSON"),
        ("", "not JSON"),
        (b"\xff\xfe\x00\xd8", "not JSON"),
        ("[" * 4000, "not JSON"),
        ("9" * 4096, "one key"),
        ({"tour": TOUR, "padding": "x" * 5000}, "more than 4096 bytes"),
    ],
)
def test_the_evaluator_refuses_what_is_no_tour_in_one_line(tsp: Example, artifact: object, reason: str) -> None:
    tsp.submit(artifact)
    refusal = tsp.refusal()
    assert refusal.startswith("tour.json: ")
    assert reason in refusal


def test_the_evaluator_refuses_a_missing_artifact_and_a_directory(tsp: Example) -> None:
    assert "no such file" in tsp.refusal()
    (tsp.judge / "tour.json").mkdir()
    assert "no such file" in tsp.refusal()
