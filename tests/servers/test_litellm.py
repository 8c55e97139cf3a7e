"""litellm's proxy, with mock responses: a server that wants a key, and that passes on what others say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.fields import ProviderName
from pytest_autoresearch.llm.endpoint import Endpoint, make_endpoint
from pytest_autoresearch.records import Edit
from tests.conftest import MakeToy
from tests.llm.server import free_port
from tests.servers.parts import Server, fetch, program, running
from tests.servers.support import COUNTDOWN, EDIT, SENTENCE, Asker, check_ledger, preconditions

pytestmark = pytest.mark.servers

VARIABLE = "PROXY_KEY"
KEY = "sk-the-master-key-0123456789abcdef"
WRONG = "sk-another-key-9876543210fedcba"
MOCKS = {
    "knowing": SENTENCE,
    "chatty": f"Sure! Here it is:\n```json\n{SENTENCE}\n```\nAnything else?",
    "limited": "litellm.RateLimitError",
    "broken": "litellm.InternalServerError",
    "narrow": "litellm.ContextWindowExceededError",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The proxy with a model for each of the mock responses."""
    binary = program("AUTORESEARCH_LITELLM", "litellm", "pip install 'litellm[proxy]' in an environment of its own")
    directory, port = tmp_path_factory.mktemp("litellm"), free_port()
    models = [
        {"model_name": name, "litellm_params": {"model": "openai/mock", "api_key": "none", "mock_response": answer}}
        for name, answer in MOCKS.items()
    ]
    config = directory / "config.yaml"
    settings = {"general_settings": {"master_key": KEY}, "router_settings": {"num_retries": 0}}
    config.write_text(json.dumps({"model_list": models, **settings}))
    command = [binary, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    # without it the proxy fetches its table of prices from the net
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with running(command, directory, port, "/health/liveliness", env) as found:
        yield found


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def endpoint(server: Server, model: str, provider: ProviderName = "openai") -> Endpoint:
    return make_endpoint(provider, model, server.url, VARIABLE)


def critic(server: Server, model: str = "knowing", provider: str = "ollama", **more: Any) -> dict[str, Any]:
    return {"provider": provider, "base_url": server.url, "model": model, "api_key_env": VARIABLE, **more}


@pytest.mark.parametrize("provider", ["ollama", "openai", "openrouter"])
@pytest.mark.parametrize("model", ["knowing", "chatty"])
def test_what_the_model_behind_it_says_is_an_idea(server: Server, provider: ProviderName, model: str) -> None:
    asker = Asker(endpoint(server, model, provider))
    found = asker.idea()
    assert (found.hypothesis, found.edits) == ("count down", (Edit(EDIT["search"], EDIT["replace"]),))
    assert asker.formats == ["json_schema"]
    assert asker.learned["format"] == "json_schema"
    (call,) = asker.desk.calls
    assert call.usage.prompt > 0
    assert call.usage.completion > 0


def test_a_limited_rate_is_waited_for_and_then_reported(server: Server) -> None:
    asker = Asker(endpoint(server, "limited"))
    fault = asker.fault()
    assert (fault.kind, fault.passing) == ("rate limited", True)
    assert "this is a mock rate limit error" in fault.text
    assert fault.text.endswith("(429)")
    assert len(asker.desk.calls) == 3
    assert len(asker.pauses) == 2
    assert asker.desk.dialects == {}


def test_a_failure_behind_it_is_asked_again_and_then_reported(server: Server) -> None:
    asker = Asker(endpoint(server, "broken"))
    fault = asker.fault()
    assert (fault.kind, fault.passing) == ("server error", True)
    assert "this is a mock internal server error" in fault.text
    assert asker.formats == ["json_schema", "json_schema", "prompt"]
    assert asker.desk.dialects == {}


def test_a_question_that_is_too_long_for_the_model_behind_it_is_not_asked_again(server: Server) -> None:
    asker = Asker(endpoint(server, "narrow"))
    fault = asker.fault()
    assert (fault.kind, fault.passing) == ("refused request", False)
    assert "ContextWindowExceededError" in fault.text
    assert asker.pauses == []


def test_a_model_that_it_does_not_have_is_refused_by_name(server: Server) -> None:
    fault = Asker(endpoint(server, "other")).fault()
    assert fault.kind == "refused request"
    assert "Invalid model name passed in model=other" in fault.text


def test_a_wrong_key_is_answered_with_a_400_that_speaks_of_a_database(server: Server) -> None:
    status, body = fetch(f"{server.url}/models", key=WRONG)
    assert (status, json.loads(body)["error"]["type"]) == (400, "no_db_connection")


def test_a_wrong_key_is_known_for_one_and_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, WRONG)
    asker = Asker(endpoint(server, "knowing"))
    fault = asker.fault()
    assert (fault.kind, fault.passing) == ("unauthorized", False)
    assert f"the key in {VARIABLE}" in fault.text
    assert WRONG not in fault.text + fault.said
    assert len(asker.desk.calls) == 1


