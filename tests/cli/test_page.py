"""The page on it: the help as it is, the session as it goes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import clean_environment, commands
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "by-hand.md"


def page_session() -> list[tuple[str, str]]:
    """Each command of the page with what it shows as its output."""
    text = "".join(blocks(PAGE, "console"))
    first, *commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert first == ""
    return [(command, output) for command, _, output in (one.partition("\n") for one in commands)]


def normalised(output: str, directory: str) -> str:
    """Without what differs from run to run: where, how long, which commit."""
    output = re.sub(r" in \d+\.\d s ", " in N s ", output.replace(directory, "DIRECTORY"))
    output = re.sub(r"last record: [-\d]+ [:\d]+", "last record: THEN", output)
    return re.sub(r" as [0-9a-f]{12};", " as COMMIT;", output)


def test_the_session_of_the_page_is_what_happens(tmp_path: Path) -> None:
    pytest.importorskip("numpy", reason="the example needs numpy: pip install 'pytest-autoresearch[tsp]'")
    where = tmp_path / "me"
    where.mkdir()
    environment = clean_environment({"PATH": commands(tmp_path / "bin")})
    directory = where
    for command, shown in page_session():
        if command.startswith("cd "):
            directory /= command.removeprefix("cd ")
            continue
        done = subprocess.run(
            ["bash", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        parts = re.split(r"^\.\.\.\n", normalised(shown, "/home/me"), flags=re.MULTILINE)
        expected = r"(?:.*\n)*".join(map(re.escape, parts))
        assert re.fullmatch(expected, normalised(done.stdout, str(where))), f"{command}\n{done.stdout}"
