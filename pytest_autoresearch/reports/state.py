"""`STATE.md`: where a session stands, on one page, for a person or a model that comes to it fresh."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pytest_autoresearch.git import Git
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.progress import Progress
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.reports.markdown import cell, fenced
from pytest_autoresearch.reports.story import Story
from pytest_autoresearch.text import number, plain, tail

LAST = 10
RECENT = 5 * LAST
"""Among so many of the last experiments crashes are looked for."""

_CRASHES, _LOG = 3, 600
_HEADING = "# State of session "


def state_text(problem: Problem, progress: Progress, recent: Sequence[Experiment], branch: str, git: Git) -> str:
    """The page; `recent` are the last experiments, the youngest last, and `git` is that of the session's branch."""
    return "".join(
        (
            f"{_HEADING}{branch}\n\n{cell(problem.objective)}\n\n",
            *_standing(problem, progress),
            *_next(progress),
            *_last(recent[-LAST:]),
            *_crashes(one for one in reversed(recent) if one.status == "crash"),
            f"## Kept\n\n{fenced(_log(git, progress))}",
        )
    )


def is_ours(text: str) -> bool:
    """Whether a page was written here."""
    return text.startswith(_HEADING)


def _standing(problem: Problem, progress: Progress) -> Iterator[str]:
    best, baseline, counts = progress.incumbent, progress.baseline, progress.counts
    yield "## Best\n\n"
    if best is None or baseline is None:
        yield "There is no baseline yet.\n\n"
        return
    direction = "lower is better" if problem.lower_is_better else "higher is better"
    yield f"- {cell(problem.metric_name)} ({direction}): {number(baseline.metric)} → {number(best.metric)}"
    yield f", {problem.trust}\n- experiment {best.label}, `{best.commit[:12]}`: {cell(best.description)}\n"
    yield f"- {progress.experiments} experiments: {progress.kept} kept, {counts['discard']} discarded, "
    yield f"{counts['crash']} crashed; {progress.since_keep} since the last keep\n"
    yield from (f"- {cell(line)}\n" for line in progress.spread.lines())
    yield "\n"


def _next(progress: Progress) -> Iterator[str]:
    if progress.pending:
        yield "## Next\n\n"
    for waiting in progress.pending:
        if (idea := progress.idea_of(waiting)) is not None:
            yield f"Experiment {progress.label_of(waiting)}, {cell(idea.critic)}: {cell(idea.hypothesis)}\n\n"


def _last(recent: Sequence[Experiment]) -> Iterator[str]:
    if not recent:
        return
    yield "## Last experiments\n\n| experiment | status | metric | what | why |\n| --- | --- | --- | --- | --- |\n"
    for one in recent:
        cells = (one.label, one.status, one.metric, one.description, one.reason)
        yield f"| {' | '.join(map(cell, cells))} |\n"
    yield "\n"


def _crashes(crashes: Iterable[Experiment]) -> Iterator[str]:
    for position, one in enumerate(islice(crashes, _CRASHES)):
        yield "## Recent crashes\n\n" if position == 0 else ""
        yield f"Experiment {one.label}: {cell(one.reason)}\n\n"
        yield f"{fenced(plain(tail(one.log_tail, _LOG)).strip())}\n" if one.log_tail.strip() else ""


def state_of(story: Story) -> str:
    """The page on a session that is not open here."""
    recent = deque((entry.experiment for entry in story.entries()), maxlen=RECENT)
    return state_text(story.problem, story.progress, list(recent), story.place.branch, Git(story.place.home))


def _log(git: Git, progress: Progress) -> str:
    """The last kept commits."""
    kept = f"{progress.beginning['commit']}..{progress.tip}"
    return plain(git.text("log", "--oneline", f"--max-count={LAST}", kept)) or "nothing yet"
