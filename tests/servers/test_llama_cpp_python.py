"""llama-cpp-python's server: it answers `json_schema` with a 500, and takes the schema beside `json_object`.

Where any JSON will do, random weights have no valid idea; so there is a model beside them that knows one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_autoresearch.llm.dialect import Dialect
from pytest_autoresearch.llm.endpoint import Endpoint
from pytest_autoresearch.records import Edit
from tests.conftest import MakeToy
from tests.llm.server import free_port
from tests.llm.support import ollama
from tests.servers.parts import Server, fetch, running
from tests.servers.support import COUNTDOWN, EDIT, SENTENCE, Asker, check_ledger, preconditions
from tests.servers.tiny_model import CONTEXT, make_model

pytestmark = pytest.mark.servers

VARIABLE = "AUTORESEARCH_LLAMA_CPP_PYTHON"
KNOWING, RANDOM = "knowing", "random"


def interpreter() -> str:
    """The interpreter that has the server; skips the test where there is none."""
    named = os.environ.get(VARIABLE)
    python = shutil.which(named) if named else sys.executable
    assert python, f"{VARIABLE}: there is no program {named}"
    has = subprocess.run([python, "-c", "import llama_cpp, uvicorn"], capture_output=True, text=True, check=False)
    if named:
        assert has.returncode == 0, f"{VARIABLE}: {named} has no llama_cpp.server: {has.stderr}"
    elif has.returncode:
        pytest.skip(
            f"no llama_cpp.server: pip install 'llama-cpp-python[server]' in an environment of its own, and name its "
            f"interpreter in {VARIABLE}"
        )
    return python


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server with two models: one of random weights, and one that knows a sentence."""
    python, directory, port = interpreter(), tmp_path_factory.mktemp("llama-cpp-python"), free_port()
    models = {RANDOM: make_model(directory / "random.gguf"), KNOWING: make_model(directory / "knowing.gguf", SENTENCE)}
    common = {"n_ctx": CONTEXT, "n_threads": 2, "verbose": False, "chat_format": "chatml"}
    entries = [{"model": str(path), "model_alias": name, **common} for name, path in models.items()]
    config = directory / "config.json"
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "models": entries}))
    command = [python, "-m", "llama_cpp.server", "--config_file", str(config)]
    with running(command, directory, port, "/v1/models") as found:
        yield found


@pytest.fixture
def endpoint(server: Server) -> Endpoint:
    return ollama(server.url, KNOWING)


def critic(server: Server, model: str = KNOWING, **more: Any) -> dict[str, Any]:
    return {"provider": "ollama", "base_url": server.url, "model": model, **more}


def test_a_schema_is_answered_with_a_500_that_names_it(server: Server) -> None:
    schema = {"name": "x", "strict": True, "schema": {"type": "object"}}
    asked = {
        "model": KNOWING,
        "messages": [{"role": "user", "content": "hello"}],
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    status, body = fetch(f"{server.url}/chat/completions", json.dumps(asked).encode())
    assert status == 500
    assert "'loc': ('body', 'response_format', 'type')" in json.loads(body)["error"]["message"]


def test_the_500_is_understood_at_once_and_json_asked_for_instead(endpoint: Endpoint) -> None:
    asker = Asker(endpoint)
    found = asker.idea()
    assert (found.hypothesis, found.edits) == ("count down", (Edit(EDIT["search"], EDIT["replace"]),))
    assert asker.formats == ["json_schema", "json_object"]
    assert asker.learned == {**Dialect().to_json(), "format": "json_object_schema"}
    assert asker.pauses == []
    refused, answered = asker.desk.calls
    assert refused.fault is not None
    assert refused.fault.kind == "server error"
    assert refused.usage.tokens == 0
    assert answered.usage.prompt > 100
    assert answered.usage.completion > 5


def test_what_was_learned_is_not_asked_again(endpoint: Endpoint) -> None:
    asker = Asker(endpoint)
    for _ in range(3):
        asker.idea()
    assert asker.formats == ["json_schema", "json_object", "json_object", "json_object"]


def test_the_schema_may_stand_in_the_prompt_alone(endpoint: Endpoint) -> None:
    asker = Asker(endpoint)
    asker.desk.learned(endpoint, Dialect(format="prompt"))
    assert asker.idea().hypothesis == "count down"
    assert asker.formats == ["prompt"]
    assert "fits this JSON schema" in asker.desk.calls[0].messages[0]["content"]


def test_json_that_is_no_idea_is_a_fault_after_a_second_round(server: Server) -> None:
    asker = Asker(ollama(server.url, RANDOM))
    asker.desk.learned(asker.endpoint, Dialect(format="json_object"))
    fault = asker.fault()
    assert fault.kind == "invalid answer"
    assert fault.text.startswith(f"ollama at {server.url} gave no usable answer: ")
    assert [call.role for call in asker.desk.calls] == ["critic", "repair"]


def test_random_weights_have_valid_ideas_under_a_schema_that_is_enforced(server: Server) -> None:
    asker = Asker(ollama(server.url, RANDOM))
    assert asker.idea().hypothesis
    assert asker.learned["format"] == "json_object_schema"


def test_the_endpoint_is_there_and_has_the_model(server: Server, make_toy: MakeToy) -> None:
    found = preconditions(make_toy(problem={"critic": critic(server)}))
    assert found["critic_endpoint"] == f"ollama (named by problem.yaml); ollama at {server.url}, {KNOWING}"
    assert found["critic_dry_run"] == "ollama: count down"


def test_a_model_that_the_server_does_not_list_is_named_with_those_that_it_has(
    server: Server, make_toy: MakeToy
) -> None:
    found = preconditions(make_toy(problem={"critic": critic(server, "other")}))
    assert found["critic_endpoint"].startswith(f"ollama at {server.url} has no model 'other'; ")
    assert found["critic_endpoint"].endswith(f"--autoresearch-model: {KNOWING}, {RANDOM}")


def test_a_night_with_critic_and_editor_goes_down_step_by_step(server: Server, make_toy: MakeToy) -> None:
    toy = make_toy(
        problem={"critic": critic(server), "coder": {"enabled": True, "agent": "editor"}},
        files={"solution.sh": COUNTDOWN},
    )
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    check_ledger(toy, 2)
    assert toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8)]
    assert [record["dialect"]["format"] for record in toy.ledger("dialect")] == ["json_object_schema"]
    assert [call["fault"] for call in toy.ledger("call")][:2] == ["server error", ""]
    assert toy.run("--iterations=1").returncode == 0
    check_ledger(toy, 3)
    assert [call["fault"] for call in toy.ledger("call")].count("server error") == 1
    assert len(toy.ledger("dialect")) == 1


def test_a_hybrid_night_on_random_weights_comes_to_sound_experiments(server: Server, make_toy: MakeToy) -> None:
    toy = make_toy(
        problem={
            "critic": critic(server, RANDOM, provider="hybrid", llm_share=1.0, sampler="random"),
            "mutable_file": "solution.py",
            "runner": "python solution.py",
        },
        files={"solution.py": "RATE = 0.5  # search: 0.001..1 log\nprint('score:', RATE)\n"},
    )
    done = toy.run("--iterations=2")
    assert done.returncode == 0, done.stdout
    check_ledger(toy, 2)
    assert "Traceback" not in done.stdout
    assert {call["number"] for call in toy.ledger("call")} >= {1}
