"""The text of a pull request for a review branch, in Markdown."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterable, Iterator

from pytest_autoresearch.place import Place
from pytest_autoresearch.reports.story import Entry
from pytest_autoresearch.review.branch import Findings, Review, hypothesis, title
from pytest_autoresearch.review.comparison import Comparison
from pytest_autoresearch.text import plain

_HYPOTHESIS = 200
_MARKS = re.compile(r"([\\`*_\[\]|~$])")
# Where a forge would make a mention, a reference or a link of it, an invisible character keeps it from doing so.
_ACTIVE = re.compile(r"(@|#(?=\w)|:(?=//)|www(?=\.))", re.IGNORECASE)
_TRUST = {
    "evaluated": "evaluated: a process of its own read what the run wrote, beside pristine copies of the files that "
    "must not change.",
    "self-reported": "self-reported: the changed file prints its own number. Read the change with that in mind.",
}


def pull_request(place: Place, findings: Findings, review: Review, name: str, compared: Comparison | None) -> str:
    """The text for branch `name`: what was tried, what was kept, how it was measured, how to do it again."""
    parts = (
        [f"# {markdown(title(findings))}"],
        _what_was_tried(place, findings),
        _table("Kept", findings, review.keeps),
        _table("Left out, as later ones undid it", findings, review.left_out),
        _how_measured(findings, review, compared),
        _how_to_reproduce(place, findings, review, name),
    )
    return "\n\n".join(paragraph for part in parts for paragraph in part) + "\n"


def markdown(text: str) -> str:
    """Text from outside, on one line, as text that Markdown shows as it is."""
    flat = " ".join(plain(text).split())
    return _ACTIVE.sub("\\1\u2060", _MARKS.sub(r"\\\1", html.escape(flat, quote=False)))


def _what_was_tried(place: Place, findings: Findings) -> Iterator[str]:
    progress, tally = findings.story.progress, findings.tally
    tried = sum(score.tried for score in tally.scores.values())
    yield markdown(findings.problem.objective)
    yield (
        f"{tried} experiment{'' if tried == 1 else 's'} of session {markdown(place.branch)} in "
        f"{_duration(tally.seconds)} of runs: {progress.kept} kept, {progress.counts['discard']} discarded, "
        f"{progress.counts['crash']} crashed."
    )
    proposed = (f"{markdown(one.critic)}: {one.kept} kept of {one.tried}" for one in tally.scores.values())
    yield f"Proposed by {'; '.join(proposed)}."
    if progress.spent.tokens:
        yield f"Models: {progress.spent}."


def _table(heading: str, findings: Findings, entries: Iterable[Entry]) -> Iterator[str]:
    rows = [
        f"| {one.experiment.label} | {markdown(hypothesis(one, _HYPOTHESIS))} | {markdown(findings.effect(one))} "
        f"| {markdown(one.critic) or '-'} | {one.experiment.commit[:12]} |"
        for one in entries
    ]
    if rows:
        yield f"## {heading}"
        yield "\n".join(("| experiment | hypothesis | effect | critic | candidate |", "|---:|---|---|---|---|", *rows))


def _how_measured(findings: Findings, review: Review, compared: Comparison | None) -> Iterator[str]:
    problem = findings.problem
    yield "## How it was measured"
    better = "lower" if problem.lower_is_better else "higher"
    yield f"{markdown(problem.metric_name)}, {better} is better, {_TRUST[problem.trust]}"
    if compared is None:
        yield "The branch as a whole was not measured again; the figures are the session's."
        return
    found = compared.confirmation
    times = "once each" if found is None else f"{len(found.candidate)} times each in turn"
    yield (
        f"Measured again, {times}: {markdown(str(review.base))} gives {compared.base:.6g}, this branch "
        f"{compared.result:.6g}. {markdown(compared.verdict.reason)}."
    )


def _how_to_reproduce(place: Place, findings: Findings, review: Review, name: str) -> Iterator[str]:
    problem = findings.problem
    inside = [] if str(place.inside) == "." else [f"cd {shlex.quote(str(place.inside))}"]
    lines = [f"git switch {shlex.quote(name)}", *inside, *plain(problem.runner).splitlines()]
    if problem.evaluator:
        lines += plain(problem.evaluator).splitlines()
    yield "## How to reproduce"
    yield "\n".join(f"    {line}" for line in lines)
    yield f"The same on {markdown(review.base.commit[:12])} gives what it is compared with."


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
