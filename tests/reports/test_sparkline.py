"""The end of a run: the course in a line, the best keeps, what to do next."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pytest_autoresearch.reports.sparkline import closing_lines, sparkline
from tests.conftest import MakeToy
from tests.reports.sessions import Trial, descent, session
from tests.reports.synthetic import story_of
from tests.support import git, scores


def test_a_higher_value_has_a_higher_character() -> None:
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == "█▇▆▅▄▃▂▁"
    assert sparkline([1, 8], 8) == "▁█"
    assert sparkline([3, 3, 3], 8) == "▄▄▄"


def test_what_has_no_value_is_a_gap() -> None:
    assert sparkline([math.nan, 2, math.nan, 1], 8) == " █ ▁"
    assert sparkline([math.nan, math.nan], 8) == "  "
    assert sparkline([], 8) == ""


def test_of_more_values_than_characters_the_last_of_each_share_is_shown() -> None:
    assert sparkline([9.0] * 30 + [2.0] * 29 + [1.0], 6) == "███▂▂▁"
    assert len(sparkline(range(100_000), 60)) == 60


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "no such encoding"])
def test_it_is_ascii_where_there_are_no_blocks(encoding: str) -> None:
    drawn = sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8, encoding)
    assert drawn == "#*+=~-._"
    assert drawn.isascii()


def test_the_three_largest_keeps_are_named_largest_first(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 5, 4.5, 20, 2))
    toy.run("--iterations=5")
    lines = list(closing_lines(story_of(toy)))
    assert lines[0] == "best so far: █▇▄▃▃▁"
    commits = {record["number"]: record["commit"][:7] for record in toy.ledger("result")}
    assert lines[1:5] == [
        "largest improvements:",
        f"    2 -4  score 5  ({commits[2]})",
        f"    5 -2.5  score 2  ({commits[5]})",
        f"    1 -1  score 9  ({commits[1]})",
    ]
    assert git(toy.directory, "cat-file", "-t", commits[2]) == "commit"


def test_the_next_steps_name_the_problem_and_the_session(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9))
    toy.run("--iterations=1")
    steps = [line.partition(": pytest-autoresearch ")[2] for line in closing_lines(story_of(toy))]
    named = f"--problem {toy.project / 'problem.yaml'}"
    assert [step for step in steps if step] == [f"compare {named} run1 OTHER_TAG"]


def test_a_hypothesis_is_bounded_and_without_control_characters(tmp_path: Path) -> None:
    hostile = "\x1b[31mred\nline " + "x" * 500
    lines = list(closing_lines(session(tmp_path, [Trial(2, kept=True), Trial(1, kept=True, hypothesis=hostile)])))
    assert max(map(len, lines[:3])) < 120
    assert all(line.isprintable() for line in lines)


def test_one_bad_baseline_does_not_flatten_it(tmp_path: Path) -> None:
    values = [1e6, *(10 - number / 10 for number in range(8))]
    (line, *_) = closing_lines(session(tmp_path, descent(values)))
    assert line == "best so far: ██▇▆▅▄▃▂▁"


def test_nothing_is_said_before_there_is_a_baseline(tmp_path: Path) -> None:
    assert list(closing_lines(session(tmp_path, []))) == []
