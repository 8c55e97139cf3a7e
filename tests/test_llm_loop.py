"""The loop with a model behind it: unattended research, and nights in which the server does what servers do."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeToy
from tests.llm.server import (
    MODEL,
    Asked,
    Behaviour,
    ScriptedServer,
    closed_port,
    cut,
    hang,
    idea,
    say,
    serving,
    status,
    trickle,
)
from tests.llm.tsp_model import TspModel
from tests.support import Toy, git, kill, properties, tsp, wait_for

KEY = "the-secret-value-of-a-key-9876"
TUNABLE = "X = 4.0  # search: -8.0..8.0\nprint('score:', X * X)\n"
FAST = """
from pytest_autoresearch.critics import fallback
from pytest_autoresearch.llm import model

fallback._FIRST_PAUSE_S = 0.2
model._FIRST_PAUSE_S = 0.05
"""


def critic(server: ScriptedServer | str, **more: Any) -> dict[str, Any]:
    url = server if isinstance(server, str) else server.url
    return {"provider": "ollama", "base_url": url, "model": MODEL, "timeout_s": 5, **more}


def toy_of(make_toy: MakeToy, section: Mapping[str, Any], source: str = TUNABLE, **problem: Any) -> Toy:
    """A toy whose mutable file is Python, and whose critic asks a model that makes the edits too."""
    files = {"solution.py": source, "conftest.py": FAST}
    keys = {"mutable_file": "solution.py", "runner": "python solution.py", "critic": section}
    editor = {"coder": {"enabled": True, "agent": "editor"}}
    return make_toy(problem={**keys, **editor, **problem}, files=files)


def step(number: float, hypothesis: str | None = None) -> Behaviour:
    """An idea that sets X, whatever it is now."""
    return say(idea(hypothesis or f"set X to {number}", edits=[]), usage=(100, 10))


def edit_of(asked: Asked) -> Behaviour:
    """The edit that carries out such an idea."""
    question = asked.messages[1]["content"]
    number = re.search(r"set X to ([\d.]+)", question)
    line = re.search(r"^X = .*$", question, re.MULTILINE)
    assert number
    assert line
    return say({"edits": [{"search": line[0], "replace": f"X = {number[1]}"}], "content": None}, usage=(50, 5))


class Model:
    """Answers a critic's questions with these in turn, the last one for ever, and an editor's with the edit."""

    def __init__(self, *ideas: Behaviour) -> None:
        self._ideas = list(ideas)

    def __call__(self, asked: Asked) -> Behaviour:
        if "You are a careful programmer" in asked.messages[0]["content"]:
            return edit_of(asked)
        return self.next_idea(asked)

    def next_idea(self, asked: Asked) -> Behaviour:
        return self._ideas.pop(0) if len(self._ideas) > 1 else self._ideas[0]


class Night(Model):
    """The same, but the next one comes only with the next experiment: who asks again is answered as before."""

    def __init__(self, *ideas: Behaviour) -> None:
        super().__init__(*ideas)
        self._question = ""
        self._behaviour = ideas[0]

    def next_idea(self, asked: Asked) -> Behaviour:
        question = re.sub(r"[0-9a-f]{12}", "", asked.messages[1]["content"])
        if question != self._question:
            self._question, self._behaviour = question, super().next_idea(asked)
        return self._behaviour


def assert_sound(toy: Toy) -> None:
    """Ledger, table and branch say the same, and every idea came to something."""
    results = toy.ledger("result")
    assert [record["number"] for record in results] == list(range(len(results)))
    keeps = [record["commit"] for record in results if record["status"] == "keep"]
    assert toy.branch() == keeps
    assert [row[3] for row in toy.rows()[1:]] == [record["status"] for record in results]
    ended = len(results) - 1 + len(toy.ledger("noop"))
    assert len(toy.ledger("idea")) == ended
    assert git(toy.checkout, "status", "--porcelain", "--untracked-files=no") == ""


def critics(toy: Toy) -> list[str]:
    return [record["critic"] for record in toy.ledger("idea")]


def experiments(toy: Toy) -> int:
    """How many have ended so far, the baseline among them; the session may be about to begin."""
    return len(toy.ledger("result")) if (toy.records / "ledger.jsonl").exists() else 0


# --- unattended


def test_tsp_gets_better_in_ten_iterations_with_nothing_but_a_model(tmp_path: Path) -> None:
    pytest.importorskip("numpy", reason="the example needs numpy: pip install 'pytest-autoresearch[tsp]'")
    with serving(TspModel()) as server:
        toy = tsp(tmp_path, critic=critic(server), coder={"enabled": True, "agent": "editor"})
        done = toy.run("--iterations=10", "--junitxml=report.xml")
    assert done.returncode == 0, done.stdout
    kept = [metric for status, metric in toy.statuses() if status == "keep"]
    assert kept[:3] == pytest.approx([25.251112, 5.974833, 5.892702], abs=1e-6)
    assert kept[-1] is not None
    assert kept[-1] <= 5.64
    assert len(toy.ledger("idea")) == 10
    assert_sound(toy)
    cases = properties(toy.project / "report.xml")
    tokens = [int(case["tokens"]) for case in cases.values() if case.get("status") == "keep"]
    assert all(count >= 1800 for count in tokens)
    assert git(tmp_path, "status", "--porcelain", "--untracked-files=no") == ""


def test_auto_with_an_ollama_needs_no_other_coder(make_toy: MakeToy) -> None:
    with serving(Model(step(2), step(1))) as server:
        toy = toy_of(make_toy, critic(server, provider="auto"), coder={"enabled": False})
        done = toy.run("--iterations=2")
    assert toy.statuses() == [("keep", 16), ("keep", 4), ("keep", 1)]
    assert f"critic ollama: auto; ollama at {server.url} answers and has {MODEL}" in done.stdout
    assert "coder editor" in done.stdout


def test_a_hybrid_session_tells_every_result_to_the_sampler(make_toy: MakeToy) -> None:
    pytest.importorskip("cmaes", reason="CMA-ES needs cmaes: pip install 'pytest-autoresearch[tuner]'")
    values = iter([0.5, 0.25, 0.125])

    def script(asked: Asked) -> Behaviour:
        return say(idea("nearer", change="parameters", parameters={"X": next(values)}, edits=[]))

    with serving(script) as server:
        toy = toy_of(make_toy, critic(server, provider="hybrid"), coder={"enabled": False})
        done = toy.run("--iterations=10")
    assert done.returncode == 0, done.stdout
    assert [index for index, name in enumerate(critics(toy), start=1) if name == "ollama"] == [4, 7, 10]
    assert_sound(toy)
    assert "The best:\n- X=" in server.chats[1].user
    assert toy.statuses()[10] == ("keep", 0.015625)


# --- faults


FAULTS: list[tuple[Behaviour, str]] = [
    (status(429, "slow down"), "rate limited"),
    (status(429, "slow down", {"Retry-After": "1"}), "rate limited"),
    (status(429, "slow down", {"Retry-After": "9999"}), "rate limited"),
    (status(500), "server error"),
    (status(502), "server error"),
    (status(401, f"wrong key {KEY}"), "unauthorized"),
    (status(404, "no such model"), "no model"),
    (hang(), "timeout"),
    (trickle(), "timeout"),
    (cut(), "cut off"),
    (say(""), ""),
    (say('{"hypothesis": "half an ans', finish="length"), ""),
    (say(None, refusal="I would rather not"), ""),
    (say("I have no idea."), ""),
    (say({"hypothesis": "keys are missing"}), ""),
    (say({**idea(expected_delta="much", risk_level=7), "hypothesis": ["a"]}), ""),
    (say("x" * 1_000_000), ""),
    (say(idea("a long one", thought_process=3, justification="y" * 1_000_000)), ""),
    (say('{"thought_process": "\x00\x07'), ""),
]
FINE: list[Behaviour] = [
    say("Sure!\n```json\n" + json.dumps(idea("set X to 1.5 in a fence", edits=[])) + "\n```\nHope that helps."),
    say("<think>well</think>" + json.dumps(idea("set X to 1.25 ünïcödé \u202e\x00 🜚 \ud83d", edits=[]))),
    say(idea("set X to 0.75", thought_process="z" * 1_000_000, edits=[])),
]


def test_whatever_a_server_does_the_night_goes_on_and_the_ledger_is_right(make_toy: MakeToy) -> None:
    with serving(Night(step(3), *[behaviour for behaviour, _ in FAULTS], *FINE, step(0.5))) as server:
        toy = toy_of(make_toy, critic(server, timeout_s=1.2))
        count = 1 + len(FAULTS) + len(FINE) + 1
        done = toy.run(f"--iterations={count}", "--junitxml=report.xml")
    assert done.returncode == 0, done.stdout
    assert_sound(toy)
    assert critics(toy) == ["ollama", *["tuner"] * len(FAULTS), *["ollama"] * (len(FINE) + 1)]
    kinds = {record["fault"] for record in toy.ledger("call")}
    assert kinds == {"", *(kind for _, kind in FAULTS)}
    assert done.stdout.count("; the tuner proposes experiment ") == len(FAULTS)
    assert "Traceback" not in done.stdout
    assert KEY not in done.stdout + (toy.project / "report.xml").read_text()
    logs = toy.checkout / ".autoresearch" / "critic_logs"
    written = [json.loads(line) for log in logs.iterdir() for line in log.read_text().splitlines()]
    assert sum(1 for line in written if line.get("fault")) == sum(1 for r in toy.ledger("call") if r["fault"])
    assert toy.statuses()[-1] == ("keep", 0.25)


def test_the_night_does_not_end_because_a_server_restarted(make_toy: MakeToy) -> None:
    with serving(Model(step(3), step(2))) as server:
        toy = toy_of(make_toy, critic(server))
        process = toy.start("--iterations=60")
        wait_for(lambda: experiments(toy) > 2, "the first experiments")
        port = server.port
    wait_for(lambda: "tuner" in critics(toy), "the tuner to stand in")
    with serving(Model(step(0.5)), port=port):
        wait_for(lambda: critics(toy)[-1] == "ollama" and "tuner" in critics(toy), "the model to be asked again")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert toy.run("--iterations=1").returncode == 0
    assert "does not answer (connection refused)" in output
    assert_sound(toy)


def test_where_nothing_can_stand_in_the_model_is_waited_for_and_no_old_idea_is_left_lying_about(
    make_toy: MakeToy,
) -> None:
    with serving(Model(step(3))) as server:
        toy = toy_of(make_toy, critic(server), source="X = float('4.0')\nprint('score:', X * X)\n")
        assert toy.run("--iterations=1").returncode == 0
        assert (toy.checkout / "next_idea.json").exists()
        port = server.port
        server.script = [status(500, "restarting")]
        process = toy.start("--iterations=1", "--deselect=problem.yaml::precondition[critic_dry_run]")
        output, _ = process.communicate(timeout=60)
        assert "restarting (500)" in output
        assert process.returncode == 1
    with serving([hang()], port=port) as server:
        process = toy.start("--iterations=2")
        wait_for(lambda: server.chats, "the question")
        assert not (toy.checkout / "next_idea.json").exists()
        kill(process)
    with serving(Model(step(2)), port=port) as server:
        done = toy.run("--iterations=1")
        assert done.returncode == 0, done.stdout
    assert [status for status, _ in toy.statuses()] == ["keep", "keep", "keep"]
    assert_sound(toy)


def test_a_loop_that_lost_its_server_waits_for_it(make_toy: MakeToy) -> None:
    with serving(Model(step(3))) as server:
        toy = toy_of(make_toy, critic(server, on_failure="wait"))
        process = toy.start("--iterations=4")
        wait_for(lambda: experiments(toy) > 1, "the first experiment")
        port = server.port
        server.script = [status(503, "restarting")]
        wait_for(lambda: len(server.chats) > 8, "some more questions")
    with serving(Model(step(2), step(1), step(0.5)), port=port):
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "waiting 0 s for it" in output
    assert set(critics(toy)) == {"ollama"}
    assert_sound(toy)


def test_a_policy_to_stop_ends_the_session_with_the_reason(make_toy: MakeToy) -> None:
    with serving(Model(step(3), status(404, "gone"))) as server:
        toy = toy_of(make_toy, critic(server, on_failure="stop"))
        done = toy.run("--iterations=3")
    assert done.returncode == 1
    assert "gone (404)" in done.stdout
    assert "(critic.on_failure: stop)" in done.stdout
    assert toy.statuses() == [("keep", 16), ("keep", 9)]
    assert_sound(toy)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"base_url": "http://nowhere.invalid/v1"}, "nowhere.invalid"),
        ({"base_url": f"http://127.0.0.1:{closed_port()}/v1"}, "connection refused"),
    ],
)
def test_a_server_that_is_not_there_at_the_start_keeps_the_loop_from_starting(
    make_toy: MakeToy, section: dict[str, str], said: str
) -> None:
    toy = toy_of(make_toy, {"provider": "ollama", "timeout_s": 5, **section})
    done = toy.run("--iterations=1", "-rs")
    assert done.returncode == 1
    assert said in done.stdout
    assert "blocked by precondition[critic_endpoint]" in done.stdout
    assert toy.statuses() == [("keep", 16)]


# --- keys


SNOOPING = """
import os, pathlib
X = 4.0
for path in (f"/proc/{os.getppid()}/environ", "/proc/self/environ"):
    try:
        print(pathlib.Path(path).read_bytes().replace(b"\\0", b"\\n").decode(errors="replace"))
    except OSError:
        pass
