"""Whatever a server does wrong: a bound in time, one clear line, a record of the call, no more than three tries."""

from __future__ import annotations

import json
import socket
import sys
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.llm.endpoint import make_endpoint
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.model import TRIES
from tests.llm.desk import OpenDesk
from tests.llm.server import (
    MODEL,
    Asked,
    Behaviour,
    Script,
    body,
    closed_port,
    completion,
    cut,
    hang,
    hang_up,
    say,
    serving,
    status,
    trickle,
)
from tests.llm.support import Line, ollama

KEY = "key-of-a-test-0123456789"


def fault_of(line: Line) -> Fault:
    with pytest.raises(Fault) as caught:
        line.ask()
    line.model.close()
    return caught.value


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)


# --- what passes: three tries, each on record


@pytest.mark.parametrize(
    ("behaviour", "kind", "said"),
    [
        (status(500, "out of memory"), "server error", "out of memory (500)"),
        (status(502, "bad gateway"), "server error", "bad gateway (502)"),
        (status(503, "loading model"), "server error", "loading model (503)"),
        (status(429, "slow down"), "rate limited", "slow down (429)"),
        (cut(), "cut off", "broke off in the middle of its answer"),
        (hang_up(), "cut off", "broke off in the middle of its answer"),
        (body(b"<html>welcome</html>", "text/html"), "no answer", "something else than JSON: '<html>welcome</html>'"),
        (body(b""), "no answer", "answered with nothing"),
        (body(b"[1, 2]"), "no answer", "JSON that is no chat completion"),
        (body(b'{"choices": []}'), "no answer", "without a message"),
        (body(b'{"choices": [{"message": 3}]}'), "no answer", "without a message"),
        (body(b'{"choices": null, "error": {"code": 429, "message": "upstream"}}'), "rate limited", "upstream (429)"),
        (body(b'{"error": "broken"}'), "server error", "broken (502)"),
        (body(b"{" * 50_000), "no answer", "something else than JSON"),
    ],
)
def test_what_may_pass_is_tried_three_times(behaviour: Behaviour, kind: str, said: str) -> None:
    with serving([behaviour]) as server:
        line = Line(ollama(server.url))
        fault = fault_of(line)
    assert (fault.kind, fault.passing) == (kind, True)
    assert said in fault.text
    assert "\n" not in fault.text
    assert len(server.chats) == TRIES
    assert [call.fault.kind for call in line.desk.calls if call.fault] == [kind] * TRIES
    assert len(line.pauses) == len(line.desk.lines) == TRIES - 1
    assert line.desk.lines[0].startswith(f"{fault.text}; asking again in ")
    assert 0.5 <= line.pauses[0] <= 1.5
    assert 1 <= line.pauses[1] <= 3


@pytest.mark.parametrize("behaviour", [hang(), trickle()], ids=["hangs", "trickles"])
def test_an_answer_that_does_not_come_to_an_end_is_given_up_in_time(behaviour: Behaviour) -> None:
    with serving([behaviour]) as server:
        line = Line(ollama(server.url), timeout_s=0.6)
        fault = fault_of(line)
    assert fault.kind == "timeout"
    assert fault.text == f"ollama at {server.url} did not answer within 0.6 s (critic.timeout_s)"
    assert [call.seconds < 10 for call in line.desk.calls] == [True] * TRIES


def test_a_server_that_is_not_there_is_said_to_be_not_there() -> None:
    port = closed_port()
    fault = fault_of(Line(ollama(f"http://127.0.0.1:{port}/v1")))
    assert fault.kind == "unreachable"
    place = f"ollama at http://127.0.0.1:{port}/v1"
    assert fault.text == f"{place} does not answer (connection refused); start it: ollama serve"


def test_a_host_that_does_not_exist_is_named() -> None:
    fault = fault_of(Line(ollama("http://nowhere.invalid/v1"), timeout_s=5))
    assert fault.kind in ("unreachable", "timeout")
    assert "nowhere.invalid" in fault.text


