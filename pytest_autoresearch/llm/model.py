"""A language model that can be asked: tries, pauses, what the server understands, and the books."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pytest_autoresearch.llm.dialect import Dialect, Sampling, Shape
from pytest_autoresearch.llm.endpoint import Endpoint
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.reply import Reply, read_reply
from pytest_autoresearch.llm.spending import Usage, estimated_tokens
from pytest_autoresearch.llm.wire import Wire
from pytest_autoresearch.masking import Mask

TRIES = 3
_FIRST_PAUSE_S = 1.0
_RELEASE_S = 15.0

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what came of it: a `reply`, or the `fault` that kept it away. `seconds` is its wall time.

    `role` says what it was for: critic, repair, editor. `usage` is estimated where the server does not count.
    """

    role: str
    endpoint: Endpoint
    messages: Sequence[Message]
    arguments: Mapping[str, Any]
    seconds: float
    reply: Reply | None = None
    fault: Fault | None = None
    usage: Usage = field(default_factory=Usage)


class Desk(Protocol):
    """Who answers for the calls of a session."""

    def allow(self) -> None:
        """Raises Exhausted if nothing more may be spent."""

    def book(self, call: Call) -> None:
        """Put a call on record, whatever came of it."""

    def dialect(self, endpoint: Endpoint) -> Dialect | None:
        """What the server understood before in this session, None if it was not asked."""

    def learned(self, endpoint: Endpoint, dialect: Dialect) -> None:
        """Remember for the session what the server understands."""

    def say(self, line: str) -> None:
        """Tell the person at the terminal."""

    def note(self, what: str, value: Any) -> str:
        """Write into the log of the calls what came of them; the log's name."""


