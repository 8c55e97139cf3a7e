"""The commands of the pages on what surrounds a session are run as they stand there, in order.

But for `watch`, which waits for a session to begin: tests/test_watch.py has it in a terminal.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import MakeToy
from tests.support import clean_environment, commands, git, scores
from tests.test_docs import ROOT, blocks


@pytest.mark.parametrize("page", ["reports.md", "finalize.md"])
def test_every_command_of_the_page_works(page: str, make_toy: MakeToy, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the chart needs it: pip install 'pytest-autoresearch[report]'")
    toy = make_toy(*scores(9, 8, 7))
    assert toy.run("--iterations=2").returncode == 0
    environment = clean_environment({"PATH": commands(tmp_path / "bin"), "PYTEST_ADDOPTS": "--autoresearch-confirm"})
    lines = [line for block in blocks(ROOT / "docs" / page, "sh") for line in block.splitlines()]
    assert len(lines) >= 5
    for line in (line for line in lines if " watch " not in line):
        done = subprocess.run(
            ["bash", "-euc", line.replace("--iterations=20", "--iterations=1")],
            cwd=toy.project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_tutorial_makes_a_problem_a_session_and_a_branch_for_review(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the tuner needs optuna: pip install 'pytest-autoresearch[tuner]'")
    identity = {
        f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks(ROOT / "docs" / "tutorial.md", "sh"))],
        cwd=tmp_path,
        env=clean_environment({"PATH": commands(tmp_path / "bin"), **identity}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "of 15 experiments" in done.stdout
    assert (tmp_path / "line" / "pull-request.md").read_text().startswith("# ")
    assert git(tmp_path / "line", "rev-parse", "line/run1-review")