def test_a_server_that_closes_at_once_is_unreachable_or_cut_off() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        line = Line(ollama(f"http://127.0.0.1:{listener.getsockname()[1]}/v1"), timeout_s=1)
        listener.close()
        assert fault_of(line).kind in ("unreachable", "cut off")


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("3", 3, 3), ("0", 0, 0), ("soon", 0.5, 1.5), ("-1", 0, 0), ("inf", 0.5, 1.5), ("", 0.5, 1.5)],
)
def test_the_server_is_left_alone_for_as_long_as_it_asks(value: str, least: float, most: float) -> None:
    with serving([status(429, headers={"Retry-After": value}), say("fine")]) as server:
        line = Line(ollama(server.url))
        assert line.ask() == "fine"
        line.model.close()
    assert least <= line.pauses[0] <= most


def test_a_date_to_come_back_at_is_understood() -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=7), usegmt=True)
    with serving([status(503, headers={"Retry-After": date}), say("fine")]) as server:
        line = Line(ollama(server.url))
        line.ask()
        line.model.close()
    assert 4 <= line.pauses[0] <= 7


def test_a_server_that_asks_for_longer_than_an_answer_may_take_is_not_waited_for() -> None:
    with serving([status(429, "tomorrow", {"Retry-After": "86400"})]) as server:
        line = Line(ollama(server.url))
        fault = fault_of(line)
    assert len(server.chats) == 1
    assert fault.wait_s == 86400
    assert line.pauses == []


def test_a_server_that_fails_once_is_forgiven_and_one_that_goes_on_failing_gets_one_try() -> None:
    answers = [status(500), say("one"), *[status(500)] * 3, status(500), say("two"), status(500), say("three")]
    with serving(answers) as server:
        line = Line(ollama(server.url))
        assert line.ask() == "one"
        assert fault_of(line).kind == "server error"
        assert len(server.chats) == 5
        assert fault_of(line).kind == "server error"
        assert len(server.chats) == 6
        assert line.ask() == "two"
        assert line.ask() == "three"
        line.model.close()


# --- what does not pass: one try


