"""The model behind a real coding agent: it answers with shell commands, as a stream, in either of two protocols."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.llm.server import Asked, Behaviour
from tests.llm.tsp_model import TspModel

# What the agent is to do next, given its instructions and what its commands printed so far; None if it is done.
Plan = Callable[[str, list[str]], str | None]


class AgentModel:
    """Has an agent carry out the plan; a question without tools, which names the conversation, gets a name."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __call__(self, asked: Asked) -> Behaviour:
        if asked.path == "/v1/responses":
            return self._respond(asked.body)
        if not asked.body.get("tools"):
            return _stream(_chat({"content": "a name"}, "stop"))
        messages = asked.body["messages"]
        task = "\n".join(_text(message["content"]) for message in messages if message["role"] == "user")
        printed = [_text(message["content"]) for message in messages if message["role"] == "tool"]
        command = self._plan(task, printed)
        if command is None:
            return _stream(_chat({"content": "Done."}, "stop"))
        arguments = json.dumps({"command": command, "description": "a step"})
        call = {
            "index": 0,
            "id": f"call_{len(printed)}",
            "type": "function",
            "function": {"name": "bash", "arguments": arguments},
        }
        return _stream(_chat({"tool_calls": [call]}, "tool_calls"))

    def _respond(self, body: Mapping[str, Any]) -> Behaviour:
        said = [item for item in body["input"] if item.get("type") == "message" and item.get("role") == "user"]
        printed = [_text(item["output"]) for item in body["input"] if item.get("type") == "function_call_output"]
        command = self._plan("\n".join(_text(item["content"]) for item in said), printed)
        if command is None:
            item: dict[str, Any] = {"type": "message", "role": "assistant", "id": "m1"}
            item["content"] = [{"type": "output_text", "text": "Done.", "annotations": []}]
        else:
            arguments = json.dumps({"cmd": command})
            item = {"type": "function_call", "id": "f1", "call_id": f"c{len(printed)}", "name": "exec_command"}
            item["arguments"] = arguments
        usage = {"input_tokens": 10, "input_tokens_details": None, "output_tokens": 5, "output_tokens_details": None}
        return _stream(
            [
                {"type": "response.created", "response": {"id": "r1"}},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.completed", "response": {"id": "r1", "usage": {**usage, "total_tokens": 15}}},
            ]
        )


class TspAgent:
    """Reads the file, then writes it as `TspModel` would; the same model answers the critic's questions."""

    def __init__(self) -> None:
        self._model = TspModel()
        self._agent = AgentModel(self._step)

    def __call__(self, asked: Asked) -> Behaviour:
        if asked.path == "/v1/responses" or asked.body.get("stream"):
            return self._agent(asked)
        return self._model(asked)

    def _step(self, task: str, printed: list[str]) -> str | None:
        if not printed:
            return "cat solution.py"
        if len(printed) > 1:
            return None
        edits = self._model.edits(f"{task}\n## solution.py\n{printed[0]}")
        return edit_command("solution.py", edits)


def edit_command(path: str, edits: Mapping[str, Any]) -> str:
    """A shell command that makes edits as an agent would: with a script of its own."""
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


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content)
