"""A session on half a page of Markdown, as CI shows it beside a job."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from datetime import timedelta

from pytest_autoresearch.progress import Progress
from pytest_autoresearch.reports.story import Entry, Story
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.text import number, one_line, plain

_KEEPS = 20
_TEXT = 160
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~:@$.>&<-])")
_TRUST = {
    "evaluated": "a process that the candidate cannot touch computed the metric",
    "self-reported": "the candidate printed the metric itself",
}


def summary_markdown(story: Story) -> str:
    """What was tried, what it gave, and whether to trust it; LedgerDamaged if the ledger is not as it was written.

    Of the kept experiments the last twenty are listed. What a model or a candidate says stands there as code, so that
    nothing in it is Markdown, HTML, a link or a mention.
    """
    tally, keeps = Tally(story.problem.lower_is_better), deque[Entry](maxlen=_KEEPS)
    for entry in story.entries():
        tally.take(entry)
        if entry.experiment.number and entry.experiment.status == "keep":
            keeps.append(entry)
    lines = [f"### {_escaped(story.place.branch)}", "", _escaped(story.problem.objective), "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in _rows(story, tally)]
    return "\n".join([*lines, *_table(keeps, story.progress)]) + "\n"


def _rows(story: Story, tally: Tally) -> Iterator[tuple[str, str]]:
    progress, problem = story.progress, story.problem
    counts = progress.counts
    baseline, best = progress.baseline, progress.incumbent
    yield (
        "experiments",
        f"{progress.experiments}: {progress.kept} kept, {counts['discard']} discarded, {counts['crash']} crashed",
    )
    if baseline and best:
        direction = "lower" if problem.lower_is_better else "higher"
        change = _change(baseline.metric, best.metric)
        yield (
            _escaped(problem.metric_name),
            f"{number(baseline.metric)} → **{number(best.metric)}**{change}, {direction} is better",
        )
        yield "best", f"experiment {best.label}, commit {_code(best.commit[:12])}"
    yield "trust", f"{problem.trust}: {_TRUST[problem.trust]}"
    yield from (("noise", _escaped(line.removeprefix("noise: "))) for line in progress.spread.lines())
    yield "measuring", str(timedelta(seconds=round(tally.seconds)))
    if progress.spent.tokens:
        yield "models", str(progress.spent)


def _table(keeps: deque[Entry], progress: Progress) -> Iterator[str]:
    if not keeps:
        yield from ("", "Nothing was kept.")
        return
    yield from ("", "| kept | value | effect | hypothesis |", "|---:|---:|---|---|")
    for entry in keeps:
        done = entry.experiment
        found = done.confirmation
        effect = progress.spread.effect(found) if found else _signed(entry.delta)
        hypothesis = entry.idea.hypothesis if entry.idea else ""
        yield f"| {done.label} | {number(done.metric, '')} | {effect} | {_code(hypothesis)} |"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4g}"


def _change(baseline: float | None, best: float | None) -> str:
    if not baseline or best is None:
        return ""
    return f" ({(best - baseline) / abs(baseline):+.2%})"


def _escaped(text: str) -> str:
    """A line in which no character means anything to Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", one_line(plain(text), _TEXT))


def _code(text: str) -> str:
    """A line as code in a cell of a table."""
    shown = one_line(plain(text), _TEXT).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`" if shown else ""
