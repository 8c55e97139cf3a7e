"""From what a model says to an answer of the form that was asked for."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_autoresearch.critics.form import IdeaForm, edits_fit
from pytest_autoresearch.llm.conversation import Conversation, Form, Invalid, fenced, find_object
from pytest_autoresearch.llm.dialect import Shape
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.reply import read_reply, split_thoughts
from pytest_autoresearch.records import Idea
from tests.llm.server import completion, idea, say, serving
from tests.llm.support import SHAPE, Line, ollama


@dataclass(frozen=True)
class Number:
    """An answer such as {"x": 3}."""

    least: float = 0

    @property
    def shape(self) -> Shape:
        return SHAPE

    def read(self, text: str) -> float:
        found = find_object(text).get("x")
        if not isinstance(found, (int, float)) or found < self.least:
            raise Invalid(f"x: expected a number of at least {self.least}, got {found!r}")
        return float(found)


def asked(behaviours: list[Any], form: Form[Any], at_least: Form[Any] | None = None) -> tuple[Any, Line, list[Any]]:
    """What a conversation comes to."""
    with serving(behaviours) as server:
        line = Line(ollama(server.url))
        try:
            answer: Any = Conversation(line.model, "system", "user").ask("critic", form, at_least)
        except Fault as fault:
            answer = fault
        line.model.close()
    return answer, line, server.chats


# --- repair


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (say("three"), "there is no JSON object in it"),
        (say('{"x": '), "it is not JSON"),
        (say({"y": 3}), "x: expected a number of at least 0, got None"),
        (say({"x": "three"}), "got 'three'"),
        (say("", finish="stop"), "it is empty"),
        (say(None), "it is empty"),
        (say("", reasoning="hmm"), "there are thoughts and no answer"),
        (say("<think>hmm"), "there are thoughts and no answer"),
        (say('{"x": 3', finish="length"), "it was cut off at 77 tokens (max_tokens): be much shorter"),
        (say("[" * 100_000), "there is no JSON object in it"),
        (say('{"a":' * 100_000), "its JSON is nested too deeply"),
    ],
)
def test_an_answer_that_is_none_is_repaired_once_by_showing_what_is_wrong(first: Any, told: str) -> None:
    answer, line, chats = asked([first, say({"x": 3})], Number())
    assert answer == 3
    assert [call.role for call in line.desk.calls] == ["critic", "repair"]
    roles = [message["role"] for message in chats[1].messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert told in chats[1].user
    assert '"required": ["x"]' in chats[1].user
    assert line.desk.notes[0][0] == "invalid_answer"
    assert told in line.desk.lines[0]
    assert line.desk.lines[0].endswith("; asking it to mend that")


def test_a_second_answer_that_is_none_is_the_end_of_it() -> None:
    answer, line, chats = asked([say({"x": -1}), say({"x": -2})], Number())
    assert answer.kind == "invalid answer"
    assert answer.text.endswith("gave no usable answer: x: expected a number of at least 0, got -2")
    assert len(chats) == 2
    assert [what for what, _ in line.desk.notes] == ["invalid_answer"] * 2


def test_in_the_second_round_less_will_do_if_that_is_said() -> None:
    assert asked([say({"x": -1}), say({"x": -2})], Number(), Number(-5))[0] == -2
    assert asked([say({"x": -1}), say({"x": -7})], Number(), Number(-5))[0].kind == "invalid answer"


@pytest.mark.parametrize(
    "behaviour",
    [say(None, refusal="I cannot help with that."), say("", finish="content_filter")],
)
def test_a_refusal_is_not_argued_with(behaviour: Any) -> None:
    answer, _, chats = asked([behaviour], Number())
    assert answer.kind == "refusal"
    assert "refuses to answer" in answer.text
    assert len(chats) == 1


def test_a_whole_answer_counts_although_it_came_to_the_limit() -> None:
    assert asked([say({"x": 4}, finish="length")], Number())[0] == 4


def test_a_long_answer_is_not_sent_back_whole() -> None:
    _, _, chats = asked([say("x" * 1_000_000), say({"x": 1})], Number())
    assert len(chats[1].messages[2]["content"]) < 7000


# --- what models put around their answers


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 3}',
        ' \n{"x": 3}\n ',
        'Here you are:\n```json\n{"x": 3}\n```\nGood luck!',
        '```\n{"x": 3}\n```',
        '```json\n{"x": 3}',
        'I think that {"x": 3} is best.',
        "As {curly} braces go: {'no': 1} or rather {\"x\": 3}",
        '{"x": 3} {"x": 4}',
        '{"x": 3, "text": "a\nline\tbreak"}',
        '\ufeff{"x": 3}'.lstrip("\ufeff"),
    ],
)
def test_an_object_is_found_in_whatever_stands_around_it(text: str) -> None:
    assert find_object(text)["x"] == 3


def test_any_text_gives_an_object_or_says_that_there_is_none() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        text = "".join(chance.choices('{}[]":,\\ntrue01. \x00\ud800`é', k=chance.randrange(60)))
        with suppress(Invalid):
            assert isinstance(find_object(text), dict)


@pytest.mark.parametrize(
    ("text", "content", "thoughts"),
    [
        ("<think>a b</think>c", "c", "a b"),
        ("<THINKING>a</THINKING> c", "c", "a"),
        ("[THINK]a[/THINK]c", "c", "a"),
        ("<|channel|>thought a<|channel|>c", "c", "a"),
        ("<|channel>thought\na<channel|>c", "c", "a"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>c", "c", "a"),
        ("<think>a</think>b<think>c</think>d", "bd", "a\n\nc"),
        ("<think>no end", "", "no end"),
        ('<think>a</think>{"x": "<think>b</think>"}', '{"x": "<think>b</think>"}', "a"),
        ('{"x": "begin with <think> and <|end|>"}', '{"x": "begin with <think> and <|end|>"}', ""),
        ("```python\nT = '<reasoning>a</reasoning>'\n```", "```python\nT = '<reasoning>a</reasoning>'\n```", ""),
        ('<think>{"x": 1}</think>{"x": 2}', '{"x": 2}', '{"x": 1}'),
        ("no thoughts", "no thoughts", ""),
        ("a < b and <thinker> c", "a < b and <thinker> c", ""),
    ],
)
def test_thoughts_in_the_text_are_told_apart_from_the_answer(text: str, content: str, thoughts: str) -> None:
    assert split_thoughts(text) == (content, thoughts)


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content", "thinking"])
def test_reasoning_is_kept_wherever_the_server_puts_it(key: str) -> None:
    message: dict[str, Any] = {key: "a"}
    data = json.dumps(completion("<think>b</think>c", **message)).encode()
    reply = read_reply(data, ollama("http://h/v1"))
    assert (reply.content, reply.reasoning, reply.raw) == ("c", "a\n\nb", "<think>b</think>c")


def test_a_content_in_parts_is_put_together() -> None:
    data = json.dumps(completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 3])).encode()
    assert read_reply(data, ollama("http://h/v1")).content == "ab"


def test_fenced_blocks_are_found_one_by_one() -> None:
    assert fenced("a\n```python\nx = 1\n```\nb\n```\ny\n```\n") == ["x = 1", "y"]


# --- ideas


def read(**changed: Any) -> Idea:
    fields = {key: value for key, value in {**idea(), **changed}.items() if value is not ...}
    return IdeaForm().read(json.dumps(fields))


def test_an_idea_has_every_field_of_the_schema() -> None:
    found = read()
    assert found.hypothesis == "a larger step"
    assert found.alternatives_considered == ("another step",)
    assert (found.expected_delta, found.risk_level) == (-1.0, "low")


@pytest.mark.parametrize("key", list(idea()))
def test_a_key_that_is_missing_is_named(key: str) -> None:
    with pytest.raises(Invalid, match=f"^{key}: Field required$"):
        read(**{key: ...})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("hypothesis", "", "hypothesis: String should have at least 1 character"),
        ("hypothesis", "\x00\x1b", "hypothesis: it is empty"),
        ("hypothesis", 3, "hypothesis: Input should be a valid string"),
        ("expected_delta", "a lot", "expected_delta: Input should be a valid number"),
        ("expected_delta", float("nan"), "expected_delta: Input should be a finite number"),
        ("risk_level", "extreme", "risk_level: Input should be 'low', 'med' or 'high'"),
        ("alternatives_considered", {"a": 1}, "alternatives_considered: Input should be a valid list"),
    ],
)
def test_a_value_of_a_wrong_type_is_named(key: str, value: Any, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(**{key: value})
    assert said in str(caught.value)


def test_what_is_meant_well_is_understood() -> None:
    found = read(expected_delta="-0.5", risk_level="Medium", alternatives_considered="one", more="x")
    assert (found.expected_delta, found.risk_level, found.alternatives_considered) == (-0.5, "med", ("one",))
    assert read(expected_delta=None).expected_delta is None


def test_every_text_of_an_idea_is_bounded_and_free_of_control_characters() -> None:
    dirty = "\x1b[31mred\x00\u202e\ud800\r\n" + "x" * 1_000_000
    found = read(hypothesis=dirty, thought_process=dirty, alternatives_considered=[dirty] * 50, justification=dirty)
    assert found.hypothesis.startswith("red\ufffd xxx")
    assert len(found.hypothesis) <= 500
    assert len(found.thought_process) < 21_000
    assert found.thought_process.startswith("red\ufffd\nxxx")
    assert len(found.alternatives_considered) == 10


def test_edits_are_asked_for_only_where_they_are_wanted() -> None:
    assert "edits" not in IdeaForm().shape.schema["properties"]
    schema = IdeaForm(with_edits=True).shape.schema
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["edits"]["items"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([{"search": "Q", "replace": "Z"}], "its search text 'Q' stands 0 times in the file, expected once"),
        ([{"search": "1", "replace": "2"}], "stands 2 times"),
        ([{"search": "X = 1", "replace": "X = ("}], "solution.py does not compile after the change: '(' was never"),
        ([{"search": "X = 1", "replace": "X = 1"}], "the edits change nothing"),
    ],
)
def test_edits_that_do_not_fit_make_an_answer_invalid(edits: list[dict[str, str]], said: str) -> None:
    form = IdeaForm(with_edits=True, check=edits_fit("X = 1\nY1 = X\n", "solution.py"))
    with pytest.raises(Invalid) as caught:
        form.read(json.dumps(idea(edits=edits)))
    assert said in str(caught.value)
