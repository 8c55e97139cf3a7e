"""`critic_logs/`: every call to a model in full, a JSON object a line, without a key in it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from pytest_autoresearch.files import first_free
from pytest_autoresearch.llm.model import Call
from pytest_autoresearch.masking import Mask

_RAW = 2_000_000
_SHOWN_PROMPTS = 2


class CriticLog:
    """The log of the calls for one experiment; its name tells when they began and on which commit."""

    def __init__(self, directory: Path, number: int, commit: str, mask: Mask) -> None:
        self.number = number
        self._commit = commit
        self._mask = mask
        self._path = _free(directory, f"{time.strftime('%Y%m%dT%H%M%S')}_{commit[:7]}")

    @property
    def name(self) -> str:
        """The name of the file."""
        return self._path.name

    def add(self, call: Call, usd: float) -> None:
        """Write down one call."""
        messages = [dict(message) for message in call.messages]
        reply, fault = call.reply, call.fault
        self._write(
            {
                "role": call.role,
                "provider": call.endpoint.provider,
                "model": call.endpoint.model,
                "system_prompt": messages[0]["content"],
                "user_prompt": messages[1]["content"] if len(messages) > 1 else "",
                "later_messages": messages[_SHOWN_PROMPTS:],
                "parameters": {key: value for key, value in call.arguments.items() if key != "model"},
                "raw_response": {
                    "model_used": reply.model if reply else "",
                    "raw_content": reply.raw[:_RAW] if reply else "",
                    "reasoning_field": reply.reasoning[:_RAW] if reply else "",
                    "finish_reason": reply.finish if reply else "",
                    "refusal": reply.refusal if reply else "",
                },
                "fault": {"kind": fault.kind, "text": fault.text, "said": fault.said[:_RAW]} if fault else None,
                "usage": {"prompt_tokens": call.usage.prompt, "completion_tokens": call.usage.completion, "usd": usd},
                "seconds": call.seconds,
            }
        )

    def add_result(self, what: str, value: Any) -> None:
        """Write down what came of the calls: the idea, or why an answer is none."""
        self._write({"role": "result", what: value})

    def _write(self, fields: Mapping[str, Any]) -> None:
        record = {"ts": time.strftime("%Y-%m-%dT%H:%M:%S"), "number": self.number, "commit": self._commit, **fields}
        line = json.dumps(self._mask.data(record), ensure_ascii=False)
        with suppress(OSError):  # a full disk costs the log and not the night
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(line.encode(errors="backslashreplace") + b"\n")


def _free(directory: Path, name: str) -> Path:
    return first_free(directory / f"{name}{f'-{number}' if number > 1 else ''}.jsonl" for number in count(1))
