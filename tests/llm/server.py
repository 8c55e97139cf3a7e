"""A server that speaks OpenAI's Chat Completions and Ollama's own interface, and does what a test tells it to."""

from __future__ import annotations

import functools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def messages(self) -> list[dict[str, str]]:
        return list(self.body["messages"])

    @property
    def user(self) -> str:
        """What the user said last."""
        return self.messages[-1]["content"]

    @property
    def format(self) -> str:
        """How an answer of a certain form is asked for."""
        return str(self.body.get("response_format", {}).get("type", "prompt"))

    @property
    def enforces_schema(self) -> bool:
        """Whether the server is to keep to a schema."""
        form = self.body.get("response_format", {})
        return "json_schema" in form or "schema" in form


Behaviour = Callable[[BaseHTTPRequestHandler, Asked], None]
Script = Callable[[Asked], Behaviour]


def respond(
    handler: BaseHTTPRequestHandler,
    body: bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> None:
    """A whole HTTP response."""
    handler.send_response(status)
    for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def completion(
    content: Any, finish: str = "stop", usage: tuple[int, int] | None = (100, 20), **message: Any
) -> dict[str, Any]:
    """A chat completion."""
    counted = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)} if usage else None
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
        **({"usage": counted} if counted else {}),
    }


# --- what a server can do


def say(content: Any, **how: Any) -> Behaviour:
    """Answer with a text, or with an object as JSON."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    return body(json.dumps(completion(text, **how)).encode())


def body(data: bytes, content_type: str = "application/json") -> Behaviour:
    """Answer 200 with these bytes."""
    return lambda handler, asked: respond(handler, data, content_type=content_type)


def status(code: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Behaviour:
    """Refuse, as OpenAI does."""
    error = json.dumps({"error": {"message": message, "type": "error", "param": None, "code": None}}).encode()
    return lambda handler, asked: respond(handler, error, code, headers)


def hang(seconds: float = 60) -> Behaviour:
    """Take the request and say nothing."""

    def behave(handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        _linger(handler, seconds)

    return behave


def trickle(gap: float = 0.2) -> Behaviour:
    """Answer one byte after the other, without end."""

    def behave(handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(gap)

    return behave


def cut(content: str = "x" * 1000) -> Behaviour:
    """Promise a whole answer and close in the middle of it."""

    def behave(handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        data = json.dumps(completion(content)).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    return behave


def hang_up() -> Behaviour:
    """Close the connection without a word."""
    return lambda handler, asked: handler.connection.shutdown(socket.SHUT_RDWR)


def _linger(handler: BaseHTTPRequestHandler, seconds: float) -> None:
    """Wait until the client has gone, `seconds` at most."""
    handler.connection.settimeout(seconds)
    with suppress(OSError):
        while handler.connection.recv(1024):
            pass


# --- the server


@dataclass
class ScriptedServer:
    """Answers the n-th chat request with the n-th behaviour of a list, or with what a function makes of the request.

    The last behaviour of a list goes on for ever. `asked` is every request, in order.
    """

    script: Script | list[Behaviour]
    models: list[str] = field(default_factory=lambda: [MODEL])
    asked: list[Asked] = field(default_factory=list)
    loaded: dict[str, int] = field(default_factory=dict)
    key: str | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Asked]:
        """The questions to a model."""
        return [asked for asked in self.asked if asked.path == "/v1/chat/completions"]

    def behave(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        if self.key is not None and asked.headers.get("authorization") != f"Bearer {self.key}":
            status(401, f"wrong key {asked.headers.get('authorization')}")(handler, asked)
        elif asked.path.partition("?")[0] in ("/v1/chat/completions", "/v1/responses", "/v1/messages"):
            self._next(asked)(handler, asked)
        elif asked.path == "/v1/models":
            listed = [{"id": name, "object": "model", "created": 1, "owned_by": "x"} for name in self.models]
            respond(handler, json.dumps({"object": "list", "data": listed}).encode())
        elif asked.path == "/api/ps":
            running = [{"name": name, "size_vram": size} for name, size in self.loaded.items()]
            respond(handler, json.dumps({"models": running}).encode())
        elif asked.path == "/api/generate":
            self.loaded.pop(asked.body["model"], None)
            respond(handler, b'{"done": true}')
        else:
            status(404, f"no such path {asked.path}")(handler, asked)

    def _next(self, asked: Asked) -> Behaviour:
        if callable(self.script):
            return self.script(asked)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class _Handler(BaseHTTPRequestHandler):
    owner: ScriptedServer

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._serve(json.loads(data or b"null"))

    def _serve(self, content: Any) -> None:
        asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, content)
        self.owner.asked.append(asked)
        with suppress(OSError):
            self.owner.behave(self, asked)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on the terminal."""


@contextmanager
def serving(script: Script | Iterable[Behaviour], **options: Any) -> Iterator[ScriptedServer]:
    """A server on a port of its own, for as long as it takes."""
    server = ScriptedServer(script if callable(script) else list(script), **options)
    handler = type("Handler", (_Handler,), {"owner": server})
    http = ThreadingHTTPServer(("127.0.0.1", server.port), handler)
    http.daemon_threads = True
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def closed_port() -> int:
    """A port on which nobody listens, nor can anybody while this process lives."""
    return int(_bound().getsockname()[1])


@functools.cache
def _bound() -> socket.socket:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken


def free_port() -> int:
    """A port for a server that is started at once; later it may be another's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def idea(hypothesis: str = "a larger step", **fields: Any) -> dict[str, Any]:
    """An idea with every field of the schema."""
    return {
        "thought_process": "The step is small.",
        "alternatives_considered": ["another step"],
        "hypothesis": hypothesis,
        "expected_delta": -1.0,
        "justification": "It was too small.",
        "code_pseudocode": f"do: {hypothesis}",
        "risk_level": "low",
        **fields,
    }
