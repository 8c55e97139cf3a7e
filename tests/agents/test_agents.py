"""Real coding agents, driven by a scripted model, really editing the file: `pytest -m agents`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.agents.home import KEY, home_of, needed
from tests.agents.model import AgentModel, Change, Look, Shell, Step, TspAgent, TspDriver
from tests.llm.server import MODEL, Asked, Behaviour, idea, say, serving, status
from tests.support import Toy, clean_environment, commands, git, tsp, wait_for
from tests.test_docs import ROOT, blocks

pytestmark = pytest.mark.agents
AGENTS = ("claude", "codex", "opencode")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that is not below /tmp, for the sake of codex's sandbox."""
    with TemporaryDirectory(prefix="agents-", dir="/var/tmp") as name:
        yield Path(name)


def critic(url: str) -> dict[str, Any]:
    return {"provider": "ollama", "base_url": url, "model": MODEL}


def coder(agent: str, **more: Any) -> dict[str, Any]:
    return {"enabled": True, "agent": agent, "wait_s": 1, "timeout_s": 60, **more}


@pytest.mark.parametrize(("agent", "iterations"), [("claude", 4), ("codex", 4), ("opencode", 10)])
def test_tsp_gets_better_unattended(place: Path, agent: str, iterations: int) -> None:
    pytest.importorskip("numpy", reason="the example needs numpy: pip install 'pytest-autoresearch[tsp]'")
    needed(agent)
    with serving(TspAgent()) as server, home_of(agent, server.url) as environment:
        toy = tsp(place / "repository", critic=critic(server.url), coder=coder(agent))
        done = toy.run(f"--iterations={iterations}", env=environment)
    assert done.returncode == 0, done.stdout
    statuses, metrics = zip(*toy.statuses(), strict=True)
    assert statuses[:5] == ("keep", "keep", "keep", "discard", "keep")
    assert metrics[:3] == pytest.approx((25.251112, 5.974833, 5.892702), abs=1e-6)
    assert metrics[4] <= 5.64
    assert toy.branch() == [record["commit"] for record in toy.ledger("result") if record["status"] == "keep"]
    assert git(toy.checkout, "status", "--porcelain", "--untracked-files=no") == ""
    assert len(list((toy.checkout / ".autoresearch" / "coder_logs").iterdir())) == len(statuses) - 1
    assert not list(toy.checkout.rglob("aside/*-coder"))


def test_claude_makes_experiments_with_the_command_of_the_page(place: Path) -> None:
    pytest.importorskip("numpy", reason="the example needs numpy: pip install 'pytest-autoresearch[tsp]'")
    needed("claude")
    (command,) = blocks(ROOT / "docs" / "by-hand.md", "sh")
    with serving(TspDriver(3)) as server, home_of("claude", server.url) as variables:
        environment = clean_environment({**variables, "PATH": commands(place / "bin")})
        for line in ("pytest-autoresearch init --example tsp_heuristic --target tsp", f"cd tsp && {command}"):
            done = subprocess.run(
                ["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    ledger = (place / "tsp" / ".git" / "autoresearch" / "tsp" / "run1" / "ledger.jsonl").read_text()
    results = [json.loads(line) for line in ledger.splitlines() if '"kind":"result"' in line]
    assert [record["status"] for record in results] == ["keep", "keep", "keep", "discard"]
    assert results[2]["metric"] == pytest.approx(5.892702, abs=1e-6)


class Trespasser:
    """Does what it may, and then something that it may not."""

    def __init__(self, *commands: str) -> None:
        self._commands = commands
        self._agent = AgentModel(self._step)

    def __call__(self, asked: Asked) -> Behaviour:
        if asked.path != "/v1/chat/completions" or asked.body.get("stream"):
            return self._agent(asked)
        return say(idea(f"score {9 - len(asked.user) % 2}"))

    def _step(self, task: str, printed: list[str]) -> Step | None:
        steps: list[Step] = [
            Look("solution.sh"),
            Change("solution.sh", {"edits": [{"search": "10", "replace": "9"}], "content": None}),
            *map(Shell, self._commands),
        ]
        return steps[len(printed)] if len(printed) < len(steps) else None


def trespassing(place: Path, agent: str, *commands: str, **files: str) -> Toy:
    """One experiment in which the agent runs these commands after its edit."""
    needed(agent)
    with serving(Trespasser(*commands)) as server, home_of(agent, server.url) as environment:
        section = coder(agent, permission="bypass")
        problem = {"critic": critic(server.url), "coder": section, "readonly_files": ["frozen.txt"]}
        toy = Toy(place / "repository", problem=problem, files={"frozen.txt": "as it was\n", **files})
        done = toy.run("--iterations=1", env=environment)
    assert "Traceback" not in done.stdout
    return toy


@pytest.mark.parametrize("agent", AGENTS)
def test_a_frozen_file_that_an_agent_edits_is_put_back_and_nothing_is_run(place: Path, agent: str) -> None:
    toy = trespassing(place, agent, "echo mine > frozen.txt; echo new > beside.txt")
    crash = toy.ledger("result")[1]
    assert (crash["status"], crash["commit"]) == ("crash", "")
    assert crash["reason"] == f"contract: the coder {agent} changed beside.txt, frozen.txt, which was put back"
    assert (toy.checkout / "frozen.txt").read_text() == "as it was\n"
    assert not (toy.checkout / "beside.txt").exists()
    (aside,) = (toy.checkout / ".autoresearch" / "aside").iterdir()
    assert (aside / "files" / "frozen.txt").read_text() == "mine\n"
    assert not [record for record in toy.ledger("started") if record["what"] == "runner" and record["number"] == 1]


@pytest.mark.parametrize("agent", AGENTS)
def test_a_commit_and_a_branch_of_an_agents_are_undone_and_its_edit_is_measured(place: Path, agent: str) -> None:
    toy = trespassing(place, agent, "git commit -qam mine && git checkout -qb elsewhere && git tag v1")
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    assert git(toy.directory, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags").split() == [
        "main",
        "toy/run1",
    ]
    assert git(toy.checkout, "symbolic-ref", "HEAD") == "refs/heads/toy/run1"
    assert toy.branch() == [record["commit"] for record in toy.ledger("result")]


@pytest.mark.parametrize("agent", AGENTS)
def test_nothing_of_an_agent_lives_on(place: Path, agent: str) -> None:
    pid = place / "pid"
    toy = trespassing(place, agent, f"(setsid sleep 300 >/dev/null 2>&1 & echo $! > {pid}); sleep 0.2")
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    wait_for(lambda: not Path(f"/proc/{int(pid.read_text())}").exists(), "the agent's process to be gone")


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_whose_model_refuses_it_is_said_to_have_failed(place: Path, agent: str) -> None:
    needed(agent)

    def script(asked: Asked) -> Behaviour:
        if asked.path == "/v1/chat/completions" and not asked.body.get("stream"):
            return say(idea())
        return status(401, "the key is wrong")

    with serving(script) as server, home_of(agent, server.url) as environment:
        problem = {"critic": critic(server.url), "coder": coder(agent, timeout_s=20)}
        toy = Toy(place / "repository", problem=problem)
        done = toy.run("--iterations=1", env=environment)
    assert f"the coder {agent} " in done.stdout
    assert "(its log: .autoresearch/coder_logs/" in done.stdout
    assert toy.statuses() == [("keep", 10)]
    assert KEY not in done.stdout + "".join(log.read_text() for log in toy.checkout.rglob("coder_logs/*"))
