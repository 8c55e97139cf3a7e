"""The steps of an experiment one at a time, for a person or an agent who drives the session by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from pytest_autoresearch.attempt import Attempt
from pytest_autoresearch.coders.choice import chosen_section, uses_editor
from pytest_autoresearch.coders.program import write_program
from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.opening import has_begun
from pytest_autoresearch.preconditions import Preconditions
from pytest_autoresearch.records import BY_HAND, Candidate, Experiment, Idea, Seat, Status, by_hand
from pytest_autoresearch.research import Parts, Research
from pytest_autoresearch.round import attempt_of
from pytest_autoresearch.session import Session
from pytest_autoresearch.text import one_line

_WORDS: dict[Status, str] = {"keep": "KEPT", "discard": "DISCARDED", "crash": "CRASHED"}
_LOG_LINES = 15
_MESSAGE = 500
_NAME, _NAMES = 80, 5


@dataclass(frozen=True, slots=True)
class Bench:
    """An open problem to take steps on.

    `tell` prints a line of the step's result, `note` one of what else there is to say. `recorded` is told of an
    experiment that is on record.
    """

    research: Research
    checks: Preconditions
    parts: Parts
    tell: Callable[[str], None]
    note: Callable[[str], None]
    recorded: Callable[[Experiment], None]


class Step(Protocol):
    """One thing to do."""

    def __call__(self, bench: Bench) -> None:
        """Do it; UserError if it cannot be done."""


def propose(bench: Bench, *, dry_run: bool = False) -> None:
    """Ask the critic for the next idea and put it on record; in a dry run it is only shown."""
    _leave_agent_out(bench.research)
    _require(bench, "critic_endpoint")
    session = bench.research.session
    if dry_run:
        with _not_exhausted("no idea"):
            _show(bench, bench.parts.propose(replace(session.brief(), rehearsal=True)))
        return
    had = session.progress.pending_idea
    if had is None:
        _refuse_edit(session)
        bench.research.announce()
    with _not_exhausted("no idea"):
        idea = session.propose(lambda brief: bench.parts.propose(replace(brief, rehearsal=True)))
    if had is not None:
        bench.note("this experiment has its idea already; to drop it: pytest-autoresearch reset")
    _show(bench, idea)
    bench.tell(f"written to {session.idea_file}")
    write_program(bench.research.site)


def apply(bench: Bench, *, dry_run: bool = False) -> None:
    """Have the coder make the edit of the idea; a dry run prints the exact command instead, and runs nothing."""
    session = _begun(bench.research)
    idea = session.progress.pending_idea
    if idea is None:
        raise UserError("there is no idea to apply; ask for one: pytest-autoresearch propose")
    if dry_run:
        bench.tell(bench.research.plan(idea))
        return
    _require(bench)
    _refuse_edit(session)
    attempt = Attempt(bench.research, bench.parts)
    with _not_exhausted("no edit"):
        attempt.prepare()
    if attempt.candidate is None:
        kept = session.progress.pending_idea is not None
        what = "the idea is kept; apply it again, or drop it (pytest-autoresearch reset)" if kept else "it is dropped"
        raise UserError(f"{attempt.misfit or attempt.why_nothing}; {what}")
    commit = attempt.candidate.commit[:12]
    bench.tell(f"applied to {session.workspace.mutable} as {commit}; have it measured: pytest-autoresearch run")


def run(bench: Bench, *, message: str | None = None) -> None:
    """Measure the edit that is there, judge it and put it on record; `message` says in a line what was tried."""
    research = bench.research
    _leave_agent_out(research)
    measured_baseline = _require(bench)
    session = research.session
    if session.hand.edit is None and session.progress.pending_candidate is None:
        if measured_baseline:
            write_program(research.site)
            return
        raise UserError(_nothing_to_measure(session))
    _point_out_what_is_not_kept(bench)
    _describe(bench, message)
    session.write("run", run_id=research.run_id, critic=BY_HAND, why="one step, by hand")
    # an iteration of several that was killed is brought to its end; an edit by hand is one experiment
    attempt = Attempt(research, bench.parts) if session.hand.edit is not None else attempt_of(research, bench.parts)
    attempt.prepare()
    finished = attempt.finish()
    if not finished:
        raise UserError(f"no experiment: {attempt.why_nothing}")
    for line in (line for done in finished for line in _outcome(done)):
        bench.tell(line)
    bench.research.views.take(finished)
    for done in finished:
        bench.recorded(done)
    if reason := session.stop_reason():
        bench.note(f"this is enough: {reason}")
    write_program(research.site)


def reset(bench: Bench) -> None:
    """Put the incumbent's file back and drop what is under way; an edit is kept aside."""
    session = _begun(bench.research)
    edit, session.hand.edit = session.hand.edit, None
    if edit is None and (candidate := _under_way(session)) is not None:
        edit = candidate.content
    if edit is not None:
        bench.tell(f"the edit is kept as {session.workspace.copy_aside(edit)}")
    session.workspace.restore()
    dropped = list(_dropped(session))
    for idea in dropped:
        bench.tell(f"dropped: {idea.hypothesis}")
    nothing = edit is None and not dropped
    bench.tell("there is nothing to take back" if nothing else "the best experiment's file is in place")