print(os.environ.get("MY_KEY"), os.environ.get("THEIR_API_KEY"))
print("score:", X * X)
raise SystemExit(X == 3.0)
"""


def leaking(server_key: str) -> Iterator[Behaviour]:
    yield status(500, f"while serving {server_key}")
    yield say(f"my key is {server_key}")
    yield step(3, f"set X to 3.0 as {server_key} says")
    while True:
        yield step(2)


def files_with(directory: Path, text: str) -> list[str]:
    """The files below a directory that hold a text, in git's objects as well."""
    found = [str(path) for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    objects = git(directory, "cat-file", "--batch-check", "--batch-all-objects")
    for line in objects.splitlines():
        name, kind, _ = line.split()
        if kind != "tree" and text in git(directory, "cat-file", kind, name):
            found.append(f"{kind} {name}")
    return found


def test_no_file_that_a_session_leaves_behind_holds_a_key(make_toy: MakeToy) -> None:
    answers = leaking(KEY)

    def script(asked: Asked) -> Behaviour:
        return edit_of(asked) if "careful programmer" in asked.messages[0]["content"] else next(answers)

    with serving(script, key=KEY) as server:
        section = critic(server, provider="openai", api_key_env="MY_KEY")
        toy = toy_of(make_toy, section, SNOOPING, env=["THEIR_API_KEY"], prices={MODEL: {"input": 1, "output": 2}})
        environment = {"MY_KEY": KEY, "THEIR_API_KEY": "another-secret-1234"}
        done = toy.run("--iterations=3", "--junitxml=report.xml", "-o", "junit_logging=all", env=environment)
        wrong = toy.run("--iterations=1", env={**environment, "MY_KEY": "wrong-key-of-somebody"})
    assert "ollama" not in critics(toy)
    assert [status for status, _ in toy.statuses()] == ["keep", "crash", "keep"] + ["keep"] * (len(toy.statuses()) - 3)
    assert "[hidden]" in (toy.checkout / "run.log").read_text()
    assert "refuses the key in MY_KEY (401)" in wrong.stdout
    for secret in (KEY, "another-secret-1234", "wrong-key-of-somebody"):
        assert secret not in done.stdout + done.stderr + wrong.stdout + wrong.stderr
        assert files_with(toy.directory, secret) == []
    assert {asked.headers["authorization"] for asked in server.chats} == {f"Bearer {KEY}"}


# --- tokens and money


def test_tokens_and_money_are_summed_from_every_call_and_shown(make_toy: MakeToy) -> None:
    with serving(Model(say("no"), step(3), step(2))) as server:
        toy = toy_of(make_toy, critic(server), prices={MODEL: {"input": 1000, "output": 10_000}})
        done = toy.run("--iterations=2", "--junitxml=report.xml")
    calls = [(record["role"], record["prompt"] + record["completion"], record["usd"]) for record in toy.ledger("call")]
    assert calls == [
        ("critic", 120, 0.3),
        ("repair", 110, 0.2),
        ("editor", 55, 0.1),
        ("critic", 110, 0.2),
        ("editor", 55, 0.1),
    ]
    assert [(record["tokens"], record["usd"]) for record in toy.ledger("result")] == [(0, 0), (285, 0.6), (165, 0.3)]
    cases = properties(toy.project / "report.xml")
    assert [cases[f"iteration[{n}]"]["tokens"] for n in (1, 2)] == ["285", "165"]
    assert "models: 450 tokens, USD 0.9" in done.stdout
    assert re.search(rf"about [\d,]+ tokens for 2 experiments, if each asks {MODEL} once, USD \d", done.stdout)


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ({"tokens": 300}, "330 tokens are spent, of 300 (stop.tokens)"),
        ({"usd": 0.55}, "USD 0.60 are spent, of 0.55 (stop.usd)"),
    ],
)
def test_nothing_is_asked_beyond_the_budget_not_even_in_another_run(
    make_toy: MakeToy, stop: dict[str, float], said: str
) -> None:
    with serving(Model(step(3), step(2), step(1), step(0.5))) as server:
        toy = toy_of(make_toy, critic(server), stop=stop, prices={MODEL: {"input": 1000, "output": 10_000}})
        done = toy.run("--iterations=5", "-rs")
        asked = len(server.chats)
        again = toy.run("--iterations=5", "-rs")
        assert len(server.chats) == asked == 4
    assert said in done.stdout
    assert done.returncode == 0
    assert again.returncode == 5
    assert [metric for _, metric in toy.statuses()] == [16, 9, 4]


