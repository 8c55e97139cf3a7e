"""What the end of a run says of a session: its course in one line of characters, its best keeps, what to do next."""

from __future__ import annotations

import heapq
import math
import shlex
from collections.abc import Iterable, Iterator, Sequence

from pytest_autoresearch.reports.chart import window_of
from pytest_autoresearch.reports.course import Course
from pytest_autoresearch.reports.story import Entry, Story
from pytest_autoresearch.text import one_line

_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_WIDTH, _HYPOTHESIS, _TOP = 60, 70, 3


def sparkline(values: Sequence[float], width: int, encoding: str = "utf-8") -> str:
    """`values` in at most `width` characters, a higher one for a higher value and a space for NaN.

    Where there are more values than characters, each is the last value of its share: of a best-so-far, the best.
    ASCII where `encoding` has no blocks, or is none.
    """
    shown = min(width, len(values))
    last = [values[(place + 1) * len(values) // shown - 1] for place in range(shown)]
    numbers = [value for value in last if math.isfinite(value)]
    if not numbers:
        return " " * shown
    low, span = min(numbers), max(numbers) - min(numbers)
    levels = _levels(encoding)
    if not span:
        return "".join(levels[3] if math.isfinite(value) else " " for value in last)
    top = len(levels) - 1
    return "".join(levels[round((value - low) / span * top)] if math.isfinite(value) else " " for value in last)


def closing_lines(story: Story, encoding: str = "utf-8") -> Iterator[str]:
    """The sparkline of the best so far, the three keeps with the largest effect, and what to do next.

    Nothing is said of a session that has no baseline yet.
    """
    course = Course()
    keeps = heapq.nlargest(_TOP, _kept(story.entries(), course), key=lambda entry: abs(entry.delta or 0))
    if not course:
        return
    window = window_of(course)
    drawn = sparkline([window.clipped(best) for best in course.bests], _WIDTH, encoding)
    yield f"best so far: {drawn}"
    if keeps:
        yield "largest improvements:"
    yield from map(_in_a_line, keeps)
    yield from _next_steps(story)


def _kept(entries: Iterable[Entry], course: Course) -> Iterator[Entry]:
    """The keeps that beat something; all entries are counted into `course`."""
    for entry in entries:
        course.take(entry)
        if entry.experiment.status == "keep" and entry.delta is not None:
            yield entry


def _in_a_line(entry: Entry) -> str:
    done = entry.experiment
    return f"{done.label:>5} {entry.delta:+.6g}  {one_line(done.description, _HYPOTHESIS)}  ({done.commit[:7]})"


def _next_steps(story: Story) -> Iterator[str]:
    place = story.place
    problem = shlex.quote(str(place.project / place.problem_name))
    yield f"was it worth it: pytest-autoresearch compare --problem {problem} {place.tag} OTHER_TAG"


def _levels(encoding: str) -> str:
    try:
        _BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _BLOCKS
