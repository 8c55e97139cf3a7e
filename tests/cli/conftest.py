"""What the tests of the command line share."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import (
    Home,
    MakeHome,
    by_hand,
    living,
    write,
)
from tests.support import PROBLEM


@pytest.fixture(autouse=True)
def users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the commands that are run in this process."""
    for name in ("CI", "PYTEST_ADDOPTS", "AUTORESEARCH_PROBLEM", "AUTORESEARCH_PROJECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_home(tmp_path: Path) -> MakeHome:
    """Makes a `Home` of the toy's problem, with ideas, keys of `problem.yaml` and files."""

    def make(*ideas: Any, files: Mapping[str, str] | None = None, **keys: Any) -> Home:
        source = tmp_path / "source"
        everything = {
            "solution.sh": "echo score: 10\n",
            "problem.yaml": json.dumps({**PROBLEM, **keys}, indent=1),
            "ideas.yaml": json.dumps(list(ideas)),
            **(files or {}),
        }
        write(source, everything)
        said = by_hand(tmp_path, "init", "--problem", "source", "--target", "home")
        assert said.code == 0, said
        return Home(tmp_path / "home")

    return make


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Path]:
    """Where a solution that waits says that it is there, and is told to go on; what it left is ended."""
    place = tmp_path / "waiting"
    yield place
    for pid in living(place):
        os.kill(pid, signal.SIGKILL)
