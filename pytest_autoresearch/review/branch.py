"""The keeps of a session as a branch that somebody can review: which of them, on what, said how."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.reports.story import Entry, Story
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.review.commits import File, commit_file, find_file
from pytest_autoresearch.review.replay import Clash, Step, dead_weight, replay, without
from pytest_autoresearch.text import head, one_line, plain

_SUBJECT, _BODY = 72, 2000
_ALL_AT_ONCE = "As one commit it may fit: --squash. "


@dataclass(frozen=True, slots=True)
class Base:
    """What the review branch stands on: a commit, known to the user as `name`, and the mutable file there."""

    name: str
    commit: str
    file: File

    def __str__(self) -> str:
        return f"{self.name} ({self.commit[:12]})"


@dataclass(frozen=True, slots=True)
class Findings:
    """A session as far as a review is concerned: its keeps, oldest first, and what all of it adds up to."""

    story: Story
    problem: Problem
    keeps: tuple[Entry, ...]
    tally: Tally

    @property
    def start(self) -> str:
        """The commit that the session began with."""
        return str(self.story.progress.beginning["commit"])

    def effect(self, entry: Entry) -> str:
        """What a keep changed about the metric, with its interval where it was measured again."""
        done, name = entry.experiment, self.problem.metric_name
        if done.confirmation is not None:
            spread, found = self.story.progress.spread, done.confirmation
            before = sum(found.incumbent) / len(found.incumbent)
            return f"{name}: {before:.6g} → {done.metric:.6g}, {spread.effect(found)}, {found.in_words}"
        if entry.beaten is None or entry.delta is None:
            return f"{name}: {done.metric:.6g}"
        return f"{name}: {entry.beaten:.6g} → {done.metric:.6g} ({entry.delta:+.6g})"


@dataclass(frozen=True, slots=True)
class Review:
    """A branch that could be made: its commits end in `tip`, which holds `keeps`; `left_out` has no part in it."""

    base: Base
    tip: str
    keeps: tuple[Entry, ...]
    left_out: tuple[Entry, ...]


def find_findings(place: Place, problem: Problem, own: Problem) -> Findings:
    """The session at `place`, whose own problem is `own`; UserError if it kept nothing."""
    story, tally = Story(place, problem), Tally(lower_is_better=own.lower_is_better)
    keeps = []
    for entry in story.entries():
        tally.take(entry)
        if entry.experiment.status == "keep" and entry.experiment.number:
            keeps.append(entry)
    if not keeps:
        raise UserError(f"session {place.branch} has kept nothing yet, so there is nothing to review; let it go on")
    git, wanted = Git(place.home), [story.progress.beginning["commit"], *(one.experiment.commit for one in keeps)]
    for commit in sorted(git.missing(wanted)):
        raise UserError(
            f"commit {commit} of session {place.branch} is in {place.home} no more; fetch it from a copy of the "
            "repository, or from an exported session: pytest-autoresearch import FILE"
        )
    return Findings(story, own, tuple(keeps), tally)


def find_base(place: Place, named: str | None, start: str, path: str) -> Base:
    """The commit that a review stands on: the one that is `named`, else the one that the user's checkout is on.

    Where that is the session's own checkout it is `start`, the session's beginning. UserError if there is no such
    commit, or the mutable file, at `path`, is not in it.
    """
    git = Git(place.home)
    branch = git.ask("symbolic-ref", "--quiet", "--short", "HEAD") or "HEAD"
    if named is None:
        named, revision = ("the session's start", start) if branch == place.branch else (branch, "HEAD")
    else:
        revision = named
    commit = git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise UserError(f"--base: there is no commit {named!r} in {place.home}; name a branch, a tag or a commit")
    file = find_file(git, commit, path)
    if file is None:
        raise UserError(
            f"{path}: is no file of {named} ({commit[:12]}), so there is nothing there to change; add it: "
            f"git add --force -- {shlex.quote(path)} && git commit, or name another commit with --base"
        )
    return Base(named, commit, file)


def build_review(place: Place, findings: Findings, base: Base, *, squash: bool) -> Review:
    """The commits of a review, which no ref names yet; UserError if the keeps do not fit on `base`."""
    git = Git(place.home)
    steps = _steps(git, findings, base.file.path)
    dropped = dead_weight(steps)
    live = without(steps, dropped)
    keeps = {one.experiment.number: one for one in findings.keeps if one.experiment.number not in dropped}
    if squash:
        live = [replace(steps[-1], before=steps[0].before)]
    tip, previous, taken, who = base.commit, base.file.content, list[Entry](), git.identity()
    for step, content in zip(live, _on_base(place, findings, base, live), strict=True):
        if content != previous:
            entry, file = keeps[step.number], replace(base.file, content=content)
            taken += keeps.values() if squash else [entry]
            message = _squashed(place, findings, taken) if squash else _message(place, findings, entry)
            tip, previous = commit_file(git, tip, file, message, who=who, when=int(entry.experiment.at)), content
    if previous == base.file.content:
        raise UserError(f"{base} holds what session {place.branch} kept already; there is nothing to review")
    return Review(base, tip, tuple(taken), tuple(one for one in findings.keeps if one not in taken))


def _steps(git: Git, findings: Findings, path: str) -> list[Step]:
    """What each keep made of the mutable file."""
    commits = [findings.start, *(one.experiment.commit for one in findings.keeps)]
    contents = [git.output("cat-file", "blob", f"{commit}:{path}") for commit in commits]
    return [
        Step(entry.experiment.number, before, after, entry.experiment.label)
        for entry, before, after in zip(findings.keeps, contents, contents[1:], strict=False)
    ]


def _on_base(place: Place, findings: Findings, base: Base, steps: Sequence[Step]) -> list[bytes]:
    """What each step makes of the base's file; UserError if one does not fit."""
    if base.file.content == steps[-1].after:
        return [base.file.content for _ in steps]
    try:
        return replay(base.file.content, steps)
    except Clash as clash:
        here, name, at_once = shlex.quote(str(place.home)), f"{place.branch}-review", len(steps) == 1
        raise UserError(
            f"{base} and {'the result' if at_once else f'experiment {clash.step.label}'} of session {place.branch} "
            f"change the same lines of {base.file.path}; nothing was made. {'' if at_once else _ALL_AT_ONCE}To merge "
            f"it by hand: pytest-autoresearch finalize --base {findings.start[:12]} && git -C {here} merge {name}. Or "
            f"begin another session on {base.name} with --autoresearch-tag"
        ) from None


