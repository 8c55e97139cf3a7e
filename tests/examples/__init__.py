"""The example problems, run as a session runs them but without the plugin: what they promise on their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Example:
    """A copy of an example, and beside it what its evaluator gets: the read-only files and the artifact."""

    directory: Path
    judge: Path
    problem: dict[str, Any]

    @property
    def solution(self) -> str:
        return self._mutable.read_text()

    def solve(self, solution: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the runner, on `solution` if there is one, and hand over what it made."""
        if solution is not None:
            self._mutable.write_text(solution)
        result = self._bash(self.problem["runner"], self.directory, dict(os.environ))
        if result.returncode == 0:
            shutil.copy(self.directory / self.problem["artifacts"][0], self.judge)
        return result

    def submit(self, artifact: bytes | str | object) -> None:
        """Put an artifact of our own where the evaluator finds it; an object is written as JSON."""
        text = artifact if isinstance(artifact, bytes | str) else json.dumps(artifact)
        (self.judge / self.problem["artifacts"][0]).write_bytes(text.encode() if isinstance(text, str) else text)

    def evaluate(self) -> subprocess.CompletedProcess[str]:
        """Run the evaluator with the few variables that it gets."""
        names = {"HOME", "LANG", "TMPDIR", *self.problem.get("env", [])}
        return self._bash(self.problem["evaluator"], self.judge, {k: v for k, v in os.environ.items() if k in names})

    def metric(self) -> float:
        """What the session reads in the evaluator's output."""
        return self._last(self.problem["metric_regex"])

    def resource(self) -> float:
        return self._last(self.problem["resource_metric_regex"])

    def refusal(self) -> str:
        """The one line with which the evaluator refuses the artifact; it printed nothing else."""
        result = self.evaluate()
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.count("\n") == 1
        return result.stderr.rstrip("\n")

    @property
    def _mutable(self) -> Path:
        return self.directory / str(self.problem["mutable_file"])

    def _last(self, regex: str) -> float:
        result = self.evaluate()
        assert (result.returncode, result.stderr) == (0, "")
        found: list[str] = re.findall(regex, result.stdout, re.MULTILINE)
        return float(found[-1])

    @staticmethod
    def _bash(command: str, directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        return subprocess.run(
            ["bash", "-c", command],
            cwd=directory,
            env={**environment, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def copy_example(name: str, place: Path) -> Example:
    """A fresh copy of the example `name` below `place`."""
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "*.json", "sample_run")
    directory = Path(shutil.copytree(EXAMPLES / name, place / name, ignore=ignored))
    problem = yaml.safe_load((directory / "problem.yaml").read_text())
    judge = place / "judge"
    judge.mkdir()
    for readonly in ("problem.yaml", *problem["readonly_files"]):
        shutil.copy(directory / readonly, judge)
    return Example(directory, judge, problem)


def with_literals(solution: str, **values: object) -> str:
    """`solution` with other values for its top-level literals; their comments stay."""
    for name, value in values.items():
        solution, replaced = re.subn(rf"^{name} = \S+", f"{name} = {value!r}", solution, flags=re.MULTILINE)
        assert replaced == 1, name
    return solution
