"""The steps by hand as tests take them: in this process or apart, in a repository that `init` made."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pytest_autoresearch.cli import main
from tests.support import COMMAND, alive, clean_environment, git, wait_for

WAITING = "echo $$ >> {place}.pids; touch {place}.there; until [ -e {place}.go ]; do sleep 0.02; done; echo score: 5\n"
STEPS = ("propose", "apply", "run", "reset")


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str


def by_hand(directory: Path, *arguments: str) -> Said:
    """`pytest-autoresearch ARGUMENTS` in `directory`, in this process."""
    out, err, before = StringIO(), StringIO(), Path.cwd()
    os.chdir(directory)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = _code(arguments)
    finally:
        os.chdir(before)
    return Said(code, out.getvalue(), err.getvalue())


def _code(arguments: Sequence[str]) -> int:
    try:
        return main(list(arguments))
    except SystemExit as left:
        return int(left.code or 0)


def apart(directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Said:
    """The same in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=directory,
        env=clean_environment(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def start(directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The same, without waiting for the end."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=directory,
        env=clean_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class Home:
    """A repository that `init` made of the toy problem."""

    directory: Path

    def __call__(self, *arguments: str) -> Said:
        return by_hand(self.directory, *arguments)

    def did(self, *arguments: str) -> str:
        """What a command that succeeds prints."""
        said = self(*arguments)
        assert (said.code, said.err) == (0, ""), said
        return said.out

    def refused(self, *arguments: str) -> str:
        """What a command that cannot be carried out complains of."""
        said = self(*arguments)
        assert (said.code, said.out) == (1, ""), said
        assert said.err.startswith("pytest-autoresearch: ")
        return said.err.removeprefix("pytest-autoresearch: ").rstrip("\n")

    @property
    def solution(self) -> Path:
        return self.directory / "solution.sh"

    def edit(self, score: object) -> None:
        self.solution.write_text(f"echo score: {score}\n")

    @property
    def records(self) -> Path:
        return self.directory / ".git" / "autoresearch" / "toy" / "run1"

    def ledger(self, kind: str | None = None) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in (self.records / "ledger.jsonl").read_text().splitlines()]
        return [record for record in records if kind in (None, record["kind"])]

    def statuses(self) -> list[tuple[str, float | None]]:
        return [(record["status"], record["metric"]) for record in self.ledger("result")]

    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in (self.directory / "results.tsv").read_text().splitlines()]

    def status(self) -> str:
        return git(self.directory, "status", "--porcelain")


MakeHome = Callable[..., Home]


def write(directory: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content)


def python_path(directory: Path) -> str:
    """`PYTHONPATH` with `directory` first."""
    return os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))


def tree(directory: Path) -> dict[str, bytes | str]:
    """Everything below `directory` with what it holds."""
    found: dict[str, bytes | str] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else "directory"
    return found


def tracked(directory: Path) -> set[str]:
    return set(git(directory, "ls-files").split("\n"))


def living(place: Path) -> list[int]:
    pids = Path(f"{place}.pids")
    return [pid for pid in map(int, pids.read_text().split()) if alive(pid)] if pids.exists() else []


def wait_until_measured(place: Path) -> None:
    wait_for(Path(f"{place}.there").exists, "the runner")
