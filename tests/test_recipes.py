"""The pages of recipes: their problems are valid, their commands exist, and what can be run here is run.

Slurm's is run in tests/slurm.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_autoresearch.cli import parser
from pytest_autoresearch.problem import parse_problem
from tests.llm.server import Asked, Behaviour, ScriptedServer, idea, say, serving
from tests.page import command_lines, fenced, page, problems, section
from tests.support import clean_environment, commands, git, wait_for

MODELS = ["gemma4:e2b", "openai/gpt-5-mini", "Qwen/Qwen3-8B"]
PAGES = ("recipes", "slurm", "coming-from")
TRAIN = """\
import pathlib
from prepare import target

RATE = 0.5  # search: 0.0..1.0

assert pathlib.Path("data", "train.txt").read_text() == "words"
print(f"val_loss: {abs(RATE - target()):.6f}")
print("peak_vram_mb: 2048")
"""
FILES = {
    "train.py": TRAIN,
    "prepare.py": "def target() -> float:\n    return 0.25\n",
    ".gitignore": "data\n.venv\nnight.log\n__pycache__\n",
}


# --- what stands there can be


def whole(fragment: Mapping[str, Any]) -> dict[str, Any]:
    """A problem with this in it: itself, or the first one of the recipes with these keys in the place of its own."""
    return {**problems("recipes")[0], **fragment}


@pytest.mark.parametrize("name", PAGES)
def test_every_problem_of_a_page_is_valid(name: str) -> None:
    found = problems(name)
    assert found
    for fragment in found:
        parse_problem(Path("problem.yaml"), json.dumps(whole(fragment)), look=False)


@cache
def known_options() -> frozenset[str]:
    """The options of pytest's with `--autoresearch`."""
    command = [sys.executable, "-m", "pytest", "--autoresearch", "--help"]
    environment = clean_environment()
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return frozenset(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", said))


def check_command(words: list[str]) -> None:
    """Fails if there is no such command, or no such option of it."""
    program, *arguments = words
    if program == "pytest":
        options = {word.partition("=")[0] for word in arguments if word.startswith("-")}
        assert options <= known_options(), words
    elif arguments:
        with redirect_stderr(StringIO()) as said:
            code = exit_code(arguments)
        assert code == 0, f"{words}\n{said.getvalue()}"


def exit_code(arguments: list[str]) -> object:
    """0 for arguments that the command takes."""
    try:
        parser().parse_args(arguments)
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_a_page_exists(name: str) -> None:
    found = list(command_lines(name))
    assert len(found) >= {"slurm": 1}.get(name, 10), found
    for words in found:
        check_command(words)


@pytest.mark.parametrize(
    "words",
    [["pytest", "--autoresearch-night"], ["pytest-autoresearch", "wait"], ["pytest-autoresearch", "run", "-x"]],
)
def test_a_command_that_does_not_exist_would_be_found(words: list[str]) -> None:
    with pytest.raises(AssertionError):
        check_command(words)


# --- what can be run is run


class Box:
    """A machine with a repository of the recipes' kind: training code, data and an environment that git ignores."""

    def __init__(self, place: Path, heading: str, changes: Mapping[str, Any]) -> None:
        self.text = section("recipes", heading)
        self.project = place / "repository"
        (self.project / "data").mkdir(parents=True)
        (self.project / "data" / "train.txt").write_text("words")
        venv.create(self.project / ".venv", symlinks=True)
        for name, content in FILES.items():
            (self.project / name).write_text(content)
        problem = whole(yaml.safe_load(fenced(self.text, "yaml")[0]))
        merged = {key: {**problem[key], **new} for key, new in changes.items()}
        (self.project / "problem.yaml").write_text(yaml.safe_dump({**problem, **merged}))
        git(self.project, "init", "--quiet", "--initial-branch=main")
        git(self.project, "add", ".")
        git(self.project, "commit", "--quiet", "--message", "the problem")
        self.environment = clean_environment({"PATH": commands(place / "bin"), "TMUX_TMPDIR": str(place)})

    def lines(self, block: int = 0) -> list[str]:
        """The commands of a block."""
        return fenced(self.text, "sh")[block].splitlines()

    def run(self, *lines: str) -> str:
        """What the commands print, one after the other, in one shell."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def results(self) -> list[dict[str, Any]]:
        """What was measured, as the ledger has it."""
        ledger = self.project / ".git" / "autoresearch" / "train" / "run1" / "ledger.jsonl"
        records = map(json.loads, ledger.read_text().splitlines()) if ledger.exists() else ()
        return [record for record in records if record["kind"] == "result"]


def short(line: str) -> str:
    """The command with two experiments for a night."""
    return re.sub("--autoresearch-confirm( --iterations=3)?", "--autoresearch-confirm --iterations=2", line)


def test_the_night_on_a_box_goes_by_its_commands(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the tuner needs optuna: pip install 'pytest-autoresearch[tuner]'")
    if shutil.which("tmux") is None:
        pytest.skip("needs tmux")
    box = Box(tmp_path, "A GPU box overnight", {})
    check, start, watch = box.lines()
    box.run(check)
    assert box.results() == []
    box.run(short(start))
    try:
        wait_for(lambda: len(box.results()) >= 3, "two experiments")
        assert "session train/run1" in box.run(f"timeout 5 {watch} || test $? = 124")
    finally:
        subprocess.run(["tmux", "kill-server"], env=box.environment, check=False, capture_output=True)
    assert [record["number"] for record in box.results()] == [0, 1, 2]
    assert box.results()[0]["resource"] == 2
    status, report, _ = box.lines(1)
    assert "2 experiments" in box.run(status)
    assert "report.html" in box.run(report)
    assert git(box.project, "status", "--porcelain") == ""


def test_the_other_ways_to_start_it_are_the_same_command() -> None:
    text = page("recipes").read_text()
    assert "`nohup pytest --autoresearch --autoresearch-confirm > night.log 2>&1 &`" in text
    unit = re.search(r"`(systemd-run [^`]+)`", text)
    assert unit
    *options, program, one, two = unit[1].split()
    assert (program, one, two) == ("pytest", "--autoresearch", "--autoresearch-confirm")
    if shutil.which("systemd-run"):
        known = subprocess.run(["systemd-run", "--help"], capture_output=True, text=True, check=True).stdout
        assert all(option.partition("=")[0] in known for option in options[1:])


def better(asked: Asked, step: int) -> Behaviour:
    """What the model says: each time another value, with the edit where that is asked for."""
    rates = ("0.4", "0.3", "0.2", "0.1")
    edits = [{"search": "RATE = ", "replace": f"RATE = {rates[step % 4]} or "}]
    carried = {"edits": edits} if "edits" in json.dumps(asked.body.get("response_format", {})) else {}
    return say(idea(f"rate {rates[step % 4]}", **carried), usage=(900, 90))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    turns = iter(range(1000))
    with serving(lambda asked: better(asked, next(turns)), models=MODELS) as found:
        yield found


@pytest.mark.parametrize("heading", ["Ollama", "OpenRouter", "vLLM, llama-server"])
def test_each_model_proposes_by_the_commands_of_its_recipe(
    tmp_path: Path, server: ScriptedServer, heading: str
) -> None:
    box = Box(tmp_path, heading, {"critic": {"base_url": server.url}})
    server.key = {"OpenRouter": "sk-or-...", "vLLM, llama-server": "any-word"}.get(heading)
    said = box.run(*map(short, box.lines()))
    assert "0 kept" not in said
    assert [record["number"] for record in box.results()] == [0, 1, 2]
    assert "models: " in said
    if heading == "Ollama":
        assert [asked.path for asked in server.asked if asked.path == "/api/generate"]


def test_an_openai_without_a_price_is_refused_under_a_limit_of_money(tmp_path: Path, server: ScriptedServer) -> None:
    box = Box(tmp_path, "OpenRouter", {"critic": {"base_url": server.url, "provider": "openai"}})
    line = f"OPENAI_API_KEY=x {box.lines()[1]}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=box.project, env=box.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "stop.usd: nobody knows what openai/gpt-5-mini costs" in done.stdout


def test_the_commands_for_an_agent_show_what_it_would_be_started_with(tmp_path: Path, server: ScriptedServer) -> None:
    box = Box(tmp_path, "Agents", {"critic": {"base_url": server.url}})
    box.environment["OPENROUTER_API_KEY"] = "any"
    program = Path(box.environment["PATH"].split(os.pathsep)[0]) / "claude"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    said = box.run(*box.lines())
    assert [record["number"] for record in box.results()] == [0]
    assert "claude -p --permission-mode acceptEdits" in said