def _dropped(session: Session) -> Iterator[Idea]:
    """Let go of the ideas that wait: one, or those of an iteration of several that was killed."""
    for number in session.progress.pending:
        idea = session.progress.idea_of(number)
        assert idea is not None
        with session.working_on(Seat(number, *session.progress.place_of(number))):
            session.drop("reset by hand")
        session.idea_file.unlink(missing_ok=True)
        yield idea


def leave(session: Session) -> None:
    """Leave in the mutable file what `run` would measure: an edit by hand, else the candidate that is under way."""
    edit = session.hand.edit
    session.hand.put_back()
    if edit is not None and session.hand.edit == edit:
        session.workspace.write(edit)
    elif session.hand.edit is None and (candidate := _under_way(session)) is not None:
        session.workspace.write(candidate.content)


def _under_way(session: Session) -> Candidate | None:
    """The candidate that was made of the pending idea, while there is no newer edit."""
    idea = session.progress.pending_idea
    if idea is None or session.progress.pending_candidate is None:
        return None
    return session.apply(idea, lambda idea, source: source)


def _require(bench: Bench, *more: str) -> bool:
    """Whether the baseline had to be measured for what has to hold before a step; UserError says what does not."""
    for name in ("repo_git", "tools_present", "problem_yaml"):
        _hold(bench, name)
    session = bench.research.session
    new = session.progress.incumbent is None
    detail = _hold(bench, "baseline_smoke")
    if new:
        bench.tell(f"the baseline is measured: {detail}")
    for name in more:
        _hold(bench, name)
    return new


def _hold(bench: Bench, name: str) -> str:
    """What one check saw; UserError if it does not hold."""
    result = bench.checks.result(name, bench.parts)
    if not result.holds:
        raise UserError(f"{result.name}: {result.detail}")
    return result.detail


def _begun(research: Research) -> Session:
    """The session, if there is one: what only goes on with something begins nothing."""
    if not has_begun(research.place):
        raise UserError(f"there is no session {research.place.branch} yet; begin it: pytest-autoresearch run")
    return research.session


def _leave_agent_out(research: Research) -> None:
    """A step that has nothing applied needs no agent to be installed."""
    section = chosen_section(research.problem.coder, research.options.coder)
    if section.enabled and not uses_editor(section):
        research.options = replace(research.options, coder="external")


def _refuse_edit(session: Session) -> None:
    """UserError if there is an edit that waits to be measured."""
    if session.hand.edit is not None:
        raise UserError(
            f"{session.workspace.mutable} is edited already; have that measured (pytest-autoresearch run), or take it "
            "back (pytest-autoresearch reset)"
        )


def _nothing_to_measure(session: Session) -> str:
    """What to say where nothing was edited, and what to do about it."""
    mutable = session.workspace.mutable
    if session.progress.pending_idea is not None:
        return (
            f"there is nothing to measure: the idea is not applied yet. Edit {mutable}, or have it edited: "
            "pytest-autoresearch apply"
        )
    return (
        f"there is nothing to measure: {mutable} is as the best experiment so far left it. Edit it, or have it "
        "edited: pytest-autoresearch propose, then apply"
    )


def _point_out_what_is_not_kept(bench: Bench) -> None:
    """A keep is a commit of the mutable file: what else was changed for it would be missing on the branch."""
    workspace = bench.research.session.workspace
    changed = workspace.git.listed("diff", "--name-only", "-z", workspace.tip)
    new = workspace.git.listed("ls-files", "-z", "--others", "--exclude-standard", ":/")
    names = [one_line(name, _NAME) for name in (*changed, *new) if name != workspace.path]
    if names:
        shown = ", ".join(names[:_NAMES]) + (" and others" if names[_NAMES:] else "")
        bench.note(f"only {workspace.path} is kept; what differs besides is in no commit of the session: {shown}")


def _describe(bench: Bench, message: str | None) -> None:
    """Let an edit by hand be the idea that `message` says it is."""
    session, text = bench.research.session, one_line(message or "", _MESSAGE)
    if not text:
        return
    if session.hand.edit is None:
        bench.note("--message is for edits by hand; this one is the idea's, as it was applied")
        return
    if (idea := session.progress.pending_idea) is not None:
        session.drop("another edit was made instead")
        bench.note(f"the edit goes by the message, and the idea is dropped: {one_line(idea.hypothesis, _NAME)}")
    session.take(by_hand(text))


def _show(bench: Bench, idea: Idea) -> None:
    expected = "" if idea.expected_delta is None else f", expected {idea.expected_delta:+g}"
    bench.tell(f"{idea.hypothesis} (risk {idea.risk_level}{expected})")
    for text in (idea.justification, idea.code_pseudocode):
        if text:
            bench.tell(text)


def _outcome(done: Experiment) -> Iterator[str]:
    value = "" if done.metric is None else f" {done.metric:.6g}"
    yield f"experiment {done.label}: {_WORDS[done.status]}{value}: {done.reason}"
    if done.status == "crash" and done.log_tail.strip():
        yield "the end of its log:"
        yield from done.log_tail.rstrip().splitlines()[-_LOG_LINES:]


@contextmanager
def _not_exhausted(without: str) -> Iterator[None]:
    """A critic that has nothing left, or a model that may spend nothing more, is for the user to know."""
    try:
        yield
    except Exhausted as exhausted:
        raise UserError(f"{without}: {exhausted}") from None
