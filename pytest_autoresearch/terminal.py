"""What a person reads on the terminal: status words, what is about to run, and what came of it."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.idle import idle_keys
from pytest_autoresearch.records import Experiment, Status
from pytest_autoresearch.reports.sparkline import closing_lines
from pytest_autoresearch.reports.story import Story
from pytest_autoresearch.research import Research
from pytest_autoresearch.session import Session
from pytest_autoresearch.text import number, one_line

_WORDS = {
    "keep": ("kept", "K", ("KEPT", {"green": True})),
    "discard": ("discarded", "d", ("DISCARDED", {"yellow": True})),
    "crash": ("crashed", "C", ("CRASHED", {"red": True})),
    "noop": ("noop", "n", ("NOOP", {"yellow": True})),
}
_SHOWN: dict[Status, str] = {"keep": "KEPT", "discard": "DISCARDED", "crash": "CRASHED"}
_LISTED = 20
_OBJECTIVE = 160


def status_word(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """KEPT, DISCARDED, CRASHED or NOOP for an iteration that was carried out."""
    if report.when != "call" or not report.passed:
        return None
    return _WORDS.get(str(dict(report.user_properties).get("status")))


def announcement(name: str, research: Research) -> list[str]:
    """What is about to run on the problem `name`, before it runs."""
    try:
        problem, place = research.problem, research.place
    except UserError:
        return [f"autoresearch: {name}: see its preconditions"]
    direction = "minimise" if problem.lower_is_better else "maximise"
    lines = [
        f"autoresearch: {one_line(problem.objective, _OBJECTIVE)}",
        f"  {direction} {problem.metric_name} ({problem.trust}) by changing {problem.mutable_file}; "
        f"{problem.time_budget_s:g} s an experiment, ended at {problem.hard_timeout_s:g} s",
        f"  session {place.branch}, in {place.checkout / place.inside}",
    ]
    lines += [f"  {line}" for line in [research.engine_in_words] if line]
    try:
        lines.append(f"  critic {research.choice.critic.name}: {research.choice.why}")
        said = (research.coder_in_words, research.estimate_in_words, *_idle_keys(research))
        lines += [f"  {line}" for line in said if line]
    except UserError:
        lines.append("  critic: see precondition[critic_endpoint]")
    return lines


def _idle_keys(research: Research) -> Iterator[str]:
    is_asked = research.choice.models is not None or research.uses_editor
    server = research.models.server if is_asked else None
    return idle_keys(research.problem, server, uses_editor=research.uses_editor)


@dataclass(frozen=True, slots=True)
class News:
    """What happened on one problem, with the lines that say so.

    An experiment, which has a `status`; the end of a session; a check that failed; something that was said.
    """

    kind: Literal["experiment", "end", "failed", "said"]
    problem: str
    lines: list[str]
    status: str = ""


def of_experiment(name: str, done: Experiment) -> News:
    """What the summary says of an experiment on the problem `name`."""
    line = f"{done.label:>5} {_SHOWN[done.status]:9} {number(done.metric):>12}  {done.description}"
    return News("experiment", name, [f"{line}\n{_why(done)}"], done.status)


def of_end(name: str, research: Research, why_no_more: str) -> News:
    """How a session that is open stands before it is closed."""
    return News("end", name, list(_end(research, research.session, why_no_more)))


class Summary:
    """What the experiments of one run add up to, problem by problem."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lines: dict[str, list[str]] = {}
        self._ends: dict[str, list[str]] = {}

    @property
    def experiments(self) -> int:
        """How many experiments this run made."""
        return self._counts.total()

    @property
    def all_crashed(self) -> bool:
        """Whether there were experiments and each of them crashed."""
        return 0 < self._counts.total() == self._counts["crash"]

    def take(self, news: News) -> None:
        """Count in an experiment, or take down how a session ended; of a long run the last twenty are listed."""
        if news.kind == "end":
            self._ends[news.problem] = news.lines
            return
        self._counts[news.status] += 1
        lines = self._lines.setdefault(news.problem, [])
        lines += news.lines
        del lines[:-_LISTED]

    def write(self, reporter: pytest.TerminalReporter, problems: Sequence[str]) -> None:
        """Print it, in the order of the problems."""
        for name in problems:
            lines = (*self._lines.get(name, ()), *self._ends.get(name, ()))
            if lines:
                reporter.write_sep("=", f"autoresearch: {name}")
            for line in lines:
                reporter.write_line(line)


def _end(research: Research, session: Session, why_no_more: str) -> Iterator[str]:
    progress, problem = session.progress, session.problem
    counts = progress.counts
    baseline = progress.baseline.metric if progress.baseline else None
    best = progress.incumbent.metric if progress.incumbent else None
    yield (
        f"session {session.workspace.branch}: {progress.kept} kept, {counts['discard']} discarded, "
        f"{counts['crash']} crashed of {progress.experiments} experiments"
    )
    if progress.spent.tokens:
        yield f"models: {progress.spent.tokens:,} tokens{_money(progress.spent.usd)}"
    yield f"{problem.metric_name}: {number(baseline)} → {number(best)}{_improvement(baseline, best)}, {problem.trust}"
    yield from progress.spread.lines()
    if why_no_more:
        yield f"no more: {why_no_more}"
    yield from (f"note: {notice}" for notice in session.notices)
    yield f"checkout: {session.workspace.project}"
    if progress.incumbent and progress.incumbent.number:
        home = research.place.home
        yield f"look: git -C {_path(home)} log -p {session.start[:12]}..{session.workspace.branch}"
        if not research.place.is_at_home:
            yield f"take: git -C {_path(home)} merge {session.workspace.branch}"
    yield f"read on: {_path(research.paths['report.html'])}"
    yield from closing_lines(Story(research.place, problem), sys.stdout.encoding or "ascii")
    yield f"go on: {'change what is said above, then ' if why_no_more else ''}the same command again"


def _improvement(baseline: float | None, best: float | None) -> str:
    if not baseline or best is None or best == baseline:
        return ""
    return f" ({(best - baseline) / abs(baseline):+.2%})"


def _money(usd: float) -> str:
    return f", USD {usd:.4g}" if usd else ""


def _why(done: Experiment) -> str:
    return f"{'':5} {'':9} {'':12}  {done.reason}"


def _path(path: Path) -> str:
    return shlex.quote(str(path))
