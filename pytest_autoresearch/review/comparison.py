"""Two commits measured against each other, in a checkout that is gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from statistics import fmean

from pytest_autoresearch.engines.exclusive import Exclusive
from pytest_autoresearch.engines.ray import RayEngine
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.judge import judge
from pytest_autoresearch.noise import confirm
from pytest_autoresearch.opening import OpenSession, open_at
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import Candidate, Confirmation, Measurement, Role, Verdict
from pytest_autoresearch.runner import Stage
from pytest_autoresearch.sections import EngineSection

Tell = Callable[[str], None]
Run = Callable[[Candidate], Measurement]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the base and the result gave, and whether the result is better.

    Under `noise:` both are means over `confirmation`, else each was measured once.
    """

    base: float
    result: float
    verdict: Verdict
    confirmation: Confirmation | None = None

    @property
    def is_better(self) -> bool:
        """Whether the result is better than the base, as far as the problem's own rule can tell."""
        return self.verdict.status == "keep"


def compare(place: Place, problem: Problem, base: str, result: str, tell: Tell) -> Comparison:
    """Measure the commit `result`, which differs from `base` by the mutable file alone, against it.

    That is done as the problem of `base` says, where the session's `engine` measures; UserError if one of them gives
    no metric.
    """
    with open_at(place, problem, base, _no_tick) as opened, _measuring(place, opened, problem.engine, tell) as run:
        bench = _Bench(opened, run, base, result, tell)
        noise, lower = opened.session.problem.noise, opened.session.problem.lower_is_better
        if noise is None:
            before, after = bench.measure("incumbent"), bench.measure("candidate")
            return Comparison(before, after, judge(Measurement(after), before, lower))
        found = confirm(noise, 0, lower, bench.measure)
        before, after = fmean(found.incumbent), fmean(found.candidate)
        verdict = judge(Measurement(after, confirmation=found), before, lower, noise)
        return Comparison(before, after, verdict, found)


class _Bench:
    """What is measured in an open session: its own commit as the incumbent, another one as the candidate."""

    def __init__(self, opened: OpenSession, run: Run, base: str, result: str, tell: Tell) -> None:
        self._run = run
        self._tell = tell
        self._workspace = workspace = opened.session.workspace
        content = workspace.git.output("cat-file", "--filters", f"{result}:{workspace.path}")
        if content == workspace.incumbent:
            raise UserError(
                f"{workspace.path}, the mutable file as problem.yaml of {base[:12]} has it, is not what the session "
                "changed; name another commit with --base, or begin another session there with --autoresearch-tag"
            )
        self._candidates: dict[Role, Candidate] = {
            "incumbent": Candidate(0, base, "", "", workspace.incumbent),
            "candidate": Candidate(0, result, base, "", content),
        }

    def measure(self, role: Role) -> float:
        """The metric of one of them; UserError if it gives none."""
        candidate, name = self._candidates[role], "the base" if role == "incumbent" else "the result"
        self._workspace.write(candidate.content)
        measured = self._run(candidate)
        if measured.metric is None:
            log = f"\nThe end of its log:\n{measured.log_tail.rstrip()}" if measured.log_tail.strip() else ""
            raise UserError(f"{name} ({candidate.commit[:12]}) gives no metric: {measured.failure}{log}")
        self._tell(f"{name}: {measured.metric:.6g} ({measured.seconds:.1f} s)")
        return measured.metric


@contextmanager
def _measuring(place: Place, opened: OpenSession, section: EngineSection, tell: Tell) -> Iterator[Run]:
    """What runs a candidate: the cluster, or this machine once no other session uses what is exclusive."""
    with Exclusive(section.exclusive, lambda name, elapsed: None).held():
        if section.kind == "local":
            yield opened.runner.measure
        else:
            with closing(RayEngine(place, opened, section, _no_tick, tell)) as engine:
                yield engine.measure


def _no_tick(stage: Stage, elapsed: float) -> None:
    """Nobody watches."""
