"""The built-in coder: from an idea and a file to edits that fit."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_autoresearch.coders.base import CoderFailed
from pytest_autoresearch.coders.editor import Editor
from pytest_autoresearch.edits import EditError
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.records import Edit, Idea
from tests.llm.server import Asked, body, say, serving, status
from tests.llm.support import Line, ollama
from tests.support import problem_with

SOURCE = b"STEP = 1\nprint('score:', STEP)\n"
IDEA = Idea("a larger step", justification="it is small", code_pseudocode="STEP = 2", critic="ollama")


def edits(*pairs: tuple[str, str], content: str | None = None) -> Any:
    return say({"edits": [{"search": search, "replace": replace} for search, replace in pairs], "content": content})


def edited(
    answers: list[Any], idea: Idea = IDEA, source: bytes = SOURCE, mask: Mask | None = None
) -> tuple[bytes, list[Asked], Line]:
    """What the editor makes of the file."""
    with serving(answers) as server:
        line = Line(ollama(server.url))
        problem = problem_with(mutable_file="solution.py")
        result = Editor(problem, line.model, mask or Mask({})).apply(idea, source)
        line.model.close()
    return result, server.chats, line


def test_the_models_edits_are_made() -> None:
    result, chats, line = edited([edits(("STEP = 1", "STEP = 2"))])
    assert result == SOURCE.replace(b"= 1", b"= 2")
    assert [call.role for call in line.desk.calls] == ["editor"]
    for said in ("a larger step", "Why: it is small", "STEP = 2", SOURCE.decode().strip()):
        assert said in chats[0].user


def test_a_whole_file_is_taken_and_ends_with_a_newline() -> None:
    assert edited([edits(content="STEP = 5")])[0] == b"STEP = 5\n"
    assert edited([edits(content="```python\nSTEP = 5\n```")])[0] == b"STEP = 5\n"
    assert edited([edits(("STEP = 1", "STEP = 2"), content="ignored")])[0].startswith(b"STEP = 2")


def test_one_fenced_block_without_json_is_the_whole_file() -> None:
    assert edited([say("Here it is:\n```python\nSTEP = 7\n```\n")])[0] == b"STEP = 7\n"


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (edits(("STEP = 9", "STEP = 2")), "its search text 'STEP = 9' stands 0 times"),
        (edits(("STEP", "X")), "stands 2 times in the file, expected once"),
        (edits(("STEP = 1", "STEP = (")), "solution.py does not compile after the change"),
        (edits(), "there are neither edits nor content in it"),
        (edits(("STEP = 1", "STEP = 1")), "the edits change nothing"),
        (say("I changed it."), "there is no JSON object in it"),
        (say("```\nx = 1\n```\n```\ny = 2\n```"), "there is no JSON object in it"),
        (say({"edits": "all"}), "edits: Input should be a valid list"),
    ],
)
def test_edits_that_do_not_fit_are_repaired_once(first: Any, told: str) -> None:
    result, chats, line = edited([first, edits(("STEP = 1", "STEP = 2"))])
    assert result.startswith(b"STEP = 2")
    assert told in chats[1].user
    assert [call.role for call in line.desk.calls] == ["editor", "repair"]


def test_edits_that_never_fit_are_said_to_be_none() -> None:
    with pytest.raises(EditError, match=r"gave no edits that fit: .*stands 0 times"):
        edited([edits(("nowhere", "x"))])


def test_a_change_that_is_there_already_changes_nothing() -> None:
    assert edited([edits(("STEP = 1", "STEP = 1"))])[0] == SOURCE


def test_a_model_that_cannot_be_asked_has_broken_off() -> None:
    with pytest.raises(CoderFailed, match=r"the editor cannot ask its model: .*refuses"):
        edited([status(401)])


def test_edits_that_came_with_the_idea_are_made_without_asking() -> None:
    idea = Idea("x", edits=(Edit("STEP = 1", "STEP = 4"),))
    result, chats, _ = edited([body(b"")], idea)
    assert result.startswith(b"STEP = 4")
    assert chats == []
    assert edited([body(b"")], Idea("x", content="whole\n".replace("whole", "y = 1")))[0] == b"y = 1\n"


@pytest.mark.parametrize("replace", ["STEP = (", "STEP = 1)"])
def test_edits_that_came_with_the_idea_and_do_not_fit_are_made_anew(replace: str) -> None:
    idea = Idea("x", edits=(Edit("STEP = 1", replace),))
    result, chats, _ = edited([edits(("STEP = 1", "STEP = 2"))], idea)
    assert result.startswith(b"STEP = 2")
    assert "Edits that came with it do not fit the file: solution.py does not compile" in chats[0].user


def test_a_file_with_windows_line_endings_and_bytes_that_are_no_text_keeps_them() -> None:
    source = b"STEP = 1\r\nNAME = '\xff'\r\n"
    result, _, _ = edited([edits(("STEP = 1\n", "STEP = 2\n"))], source=source)
    assert result == source.replace(b"= 1", b"= 2")


def test_a_file_that_did_not_compile_before_need_not_afterwards() -> None:
    assert edited([edits(("this", "that"))], source=b"this is a text")[0] == b"that is a text"


def test_keys_in_the_file_are_not_sent_and_a_file_too_long_for_a_model_is_said_to_be() -> None:
    secret = "the-value-of-a-key"
    _, chats, _ = edited(
        [edits(("STEP = 1", "STEP = 2"))], source=SOURCE + b"# " + secret.encode(), mask=Mask({"A_KEY": secret})
    )
    assert secret not in chats[0].user
    with pytest.raises(EditError, match="too long for a model: 300000 characters"):
        edited([body(b"")], source=b"x" * 300_000)