def test_a_budget_that_is_used_up_between_idea_and_edit_leaves_the_idea_for_a_larger_one(make_toy: MakeToy) -> None:
    with serving(Model(step(3))) as server:
        toy = toy_of(make_toy, critic(server), stop={"tokens": 50})
        done = toy.run("--iterations=1", "-rs")
        assert "110 tokens are spent, of 50" in done.stdout
        assert len(toy.ledger("idea")) == 1
        assert len(server.chats) == 1


def test_money_cannot_be_counted_without_a_price(make_toy: MakeToy) -> None:
    with serving(Model(step(3))) as server:
        section = critic(server, provider="openai", api_key_env="MY_KEY")
        toy = toy_of(make_toy, section, stop={"usd": 1})
        done = toy.run("--iterations=1", env={"MY_KEY": KEY})
    assert done.returncode == 1
    assert "stop.usd: nobody knows what scripted costs; name it" in done.stdout
    assert "prices: {scripted: {input: ..., output: ...}}" in done.stdout


# --- what lasts


def test_an_idea_is_asked_for_once_and_its_log_is_on_record(make_toy: MakeToy) -> None:
    with serving(Model(step(3), step(2), step(1))) as server:
        toy = toy_of(make_toy, critic(server))
        toy.run("--iterations=1")
        toy.run("--iterations=2")
        questions = [asked for asked in server.chats if "critic" in asked.messages[0]["content"]]
    assert len(questions) == 3
    for record in toy.ledger("idea"):
        log = toy.checkout / ".autoresearch" / "critic_logs" / record["idea"]["log"]
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines[0]["role"] == "critic"
        assert lines[0]["number"] == record["number"]
        assert lines[0]["commit"].startswith(log.stem.split("_")[1])
        assert lines[0]["user_prompt"].startswith("## Objective")
        (parsed,) = [line["parsed_idea"] for line in lines if "parsed_idea" in line]
        assert parsed["hypothesis"] == record["idea"]["hypothesis"]


