"""What README and docs say: commands that are run, help that is compared, examples that work."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_autoresearch.cli import parser
from pytest_autoresearch.coders.agents import AGENTS
from pytest_autoresearch.fields import names_of, section_of
from pytest_autoresearch.llm.endpoint import PROVIDERS
from pytest_autoresearch.problem import Problem
from tests import reference
from tests.conftest import MakeToy
from tests.llm.server import Asked, Behaviour, body, serving
from tests.support import clean_environment, commands, git, problem_with, scores

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")])
HOUSING = "AUTORESEARCH_CALIFORNIA_HOUSING"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def pytest_commands(page: Path) -> list[str]:
    """The commands of a page that run pytest on an example, in order, without what installs."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    return [line.split("&& ")[-1] for line in lines if "examples/" in line or line.startswith("pytest --autoresearch")]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is committed here, as a newcomer gets it, with the files as they are now."""
    directory = tmp_path / "clone"
    directory.mkdir()
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").split("\n"):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes((ROOT / name).read_bytes())
    git(directory, "init", "--quiet")
    git(directory, "add", "--all", ".")
    git(directory, "commit", "--quiet", "--message", "as cloned")
    return directory


def housing() -> str | None:
    """The file of the data that one example needs, if it is to be had."""
    beside = ROOT.parent / "shared" / "data" / "cal_housing.data"
    return os.environ.get(HOUSING) or (str(beside) if beside.exists() else None)


@pytest.mark.parametrize("page", [page for page in PAGES if pytest_commands(page)], ids=lambda page: page.parent.name)
def test_every_command_of_a_page_works(page: Path, clone: Path) -> None:
    """As they stand there, but for the number of experiments where it is large."""
    if "xgboost" in page.read_text() and page.name == "README.md" and page.parent != ROOT and not housing():
        pytest.skip(f"needs the data of California Housing: name the file in {HOUSING}")
    pytest.importorskip("optuna", reason="the tuner needs optuna: pip install 'pytest-autoresearch[tuner]'")
    environment = clean_environment({HOUSING: housing() or ""})
    before = git(clone, "rev-parse", "HEAD")
    for command in pytest_commands(page):
        words = shlex.split(re.sub(r"--iterations=\d\d+", "--iterations=3", command))
        assert words[0] == "pytest"
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "rev-parse", "HEAD") == before


def test_the_readme_starts_with_the_two_commands() -> None:
    run, test = [block.strip() for block in blocks(ROOT / "README.md", "console")][:2]
    assert run == (
        "pip install -e '.[tsp]' && pytest --autoresearch --iterations=4 --autoresearch-critic=replay "
        "--autoresearch-confirm examples/tsp_heuristic"
    )
    assert test == "pip install -e '.[dev]' && pytest -n 2"


def test_the_steps_of_the_readme_work(tmp_path: Path) -> None:
    pytest.importorskip("numpy", reason="the example needs numpy: pip install 'pytest-autoresearch[tsp]'")
    (block,) = blocks(ROOT / "README.md", "sh")
    *lines, last = block.splitlines()
    edit = "perl -pi -e 's/^STARTS = 1 /STARTS = 20 /' solution.py"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join([*lines, edit, last])],
        cwd=tmp_path,
        env=clean_environment({"PATH": commands(tmp_path / "bin")}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "experiment 1: KEPT 22.3358" in done.stdout


@pytest.mark.parametrize("page", reference.pages(), ids=lambda page: page.stem)
def test_what_a_page_takes_over_from_the_code_is_as_it_is(page: Path) -> None:
    if page.stem == "commands" and sys.version_info >= (3, 13):
        pytest.skip("from Python 3.13 on argparse lays an option of two names out in another way")
    assert page.read_text() == reference.renewed(page.read_text()), "to renew the page: python -m tests.reference"


def hooks_page(first_line: str) -> str:
    """The example of the hooks page that defines this hook first."""
    (block,) = [block for block in blocks(ROOT / "docs" / "hooks.md", "python") if f"\ndef {first_line}(" in block]
    assert block.startswith("# conftest.py\n")
    return block


def test_the_critic_of_the_hooks_page_asks_another_api_and_proposes_what_it_answers(make_toy: MakeToy) -> None:
    conftest = hooks_page("pytest_autoresearch_propose")
    assert len(conftest.split("def pytest_autoresearch_propose")[1].splitlines()) <= 20

    def script(asked: Asked) -> Behaviour:
        tried = re.findall(r"^keep [\d.]+: ", asked.body["messages"][0]["content"], re.MULTILINE)
        number = len(tried) - 1
        found = {"hypothesis": f"score {8 - number}", "expected_delta": -1, "content": f"echo score: {8 - number}\n"}
        call = {"type": "tool_use", "id": "t", "name": asked.body["tool_choice"]["name"], "input": found}
        return body(json.dumps({"content": [{"type": "text", "text": "Well."}, call]}).encode())

    with serving(script) as server:
        toy = make_toy(problem={"critic": {"enabled": False}}, files={"conftest.py": conftest})
        environment = {"ANTHROPIC_BASE_URL": server.url.removesuffix("/v1"), "ANTHROPIC_API_KEY": "a-key-of-a-test"}
        done = toy.run("--iterations=2", env=environment)
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]
    assert [record["critic"] for record in toy.ledger("idea")] == ["claude", "claude"]
    assert server.asked[0].headers["x-api-key"] == "a-key-of-a-test"


