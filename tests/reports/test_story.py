"""A session, told from its ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.reports.tally import Tally
from tests.conftest import MakeToy
from tests.reports.synthetic import story_of
from tests.support import scores


def test_each_experiment_is_told_with_what_it_had_to_beat(make_toy: MakeToy) -> None:
    toy = make_toy(
        {**scores(8)[0], "expected_delta": -1.5},
        *scores(9, "none"),
        {"hypothesis": "leave a file", "content": "echo > model; echo score: 7\n"},
    )
    toy.run("--iterations=4")
    story = story_of(toy)
    entries = list(story.entries())
    told = [(one.experiment.number, one.experiment.status, one.beaten, one.best, one.delta) for one in entries]
    assert told == [
        (0, "keep", None, 10, None),
        (1, "keep", 10, 8, -2),
        (2, "discard", 8, 8, 1),
        (3, "crash", 8, 8, None),
        (4, "keep", 8, 7, -1),
    ]
    assert [one.expected for one in entries] == [None, -1.5, None, None, None]
    assert [one.left for one in entries] == [(), (), (), (), ("model",)]
    assert entries[1].idea is not None
    assert entries[1].idea.hypothesis == "score 8"
    assert story.project == toy.checkout
    assert story.progress.next_number == 5


def test_what_they_add_up_to(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9, "none", 8.5), {"hypothesis": "score 9 again", "content": "echo score: 9\n"})
    toy.run("--iterations=5")
    tally = Tally(lower_is_better=True)
    for entry in story_of(toy).entries():
        tally.take(entry)
    score = tally.scores["replay"]
    assert (score.tried, score.kept, score.crashed, score.gain) == (5, 1, 1, 2)
    assert (tally.duplicates, tally.contracts) == (1, [0])
    assert tally.began <= tally.ended


def test_numbers_of_two_contracts_are_not_compared(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8), files={"data": "1"}, problem={"fingerprint": ["data"]})
    toy.run("--iterations=1")
    (toy.checkout / "data").write_text("2")
    toy.run("--iterations=1")
    entries = list(story_of(toy).entries())
    tally = Tally(lower_is_better=True)
    for entry in entries:
        tally.take(entry)
    assert tally.contracts == [0, 2]
    assert [one.beaten for one in entries] == [None, 10, 9]


def test_there_is_nothing_to_tell_of_no_session(make_toy: MakeToy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no session toy/run1 yet"):
        story_of(make_toy())


def test_a_damaged_ledger_is_named(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9))
    toy.run("--iterations=1")
    ledger = toy.records / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), "kind": "result"})
    ledger.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="line"):
        list(story_of(toy).entries())
