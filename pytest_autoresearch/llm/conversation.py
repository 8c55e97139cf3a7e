"""A conversation that ends in an answer of a given form, repaired once if it is not of that form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from pytest_autoresearch.llm.dialect import Shape
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.model import LanguageModel, Message
from pytest_autoresearch.llm.reply import Reply
from pytest_autoresearch.text import head, one_line

_FENCED = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
_HALVES = re.compile("[\ud800-\udfff]")
_STARTS = 40
_SHOWN_BACK = 6000
_SAID = 200

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Invalid(ValueError):
    """An answer that is not of the form; the message tells the model what is wrong with it."""


class Form(Protocol[T_co]):
    """What an answer is to be."""

    @property
    def shape(self) -> Shape:
        """The schema that the server is asked to keep to."""

    def read(self, text: str) -> T_co:
        """The answer in the model's text; Invalid if there is none."""


class Conversation:
    """What is said to a model and what it answers, from one question on."""

    def __init__(self, model: LanguageModel, system: str, user: str) -> None:
        self._model = model
        self._messages: list[Message] = [_message("system", system), _message("user", user)]

    def ask(self, role: str, form: Form[T], at_least: Form[T] | None = None) -> T:
        """The answer to what was said last; Fault if there is none, or none of that form in two rounds.

        In the second round an answer that is `at_least` of another form will do.
        """
        try:
            return self._read(role, form)
        except Invalid as wrong:
            self._model.note("invalid_answer", str(wrong))
            self._model.say(f"{self._model.endpoint.place}: {one_line(str(wrong), _SAID)}; asking it to mend that")
            self.say(
                f"That answer cannot be used: {wrong}\n"
                "Answer again, with one complete JSON object that fits this JSON schema and nothing before or after "
                f"it:\n{json.dumps(form.shape.schema, ensure_ascii=False)}"
            )
        try:
            return self._read("repair", at_least or form)
        except Invalid as wrong:
            self._model.note("invalid_answer", str(wrong))
            text = f"{self._model.endpoint.place} gave no usable answer: {one_line(str(wrong), _SAID)}"
            raise Fault("invalid answer", text) from None

    def say(self, text: str) -> None:
        """Add something to what the model was told."""
        self._messages.append(_message("user", text))

    def _read(self, role: str, form: Form[T]) -> T:
        reply = self._model.ask(role, self._messages, form.shape)
        self._messages.append(_message("assistant", head(reply.content, _SHOWN_BACK) or "(nothing)"))
        if reply.refusal or reply.finish == "content_filter":
            why = one_line(reply.refusal, _SAID) or "its filter stopped the answer"
            raise Fault("refusal", f"{self._model.endpoint.place} refuses to answer: {why}")
        try:
            return form.read(reply.content)
        except Invalid as wrong:
            raise Invalid(self._explained(reply) or str(wrong)) from None

    def _explained(self, reply: Reply) -> str:
        """What kept an answer from being whole; '' if it is whole."""
        limit = self._model.sampling.max_tokens
        if reply.finish == "length":
            return f"it was cut off at {limit} tokens (max_tokens): be much shorter"
        if not reply.content and reply.reasoning:
            return "there are thoughts and no answer"
        return "" if reply.content else "it is empty"


def find_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`, in a fence or between words as well; Invalid if there is none."""
    problems = []
    for candidate in _candidates(text):
        try:
            found = json.JSONDecoder(strict=False).raw_decode(candidate)[0]
        except ValueError as error:
            problems.append(f"it is not JSON ({error})")
        except RecursionError:
            problems.append("its JSON is nested too deeply")
        else:
            if isinstance(found, dict):
                return {str(key): whole_characters(value) for key, value in found.items()}
    raise Invalid(problems[0] if problems else "there is no JSON object in it")


def whole_characters(data: Any) -> Any:
    """JSON values without halves of characters, which `\\ud83d` alone stands for and no file can hold."""
    if isinstance(data, str):
        return _HALVES.sub("\ufffd", data)
    if isinstance(data, dict):
        return {key: whole_characters(value) for key, value in data.items()}
    return [whole_characters(value) for value in data] if isinstance(data, list) else data


def fenced(text: str) -> list[str]:
    """The fenced blocks of a text."""
    return [match[1] for match in _FENCED.finditer(text)]


def _candidates(text: str) -> Iterator[str]:
    """The places where an object may begin, the likely ones first; a bounded number of them."""
    yield from (block.lstrip() for block in (text, *fenced(text)) if block.lstrip().startswith("{"))
    position = -1
    for _ in range(_STARTS):
        position = text.find("{", position + 1)
        if position < 0:
            return
        yield text[position:]


def _message(role: str, text: str) -> Message:
    """A message that can be sent: what no encoding can hold is replaced."""
    return {"role": role, "content": text.encode(errors="replace").decode()}