def test_a_kill_while_the_model_thinks_costs_nothing_but_the_question(make_toy: MakeToy) -> None:
    with serving([step(3), say({"edits": [{"search": "X = 4.0", "replace": "X = 3"}]}), hang()]) as server:
        toy = toy_of(make_toy, critic(server, timeout_s=60))
        process = toy.start("--iterations=3")
        wait_for(lambda: len(server.chats) > 2, "the second question")
        kill(process)
        port = server.port
    with serving(Model(step(2)), port=port):
        done = toy.run("--iterations=1")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 16), ("keep", 9), ("keep", 4)]
    assert_sound(toy)


def test_what_a_server_understands_is_remembered_in_the_next_run(make_toy: MakeToy) -> None:
    model = Model(step(3), step(2))

    def script(asked: Asked) -> Behaviour:
        return status(400, "json_schema is unknown") if asked.format == "json_schema" else model(asked)

    with serving(script) as server:
        toy = toy_of(make_toy, critic(server))
        toy.run("--iterations=1")
        before = len(server.chats)
        toy.run("--iterations=1")
    assert [asked.format for asked in server.chats[:2]] == ["json_schema", "json_object"]
    assert [asked.format for asked in server.chats[before:]] == ["json_object"] * 2


# --- memory


def test_in_downtime_the_model_is_out_of_memory_before_the_runner_starts(tmp_path: Path) -> None:
    source = """
import json, urllib.request
X = 4.0
running = json.load(urllib.request.urlopen("{url}/api/ps"))["models"]
print("loaded:", len(running))
print("score:", X)
"""
    for when, loaded in (("downtime", "0"), ("always", "1")):
        model = Model(step(3))
        with serving(model) as server:

            def script(asked: Asked, server: ScriptedServer = server, model: Model = model) -> Behaviour:
                server.loaded[MODEL] = 1 << 30
                return model(asked)

            server.script = script
            section = critic(server, when=when)
            text = source.format(url=server.url.removesuffix("/v1"))
            toy = Toy(tmp_path / when, problem=_problem(section), files={"solution.py": text})
            done = toy.run("--iterations=1")
        assert done.returncode == 0, done.stdout
        assert (toy.checkout / "run.log").read_text().startswith(f"loaded: {loaded}\n")


