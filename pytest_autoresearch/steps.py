"""The steps of an experiment one at a time, for a person or an agent who drives the session by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from pytest_autoresearch.attempt import Attempt
from pytest_autoresearch.coders.program import write_program
from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.preconditions import Preconditions
from pytest_autoresearch.records import Experiment, Idea, Status
from pytest_autoresearch.research import Parts, Research
from pytest_autoresearch.session import by_hand
from pytest_autoresearch.text import one_line

_NEEDED = ("repo_git", "tools_present", "problem_yaml", "baseline_smoke")
_WORDS: dict[Status, str] = {"keep": "KEPT", "discard": "DISCARDED", "crash": "CRASHED"}
_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Bench:
    """An open problem to take steps on; `tell` prints a line."""

    research: Research
    checks: Preconditions
    parts: Parts
    tell: Callable[[str], None]


class Step(Protocol):
    """One thing to do."""

    def __call__(self, bench: Bench) -> None:
        """Do it; UserError if it cannot be done."""


def propose(bench: Bench, *, dry_run: bool = False) -> None:
    """Ask the critic for the next idea and put it on record; in a dry run it is only shown."""
    _require(bench, "critic_endpoint")
    session = bench.research.session
    with _not_exhausted():
        if dry_run:
            _show(bench, bench.parts.propose(replace(session.brief(), rehearsal=True)))
            return
        had = session.progress.pending_idea
        bench.research.announce()
        idea = session.propose(lambda brief: bench.parts.propose(replace(brief, rehearsal=True)))
    if had is not None:
        bench.tell("this experiment has its idea already; `pytest-autoresearch reset` drops it")
    _show(bench, idea)
    bench.tell(f"written to {session.idea_file}")
    write_program(bench.research.site)


def apply(bench: Bench, *, dry_run: bool = False) -> None:
    """Have the coder make the edit of the idea; a dry run prints the exact command instead."""
    _require(bench)
    session = bench.research.session
    idea = session.progress.pending_idea
    if idea is None:
        raise UserError("there is no idea to apply; ask for one: pytest-autoresearch propose")
    if session.edit is not None:
        raise UserError(
            f"{session.workspace.mutable} is edited already; have that measured (pytest-autoresearch run), or take it "
            "back (pytest-autoresearch reset)"
        )
    if dry_run:
        bench.tell(bench.research.plan(idea))
        return
    attempt = Attempt(bench.research, bench.parts)
    with _not_exhausted():
        attempt.prepare()
    if attempt.candidate is None:
        raise UserError(attempt.misfit or attempt.why_nothing)
    session.workspace.write(attempt.candidate.content)
    commit = attempt.candidate.commit[:12]
    bench.tell(f"applied to {session.workspace.mutable} as {commit}; have it measured: pytest-autoresearch run")


def run(bench: Bench, *, message: str | None = None) -> None:
    """Measure the edit that is there, judge it and put it on record; `message` says in a line what was tried."""
    _require(bench)
    research, session = bench.research, bench.research.session
    if session.edit is None and session.progress.pending_candidate is None:
        if session.progress.next_number == 1:
            bench.tell(f"the baseline is measured: {bench.checks.result('baseline_smoke', bench.parts).detail}")
            return
        raise UserError(
            f"there is nothing to measure: {session.workspace.mutable} is as the best experiment so far left it. "
            "Edit it, or have it edited: pytest-autoresearch propose, then apply"
        )
    if message is not None and session.edit is not None:
        if session.progress.pending_idea is not None:
            session.drop("another edit was made instead")
        session.take(by_hand(one_line(message, 500)))
    research.announce()
    attempt = Attempt(research, bench.parts)
    with _not_exhausted():
        attempt.prepare()
    done = attempt.finish()
    if done is None:
        raise UserError(f"no experiment: {attempt.why_nothing}")
    for line in _outcome(done):
        bench.tell(line)
    write_program(research.site)


def reset(bench: Bench) -> None:
    """Put the incumbent's file back and drop what is under way; an edit is kept aside."""
    session = bench.research.session
    told = False
    if session.edit is not None:
        bench.tell(f"the edit is kept as {session.workspace.copy_aside(session.edit)}")
        session.edit, told = None, True
    session.workspace.restore()
    if (idea := session.progress.pending_idea) is not None:
        session.drop("reset by hand")
        session.idea_file.unlink(missing_ok=True)
        bench.tell(f"dropped: {idea.hypothesis}")
        told = True
    bench.tell("the best experiment's file is in place" if told else "there is nothing to take back")


def _require(bench: Bench, *more: str) -> None:
    """What has to hold before a step; UserError says what does not."""
    for name in (*_NEEDED, *more):
        result = bench.checks.result(name, bench.parts)
        if not result.holds:
            raise UserError(f"{result.name}: {result.detail}")
    for notice in bench.research.session.notices:
        bench.tell(f"note: {notice}")


def _show(bench: Bench, idea: Idea) -> None:
    expected = "" if idea.expected_delta is None else f", expected {idea.expected_delta:+g}"
    bench.tell(f"{idea.hypothesis} (risk {idea.risk_level}{expected})")
    for text in (idea.justification, idea.code_pseudocode):
        if text:
            bench.tell(text)


def _outcome(done: Experiment) -> Iterator[str]:
    value = "" if done.metric is None else f" {done.metric:.6g}"
    yield f"experiment {done.number}: {_WORDS[done.status]}{value}: {done.reason}"
    if done.status == "crash" and done.log_tail.strip():
        yield "the end of its log:"
        yield from done.log_tail.rstrip().splitlines()[-_LOG_LINES:]


@contextmanager
def _not_exhausted() -> Iterator[None]:
    """A critic that has nothing left, or may spend nothing more, is for the user to know."""
    try:
        yield
    except Exhausted as exhausted:
        raise UserError(f"no idea: {exhausted}") from None
