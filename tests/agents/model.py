"""The model behind a real coding agent: it looks at files and changes them, with the protocol and tools of each."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.llm.server import Asked, Behaviour
from tests.llm.tsp_model import TspModel


@dataclass(frozen=True)
class Shell:
    """Run a command."""

    command: str


@dataclass(frozen=True)
class Look:
    """Read a file."""

    path: str


@dataclass(frozen=True)
class Change:
    """Make edits in a file, or write it anew: `edits` as the built-in editor's model gives them."""

    path: str
    edits: Mapping[str, Any]


_MOST_RESULTS = 9  # of one experiment: the file, each edit, the run

Step = Shell | Look | Change
# What the agent is to do next, given its instructions and what its steps printed so far; None if it is done.
Plan = Callable[[str, list[str]], Step | None]


class AgentModel:
    """Has an agent carry out the plan; a question without tools, which names the conversation, gets a name."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __call__(self, asked: Asked) -> Behaviour:
        if asked.path == "/v1/responses":
            return self._codex(asked.body)
        return self._claude(asked.body) if asked.path.startswith("/v1/messages") else self._opencode(asked.body)

    def _opencode(self, body: Mapping[str, Any]) -> Behaviour:
        """OpenAI's Chat Completions."""
        if not body.get("tools"):
            return _stream(_chat({"content": "a name"}, "stop"))
        messages = body["messages"]
        printed = [_text(message["content"]) for message in messages if message["role"] == "tool"]
        step = self._plan("\n".join(_text(m["content"]) for m in messages if m["role"] == "user"), printed)
        if step is None:
            return _stream(_chat({"content": "Done."}, "stop"))
        arguments = json.dumps({"command": shell(step), "description": "a step"})
        call = {"index": 0, "id": f"call_{len(printed)}", "type": "function"}
        return _stream(
            _chat({"tool_calls": [{**call, "function": {"name": "bash", "arguments": arguments}}]}, "tool_calls")
        )

    def _codex(self, body: Mapping[str, Any]) -> Behaviour:
        """OpenAI's Responses."""
        said = [item for item in body["input"] if item.get("type") == "message" and item.get("role") == "user"]
        printed = [_text(item["output"]) for item in body["input"] if item.get("type") == "function_call_output"]
        step = self._plan("\n".join(_text(item["content"]) for item in said), printed)
        item: dict[str, Any] = {"type": "message", "role": "assistant", "id": "m1"}
        if step is None:
            item["content"] = [{"type": "output_text", "text": "Done.", "annotations": []}]
        else:
            item = {"type": "function_call", "id": "f1", "call_id": f"c{len(printed)}", "name": "exec_command"}
            item["arguments"] = json.dumps({"cmd": shell(step)})
        usage = {"input_tokens": 10, "input_tokens_details": None, "output_tokens": 5, "output_tokens_details": None}
        return _stream(
            [
                {"type": "response.created", "response": {"id": "r1"}},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.completed", "response": {"id": "r1", "usage": {**usage, "total_tokens": 15}}},
            ]
        )

    def _claude(self, body: Mapping[str, Any]) -> Behaviour:
        """Anthropic's Messages; with the tools that need no permission but to edit."""
        parts = [part for message in body["messages"] for part in _parts(message["content"])]
        printed = [_unnumbered(_text(part["content"])) for part in parts if part.get("type") == "tool_result"]
        task = "\n".join(part["text"] for part in parts if part.get("type") == "text")
        step = self._plan(task, printed) if body.get("tools") else None
        where = re.search(r"Primary working directory: (.*)", _text(body.get("system", "")))
        calls = _claude_calls(step, where[1] if where else "")
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        start = {
            **message,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 1},
        }
        stop = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
        if not calls:
            events += _block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Done."})
        for index, (name, arguments) in enumerate(calls):
            tool = {"type": "tool_use", "id": f"toolu_{len(printed)}_{index}", "name": name, "input": {}}
            events += _block(index, tool, {"type": "input_json_delta", "partial_json": json.dumps(arguments)})
        events += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}}, {"type": "message_stop"}]
        return _stream(events)


