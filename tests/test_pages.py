"""The commands of the pages on what surrounds a session are run as they stand there, in order.

But for `watch`, which waits for a session to begin: tests/test_watch.py has it in a terminal.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import MakeToy
from tests.support import clean_environment, commands, scores
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
