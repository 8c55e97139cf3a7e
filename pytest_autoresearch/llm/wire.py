"""One exchange with a server through the openai SDK: bounded in time and in size, whatever the server does."""

from __future__ import annotations

import math
import re
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pytest_autoresearch.llm.endpoint import Endpoint
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.text import one_line

_LARGEST = 8 << 20
_SAID = 300
# What a wrong key is told under 400: by Gemini, and by litellm's proxy without a database (litellm #12273).
_WRONG_KEY = re.compile(r"api[ _-]?key|master key|no connected db", re.IGNORECASE)
_BROKEN_OFF = frozenset({"RemoteProtocolError", "ReadError"})
_LIBRARY = re.compile(r"(openai|httpx2?|httpcore2?)\b")

T = TypeVar("T")
Hide = Callable[[str], str]


class _GivenUp(Exception):
    """Nobody waits for the answer any more."""


class Wire:
    """Requests to the server of `endpoint`, each answered or given up within `timeout_s` seconds.

    What the server says of an error is freed of keys by `hide` before it is cut: half a key is one too.

    The SDK bounds each read and not the whole, and the look-up of a name not at all: so a request runs in a thread of
    its own, which is left behind when its time is over, and ends with the next byte or the next read's timeout.
    """

    def __init__(self, endpoint: Endpoint, key: str, timeout_s: float, hide: Hide = str) -> None:
        self._endpoint = endpoint
        self._hide = hide
        self._key = key
        self._timeout_s = timeout_s
        self._client: Any = None

    def complete(self, arguments: dict[str, Any]) -> bytes:
        """The body of the answer to a chat completion; Fault if there is none."""

        def work(given_up: threading.Event) -> bytes:
            create = self._connected().chat.completions.with_streaming_response.create
            with create(**arguments) as response:
                return _collect(response.iter_bytes(), given_up)

        return self._bounded(work)

    def models(self) -> list[str]:
        """The models that the server lists; Fault if it does not answer."""

        def work(_: threading.Event) -> list[str]:
            listed = self._connected().models.with_raw_response.list().http_response.json()
            data = listed.get("data") if isinstance(listed, dict) else None
            return [str(entry["id"]) for entry in data or [] if isinstance(entry, dict) and "id" in entry]

        try:
            return self._bounded(work)
        except Fault as fault:
            if fault.kind != "no model":
                raise
        where = f"{self._endpoint.place} has no list of models"  # no model was asked for: the address is to blame
        raise Fault("unreachable", f"{where} (404); check critic.base_url, which usually ends in /v1")

    def post_native(self, path: str, body: dict[str, Any]) -> None:
        """A request to the server's own interface beside the compatible one; Fault if it refuses."""
        url = self._endpoint.native_url + path
        self._bounded(lambda _: self._connected().post(url, body=body, cast_to=object))

    def get_native(self, path: str) -> Any:
        """What the server's own interface answers, as JSON; Fault if it does not."""
        url = self._endpoint.native_url + path
        return self._bounded(lambda _: self._connected().get(url, cast_to=object))

    def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        if self._client is None:
            import openai

            self._client = openai.OpenAI(
                api_key=self._key,
                base_url=self._endpoint.base_url,
                max_retries=0,
                timeout=self._timeout_s,
                # a proxy that the environment names is not meant for this machine
                http_client=openai.DefaultHttpxClient(trust_env=not self._endpoint.is_local),
            )
            if not self._endpoint.is_openais:
                # what the environment says of an account at OpenAI is nobody else's business
                self._client.organization = self._client.project = None
        return self._client

    def _bounded(self, work: Callable[[threading.Event], T]) -> T:
        try:
            return within(self._timeout_s, work)
        except TimeoutError:
            self.close()
            said = f"did not answer within {self._timeout_s:g} s (critic.timeout_s)"
            fault = Fault("timeout", f"{self._endpoint.place} {said}", passing=True)
        except Exception as error:
            if isinstance(error, Fault) or not _is_the_wires(error):
                raise
            fault = translate(error, self._endpoint, self._hide)
        # raised out here, without what the server said as its context: it may have a key in it
        raise fault