class LanguageModel:
    """Asks one model. Whatever a server says is freed of keys by `mask` before anybody sees it.

    A question has at most three tries; one, while the server has not answered since the last time it failed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sampling: Sampling,
        timeout_s: float,
        desk: Desk,
        mask: Mask,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.sampling = sampling
        self._timeout_s = timeout_s
        self._desk = desk
        self._mask = mask
        self._dialect = Dialect()
        self._proven = False
        self._pause = pause
        self._tries = TRIES
        self._wire: Wire | None = None
        self._loaded = False

    def ask(self, role: str, messages: Sequence[Message], shape: Shape) -> Reply:
        """The model's answer; Fault if there is none, Exhausted if nothing more may be spent."""
        if not self._proven and (remembered := self._desk.dialect(self.endpoint)):
            self._dialect, self._proven = remembered, True
        before = self._dialect, self._proven
        for left in reversed(range(self._tries)):
            try:
                reply = self._understood(role, messages, shape)
            except Fault as fault:
                pause = self._pause_after(fault, TRIES - left)
                if not left or not fault.passing or (fault.wait_s or 0.0) > self._timeout_s:
                    self._tries = 1
                    self._dialect, self._proven = before
                    raise
                self._desk.say(f"{fault.text}; asking again in {pause:.0f} s")
                self._pause(pause)
                if left == 1 and not self._proven and fault.kind == "server error":
                    # a guess, and so not remembered beyond this run
                    self._dialect, self._proven = replace(self._dialect, format="prompt"), True
            else:
                self._tries = TRIES
                return reply
        raise AssertionError("the last try returns or raises")

    def say(self, line: str) -> None:
        """Tell the person at the terminal."""
        self._desk.say(line)

    def note(self, what: str, value: Any) -> str:
        """Write into the log of the calls what came of them; the log's name."""
        return self._desk.note(what, value)

    def models(self) -> list[str]:
        """The models that the server lists; Fault if it does not answer."""
        return self._line().models()

    def loaded_gb(self) -> float:
        """How much GPU memory Ollama holds for the model at the moment, in GiB; 0 for any other server."""
        if self.endpoint.provider != "ollama":
            return 0.0
        try:
            running = self._line().get_native("/api/ps")
        except Fault:
            return 0.0
        entries = running.get("models") if isinstance(running, dict) else None
        return sum(
            float(entry.get("size_vram") or 0) / 2**30
            for entry in entries or []
            if isinstance(entry, dict) and entry.get("name") in (self.endpoint.model, f"{self.endpoint.model}:latest")
        )

    def release(self, *, left_behind: bool = False) -> None:
        """Have Ollama take the model out of memory; another server keeps it, and so does one that was not asked.

        If a run that was interrupted may have `left_behind` a model, it is taken out although this one did not ask.
        """
        if (self._loaded or left_behind) and self.endpoint.provider == "ollama":
            self._loaded = False
            wire = Wire(self.endpoint, self.endpoint.key(), _RELEASE_S)
            with suppress(Fault):
                wire.post_native("/api/generate", {"model": self.endpoint.model, "keep_alive": 0})
            wire.close()

    def close(self) -> None:
        """Let go of the connections."""
        if self._wire is not None:
            self._wire.close()

    def _understood(self, role: str, messages: Sequence[Message], shape: Shape) -> Reply:
        """The answer, after as many requests as it takes to find out what the server understands."""
        refused: Fault | None = None
        while True:
            try:
                reply = self._once(role, messages, shape)
            except Fault as fault:
                narrower = self._narrower(fault)
                if narrower is None:
                    raise refused or fault from None
                refused, self._dialect = refused or fault, narrower
                continue
            if refused or not self._proven:
                self._desk.learned(self.endpoint, self._dialect)
            self._proven = True
            return reply

    def _narrower(self, fault: Fault) -> Dialect | None:
        """What to ask with instead, if the request was to blame for the fault."""
        if fault.kind in ("refused request", "server error") and (named := self._dialect.without(fault.said)):
            return named
        return self._dialect.lower() if fault.kind == "refused request" and not self._proven else None

    def _once(self, role: str, messages: Sequence[Message], shape: Shape) -> Reply:
        self._desk.allow()
        arguments = self._dialect.arguments(self.endpoint, self.sampling, shape)
        sent = _with_schema(messages, shape) if self._dialect.shows_schema else [*messages]
        call = Call(role, self.endpoint, sent, arguments, 0.0)
        self._loaded = True
        began = time.monotonic()
        try:
            body = self._line().complete({**arguments, "messages": sent})
            reply = read_reply(body, self.endpoint, self._mask.text)
            reply = reply.masked(self._mask.known)
        except Fault as fault:
            self._desk.book(replace(call, fault=fault, seconds=_since(began)))
            raise
        usage = reply.usage or _estimate(sent, reply)
        self._desk.book(replace(call, reply=reply, usage=usage, seconds=_since(began)))
        return reply

    def _line(self) -> Wire:
        if self._wire is None:
            self._wire = Wire(self.endpoint, self.endpoint.key(), self._timeout_s, self._mask.text)
        return self._wire

    def _pause_after(self, fault: Fault, tried: int) -> float:
        """Seconds until the next try: what the server asks for, else twice as long each time, give or take a half."""
        if fault.wait_s is not None:
            return fault.wait_s
        return _FIRST_PAUSE_S * 2.0 ** (tried - 1) * random.uniform(0.5, 1.5)


def _with_schema(messages: Sequence[Message], shape: Shape) -> list[Message]:
    """The messages with the schema at the end of the first one."""
    first, *others = messages
    schema = json.dumps(shape.schema, ensure_ascii=False)
    text = (
        f"{first['content']}\n\nAnswer with one JSON object, and nothing else, that fits this JSON schema:\n{schema}"
    )
    return [{**first, "content": text}, *others]


def _estimate(messages: Sequence[Message], reply: Reply) -> Usage:
    prompt = sum(estimated_tokens(message["content"]) for message in messages)
    return Usage(prompt, estimated_tokens(reply.raw) + estimated_tokens(reply.reasoning))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