def _problem(section: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "mutable_file": "solution.py",
        "runner": "python solution.py",
        "critic": section,
        "coder": {"enabled": True, "agent": "editor"},
    }


def test_the_cache_of_pytorch_is_emptied_between_iterations_and_pytorch_never_loaded_for_it(make_toy: MakeToy) -> None:
    stand_in = """
import sys, types
from pathlib import Path

def empty():
    with Path("emptied").open("a") as file:
        file.write("x")

if Path("with-torch").exists():
    cuda = types.SimpleNamespace(is_available=lambda: True, empty_cache=empty)
    sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)

def pytest_sessionfinish():
    Path("loaded").write_text(str("torch" in sys.modules))
"""
    toy = make_toy(
        {"hypothesis": "h", "content": "echo score: 9\n"},
        *[{"hypothesis": f"h{n}", "content": f"echo score: {n}\n"} for n in (8, 7)],
        files={"conftest.py": stand_in},
    )
    toy.run("--iterations=1")
    assert (toy.project / "loaded").read_text() == "False"
    assert not (toy.project / "emptied").exists()
    toy.write("with-torch", "")
    toy.run("--iterations=2")
    assert (toy.project / "emptied").read_text() == "xx"


# --- preconditions


def test_the_endpoint_answers_and_has_the_model(make_toy: MakeToy) -> None:
    with serving(Model(step(3)), models=["other", MODEL]) as server:
        toy = toy_of(make_toy, critic(server))
        done = toy.pytest("problem.yaml", "-v", "--junitxml=report.xml")
        assert done.returncode == 0, done.stdout
        detail = properties(toy.project / "report.xml")["precondition[critic_endpoint]"]["detail"]
        assert detail == f"ollama (named by problem.yaml); ollama at {server.url}, {MODEL}"
        assert server.asked[0].path == "/v1/models"
        missing = toy.pytest("problem.yaml", "--autoresearch-model=gemma9:1b")
    said = f"ollama at {server.url} has no model 'gemma9:1b'; get it: ollama pull gemma9:1b"
    assert missing.returncode == 1
    assert f"{said}; or choose one that it has with --autoresearch-model: other, scripted" in missing.stdout


