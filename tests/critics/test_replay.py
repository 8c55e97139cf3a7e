"""The critic that proposes recorded ideas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.critics.base import Brief, Exhausted
from pytest_autoresearch.critics.replay import Replay, load_ideas
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.ledger import Ledger
from pytest_autoresearch.records import Edit, Experiment, Idea

TUNABLE = "RATE = 0.1  # search: 0.001..1 log\n"


class NoHistory:
    def experiments(self, after: int = -1) -> Iterator[Experiment]:
        return iter(())


def brief(had: Mapping[str, int] | None = None, source: str = TUNABLE, number: int = 1) -> Brief:
    return Brief(
        number=number,
        ideas=had or {},
        source=source,
        metric=10.0,
        metric_name="score",
        lower_is_better=True,
        seed=1,
        history=NoHistory(),
    )


@pytest.fixture
def ideas(tmp_path: Path) -> Path:
    path = tmp_path / "ideas.yaml"
    path.write_text(json.dumps([{"hypothesis": f"idea {number}", "content": f"{number}"} for number in (1, 2, 3)]))
    return path


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ideas.yaml"
    path.write_text(text)
    return path


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        load_ideas(written(tmp_path, text))
    return str(caught.value)


# --- replay


def test_the_ideas_come_in_order_each_once_and_then_no_more(ideas: Path) -> None:
    replay = Replay(ideas)
    proposed = [replay.propose(brief({"replay": had}, number=had + 1)).hypothesis for had in range(3)]
    assert proposed == ["idea 1", "idea 2", "idea 3"]
    with pytest.raises(Exhausted, match=r"^all 3 ideas of ideas\.yaml have been tried$"):
        replay.propose(brief({"replay": 3}))


def test_the_position_is_the_sessions_and_not_the_critics(ideas: Path) -> None:
    """After an interruption a new critic goes on where the old one was; asking twice gives the same idea."""
    assert Replay(ideas).propose(brief({"replay": 2})).hypothesis == "idea 3"
    replay = Replay(ideas)
    assert replay.propose(brief()) == replay.propose(brief())


def test_ideas_of_other_critics_and_ideas_that_changed_nothing_do_not_move_the_position(ideas: Path) -> None:
    assert Replay(ideas).propose(brief({"tuner": 7, "replay": 1}, number=9)).hypothesis == "idea 2"
    assert Replay(ideas).propose(brief({"replay": 2}, number=1)).hypothesis == "idea 3"


def test_an_idea_has_everything_that_was_recorded(tmp_path: Path) -> None:
    text = """
- hypothesis: a larger rate
  thought_process: |
    The loss
    still falls.
  alternatives_considered: [a smaller one, none]
  expected_delta: -1e-3
  justification: it is
  code_pseudocode: RATE = 0.2
  risk_level: med
  edits:
  - search: RATE = 0.1
    replace: RATE = 0.2
  - {search: "a\\n", replace: ""}
- hypothesis: all new
  alternatives_considered: one
  content: ""
"""
    first, second = load_ideas(written(tmp_path, text))
    assert first == Idea(
        hypothesis="a larger rate",
        thought_process="The loss\nstill falls.\n",
        alternatives_considered=("a smaller one", "none"),
        expected_delta=-0.001,
        justification="it is",
        code_pseudocode="RATE = 0.2",
        risk_level="med",
        edits=(Edit("RATE = 0.1", "RATE = 0.2"), Edit("a\n", "")),
        critic="replay",
    )
    assert second == Idea("all new", alternatives_considered=("one",), content="", critic="replay")


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_yaml_and_json_a_list_or_one_under_ideas_are_the_same(tmp_path: Path, nested: bool, mark: str) -> None:
    listed: list[dict[str, Any]] = [{"hypothesis": "größer", "content": "x\ty\n"}, {"hypothesis": "b", "content": ""}]
    data = {"ideas": listed, "note": "whatever"} if nested else listed
    expected = [Idea("größer", content="x\ty\n", critic="replay"), Idea("b", content="", critic="replay")]
    for ascii_only in (True, False):
        assert load_ideas(written(tmp_path, mark + json.dumps(data, indent=1, ensure_ascii=ascii_only))) == expected


def test_a_proposed_idea_can_be_put_on_record_and_is_the_same_afterwards(tmp_path: Path, ideas: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for idea in load_ideas(ideas):
        ledger.append("idea", critic=idea.critic, number=1, idea=idea.to_json())
    ledger.close()
    assert [Idea.from_json(record["idea"]) for record in ledger.records("idea")] == load_ideas(ideas)


def test_all_mistakes_are_said_at_once_each_with_its_line(tmp_path: Path) -> None:
    said = refusal(
        tmp_path,
        """ideas:
- hypothesis: ""
  content: x
- hypothesis: h
  risk_level: none
  edits:
  - search: ""
    replace: b
- hypothesis: h
  contents: x
  expected_delta: much
- content: x
- just words
""",
    )
    assert {tuple(line.split(": ")[:2]) for line in said.splitlines()} == {
        ("ideas.yaml:2", "ideas.0.hypothesis"),
        ("ideas.yaml:5", "ideas.1.risk_level"),
        ("ideas.yaml:7", "ideas.1.edits.0.search"),
        ("ideas.yaml:10", "ideas.2.contents"),
        ("ideas.yaml:11", "ideas.2.expected_delta"),
        ("ideas.yaml:12", "ideas.3.hypothesis"),
        ("ideas.yaml:13", "ideas.4"),
    }


def test_every_idea_that_changes_nothing_or_says_it_twice_is_named(tmp_path: Path) -> None:
    both = "{hypothesis: both, content: x, edits: [{search: a, replace: b}]}"
    said = refusal(tmp_path, f"- {{hypothesis: neither}}\n- {{hypothesis: fine, content: x}}\n- {both}\n")
    first, second = said.splitlines()
    assert first.startswith("ideas.yaml:1: ")
    assert second.startswith("ideas.yaml:3: ")
    assert said.count("expected either `edits` or `content`") == 2


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e999"])
def test_an_expected_delta_that_is_no_number_is_refused_as_the_ledger_could_not_hold_it(
    tmp_path: Path, value: str
) -> None:
    assert "expected_delta" in refusal(tmp_path, f"- {{hypothesis: h, content: x, expected_delta: {value}}}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a: [\n", "ideas.yaml:2: not YAML"),
        ("- hypothesis: h\n  hypothesis: g\n  content: x\n", "ideas.yaml:2: hypothesis: given twice"),
        ("just words\n", "ideas.yaml:1: ideas: "),
        ("", "ideas.yaml:1: ideas: "),
        ("notes: x\n", "ideas.yaml:1: ideas: "),
        ("ideas: 3\n", "ideas.yaml:1: ideas: "),
        ("- hypothesis: \x07\n", "ideas.yaml:1: not YAML"),
    ],
)
def test_a_file_of_something_else_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_a_file_that_is_not_there_or_no_text_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.yaml: cannot be read"):
        load_ideas(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"- hypothesis: caf\xe9\n")
    with pytest.raises(UserError, match=r"latin\.yaml: cannot be read"):
        load_ideas(tmp_path / "latin.yaml")
