"""llama.cpp's own server: the schema is enforced while the answer is drawn, so that even random weights have ideas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_autoresearch.llm.endpoint import Endpoint
from tests.conftest import MakeToy
from tests.llm.server import free_port
from tests.llm.support import Line, ollama
from tests.servers.parts import Server, program, running
from tests.servers.support import Asker, check_ledger, preconditions
from tests.servers.tiny_model import CONTEXT, make_model
from tests.support import Toy

pytestmark = pytest.mark.servers

MODEL = "tiny"
# What random weights write is read and not run: nobody knows what it would do.
TUNABLE = "RATE = 0.5  # search: 0.001..1 log\nDEPTH = 4  # search: 1..16\n"
READ = """import ast
found = ast.parse(open("solution.py").read()).body
values = {line.targets[0].id: ast.literal_eval(line.value) for line in found}
print("score:", values["RATE"] * values["DEPTH"])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """llama-server with the model of random weights."""
    binary = program("AUTORESEARCH_LLAMA_SERVER", "llama-server", "build it from llama.cpp (CONTRIBUTING.md says how)")
    directory, port = tmp_path_factory.mktemp("llama-server"), free_port()
    model = make_model(directory / "tiny.gguf")
    place = ["--host", "127.0.0.1", "--port", str(port), "--alias", MODEL]
    how = ["--ctx-size", str(CONTEXT), "--parallel", "1", "--threads", "2", "--no-webui"]
    with running([binary, "--model", str(model), *place, *how], directory, port, "/health") as found:
        yield found


@pytest.fixture
def endpoint(server: Server) -> Endpoint:
    return ollama(server.url, MODEL)


def critic(server: Server, **more: Any) -> dict[str, Any]:
    return {"provider": "ollama", "base_url": server.url, "model": MODEL, **more}


def test_random_weights_have_valid_ideas(endpoint: Endpoint) -> None:
    asker = Asker(endpoint)
    ideas = [asker.idea(f"Question {number}: what next?") for number in range(10)]
    assert len({idea.hypothesis for idea in ideas}) > 1
    assert any(idea.edits for idea in ideas)
    assert not asker.idea(with_edits=False).edits
    roles = [call.role for call in asker.desk.calls]
    assert roles.count("critic") == 11
    assert set(roles) <= {"critic", "repair"}
    assert set(asker.formats) == {"json_schema"}
    assert asker.learned == {"format": "json_schema", "limit": "max_tokens", "temperature": True, "reasoning": True}
    assert all(call.usage.prompt > 20 and call.usage.completion > 50 for call in asker.desk.calls)


def test_the_model_is_the_same_bytes_each_time(server: Server) -> None:
    directory = server.log.parent
    again = make_model(directory / "again.gguf").read_bytes()
    assert again == (directory / "tiny.gguf").read_bytes()
    assert len(again) < 600_000


def test_a_model_that_is_not_to_think_is_told_so_without_trouble(endpoint: Endpoint) -> None:
    asker = Asker(endpoint, thinking=False)
    asker.idea()
    assert asker.desk.calls[0].arguments["extra_body"]["reasoning_effort"] == "none"
    assert asker.learned["reasoning"] is True


def test_an_answer_that_is_cut_off_is_said_to_be(endpoint: Endpoint) -> None:
    asker = Asker(endpoint, max_tokens=20)
    fault = asker.fault()
    assert fault.kind == "invalid answer"
    assert "it was cut off at 20 tokens (max_tokens)" in fault.text
    assert [call.role for call in asker.desk.calls] == ["critic", "repair"]
    assert [call.usage.completion for call in asker.desk.calls] == [20, 20]


def test_a_question_that_is_too_long_is_refused_in_the_servers_words(endpoint: Endpoint) -> None:
    asker = Asker(endpoint)
    fault = asker.fault("x" * (2 * CONTEXT))
    assert (fault.kind, fault.passing) == ("refused request", False)
    assert f"exceeds the available context size ({CONTEXT} tokens)" in fault.text
    assert asker.pauses == []
    assert asker.desk.dialects == {}
    asker.idea()
    assert asker.learned["format"] == "json_schema"