def test_a_remote_endpoint_is_asked_with_the_key(make_toy: MakeToy) -> None:
    with serving(Model(step(3)), key=KEY, models=[]) as server:
        toy = toy_of(make_toy, critic(server, provider="openrouter"))
        right = toy.pytest("problem.yaml", env={"OPENROUTER_API_KEY": KEY})
        wrong = toy.pytest("problem.yaml", env={"OPENROUTER_API_KEY": "wrong-key-0123"})
        none = toy.pytest("problem.yaml", env={"OPENROUTER_API_KEY": ""})
    assert right.returncode == 0, right.stdout
    assert f"openrouter at {server.url} refuses the key in OPENROUTER_API_KEY (401)" in wrong.stdout
    assert "OPENROUTER_API_KEY is not set, and openrouter at" in none.stdout
    assert (right.returncode, wrong.returncode, none.returncode) == (0, 1, 1)


@pytest.mark.parametrize(
    ("memory", "outcome", "said"),
    [
        ((4096, 0), 1, "the critic may take 6 GiB of GPU memory (critic.max_vram_gb) and 4.0 are free"),
        ((4096, 3), 0, "4.0 of 80.0 GiB free, the model holds 3.0 already; the critic needs 6"),
        ((8192, 0), 0, "8.0 of 80.0 GiB free; the critic needs 6"),
    ],
)
def test_the_memory_that_the_model_may_take_is_free_or_the_models_already(
    make_toy: MakeToy, tmp_path: Path, memory: tuple[int, int], outcome: int, said: str
) -> None:
    free, loaded = memory
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\necho {free}, 81920\n")
    (tools / "nvidia-smi").chmod(0o755)
    with serving(Model(step(3)), loaded={MODEL: loaded << 30}) as server:
        toy = toy_of(make_toy, critic(server, max_vram_gb=6))
        done = toy.pytest(
            "problem.yaml", "--junitxml=report.xml", "-k", "vram", env={"PATH": f"{tools}:{os.environ['PATH']}"}
        )
    assert done.returncode == outcome, done.stdout
    assert said in done.stdout + (toy.project / "report.xml").read_text()


