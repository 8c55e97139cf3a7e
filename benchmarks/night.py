"""A session on a problem of known optimum: by pytest in a repository, or by the critic and the judge alone."""

from __future__ import annotations

import json
import random
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.arena import Arena, workplace
from benchmarks.improviser import Improviser
from benchmarks.problems.problem import Problem
from pytest_autoresearch.critics.base import Critic
from pytest_autoresearch.critics.hybrid import Hybrid
from pytest_autoresearch.critics.samplers import SamplerName
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.judge import judge
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.records import Experiment, Measurement, ParameterValue
from tests.critics.support import brief, experiment
from tests.llm.server import MODEL, ScriptedServer, serving
from tests.llm.support import Line, ollama
from tests.support import Toy, problem_with

_CONTRACT = "c"


@dataclass(frozen=True, slots=True)
class Arm:
    """Who proposes: a sampler, or a sampler and a model."""

    name: str
    sampler: SamplerName
    model: Literal["weak", "strong"] | None = None


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
    with _critic(problem, arm, seed) as critic:
        return _alone(problem, critic, seed, count)


def by_pytest(problem: Problem, arm: Arm, seed: int, count: int) -> Night:
    """The same by a session in a repository, as a user has it; the problem is one with `files`."""
    with workplace() as directory:
        if arm.model is None:
            return _session(directory, problem, {"provider": "tuner", "sampler": arm.sampler}, seed, count)
        with _model(problem, arm, seed) as server:
            critic = {"provider": "hybrid", "sampler": arm.sampler, "model": MODEL, "base_url": server.url}
            return _session(directory, problem, critic, seed, count)


def _alone(problem: Problem, critic: Critic, seed: int, count: int) -> Night:
    done: list[Experiment] = [experiment(0, "keep", problem.baseline, contract=_CONTRACT)]
    source, best = problem.source, problem.baseline
    ideas: Counter[str] = Counter()
    for number in range(1, count + 1):
        more: dict[str, Any] = {"metric": best, "lower_is_better": problem.lower_is_better, "contract": _CONTRACT}
        seeded = {"seed": zlib.crc32(tag(seed).encode()), "baseline": problem.baseline}
        idea = critic.propose(brief(ideas, source, number, done, **more, **seeded))
        ideas[idea.critic] += 1
        metric = problem.measure(**idea.parameters)
        measured = Measurement(metric, failure="" if metric is not None else "not valid")
        verdict = judge(measured, best, problem.lower_is_better)
        done.append(experiment(number, verdict.status, metric, idea, contract=_CONTRACT))
        if verdict.status == "keep":
            assert idea.content is not None
            assert metric is not None
            source, best = idea.content, metric
    proposals = [one.idea.parameters for one in done if one.idea is not None]
    return Night(proposals, [one.metric for one in done])


@contextmanager
def _critic(problem: Problem, arm: Arm, seed: int) -> Iterator[Critic]:
    """The critic of an arm, with a server that answers it if it asks a model."""
    tuner = Tuner(arm.sampler)
    if arm.model is None:
        yield tuner
        return
    with _model(problem, arm, seed) as server:
        line = Line(ollama(server.url))
        asked = problem_with(mutable_file="solution.py", lower_is_better=problem.lower_is_better)
        yield Hybrid(asked, line.model, Mask({}), line.desk, tuner, has_coder=False)
        line.model.close()


@contextmanager
def _model(problem: Problem, arm: Arm, seed: int) -> Iterator[ScriptedServer]:
    with serving(Improviser(problem, random.Random(tag(seed)), strong=arm.model == "strong")) as server:
        yield server


def _session(directory: Path, problem: Problem, critic: Mapping[str, Any], seed: int, count: int) -> Night:
    """What the ledger says of a session in a new repository."""
    assert problem.files is not None
    keys = {
        "mutable_file": "solution.py",
        "runner": f"{sys.executable} -S -E solution.py",
        "lower_is_better": problem.lower_is_better,
        "readonly_files": [*problem.files],
        "critic": critic,
    }
    toy = Toy(directory / "repository", files={"solution.py": problem.source, **problem.files}, problem=keys)
    arena = Arena(toy, tag(seed))
    arena.pytest(f"--iterations={count}")
    records = [json.loads(line) for line in arena.ledger.read_text().splitlines()]
    proposals = [record["idea"]["parameters"] for record in records if record["kind"] == "idea"]
    return Night(proposals, [record["metric"] for record in records if record["kind"] == "result"])