def test_the_notifier_of_the_hooks_page_posts_the_keeps(make_toy: MakeToy) -> None:
    with serving(lambda asked: body(b"ok")) as server:
        toy = make_toy(*scores(8, 9, 7), files={"conftest.py": hooks_page("pytest_autoresearch_experiment_recorded")})
        hook = server.url.replace("/v1", "/v1/messages")
        toy.run("--iterations=3", env={"CHAT_WEBHOOK": hook})
    assert [asked.body["text"] for asked in server.asked] == ["toy/run1: 8, score 8", "toy/run1: 7, score 7"]


def test_a_notifier_that_cannot_post_costs_a_warning(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), files={"conftest.py": hooks_page("pytest_autoresearch_experiment_recorded")})
    done = toy.run("--iterations=1", env={"CHAT_WEBHOOK": "http://127.0.0.1:1/"})
    assert done.returncode == 0
    assert "experiment 1 is on record, but a hook failed" in done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8)]


def test_the_judge_of_the_hooks_page_wants_one_percent(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9.95, 9.5, 11), files={"conftest.py": hooks_page("pytest_autoresearch_judge")})
    toy.run("--iterations=3")
    assert toy.statuses() == [("keep", 10), ("discard", 9.95), ("keep", 9.5), ("discard", 11)]
    reasons = [record["reason"] for record in toy.ledger("result")]
    assert reasons[1] == "less than one percent better"


def test_the_coder_and_the_executor_of_the_hooks_page_take_part(make_toy: MakeToy) -> None:
    toy = make_toy(
        *({"hypothesis": name, "content": "unused"} for name in ("a", "bb")),
        problem={"lower_is_better": False},
        files={"conftest.py": hooks_page("pytest_autoresearch_apply")},
    )
    toy.run("--iterations=2")
    assert [metric for _, metric in toy.statuses()] == [15, 19, 24]


def test_the_presets_of_the_coders_page_are_the_ones_that_are_run() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `([^`]+)` \| `([^`]+)` \|$", (ROOT / "docs" / "coders.md").read_text(), re.MULTILINE
    )
    shown = {name: (accept.split(), bypass.split()) for name, accept, bypass in rows}
    presets = {
        name: (list(agent.commands["acceptEdits"]), list(agent.commands["bypass"])) for name, agent in AGENTS.items()
    }
    assert shown == presets


def test_the_servers_of_the_critics_page_are_the_ones_that_are_asked() -> None:
    page = (ROOT / "docs" / "critics.md").read_text()
    for name, provider in PROVIDERS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        assert f"`{provider.base_url}`" in row
        assert provider.key_env is None or f"`{provider.key_env}`" in row


def test_the_sections_of_the_engines_page_are_read() -> None:
    for block in blocks(ROOT / "docs" / "engines.md", "yaml"):
        assert problem_with(**yaml.safe_load(block)).engine.kind == "ray"


def test_every_key_of_a_problem_is_in_one_table_of_its_page() -> None:
    page = ROOT / "docs" / "problem-yaml.md"
    marks = [mark for mark in reference.marks(page) if mark.startswith("keys")]
    shown = [key for mark in marks if mark.startswith("keys: ") for key, _ in reference.keys_in(mark)]
    assert sorted(shown) == sorted(Problem.model_fields)
    sections = [key for key, field in Problem.model_fields.items() if section_of(field)]
    assert sorted(mark for mark in marks if " of " in mark) == sorted(f"keys of {key}" for key in sections)
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    for name in (name for mark in marks for key, field in reference.keys_in(mark) for name in names_of(key, field)):
        assert [row for row in rows if f"`{name}`" in row.split(" | ")[0]], name


def test_every_key_of_a_problem_says_what_it_means() -> None:
    marks = [mark for page in reference.pages() for mark in reference.marks(page)]
    fields = [item for mark in marks for item in reference.keys_in(mark)]
    assert len(fields) > 60
    assert [key for key, field in fields if not (field.description or "").endswith(".")] == []


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text())
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_has_its_help_on_the_page() -> None:
    (commands_of_it,) = (action.choices for action in parser()._actions if action.metavar == "COMMAND")
    page = (ROOT / "docs" / "commands.md").read_text()
    assert re.findall(r"^\$ pytest-autoresearch (\w+) --help$", page, re.MULTILINE) == list(commands_of_it or ())