def _message(place: Place, findings: Findings, entry: Entry) -> str:
    """The message of one keep's commit: the hypothesis, why, and what was measured."""
    done, idea = entry.experiment, entry.idea
    why = head(plain(idea.justification).strip(), _BODY) if idea else ""
    facts = (
        findings.effect(entry),
        "",
        f"Experiment: {done.label} of session {place.branch}",
        f"Critic: {one_line(entry.critic, _SUBJECT) or '-'}",
        f"Candidate: {done.commit}",
    )
    return "\n".join((hypothesis(entry, _SUBJECT), "", *((why, "") if why else ()), *facts))


def _squashed(place: Place, findings: Findings, keeps: Sequence[Entry]) -> str:
    """The message of the one commit that holds all keeps."""
    lines = [
        f"{one.experiment.label}. {hypothesis(one, _SUBJECT)}\n   {findings.effect(one)}\n"
        f"   critic {one_line(one.critic, _SUBJECT) or '-'}, candidate {one.experiment.commit}"
        for one in keeps
    ]
    return "\n".join((title(findings), "", *lines, "", f"Session: {place.branch}"))


def title(findings: Findings) -> str:
    """What the session came to, in a line."""
    baseline, best = findings.story.progress.baseline, findings.keeps[-1].experiment
    assert baseline is not None
    same = baseline.contract == best.contract
    change = f"{baseline.metric:.6g} → {best.metric:.6g}" if same else f"now {best.metric:.6g}"
    return one_line(f"{findings.problem.mutable_file}: {findings.problem.metric_name} {change}", _SUBJECT)


def hypothesis(entry: Entry, length: int) -> str:
    """What a keep is said to do, in a line."""
    return one_line(plain(entry.experiment.description), length) or f"experiment {entry.experiment.label}"
