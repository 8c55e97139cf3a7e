"""The body of a server's answer, taken apart: text, reasoning, why it ended, what it cost."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from pytest_autoresearch.llm.endpoint import Endpoint
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.spending import Usage
from pytest_autoresearch.llm.wire import Hide, status_fault
from pytest_autoresearch.text import one_line

_SHOWN = 120
_LOOKED_AT = 4000
# How models mark their thoughts where the server does not take them out: Qwen, DeepSeek and most others; Mistral;
# gpt-oss; Gemma. A block that is not closed goes on to the end.
_THOUGHTS = re.compile(
    r"<(think|thinking|thought|reasoning)>(.*?)(?:</\1>|\Z)"
    r"|\[THINK\](.*?)(?:\[/THINK\]|\Z)"
    r"|<\|channel\|>analysis(?:<\|message\|>)?(.*?)(?:<\|end\|>|<\|start\|>|\Z)"
    r"|<\|channel\|?>thought(.*?)(?:<\|?channel\|>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
# Where the answer itself begins: what stands from there on is text of the answer, whatever it looks like.
_ANSWER = re.compile(r"\{\s*[\"}]|```")
_MARKS = re.compile(r"<\|(?:start|end|return|message|channel)\|>(?:assistant|final)?")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered. `content` is without the blocks of thought, which are part of `reasoning`."""

    content: str
    reasoning: str = ""
    finish: str = ""
    refusal: str = ""
    model: str = ""
    usage: Usage | None = None
    raw: str = ""

    def masked(self, hide: Callable[[str], str]) -> Reply:
        """The same with its texts made safe to put on record."""
        return replace(
            self,
            content=hide(self.content),
            reasoning=hide(self.reasoning),
            refusal=hide(self.refusal),
            raw=hide(self.raw),
        )


def read_reply(body: bytes, endpoint: Endpoint, hide: Hide = str) -> Reply:
    """The first choice of a chat completion; Fault if the body is none, with what it says freed of keys by `hide`."""
    data = _parsed(body, endpoint, hide)
    if error := data.get("error"):
        raise _as_fault(error, endpoint, hide)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Fault("no answer", f"{endpoint.place} answered without a message in it", passing=True)
    raw = _text(message.get("content"))
    content, thoughts = split_thoughts(raw)
    reasoning = [_text(message.get(key)) for key in ("reasoning", "reasoning_content", "thinking")]
    return Reply(
        content=content,
        reasoning="\n\n".join(part for part in dict.fromkeys([*reasoning, thoughts]) if part),
        finish=str(choice.get("finish_reason") or ""),
        refusal=_text(message.get("refusal")),
        model=str(data.get("model") or ""),
        usage=_usage(data.get("usage")),
        raw=raw,
    )


def split_thoughts(text: str) -> tuple[str, str]:
    """What a model says, and what it only thought aloud before it said it."""
    said: list[str] = []
    thoughts: list[str] = []
    position = 0
    for match in _THOUGHTS.finditer(text):
        before = text[position : match.start()]
        if _ANSWER.search(before):
            break
        said.append(before)
        thoughts.append(next(filter(None, match.groups()[1:]), "").strip())
        position = match.end()
    rest = text[position:]
    if thoughts:
        begins = found.start() if (found := _ANSWER.search(rest)) else len(rest)
        rest = _MARKS.sub("", "".join(said) + rest[:begins]) + rest[begins:]
    return rest.strip(), "\n\n".join(filter(None, thoughts))


def _parsed(body: bytes, endpoint: Endpoint, hide: Hide) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        start = one_line(hide(body[:_LOOKED_AT].decode(errors="replace")), _SHOWN)
        what = f"with something else than JSON: {start!r}" if start else "with nothing"
        raise Fault("no answer", f"{endpoint.place} answered {what}", passing=True) from None
    if not isinstance(data, dict):
        raise Fault("no answer", f"{endpoint.place} answered with JSON that is no chat completion", passing=True)
    return data


def _as_fault(error: Any, endpoint: Endpoint, hide: Hide) -> Fault:
    """An error under status 200, as OpenRouter gives it when a model fails behind it."""
    code = error.get("code") if isinstance(error, dict) else None
    said = str(error.get("message") or error) if isinstance(error, dict) else str(error)
    status = code if isinstance(code, int) and 400 <= code < 600 else HTTPStatus.BAD_GATEWAY
    return status_fault(status, hide(said), None, endpoint)


def _text(value: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = (_count(value.get(key)) for key in ("prompt_tokens", "completion_tokens"))
    return Usage(prompt, completion, _cost(value.get("cost"))) if prompt or completion else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0


def _cost(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if good else None
