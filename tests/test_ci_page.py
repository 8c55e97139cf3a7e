"""The page on CI: its files are YAML, its commands are run in order, its summary is what comes out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_autoresearch.cli import parser
from pytest_autoresearch.reports.summary import summary_markdown
from tests.conftest import MakeToy
from tests.reports.synthetic import story_of
from tests.support import Toy, clean_environment, commands, git, scores
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "ci.md"
NEW = ("pytest-autoresearch import", "pytest-autoresearch export", "pytest-autoresearch report")


def script() -> str:
    (found,) = blocks(PAGE, "sh")
    return found


def files() -> list[Any]:
    return [yaml.safe_load(block) for block in blocks(PAGE, "yaml")]


def scripts_of(value: object) -> list[str]:
    """The shell scripts in a file of CI."""
    if isinstance(value, dict):
        return [one for key, part in value.items() for one in scripts_of(part) + _script(key, part)]
    return [one for part in value for one in scripts_of(part)] if isinstance(value, list) else []


def _script(key: object, part: object) -> list[str]:
    if key == "run" and isinstance(part, str):
        return [part]
    return [one for one in part if isinstance(one, str)] if key == "script" and isinstance(part, list) else []


def known_commands() -> set[str]:
    (commands,) = (action for action in parser()._subparsers._group_actions)  # type: ignore[union-attr]
    return {f"pytest-autoresearch {name}" for name in commands.choices or ()}


def runnable(text: str) -> str:
    """The script without the commands that this version does not have."""
    missing = [command for command in NEW if command not in known_commands()]
    lines = text.splitlines()
    return "\n".join(line for line in lines if not any(command in line for command in missing))


def night(toy: Toy, clone: Path, bin_path: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", runnable(script())],
        cwd=clone,
        env=clean_environment({"PATH": bin_path, "CI": "true", **(env or {})}),
        capture_output=True,
        text=True,
        check=False,
    )


def cloned(toy: Toy, directory: Path) -> Path:
    git(toy.directory, "clone", "--quiet", str(toy.directory), str(directory))
    return directory


def test_both_files_are_what_the_services_take() -> None:
    github, gitlab = files()
    steps = github["jobs"]["research"]["steps"]
    assert {next(iter(step.keys() & {"run", "uses"})) for step in steps} == {"run", "uses"}
    assert github[True]["schedule"] == [{"cron": "0 1 * * *"}]  # YAML 1.1 reads `on` so, as GitHub knows
    assert gitlab["night"]["artifacts"]["reports"] == {"junit": "junit.xml"}


def test_both_files_run_the_script_of_the_page() -> None:
    wanted = script().splitlines()
    for file in files():
        (found,) = [one for one in scripts_of(file) if "pytest --autoresearch" in one]
        assert [line for line in found.splitlines() if not line.startswith("cat summary.md")] == wanted


def test_every_script_is_one_that_bash_can_read() -> None:
    for text in [script(), *(one for file in files() for one in scripts_of(file))]:
        subprocess.run(["bash", "-n", "-c", text], check=True)


def test_the_script_makes_a_night(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*scores(8, 9))
    done = night(toy, cloned(toy, tmp_path / "clone"), commands(tmp_path / "bin"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 experiments" in done.stdout
    assert (tmp_path / "clone" / "junit.xml").exists()
    if "pytest-autoresearch report" in known_commands():
        assert "1 kept, 1 discarded" in (tmp_path / "clone" / "summary.md").read_text()


def test_the_next_night_goes_on_in_another_clone(make_toy: MakeToy, tmp_path: Path) -> None:
    if not set(NEW[:2]) <= known_commands():
        pytest.skip("needs the commands import and export")
    toy = make_toy(*scores(8, 9, 7))
    path = commands(tmp_path / "bin")
    first, second = cloned(toy, tmp_path / "first"), cloned(toy, tmp_path / "second")
    text = script().replace("--iterations=20", "--iterations=2")
    for clone in (first, second):
        if clone is second:
            shutil.copy(first / "session.bundle", second / "session.bundle")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", runnable(text)],
            cwd=clone,
            env=clean_environment({"PATH": path, "CI": "true"}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "of 3 experiments" in done.stdout
    assert "10 → 7" in done.stdout


@pytest.mark.parametrize(("ideas", "code"), [(("none",), 1), ((), 0)])
def test_the_job_fails_where_the_page_says_so(make_toy: MakeToy, tmp_path: Path, ideas: Any, code: int) -> None:
    """All crashed: 1. No idea: there is nothing left to do, which is 5, and no failure of the job."""
    toy = make_toy(*scores(*ideas))
    done = night(toy, cloned(toy, tmp_path / "clone"), commands(tmp_path / "bin"))
    assert done.returncode == code, done.stdout + done.stderr


def test_the_summary_of_the_page_is_what_comes_out(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9))
    toy.run("--iterations=2")
    (shown,) = blocks(PAGE, "markdown")
    assert re.sub(r"commit `[0-9a-f]{12}`", "commit `COMMIT`", summary_markdown(story_of(toy))) == shown