@pytest.mark.parametrize("provider", ["ollama", "openai"])
def test_the_endpoint_is_there_and_knows_the_key(server: Server, make_toy: MakeToy, provider: str) -> None:
    found = preconditions(make_toy(problem={"critic": critic(server, provider=provider)}))
    assert found["critic_endpoint"] == f"{provider} (named by problem.yaml); {provider} at {server.url}, knowing"
    assert found["critic_dry_run"] == f"{provider}: count down"


def test_a_model_that_it_does_not_list_is_named_with_those_that_it_has(server: Server, make_toy: MakeToy) -> None:
    found = preconditions(make_toy(problem={"critic": critic(server, "other")}))
    assert found["critic_endpoint"].startswith(f"ollama at {server.url} has no model 'other'; ")
    assert found["critic_endpoint"].endswith(f"--autoresearch-model: {', '.join(sorted(MOCKS))}")


def test_a_wrong_key_fails_the_precondition_with_the_variable_that_holds_it(server: Server, make_toy: MakeToy) -> None:
    found = preconditions(make_toy(problem={"critic": critic(server)}), env={VARIABLE: WRONG})
    assert found["critic_endpoint"] == f"ollama at {server.url} refuses the key in {VARIABLE} (400)"
    assert found["critic_dry_run"] == "blocked by precondition[critic_endpoint]"


def test_a_night_with_critic_and_editor_goes_down_step_by_step_and_leaves_no_key(
    server: Server, make_toy: MakeToy
) -> None:
    toy = make_toy(
        problem={"critic": critic(server), "coder": {"enabled": True, "agent": "editor"}},
        files={"solution.sh": f"echo key ${VARIABLE}\n{COUNTDOWN}"},
    )
    done = toy.run("--iterations=3")
    assert done.returncode == 0, done.stdout
    check_ledger(toy, 3)
    assert toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8), ("keep", 7)]
    assert [record["dialect"]["format"] for record in toy.ledger("dialect")] == ["json_schema"]
    assert all(call["model"] == "knowing" for call in toy.ledger("call"))
    left = [path for path in toy.directory.rglob("*") if path.is_file()]
    assert any(path.parent.name == "critic_logs" for path in left)
    assert [path for path in left if holds(path, KEY)] == []
    assert KEY not in done.stdout + done.stderr


def test_a_loop_whose_server_limits_the_rate_from_the_start_says_so_and_does_not_start(
    server: Server, make_toy: MakeToy
) -> None:
    toy = make_toy(problem={"critic": critic(server, "limited")})
    done = toy.run("--iterations=1")
    assert done.returncode == 1
    assert "this is a mock rate limit error" in done.stdout
    assert "Traceback" not in done.stdout
    assert [call["fault"] for call in toy.ledger("call")] == ["rate limited"] * 3


def holds(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()