class TspAgent:
    """Reads the file, then changes it as `TspModel` would; the same model answers the critic's questions."""

    def __init__(self) -> None:
        self._model = TspModel()
        self._agent = AgentModel(self._step)

    def __call__(self, asked: Asked) -> Behaviour:
        if asked.path != "/v1/chat/completions" or asked.body.get("stream"):
            return self._agent(asked)
        return self._model(asked)

    def _step(self, task: str, printed: list[str]) -> Step | None:
        if not printed:
            return Look("solution.py")
        if len(printed) > 1:
            return None
        return Change("solution.py", self._model.edits(f"{task}\n## solution.py\n{printed[0]}"))


class TspDriver:
    """Has `program.md` and takes every step by itself: looks at the file, changes it, has it measured, and so on.

    It makes `count` experiments with `command`, and stops where that does not work.
    """

    def __init__(self, count: int, command: str = "pytest-autoresearch") -> None:
        self._count = count
        self._command = command
        self._model = TspModel()
        self._agent = AgentModel(self._step)

    def __call__(self, asked: Asked) -> Behaviour:
        return self._agent(asked)

    def _step(self, task: str, printed: list[str]) -> Step | None:
        runs = [place for place, text in enumerate(printed, 1) if re.search(r"^experiment \d+: ", text, re.MULTILINE)]
        since = len(printed) - max(runs, default=0)
        if len(runs) >= self._count or since > _MOST_RESULTS:
            return None
        idea = self._model.idea(len(runs))
        if since == 0:  # an agent that keeps files in mind reads each only once
            return Shell("cat solution.py") if runs else Look("solution.py")
        if since == 1:
            question = f"{idea['hypothesis']}\n## solution.py\n{printed[-1]}"
            return Change("solution.py", self._model.edits(question))
        return Shell(f'{self._command} run --message "{idea["hypothesis"]}"')


def shell(step: Step) -> str:
    """The step as a command, for agents that do everything in a shell."""
    match step:
        case Shell(command):
            return command
        case Look(path):
            return shlex.join(["cat", path])
        case Change(path, edits):
            script = (
                "import json, pathlib, sys\n"
                "path, edits = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])\n"
                "text = edits['content'] or path.read_text()\n"
                "for edit in edits['edits']:\n"
                "    assert text.count(edit['search']) == 1, edit\n"
                "    text = text.replace(edit['search'], edit['replace'])\n"
                "path.write_text(text)\n"
            )
            return shlex.join(["python3", "-c", script, path, json.dumps(edits)])


def _claude_calls(step: Step | None, directory: str) -> Sequence[tuple[str, dict[str, str]]]:
    match step:
        case Shell(command):
            return [("Bash", {"command": command})]
        case Look(path):
            return [("Read", {"file_path": f"{directory}/{path}"})]
        case Change(path, edits):
            file = {"file_path": f"{directory}/{path}"}
            if edits["content"]:
                return [("Write", {**file, "content": edits["content"]})]
            pairs = edits["edits"]
            return [("Edit", {**file, "old_string": pair["search"], "new_string": pair["replace"]}) for pair in pairs]
    return []


def _block(index: int, block: Mapping[str, Any], delta: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        {"type": "content_block_delta", "index": index, "delta": delta},
        {"type": "content_block_stop", "index": index},
    ]


def _chat(delta: Mapping[str, Any], finish: str) -> list[dict[str, Any]]:
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    first = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": finish}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return [{**common, "choices": [first]}, {**common, "choices": [last]}, {**common, "choices": [], "usage": usage}]


def _stream(events: Iterable[Mapping[str, Any]]) -> Behaviour:
    """Server-sent events."""

    def behave(handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            handler.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        handler.wfile.write(b"data: [DONE]\n\n")

    return behave


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content)


def _unnumbered(text: str) -> str:
    """A file as it is, of which a tool shows numbered lines."""
    return re.sub(r"^ *\d+[\t→]", "", text, flags=re.MULTILINE)