def test_a_server_without_ollamas_own_interface_is_no_trouble(endpoint: Endpoint) -> None:
    line = Line(endpoint)
    line.ask()
    assert line.model.loaded_gb() == 0
    line.model.release()
    assert line.ask()
    line.model.close()


def test_the_endpoint_is_there_and_has_the_model(server: Server, make_toy: MakeToy) -> None:
    toy = make_toy(problem={"critic": critic(server)})
    found = preconditions(toy)
    assert found["critic_endpoint"] == f"ollama (named by problem.yaml); ollama at {server.url}, {MODEL}"
    assert found["critic_dry_run"].startswith("ollama: ")
    assert not toy.records.exists()


def test_a_model_that_the_server_does_not_list_is_named_with_those_that_it_has(
    server: Server, make_toy: MakeToy
) -> None:
    found = preconditions(make_toy(problem={"critic": critic(server)}), "--autoresearch-model=other")
    assert found["critic_endpoint"].startswith(f"ollama at {server.url} has no model 'other'; ")
    assert found["critic_endpoint"].endswith(f"choose one that it has with --autoresearch-model: {MODEL}")
    assert found["critic_dry_run"] == "blocked by precondition[critic_endpoint]"


def assert_no_bug(toy: Toy, output: str) -> None:
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
    faults = [call["fault"] for call in toy.ledger("call")]
    assert faults == [""] * len(faults)


def test_a_night_of_random_ideas_ends_with_each_of_them_on_record(server: Server, make_toy: MakeToy) -> None:
    toy = make_toy(
        problem={
            "critic": critic(server, when="downtime"),
            "coder": {"enabled": True, "agent": "editor"},
            "mutable_file": "solution.txt",
            "runner": 'echo "score: $(cat solution.txt)"',
        },
        files={"solution.txt": "10\n"},
    )
    done = toy.run("--iterations=3", "-v")
    experiments = len(toy.ledger("result")) - 1
    check_ledger(toy, experiments)
    assert_no_bug(toy, done.stdout + done.stderr)
    assert len(toy.ledger("idea")) == experiments + len(toy.ledger("noop")) == 3
    assert {record["critic"] for record in toy.ledger("idea")} == {"ollama"}
    assert {call["role"] for call in toy.ledger("call")} >= {"critic", "editor"}
    assert [record["dialect"]["format"] for record in toy.ledger("dialect")] == ["json_schema"]
    # exit 1: every experiment crashed, as was to be expected of such a file; 0: one of them happened to be a number
    crashed = [status for status, _ in toy.statuses()[1:]] == ["crash"] * experiments
    assert done.returncode == (1 if crashed and experiments else 0 if experiments else 5), done.stdout


def test_random_ideas_beside_a_sampler_leave_every_iteration_with_an_idea(server: Server, make_toy: MakeToy) -> None:
    toy = make_toy(
        problem={
            "critic": critic(server, provider="hybrid", llm_share=0.5, sampler="random"),
            "coder": {"enabled": True, "agent": "editor"},
            "mutable_file": "solution.py",
            "readonly_files": ["score.py"],
            "runner": "python score.py",
        },
        files={"solution.py": TUNABLE, "score.py": READ},
    )
    done = toy.run("--iterations=3", "-v")
    experiments = len(toy.ledger("result")) - 1
    check_ledger(toy, experiments)
    assert_no_bug(toy, done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout
    ideas = toy.ledger("idea")
    assert len(ideas) == experiments + len(toy.ledger("noop")) == 3
    assert [record["critic"] for record in ideas][::2] == ["tuner", "tuner"]
    assert {call["number"] for call in toy.ledger("call")} == {2}
