"""What README and docs say: commands that are run, help that is compared, examples that work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeToy
from tests.support import clean_environment, git

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
    assert test == "pip install -e '.[dev]' && pytest"


def test_the_options_page_has_the_help_as_it_is() -> None:
    command = [sys.executable, "-m", "pytest", "--autoresearch", "--help"]
    environment = clean_environment({"COLUMNS": "100"})
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    section = re.search(r"^autonomous research:\n(.*?)\n\n", output, re.MULTILINE | re.DOTALL)
    assert section
    (shown,) = [block for block in blocks(ROOT / "docs" / "options.md", "text") if "--help" in block]
    assert shown == f"$ pytest --autoresearch --help\n{section.group(1)}\n"


def test_the_conftest_of_the_hooks_page_works(make_toy: MakeToy) -> None:
    (conftest,) = blocks(ROOT / "docs" / "hooks.md", "python")
    toy = make_toy(
        problem={"mutable_file": "step.py", "runner": "python step.py"},
        files={"conftest.py": conftest, "step.py": 'STEP = 8\nprint("score:", max(STEP, 1.99))\n'},
    )
    toy.run("--iterations=3")
    assert toy.statuses() == [("keep", 8), ("keep", 4), ("keep", 2), ("discard", 1.99)]
    assert (toy.project / "night.log").read_text() == "1: keep 4.0\n2: keep 2.0\n3: discard 1.99\n"


def test_every_key_of_a_problem_is_on_its_page() -> None:
    from pytest_autoresearch import problem, sections

    page = (ROOT / "docs" / "problem-yaml.md").read_text()
    models = (problem.Problem, sections.CriticSection, sections.CoderSection, sections.StopSection)
    missing = [
        name
        for section in models
        for name in section.model_fields
        if f"`{name}`" not in page and f"`{name}:`" not in page and f"`stop.{name}`" not in page
    ]
    assert not missing
