"""A small real problem in a real repository, and what tests ask of it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_autoresearch.problem import Problem, parse_problem

Idea = Mapping[str, Any]
TSP = Path(__file__).parent.parent / "examples" / "tsp_heuristic"
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:randomly")
COMMAND = (sys.executable, "-m", "pytest_autoresearch")

PROBLEM: dict[str, Any] = {
    "objective": "make the score small",
    "metric_name": "score",
    "metric_regex": r"^score: (\S+)",
    "lower_is_better": True,
    "time_budget_s": 5,
    "hard_timeout_s": 20,
    "mutable_file": "solution.sh",
    "runner": "bash solution.sh",
    "branch_prefix": "toy",
    "critic": {"provider": "replay"},
}


def problem_with(**keys: Any) -> Problem:
    """The toy's problem with these keys, whose files are not looked for."""
    return parse_problem(Path("problem.yaml"), json.dumps({**PROBLEM, **keys}), look=False)


def git(directory: Path, *arguments: str) -> str:
    """What git prints, with an identity of the test's own."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.rstrip("\n")


def scores(*values: object) -> list[Idea]:
    """One idea for each value: the mutable file that prints it."""
    return [{"hypothesis": f"score {value}", "content": f"echo score: {value}\n"} for value in values]


@dataclass
class Toy:
    """A repository whose `solution.sh` prints its own score, 10 to begin with."""

    directory: Path
    ideas: Sequence[Idea] = ()
    problem: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    inside: str = "."
    prefix: str = "toy"

    def __post_init__(self) -> None:
        self.project.mkdir(parents=True, exist_ok=True)
        git(self.directory, "init", "--quiet", "--initial-branch=main")
        self.write("solution.sh", "echo score: 10\n")
        self.write("problem.yaml", json.dumps({**PROBLEM, **self.problem}, indent=1))
        self.write("ideas.yaml", json.dumps(list(self.ideas)))
        for name, content in self.files.items():
            self.write(name, content)
        self.commit("the problem")

    @property
    def project(self) -> Path:
        return self.directory / self.inside

    @property
    def checkout(self) -> Path:
        return self.directory / ".autoresearch" / f"{self.prefix}-run1" / self.inside

    @property
    def records(self) -> Path:
        return self.directory / ".git" / "autoresearch" / self.prefix / "run1"

    def write(self, name: str, content: str) -> None:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def commit(self, message: str) -> str:
        git(self.directory, "add", "--all", ".")
        git(self.directory, "commit", "--quiet", "--message", message)
        return git(self.directory, "rev-parse", "HEAD")

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        lines = (self.records / "ledger.jsonl").read_text().rpartition("\n")[0].splitlines()
        records = [json.loads(line) for line in lines]
        return [record for record in records if kind in (None, record["kind"])]

    def statuses(self) -> list[tuple[str, float | None]]:
        return [(record["status"], record["metric"]) for record in self.ledger("result")]

    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in (self.checkout / "results.tsv").read_text().splitlines()]

    def branch(self) -> list[str]:
        """The commits on the session's branch, first to last, from the one it began with."""
        start = self.ledger("begin")[0]["commit"]
        return [start, *git(self.directory, "rev-list", "--reverse", f"{start}..{self.prefix}/run1").split()]

    def user_status(self) -> str:
        return git(self.directory, "status", "--porcelain")

    def pytest(
        self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run pytest to its end in a process of its own, as a user does."""
        return subprocess.run(
            [*PYTEST, *arguments],
            cwd=cwd or self.project,
            env=clean_environment(env),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the loop to its end, confirmed."""
        return self.pytest("--autoresearch", "--autoresearch-confirm", *arguments, env=env)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The same, without waiting for the end."""
        return subprocess.Popen(
            [*PYTEST, "--autoresearch", "--autoresearch-confirm", *arguments],
            cwd=self.project,
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def tsp(directory: Path, **sections: Any) -> Toy:
    """The shipped example with other sections instead of its critic and recorded ideas."""
    files = {file.name: file.read_text() for file in TSP.glob("*.py")}
    text = (TSP / "problem.yaml").read_text().split("critic:")[0]
    files["problem.yaml"] = text + "".join(f"{name}: {json.dumps(section)}\n" for name, section in sections.items())
    return Toy(directory, files=files, inside="tsp", prefix="tsp")


def commands(directory: Path) -> str:
    """A `PATH` on which `pytest` and `pytest-autoresearch` are this interpreter's; they are made in `directory`."""
    directory.mkdir()
    for name, command in (("pytest", PYTEST), ("pytest-autoresearch", COMMAND)):
        (directory / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (directory / name).chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


def mostly_long(names: Iterable[str], *quick: str) -> list[Any]:
    """Parameters of which all but `quick` are left to the runs that take minutes."""
    return [pytest.param(name, marks=[] if name in quick else [pytest.mark.long]) for name in names]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A user's environment: bytecode is written, no CI, nothing of the pytest run that we are in."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "CI", "PYTEST_ADDOPTS", "AUTORESEARCH_PROBLEM", "AUTORESEARCH_PROJECT"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, **(extra or {})}


def wait_for(condition: Callable[[], object], what: str, patience_s: float = 60) -> None:
    """Return once `condition` holds; fail if it does not come to that."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether there is such a process, and no mere zombie of one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill(process: subprocess.Popen[str]) -> None:
    """`kill -9`, and wait until it is gone."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def properties(xml: Path) -> dict[str, dict[str, str]]:
    """The properties of each test case in a JUnit file, by its name."""
    cases = ElementTree.parse(xml).iter("testcase")
    return {
        str(case.get("name")): {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}
        for case in cases
    }
