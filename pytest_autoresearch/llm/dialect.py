"""What a server understands beyond the common core of Chat Completions, found out by asking."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pytest_autoresearch.llm.endpoint import Endpoint

Format = Literal["json_schema", "json_object_schema", "json_object", "prompt"]
Limit = Literal["max_tokens", "max_completion_tokens"]

_LOWER: Mapping[Format, Format] = {
    "json_schema": "json_object_schema",
    "json_object_schema": "json_object",
    "json_object": "prompt",
}
_FORMAT = re.compile(
    r"response_format|json[ _]?schema|json[ _]?object|structured.?output|grammar|guided", re.IGNORECASE
)
_REASONING = re.compile(r"reasoning|chat_template_kwargs|enable_thinking|\bthink", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer is to look like: a JSON schema in the strict subset, under a name."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn: the same for every call of one critic or coder."""

    temperature: float
    max_tokens: int
    thinking: bool


@dataclass(frozen=True, slots=True)
class Dialect:
    """The optional parts of a request that a server is known, or hoped, to take.

    The schema travels as `format` says: enforced by the server (as OpenAI has it, or beside `json_object` as llama.cpp
    has it), as a promise of some JSON, or in the prompt alone.
    """

    format: Format = "json_schema"
    limit: Limit = "max_tokens"
    temperature: bool = True
    reasoning: bool = True

    def arguments(self, endpoint: Endpoint, sampling: Sampling, shape: Shape) -> dict[str, Any]:
        """The arguments of a chat completion, but for the messages."""
        arguments: dict[str, Any] = {"model": endpoint.model, self.limit: sampling.max_tokens}
        if self.temperature:
            arguments["temperature"] = sampling.temperature
        if self.format == "json_schema":
            schema = {"name": shape.name, "strict": True, "schema": shape.schema}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.format == "json_object_schema":
            arguments["response_format"] = {"type": "json_object", "schema": shape.schema}
        elif self.format == "json_object":
            arguments["response_format"] = {"type": "json_object"}
        if self.reasoning and (extra := reasoning_toggle(endpoint, sampling.thinking)):
            arguments["extra_body"] = extra
        return arguments

    @property
    def shows_schema(self) -> bool:
        """Whether the schema has to stand in the prompt."""
        return self.format != "json_schema"

    def without(self, said: str) -> Dialect | None:
        """The dialect without what a server's refusal names; None if it names nothing that can be left out."""
        if self.limit == "max_tokens" and "max_completion_tokens" in said:
            return replace(self, limit="max_completion_tokens")
        if self.temperature and "temperature" in said:
            return replace(self, temperature=False)
        if self.format in _LOWER and _FORMAT.search(said):
            return self.lower()
        if self.reasoning and _REASONING.search(said):
            return replace(self, reasoning=False)
        return None

    def lower(self) -> Dialect | None:
        """The dialect that asks less of the server for the form of the answer; None if that is not possible."""
        return replace(self, format=_LOWER[self.format]) if self.format in _LOWER else None

    def to_json(self) -> dict[str, Any]:
        """The dialect as plain JSON values, which `Dialect(**values)` reads."""
        return asdict(self)


def reasoning_toggle(endpoint: Endpoint, thinking: bool) -> dict[str, Any]:
    """What tells a server whether the model may think before it answers; {} for the server's own default.

    Ollama takes `reasoning_effort` and knows no value that every thinking model accepts but `none` (ollama #14820,
    #12561); vLLM and llama.cpp, which go under its name, take `chat_template_kwargs`, which Ollama ignores. OpenRouter
    has a `reasoning` object of its own; OpenAI's models think unless they are told not to.
    """
    if endpoint.provider == "openrouter":
        return {"reasoning": {"enabled": thinking}}
    if endpoint.provider == "openai":
        return {} if thinking else {"reasoning_effort": "none"}
    template = {"chat_template_kwargs": {"enable_thinking": thinking}}
    return template if thinking else {**template, "reasoning_effort": "none"}