def within(seconds: float, work: Callable[[threading.Event], T]) -> T:
    """What `work` gives or raises; TimeoutError if that takes longer than `seconds`.

    `work` is told by its event that nobody waits for it any more.
    """
    given_up, finished = threading.Event(), threading.Event()
    result: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work(given_up))
        except BaseException as error:
            raised.append(error)
        finally:
            finished.set()

    threading.Thread(target=run, daemon=True, name="autoresearch-llm").start()
    try:
        if not finished.wait(seconds):
            raise TimeoutError
    finally:
        given_up.set()
    if raised:
        raise raised[0]
    return result[0]


def is_listening(endpoint: Endpoint, seconds: float = 1.0) -> bool:
    """Whether anything takes connections where the server should be; asked before the SDK is loaded."""
    parts = urlsplit(endpoint.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        within(2 * seconds, lambda _: socket.create_connection((parts.hostname, port), seconds).close())
    except OSError:
        return False
    return True


def translate(error: Exception, endpoint: Endpoint, hide: Hide = str) -> Fault:
    """What an exception of the SDK, or of the library below it, means."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status_fault(status, hide(_message(error)), _retry_after(error), endpoint)
    causes = list(_causes(error))
    if any("Timeout" in type(cause).__name__ for cause in causes):
        return Fault("timeout", f"{endpoint.place} did not answer in time (critic.timeout_s)", passing=True)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Fault("unreachable", f"{endpoint.place}: no such host; check critic.base_url", passing=True)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes) or "refused" in str(causes[-1]).lower():
        start = "; start it: ollama serve" if endpoint.provider == "ollama" else ""
        return Fault("unreachable", f"{endpoint.place} does not answer (connection refused){start}", passing=True)
    said = one_line(hide(str(causes[-1])) or type(error).__name__, _SAID)
    if any(type(cause).__name__ in _BROKEN_OFF for cause in causes):
        return Fault("cut off", f"{endpoint.place} broke off in the middle of its answer ({said})", passing=True)
    return Fault("unreachable", f"{endpoint.place} cannot be reached ({said})", passing=True)


def status_fault(status: int, said: str, wait_s: float | None, endpoint: Endpoint) -> Fault:
    """What an HTTP status means; `said` is the server's own explanation."""
    wrong_key = status == HTTPStatus.BAD_REQUEST and _WRONG_KEY.search(said)
    if wrong_key or status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        whose = (
            f"the key in {endpoint.key_env}" if endpoint.key_env else "a request without a key (critic.api_key_env)"
        )
        return Fault("unauthorized", f"{endpoint.place} refuses {whose} ({status})")
    where = f"{endpoint.place}: {one_line(said, _SAID)} ({status})"
    if status == HTTPStatus.NOT_FOUND:
        get = f"; get it: ollama pull {endpoint.model}" if endpoint.provider == "ollama" else ""
        return Fault("no model", f"{where}; the model is {endpoint.model!r}{get}", said=said)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Fault("rate limited", where, passing=True, wait_s=wait_s, said=said)
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT) or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Fault("server error", where, passing=True, wait_s=wait_s, said=said)
    return Fault("refused request", where, said=said)


def _collect(chunks: Any, given_up: threading.Event) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if given_up.is_set():
            raise _GivenUp
        if len(body) > _LARGEST:
            raise Fault("invalid answer", f"an answer of more than {_LARGEST >> 20} MiB", passing=True)
    return bytes(body)


def _message(error: Any) -> str:
    """The server's words, if it said any in one of the usual places."""
    body = error.body
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return str(body or error.response.reason_phrase)


def _retry_after(error: Any) -> float | None:
    """How many seconds the server asks for, as a number or as a date (RFC 9110, 10.2.3)."""
    value = error.response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _is_the_wires(error: Exception) -> bool:
    """Whether the SDK, the library below it, the system or what the server sent is to blame, and not this package.

    An ImportError is about a proxy of the environment that the library below cannot use without another one (SOCKS).
    """
    return isinstance(error, (OSError, ValueError, ImportError)) or _LIBRARY.match(type(error).__module__) is not None


def _causes(error: BaseException | None) -> Any:
    """The exception and what led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