def test_the_runner_does_not_see_the_critics_key_whatever_its_variable_is_called(make_toy: MakeToy) -> None:
    source = "import os\nX = 4.0\nopen('seen', 'w').write(os.environ.get('MY_LLM', 'nothing'))\nprint('score:', X)\n"
    edits = [{"search": "X = 4.0", "replace": "X = 3.0"}]
    with serving([say(idea(edits=edits))], key=KEY) as server:
        section = critic(server, provider="openai", api_key_env="MY_LLM")
        toy = toy_of(make_toy, section, source=source)
        assert toy.run("--iterations=1", env={"MY_LLM": KEY}).returncode == 0
    assert (toy.checkout / "seen").read_text() == "nothing"


def test_what_was_hidden_from_the_model_does_not_get_into_the_file_as_a_mark(make_toy: MakeToy) -> None:
    source = "X = 4.0\nUSER = 'postgres'\nprint('score:', X)\n"
    marked = [{"search": "X = 4.0", "replace": "X = 3.0\nOTHER = 'postgres'"}]
    good = [{"search": "X = 4.0", "replace": "X = 3.0"}]
    with serving([say(idea(edits=marked)), say(idea(edits=good))]) as server:
        toy = toy_of(make_toy, critic(server), source=source)
        assert toy.run("--iterations=1", env={"PGPASSWORD": "postgres"}).returncode == 0
    kept = git(toy.directory, "show", f"{toy.branch()[-1]}:solution.py")
    assert kept == source.replace("X = 4.0", "X = 3.0").rstrip("\n")
    assert "stands for something that is hidden" in server.chats[1].user


def test_the_names_of_models_are_shown_as_a_line_without_keys(make_toy: MakeToy) -> None:
    names = ["a\x1b[31mred", "b\nforged line", f"c-{KEY}", "d" * 100_000]
    with serving([say(idea())], models=names) as server:
        toy = toy_of(make_toy, critic(server, api_key_env="MY_KEY"))
        done = toy.run("--iterations=1", env={"MY_KEY": KEY})
    assert done.returncode == 1
    assert "has no model 'scripted'" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\nforged line" not in done.stdout
    assert KEY not in done.stdout
    assert len(done.stdout) < 10_000


def test_a_password_in_the_address_is_not_put_on_record(make_toy: MakeToy) -> None:
    with serving(Model(step(3))) as server:
        toy = toy_of(make_toy, critic(server.url.replace("//", "//me:password-of-mine@")))
        done = toy.run("--iterations=1")
    assert done.returncode == 0
    assert toy.ledger("dialect")[0]["base_url"] == server.url
    assert "password-of-mine" not in done.stdout + (toy.records / "ledger.jsonl").read_text()


