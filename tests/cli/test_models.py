"""Steps that ask a model, and the command of an agent."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_autoresearch.scaffold import examples
from tests.cli.support import (
    Home,
    MakeHome,
    by_hand,
)
from tests.llm.server import MODEL, idea, say, serving
from tests.llm.tsp_model import TspModel


def test_a_model_proposes_and_the_editor_applies(tmp_path: Path) -> None:
    pytest.importorskip("numpy", reason="the example needs numpy: pip install 'pytest-autoresearch[tsp]'")
    with serving(TspModel()) as server:
        shutil.copytree(examples()["tsp_heuristic"], tmp_path / "tsp", ignore=shutil.ignore_patterns("__pycache__"))
        text = (tmp_path / "tsp" / "problem.yaml").read_text().split("critic:")[0]
        critic = {"provider": "auto", "base_url": server.url, "model": "other", "ideas": "none.yaml"}
        (tmp_path / "tsp" / "problem.yaml").write_text(f"{text}critic: {json.dumps(critic)}\n")
        by_hand(tmp_path, "init", "--problem", "tsp", "--target", "home")
        options = ("--critic", "ollama", "--model", MODEL, "--coder", "editor")
        home = Home(tmp_path / "home")
        assert "2-opt removes the crossings" in home.did("propose", *options)
        dry = home.did("apply", "--dry-run", *options)
        assert dry == f"ask {MODEL} for the edits: POST {server.url}/chat/completions\n"
        asked = len(server.chats)
        assert home.did("apply", *options).startswith(f"applied to {home.directory / 'solution.py'} as ")
        assert home.did("run", *options).startswith("experiment 1: KEPT 5.97483: 25.2511 → 5.97483")
        assert len(server.chats) == asked + 1
        home.did("propose", *options)
        home.did("apply", *options)
        assert home.did("run", *options).startswith("experiment 2: KEPT 5.8927")
        assert re.search(r"^models: [\d,]+ tokens, USD 0$", home.did("status"), re.MULTILINE)
        assert "has no model 'other'" in home.refused("propose", "--critic", "ollama")
    told = home.refused("propose", *options)
    assert told.startswith("critic_endpoint: ")
    assert "connection refused" in told


def test_an_edit_is_not_asked_for_when_the_tokens_are_spent(make_home: MakeHome) -> None:
    with serving([say(idea("a larger step"), usage=(100, 20))], models=[MODEL, "other"]) as server:
        critic = {"provider": "ollama", "base_url": server.url, "model": MODEL}
        home = make_home(
            critic=critic, coder={"enabled": True, "agent": "editor", "model": "other"}, stop={"tokens": 99}
        )
        home.did("propose")
        spent = "120 tokens are spent, of 99 (stop.tokens)"
        assert home.refused("apply") == f"no edit: {spent}"
        home.did("reset")
        assert home.refused("propose") == f"no idea: {spent}"
        home.edit(8)
        assert home("run").out == "experiment 1: KEPT 8: 10 → 8 (-2)\n"


AGENTS = {
    ("claude", "acceptEdits"): ["claude", "-p", "--permission-mode", "acceptEdits"],
    ("claude", "bypass"): ["claude", "-p", "--dangerously-skip-permissions"],
    ("codex", "acceptEdits"): ["codex", "exec", "--sandbox", "workspace-write"],
    ("codex", "bypass"): ["codex", "exec", "--dangerously-bypass-approvals-and-sandbox"],
    ("opencode", "acceptEdits"): ["opencode", "run"],
    ("opencode", "bypass"): ["opencode", "run"],
}
NASTY = 'it\'s "quoted"; $(touch oops) `touch oops` \\ *'


@pytest.mark.parametrize("permission", ["acceptEdits", "bypass"])
def test_a_dry_run_of_apply_prints_the_exact_command(
    make_home: MakeHome, permission: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command for a shell, whether or not the agent is installed; nothing is run or put on record."""
    git_alone = tmp_path / "bin"
    git_alone.mkdir()
    for tool in ("git", "bash"):
        (git_alone / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(git_alone))
    with serving([say(idea(NASTY, code_pseudocode="line one\nline two"))]) as server:
        critic = {"provider": "openai", "base_url": server.url, "api_key_env": "A_KEY_OF_MINE", "model": MODEL}
        monkeypatch.setenv("A_KEY_OF_MINE", "a-key-of-a-test")
        home = make_home(critic=critic, coder={"enabled": True, "permission": permission})
        home.did("propose")
    count = len(home.ledger())
    for agent in ("claude", "codex", "opencode"):
        printed = home.did("apply", "--dry-run", "--coder", agent)
        *command, prompt = shlex.split(printed)
        assert command == AGENTS[agent, permission]
        assert NASTY in prompt
        assert "line one\nline two" in prompt
        assert prompt.startswith("You are one step")
        argv = f"{shlex.quote(sys.executable)} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' {printed}"
        done = subprocess.run(["bash", "-c", argv], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == [*command, prompt]
    assert not (tmp_path / "oops").exists()
    assert "claude: not found on PATH" in home.refused("apply")
    assert f"no coder is switched on: edit {home.solution} yourself" in home.refused("apply", "--coder", "external")
    assert len(home.ledger()) == count
    home.edit(8)
    assert home.did("run").startswith("experiment 1: KEPT 8")


def test_an_agent_makes_the_edit(make_home: MakeHome, tmp_path: Path) -> None:
    once = tmp_path / "once"
    script = f"sed -i.old s/10/8/ solution.sh; rm solution.sh.old; [ -e {once} ] || touch extra.txt {once}"
    coder = {"enabled": True, "command": ["bash", "-c", script, "{prompt}"]}
    home = make_home(critic={"enabled": False}, coder=coder)
    assert home.did("propose").splitlines()[1:2] == ["a change of the coder's own choice (risk low)"]
    assert "contract: the coder command changed extra.txt, which was put back" in home.refused("apply")
    assert home.solution.read_text() == "echo score: 10\n"
    assert home.status() == ""
    home.did("apply")
    assert home.solution.read_text() == "echo score: 8\n"
    assert home.did("run") == "experiment 1: KEPT 8: 10 → 8 (-2)\n"


def test_an_agent_that_fails_is_tried_again_and_then_let_go_of(make_home: MakeHome) -> None:
    coder = {"enabled": True, "command": ["bash", "-c", "echo no credit; exit 7", "{prompt}"]}
    home = make_home(critic={"enabled": False}, coder=coder)
    home.did("propose")
    told = [re.sub(r"its log: \S+\)", "its log: LOG)", home.refused("apply")) for _ in range(2)]
    failed = "the coder command ended with exit status 7: no credit (its log: LOG)"
    assert told == [
        f"{failed}; the idea is kept; apply it again, or drop it (pytest-autoresearch reset)",
        f"{failed}; it is dropped",
    ]
    assert "there is no idea to apply" in home.refused("apply")