@pytest.mark.parametrize("code", [401, 403])
def test_a_key_that_is_refused_is_named_and_never_shown(code: int) -> None:
    with serving([status(code, f"Incorrect API key provided: {KEY}")]) as server:
        line = Line(make_endpoint("openai", MODEL, server.url, "MY_KEY"))
        fault = fault_of(line)
    assert fault.kind == "unauthorized"
    assert fault.text == f"openai at {server.url} refuses the key in MY_KEY ({code})"
    assert KEY not in fault.text + fault.said + repr(fault.__context__)
    assert len(server.chats) == 1
    assert server.chats[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_model_that_is_not_there_is_named_with_the_command_that_gets_it() -> None:
    with serving([status(404, "model 'scripted' not found")]) as server:
        fault = fault_of(Line(ollama(server.url)))
    assert fault.kind == "no model"
    assert fault.text.endswith("not found (404); the model is 'scripted'; get it: ollama pull scripted")
    assert len(server.chats) == 1


def test_an_answer_that_is_too_long_to_take_is_given_up() -> None:
    with serving([body(b" " * (9 << 20))]) as server:
        fault = fault_of(Line(ollama(server.url)))
    assert (fault.kind, fault.text) == ("invalid answer", "an answer of more than 8 MiB")


def test_a_long_message_of_a_server_becomes_one_short_line() -> None:
    with serving([status(400, "no\n\x1b[31mway\n" * 1000)]) as server:
        fault = fault_of(Line(ollama(server.url)))
    assert len(fault.text) < 400
    assert fault.text.isprintable()


@pytest.mark.parametrize("key", [None, "", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_is_none_is_the_users_to_mend_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key is None:
        monkeypatch.delenv("MY_KEY")
    else:
        monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(UserError) as caught:
        Line(make_endpoint("openai", MODEL, "http://127.0.0.1:1/v1", "MY_KEY")).ask()
    assert "MY_KEY" in str(caught.value)
    assert not key or key not in str(caught.value)


def test_nothing_is_asked_when_nothing_more_may_be_spent() -> None:
    with serving([say("fine")]) as server:
        line = Line(ollama(server.url), desk=OpenDesk(spent="all is spent"))
        with pytest.raises(Exception, match="all is spent"):
            line.ask()
    assert server.asked == []


# --- what a server understands


def unsupported(*names: str) -> Script:
    """A script of a server that refuses requests with any of these in them, naming what it refuses."""

    def script(asked: Asked) -> Behaviour:
        flat = str(asked.body)
        for name in names:
            if name in flat:
                refused = "response_format" if "schema" in name else name
                return status(400, f"Unsupported parameter: '{refused}' is not supported with this model.")
        return say({"x": 1})

    return script


@pytest.mark.parametrize(
    ("refused", "learned"),
    [
        (["json_schema"], {"format": "json_object_schema"}),
        (["json_schema", "'schema'"], {"format": "json_object"}),
        (["json_schema", "json_object"], {"format": "prompt"}),
        (["response_format"], {"format": "prompt"}),
        (["temperature"], {"temperature": False}),
        (["chat_template_kwargs"], {"reasoning": False}),
        (
            ["json_schema", "temperature", "chat_template_kwargs"],
            {"format": "json_object_schema", "temperature": False},
        ),
    ],
)
def test_what_a_server_refuses_by_name_is_left_out_and_remembered(
    refused: list[str], learned: dict[str, object]
) -> None:
    with serving(unsupported(*refused)) as server:
        line = Line(ollama(server.url))
        assert line.ask() == '{"x": 1}'
        asked = len(server.chats)
        line.ask()
        line.model.close()
        assert len(server.chats) == asked + 1
        again = Line(ollama(server.url), desk=line.desk)
        again.ask()
        again.model.close()
        assert len(server.chats) == asked + 2
    assert learned.items() <= line.desk.dialects[MODEL].to_json().items()
    assert line.pauses == []


def test_a_model_that_wants_its_limit_under_another_name_gets_it() -> None:
    def script(asked: Asked) -> Behaviour:
        if "max_tokens" in asked.body:
            return status(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return say("fine")

    with serving(script) as server:
        line = Line(ollama(server.url))
        line.ask()
        line.model.close()
    assert server.chats[-1].body["max_completion_tokens"] == 77


def test_a_500_that_names_the_form_of_the_answer_is_no_reason_to_wait() -> None:
    with serving(
        lambda asked: status(500, "json_schema: not here") if asked.format == "json_schema" else say("fine")
    ) as server:
        line = Line(ollama(server.url))
        line.ask()
        line.model.close()
    assert line.pauses == []
    assert [asked.format for asked in server.chats] == ["json_schema", "json_object"]


def test_a_500_that_names_nothing_is_met_with_the_least_demand_in_the_end_and_not_remembered() -> None:
    with serving(lambda asked: status(500) if asked.format != "prompt" else say("fine")) as server:
        line = Line(ollama(server.url))
        assert line.ask() == "fine"
        line.ask()
        line.model.close()
    assert [asked.format for asked in server.chats] == ["json_schema", "json_schema", "prompt", "prompt"]
    assert line.desk.dialects == {}


def test_a_refusal_that_names_nothing_is_blamed_on_the_form_only_until_that_has_worked() -> None:
    with serving([*[status(400, "no")] * 3, say("fine"), status(400, "too long")]) as server:
        line = Line(ollama(server.url))
        assert line.ask() == "fine"
        fault = fault_of(line)
    assert fault.text.endswith("too long (400)")
    formats = [asked.format for asked in server.chats]
    assert formats == ["json_schema", "json_object", "json_object", "prompt", "prompt"]
    assert [asked.enforces_schema for asked in server.chats] == [True, True, False, False, False]


def test_a_server_that_refuses_everything_is_quoted_with_its_first_reason() -> None:
    with serving([status(400, "too long"), *[status(400, "second")] * 3]) as server:
        line = Line(ollama(server.url))
        fault = fault_of(line)
        assert fault.text.endswith("too long (400)")
        assert fault_of(line).kind == "refused request"
    assert [asked.format for asked in server.chats[4:5]] == ["json_schema"]


@pytest.mark.parametrize("given", ["json_object", "prompt"])
def test_the_schema_stands_in_the_prompt_where_the_server_does_not_enforce_it(given: str) -> None:
    names = ["json_schema", "'schema'"] if given == "json_object" else ["json_schema", "json_object"]
    with serving(unsupported(*names)) as server:
        line = Line(ollama(server.url))
        line.ask()
        line.model.close()
    first, last = server.chats[0], server.chats[-1]
    assert last.format == given
    assert '"required": ["x"]' in last.messages[0]["content"]
    assert "required" not in first.messages[0]["content"]
    assert first.body["response_format"]["json_schema"]["strict"] is True


# --- reasoning


@pytest.mark.parametrize(
    ("provider", "thinking", "sent"),
    [
        ("ollama", True, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("ollama", False, {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "none"}),
        ("openrouter", True, {"reasoning": {"enabled": True}}),
        ("openrouter", False, {"reasoning": {"enabled": False}}),
        ("openai", True, {}),
        ("openai", False, {"reasoning_effort": "none"}),
    ],
)
def test_each_provider_is_told_in_its_own_words_whether_to_think(
    provider: str, thinking: bool, sent: dict[str, object]
) -> None:
    with serving([say("fine")]) as server:
        endpoint = make_endpoint(provider, MODEL, server.url, "MY_KEY")  # type: ignore[arg-type]
        line = Line(endpoint, thinking=thinking)
        line.ask()
        line.model.close()
    asked = server.chats[0].body
    assert {
        key: asked[key] for key in asked if key in ("reasoning", "reasoning_effort", "chat_template_kwargs")
    } == sent


def test_usage_is_the_servers_count_or_an_estimate() -> None:
    priced = completion("four")
    priced["usage"]["cost"] = 0.25
    answers = [say("x", usage=(11, 7)), say("y" * 40, usage=None), body(json.dumps(priced).encode())]
    with serving(answers) as server:
        line = Line(ollama(server.url))
        for _ in range(3):
            line.ask()
        line.model.close()
    first, second, third = (call.usage for call in line.desk.calls)
    assert (first.prompt, first.completion, first.usd) == (11, 7, None)
    assert (second.prompt, second.completion) == (5, 10)
    assert third.usd == 0.25


# --- Ollama's own interface


def test_a_model_that_was_asked_can_be_taken_out_of_memory_and_another_one_is_left_alone() -> None:
    with serving([say("fine")], loaded={MODEL: 3 << 30}) as server:
        line = Line(ollama(server.url))
        line.model.release()
        assert not [asked for asked in server.asked if asked.path == "/api/generate"]
        assert line.model.loaded_gb() == 3
        line.ask()
        line.model.release()
        line.model.release()
        assert line.model.loaded_gb() == 0
        line.model.close()
    (released,) = [asked for asked in server.asked if asked.path == "/api/generate"]
    assert released.body == {"model": MODEL, "keep_alive": 0}


def test_a_server_without_that_interface_is_no_trouble() -> None:
    with serving([say("fine")]) as server:
        line = Line(ollama(server.url.replace("/v1", "/else/v1")))
        assert line.model.loaded_gb() == 0
        with pytest.raises(Fault):
            line.ask()
        line.model.release()
        line.model.close()


def test_a_proxy_that_needs_another_library_is_said_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(Fault, match=r"cannot be reached \(.*socksio") as raised:
        Line(ollama("http://0.0.0.0:1/v1")).ask()
    assert raised.value.kind == "unreachable"


def test_another_server_is_not_told_of_an_account_at_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-mine")
    with serving([say({"x": 1})]) as server:
        line = Line(ollama(server.url))
        line.ask()
        line.model.close()
    assert not [value for value in server.asked[0].headers.values() if "of-mine" in value]


@pytest.mark.parametrize("before", range(270, 310, 5))
def test_a_key_is_hidden_before_what_the_server_says_is_cut(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    text = "y " * (before // 2) + KEY
    page = body(b"<html>" + b"y" * (before - 200) + KEY.encode() + b"</html>", "text/html")
    for behaviour in (status(400, text), body(json.dumps({"error": text}).encode()), page):
        with serving([behaviour]) as server:
            fault = fault_of(Line(make_endpoint("openai", MODEL, server.url, None), timeout_s=5))
        assert KEY[:6] not in fault.text


def test_an_address_without_a_list_of_models_is_to_blame_and_not_the_model() -> None:
    with serving([say({"x": 1})]) as server:
        line = Line(ollama(server.url.replace("/v1", "/api")))
        with pytest.raises(Fault, match=r"check critic\.base_url, which usually ends in /v1") as raised:
            line.model.models()
        line.model.close()
    assert "ollama pull" not in raised.value.text