def test_the_editors_model_is_looked_for_and_has_a_price_before_anything_is_paid_for(make_toy: MakeToy) -> None:
    coder = {"enabled": True, "agent": "editor", "model": "other"}
    with serving([step(3)]) as server:
        done = toy_of(make_toy, critic(server), coder=coder).run("--iterations=1")
        assert "has no model 'other'; get it: ollama pull other" in done.stdout
        section = critic(server, provider="openai", api_key_env="MY_KEY")
        prices = {MODEL: {"input": 1, "output": 1}}
        toy = toy_of(make_toy, section, coder=coder, stop={"usd": 1}, prices=prices)
        done = toy.run("--iterations=1", env={"MY_KEY": KEY})
        assert "stop.usd: nobody knows what other costs" in done.stdout
    assert server.chats == []


class EditorAway:
    """A model that has ideas, but whose server is away when it is asked for the first edits, `times` times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.ideas = 0

    def __call__(self, asked: Asked) -> Behaviour:
        if "You are a careful programmer" not in asked.messages[0]["content"]:
            self.ideas += 1
            return step(self.ideas)
        self.left -= 1
        return status(500, "away") if self.left >= 0 else edit_of(asked)


def test_an_idea_that_is_paid_for_waits_until_the_editors_server_is_back(make_toy: MakeToy) -> None:
    with serving(EditorAway(5)) as server:
        toy = toy_of(make_toy, critic(server, on_failure="wait"))
        assert toy.run("--iterations=1").returncode == 0
    assert toy.statuses() == [("keep", 16.0), ("keep", 1.0)]
    assert len(toy.ledger("idea")) == 1


def test_the_session_ends_where_it_is_to_stop_without_a_model_and_keeps_the_idea(make_toy: MakeToy) -> None:
    with serving(EditorAway(1000)) as server:
        toy = toy_of(make_toy, critic(server, on_failure="stop"))
        done = toy.run("--iterations=5")
    assert done.returncode == 1
    assert "away (500) (critic.on_failure: stop)" in done.stdout
    assert (len(toy.ledger("idea")), toy.ledger("noop")) == (1, [])


def test_a_loop_without_end_ends_when_no_idea_can_be_carried_out(make_toy: MakeToy) -> None:
    with serving(EditorAway(1000)) as server:
        toy = toy_of(make_toy, critic(server))
        done = toy.run()
    assert "3 iterations in a row led to no experiment" in done.stdout
    assert len(toy.ledger("idea")) == 3


def test_in_downtime_a_model_that_an_interrupted_run_left_in_memory_is_taken_out_too(make_toy: MakeToy) -> None:
    edits = [{"search": "X = 4.0", "replace": "X = 3.0"}]
    source = "import os, time\nX = 4.0\ntime.sleep(0 if X > 3 or os.path.exists('go') else 60)\nprint('score:', X)\n"
    with serving([say(idea(edits=edits))]) as server:
        toy = toy_of(make_toy, critic(server, when="downtime"), source=source, hard_timeout_s=90)
        process = toy.start("--iterations=1")
        wait_for(lambda: (toy.records / "ledger.jsonl").exists() and toy.ledger("applied"), "a candidate")
        kill(process)
        server.loaded[MODEL] = 1 << 30
        (toy.checkout / "go").touch()
        assert toy.run("--iterations=1").returncode == 0
    assert server.loaded == {}
    assert toy.statuses() == [("keep", 4.0), ("keep", 3.0)]


def test_an_idea_that_was_paid_for_is_used_when_there_is_a_larger_budget(make_toy: MakeToy) -> None:
    with serving(Model(step(3), step(2), step(1))) as server:
        toy = toy_of(make_toy, critic(server), stop={"tokens": 250})
        assert "275 tokens are spent, of 250 (stop.tokens)" in toy.run("--iterations=5").stdout
        assert len(toy.ledger("idea")) == 2
        toy.write("problem.yaml", (toy.project / "problem.yaml").read_text().replace('"tokens": 250', '"tokens": 300'))
        done = toy.run("--iterations=5")
    assert "problem.yaml was changed" not in done.stdout
    assert "of 300 (stop.tokens)" in done.stdout
    assert toy.statuses() == [("keep", 16.0), ("keep", 9.0), ("keep", 4.0)]
    assert len(toy.ledger("idea")) == 2
