"""What a person reads on the terminal: status words, what is about to run, and what came of it."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_autoresearch.errors import UserError
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
        lines += [f"  {line}" for line in (research.coder_in_words, research.estimate_in_words) if line]
    except UserError:
        lines.append("  critic: see precondition[critic_endpoint]")
    return lines


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

    def add(self, name: str, done: Experiment) -> None:
        """Count in one experiment; of a long run the last twenty are listed."""
        self._counts[done.status] += 1
        lines = self._lines.setdefault(name, [])
        lines.append(
            f"{done.label:>5} {_SHOWN[done.status]:9} {number(done.metric):>12}  {done.description}\n{_why(done)}"
        )
        del lines[:-_LISTED]

    def closing(self, name: str, research: Research, why_no_more: str) -> None:
        """Take down how a session stands before it is closed."""
        if research.is_open and research.options.loop:
            self._ends[name] = list(_end(research, research.session, why_no_more))

    def write(self, reporter: pytest.TerminalReporter) -> None:
        """Print it."""
        for name, end in self._ends.items():
            reporter.write_sep("=", f"autoresearch: {name}")
            for line in (*self._lines.get(name, ()), *end):
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
