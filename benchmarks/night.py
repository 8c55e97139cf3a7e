"""A session on a problem of known optimum: by pytest in a repository, or by the critic and the judge alone."""

from __future__ import annotations

import random
import shlex
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.arena import Arena, workplace
from benchmarks.improviser import Improviser
from benchmarks.problems.problem import Problem
from pytest_autoresearch.critics.base import Brief, Critic
from pytest_autoresearch.critics.hybrid import Hybrid
from pytest_autoresearch.critics.samplers import SamplerName
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.judge import is_better
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.records import Idea, ParameterValue, Status
from tests.critics.support import brief, experiment
from tests.llm.desk import OpenDesk
from tests.llm.server import MODEL, ScriptedServer, serving
from tests.llm.support import Line, ollama
from tests.support import Toy, problem_with

_CONTRACT = "c"


@dataclass(frozen=True, slots=True)
class Arm:
    """Who proposes: a sampler, or a sampler and a model; and how many candidates are measured at once."""

    name: str
    sampler: SamplerName
    model: Literal["weak", "strong"] | None = None
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Night:
    """What was proposed, and what it gave; the metric of the baseline comes first."""

    proposals: Sequence[Mapping[str, ParameterValue]]
    metrics: Sequence[float | None]

    def best_so_far(self, *, lower_is_better: bool) -> list[float]:
        """The best metric after each number of experiments."""
        best = self.metrics[0]
        assert best is not None
        found = []
        for metric in self.metrics:
            if metric is not None:
                best = min(best, metric) if lower_is_better else max(best, metric)
            found.append(best)
        return found


def tag(seed: int) -> str:
    """The session's name, from which its seed follows."""
    return f"night{seed}"


def by_critic(problem: Problem, arm: Arm, seed: int, count: int) -> Night:
    """`count` experiments in this process, without git, ledger and runner."""
    line = _Research(problem, seed)
    with _critic(problem, arm, seed) as critic:
        for _ in range(count // arm.at_once):
            line.iterate(critic, arm.at_once)
    return line.night()


def by_pytest(problem: Problem, arm: Arm, seed: int, count: int) -> Night:
    """The same by a session in a repository, as a user has it; the problem is one with `files`."""
    options = (f"--iterations={count // arm.at_once}", f"--autoresearch-candidates={arm.at_once}")
    with workplace() as directory:
        if arm.model is None:
            return _session(directory, problem, {"provider": "tuner", "sampler": arm.sampler}, seed, *options)
        with _model(problem, arm, seed) as server:
            critic = {"provider": "hybrid", "sampler": arm.sampler, "model": MODEL, "base_url": server.url}
            return _session(directory, problem, critic, seed, *options)


class _Research:
    """One line of research in memory: the incumbent, and what was done so far."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem = problem
        self._seed = zlib.crc32(tag(seed).encode())
        self._source = problem.source
        self._best = problem.baseline
        self._ideas: Counter[str] = Counter()
        self._done = [experiment(0, "keep", problem.baseline, contract=_CONTRACT)]

    def iterate(self, critic: Critic, count: int) -> None:
        """Propose so many, and judge them against one incumbent; the best is the next one, if it is better."""
        ideas: list[Idea] = []
        while len(ideas) < count:
            ideas.append(critic.propose(self._brief(ideas)))
            self._ideas[ideas[-1].critic] += 1
        tried = [(self._problem.measure(**idea.parameters), idea) for idea in ideas]
        kept = self._best_of(tried)
        for metric, idea in tried:
            status: Status = "crash" if metric is None else "keep" if idea is kept else "discard"
            self._done.append(experiment(len(self._done), status, metric, idea, contract=_CONTRACT))
            if metric is not None and idea is kept:
                self._source, self._best = str(idea.content), metric

    def _best_of(self, tried: Sequence[tuple[float | None, Idea]]) -> Idea | None:
        """The best of those that the judge would keep."""
        best, kept = self._best, None
        for metric, idea in tried:
            if metric is not None and is_better(metric, best, self._problem.lower_is_better):
                best, kept = metric, idea
        return kept

    def _brief(self, siblings: Sequence[Idea]) -> Brief:
        """What a session would tell the critic."""
        return brief(
            self._ideas,
            self._source,
            len(self._done) + len(siblings),
            self._done,
            siblings=tuple(siblings),
            metric=self._best,
            lower_is_better=self._problem.lower_is_better,
            seed=self._seed,
            contract=_CONTRACT,
            baseline=self._problem.baseline,
        )

    def night(self) -> Night:
        """All of it."""
        ideas = (one.idea for one in self._done if one.idea is not None)
        return Night([idea.parameters for idea in ideas], [one.metric for one in self._done])


@contextmanager
def _critic(problem: Problem, arm: Arm, seed: int) -> Iterator[Critic]:
    """The critic of an arm, with a server that answers it if it asks a model."""
    tuner = Tuner(arm.sampler)
    if arm.model is None:
        yield tuner
        return
    asked = problem_with(mutable_file="solution.py", lower_is_better=problem.lower_is_better)
    with _model(problem, arm, seed) as server, closing(Line(ollama(server.url)).model) as model:
        yield Hybrid(asked, model, Mask({}), OpenDesk(), tuner, has_coder=False)


@contextmanager
def _model(problem: Problem, arm: Arm, seed: int) -> Iterator[ScriptedServer]:
    with serving(Improviser(problem, random.Random(tag(seed)), strong=arm.model == "strong")) as server:
        yield server


def _session(directory: Path, problem: Problem, critic: Mapping[str, Any], seed: int, *options: str) -> Night:
    """What the ledger says of a session in a new repository."""
    assert problem.files is not None
    keys = {
        "mutable_file": "solution.py",
        "runner": shlex.join([sys.executable, "-S", "-E", "solution.py"]),
        "lower_is_better": problem.lower_is_better,
        "readonly_files": [*problem.files],
        "critic": critic,
    }
    toy = Toy(directory / "repository", files={"solution.py": problem.source, **problem.files}, problem=keys)
    arena = Arena(toy, tag(seed))
    arena.pytest(*options)
    records = arena.records()
    proposals = [record["idea"]["parameters"] for record in records if record["kind"] == "idea"]
    return Night(proposals, [record["metric"] for record in records if record["kind"] == "result"])
