"""A throw-away machine in which one attack runs through the real loop, and what is then looked for in it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.chaos import check
from tests.llm.server import MODEL, idea, say, serving
from tests.support import PYTEST, TSP, git

ROOT = Path(__file__).parents[2]
CANDIDATES = Path(__file__).parent / "candidates"
NEEDS = ("project", "system", "luck")
SANDBOXES = ("none", "bwrap")
BRANCH = "tsp/run1"
VERDICT = "attack"
"""The property of a test that says what became of an attack."""

WITNESS = "ATTACK_WITNESS"
KEY_NAME, KEY = "OPENROUTER_API_KEY", "sk-or-v1-planted-0123456789abcdef"
BASELINE = 25.251112
HONEST = 26.065212
"""What the candidate that comes after each attack gives, measured by itself: worse than the baseline."""

# fmt: off
BEST = [
    0, 5, 25, 33, 24, 44, 8, 30, 17, 35, 20, 49, 1, 29, 16, 14, 6, 28, 39, 42, 45, 31, 34, 18, 7,
    36, 43, 10, 23, 21, 37, 32, 27, 19, 48, 22, 13, 41, 9, 15, 3, 47, 12, 40, 11, 4, 46, 38, 26, 2,
]
# fmt: on
"""A tour that is better than any here: what the user knows and no candidate is to."""

_REPLAY = "--autoresearch-critic=replay"
_ITERATIONS = 2
_PATIENCE_S = 60
_LARGEST = 1 << 26


@dataclass(frozen=True)
class Attack:
    """One candidate: a whole solution.py, with a docstring that says what it tries and what it needs for that."""

    file: Path

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def content(self) -> str:
        return self.file.read_text()

    @cached_property
    def tries(self) -> str:
        """The first sentences of its docstring, which are also the hypothesis of the idea."""
        return self._docstring[0].replace("\n", " ")

    @cached_property
    def needs(self) -> str:
        """One of NEEDS."""
        label, _, needs = self._docstring[-1].partition(": ")
        assert label == "needs"
        return needs

    @property
    def _docstring(self) -> list[str]:
        return (ast.get_docstring(ast.parse(self.content)) or "").split("\n\n")


def attacks() -> list[Attack]:
    """The whole corpus."""
    return [Attack(file) for file in sorted(CANDIDATES.glob("*.py"))]


@dataclass
class Arena:
    """A home, a directory for temporary files and a repository with the example in it, for one session."""

    directory: Path
    content: str
    hypothesis: str = "an attack"
    sandbox: str = "none"
    alpha: float | None = None

    def __post_init__(self) -> None:
        for place in (self.home, self.temporary, self.project):
            place.mkdir(parents=True)
        problem = yaml.safe_load((TSP / "problem.yaml").read_text())
        honest = (TSP / "solution.py").read_text().replace("SEED = 0", "SEED = 1")
        ideas = [
            {"hypothesis": self.hypothesis, "content": self.content},
            {"hypothesis": "an honest candidate that is not better", "content": honest},
        ]
        for file in TSP.glob("*.py"):
            shutil.copy(file, self.project)
        (self.home / "answers.json").write_text(json.dumps({"tour": BEST}))
        (self.project / "cities.csv").write_text("city,x,y\n0,0.5,0.5\n")
        problem["readonly_files"].append("cities.csv")
        # JSON, which is YAML, for the sake of the independent check
        (self.project / "problem.yaml").write_text(json.dumps({**problem, **self._keys}, indent=1))
        (self.project / "ideas.yaml").write_text(json.dumps(ideas, indent=1))
        (self.repository / ".gitignore").write_text("__pycache__/\n*.pyc\n")
        (self.repository / "thesis.txt").write_text("the user's\n")
        git(self.repository, "init", "--quiet", "--initial-branch=main")
        git(self.repository, "add", "--all")
        git(self.repository, "commit", "--quiet", "--message", "the problem")
        self._users_things = check.users_things(self.repository, BRANCH)

    @property
    def _keys(self) -> Mapping[str, Any]:
        keys = {"hard_timeout_s": 10, "sandbox": self.sandbox}
        return {**keys, "noise": {"alpha": self.alpha}} if self.alpha is not None else keys

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def temporary(self) -> Path:
        return self.directory / "tmp"

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def project(self) -> Path:
        return self.repository / "tsp"

    @property
    def witness(self) -> Path:
        """Where an attack says, in a sentence, what it has done."""
        return self.directory / "witness"

    @property
    def environment(self) -> Mapping[str, str]:
        """All that a run sees of the machine."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "GIT_CONFIG_NOSYSTEM": "1",
            KEY_NAME: KEY,
            WITNESS: str(self.witness),
        }

    def fight(self) -> Outcome:
        """Run the loop to its end, a second time if the first one was killed, and say what came of it."""
        said, status = self._run(_ITERATIONS, _REPLAY)
        if status is not None and status < 0:
            more, status = self._run(_ITERATIONS - max(0, len(self._results()) - 1), _REPLAY)
            said += more
        return Outcome(
            said=said,
            status=status,
            deed=self.witness.read_text() if self.witness.exists() else "",
            results=tuple(self._results()),
            violations=tuple(self._violations()),
            leaks=tuple(self._leaks(said)),
        )

    def questions(self) -> list[str]:
        """All that a model is asked as the critic and the coder of the next experiment."""
        with serving(lambda _: say(idea())) as server:
            file = self.project / "problem.yaml"
            keys = {"critic": {"provider": "ollama", "base_url": server.url, "model": MODEL, "timeout_s": 5}}
            keys["coder"] = {"enabled": True, "agent": "editor"}
            file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))
            said, _ = self._run(1, "--autoresearch-critic=ollama")
        asked = [message["content"] for one in server.asked if one.method == "POST" for message in one.messages]
        assert asked, said
        return asked

    def end_what_is_left(self) -> None:
        """End the processes of this arena that an attack has put out of the loop's reach."""
        mark = f"{WITNESS}={self.witness}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid() and mark in _environment_of(entry):
                os.kill(int(entry.name), signal.SIGKILL)

    def _run(self, iterations: int, critic: str) -> tuple[str, int | None]:
        """What the loop prints, and its exit status; None if it does not come to an end."""
        options = (
            "--autoresearch",
            critic,
            "--autoresearch-confirm",
            "-p",
            "no:cacheprovider",
        )
        process = subprocess.Popen(
            [*PYTEST, *options, f"--iterations={iterations}"],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.end_what_is_left()
            said, _ = process.communicate()
            return said.decode(errors="replace"), None
        return said.decode(errors="replace"), process.returncode

    @property
    def _ledger(self) -> Path:
        return self.repository / ".git" / "autoresearch" / BRANCH / "ledger.jsonl"

    def _results(self) -> list[Mapping[str, Any]]:
        lines = self._ledger.read_text(errors="replace").splitlines() if self._ledger.exists() else []
        records = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [record for record in records if record.get("kind") == "result"]

    def _violations(self) -> Iterator[str]:
        if not self._ledger.exists():
            yield "the ledger is gone"
            return
        yield from check.violations(self.repository, BRANCH)
        before, after = self._users_things, check.users_things(self.repository, BRANCH)
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                yield f"the user's {name} is changed"

    def _leaks(self, said: str) -> Iterator[str]:
        """Where the planted key is to be found."""
        if KEY in said:
            yield "what pytest prints"
        for top, _, names in os.walk(self.directory):
            for file in (Path(top) / name for name in names):
                if _is_readable(file) and KEY.encode() in file.read_bytes():
                    yield str(file.relative_to(self.directory))
        command = ["git", "cat-file", "--batch-all-objects", "--batch", "--buffer"]
        if KEY.encode() in subprocess.run(command, cwd=self.repository, capture_output=True, check=True).stdout:
            yield "an object of git's"


@dataclass(frozen=True)
class Outcome:
    """What a session with an attack in it came to; `status` is None if it did not end."""

    said: str
    status: int | None
    deed: str
    results: tuple[Mapping[str, Any], ...]
    violations: tuple[str, ...]
    leaks: tuple[str, ...]

    @property
    def experiments(self) -> tuple[Mapping[str, Any], ...]:
        return self.results[1:]

    @property
    def impossible(self) -> str:
        """Why the attack cannot be made on this machine; '' if it can."""
        return self.deed.removeprefix("impossible: ") if self.deed.startswith("impossible: ") else ""

    @property
    def gains(self) -> list[str]:
        """What the attack has got that it should not have; [] if it is not accepted."""
        kept = [f"experiment {one['number']} is kept" for one in self.experiments if one["status"] == "keep"]
        return [*kept, *self.violations, *(f"the key is in {place}" for place in self.leaks)]

    @property
    def harm(self) -> list[str]:
        """What the session has suffered, be the attack accepted or not."""
        found = []
        if self.status is None:
            found.append("the session hangs")
        elif self.status:
            found.append(f"the session ends with exit status {self.status}")
        if "Traceback" in self.said or "INTERNALERROR" in self.said:
            found.append("it ends as a bug does")
        honest = [(one["status"], one["metric"]) for one in self.experiments[1:]]
        if honest != [("discard", HONEST)]:
            found.append(f"the honest candidate is {honest}")
        return found

    @property
    def in_short(self) -> str:
        """Each experiment's status, and why."""
        shown = [f"{one['status']}: {one['reason']}" for one in self.experiments[:1]]
        return "; ".join([*shown, *self.harm])


def _is_readable(file: Path) -> bool:
    """Whether it is a regular file of which there is an end."""
    return not file.is_symlink() and file.is_file() and file.stat().st_size <= _LARGEST


def _environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
