"""The convergence chart: what each experiment gave, and the best of them so far."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import Status
from pytest_autoresearch.reports.canvas import BLUE, GREEN, GREY, RED, canvas, name_axes
from pytest_autoresearch.reports.course import Course, course_of
from pytest_autoresearch.reports.story import Story
from pytest_autoresearch.text import one_line

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE, _TITLE_LINE = 150, 80
_CROWD = 1_500
_ORDINARY, _SQUEEZED = 5, 8


@dataclass(frozen=True, slots=True)
class Window:
    """The values that are shown; what is below `low` or above `high` is marked at the edge."""

    low: float
    high: float

    def clipped(self, value: float) -> float:
        """`value`, or the edge that it is beyond."""
        return min(max(value, self.low), self.high)

    def shows(self, value: float) -> bool:
        """Whether it is between the edges."""
        return self.low <= value <= self.high

    def hides(self, value: float) -> bool:
        """Whether it is a value and beyond an edge."""
        return not math.isnan(value) and not self.shows(value)


def write_chart(story: Story, path: Path) -> None:
    """Draw the session's convergence to `path`, a .png or an .svg; UserError for another, or without matplotlib."""
    course = course_of(story.entries())
    with canvas(path) as figure:
        axes = figure.subplots()
        draw_course(axes, course, story.progress.spread.deviation)
        _name(axes, story.problem, course)
        explain(figure, *axes.get_legend_handles_labels(), columns=3)


def draw_course(axes: Axes, course: Course, deviation: float | None = None) -> None:
    """Draw the experiments and the best so far; `deviation` is that of one measurement, in units of the metric."""
    window = window_of(course)
    _draw_best(axes, course, deviation)
    _draw_experiments(axes, course, window)
    _draw_crashes(axes, course)
    _draw_outside(axes, course, window)
    _frame(axes, course, window)


def window_of(course: Course) -> Window:
    """The range that shows most experiments, however far off the others are.

    Two fifths of all differences, from the best of the time and from one best to the next, say what is ordinary. An
    experiment is shown if it is no more than five times that from the best of its time, or the way of the incumbent is
    as long. This way is shown from the last jump on that would squeeze all of it into an eighth of the chart.
    """
    pairs = [pair for pair in zip(course.metrics, course.bests, strict=True) if all(map(math.isfinite, pair))]
    if not pairs:
        return Window(0.0, 1.0)
    ordinary = _ORDINARY * _usual_difference(pairs)
    way = _way([best for _, best in pairs], ordinary)
    reach = max(ordinary, max(way) - min(way))
    near = [value for value, best in pairs[-len(way) :] if abs(value - best) <= reach]
    low, high = min([*way, *near]), max([*way, *near])
    return Window(low, high) if low < high else Window(low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10)


def _way(bests: Sequence[float], ordinary: float) -> Sequence[float]:
    """The last of `bests`, back to where a jump is too far for them to be seen beside it."""
    low = high = bests[-1]
    for place in range(len(bests) - 2, -1, -1):
        if abs(bests[place] - bests[place + 1]) > _SQUEEZED * max(ordinary, high - low):
            return bests[place + 1 :]
        low, high = min(low, bests[place]), max(high, bests[place])
    return bests


def _usual_difference(pairs: Sequence[tuple[float, float]]) -> float:
    apart = [abs(value - best) for value, best in pairs if value != best]
    steps = [abs(one[1] - other[1]) for one, other in pairwise(pairs) if one[1] != other[1]]
    differences = sorted(apart + steps)
    return differences[len(differences) * 2 // 5] if differences else math.inf


def _draw_best(axes: Axes, course: Course, deviation: float | None) -> None:
    """The best so far, in one line a contract, with what a single measurement varies by."""
    for index, stretch in enumerate(course.stretches):
        at, bests = course.numbers[stretch.start : stretch.stop], course.bests[stretch.start : stretch.stop]
        label = "_" if index or all(map(math.isnan, bests)) else "best so far"
        axes.step(at, bests, where="post", color=BLUE, linewidth=2, label=label, zorder=3)
        if deviation:
            axes.fill_between(
                at,
                [best - deviation for best in bests],
                [best + deviation for best in bests],
                step="post",
                color=BLUE,
                alpha=0.13,
                linewidth=0,
                label="_" if index else "± 1 standard deviation of a measurement",
            )
        if index:
            axes.axvline(at[0] - 0.5, color=GREY, linestyle=":", label="contract changed" if index == 1 else "_")


def _draw_experiments(axes: Axes, course: Course, window: Window) -> None:
    many = len(course) > _CROWD
    size = min(1.0, max(0.3, (200 / max(len(course), 1)) ** 0.5))
    looks: dict[Status, dict[str, Any]] = {
        "discard": {
            "s": 36 * size,
            "marker": "x",
            "color": RED,
            "linewidths": 1.4 * size,
            "alpha": 0.5 if many else 0.85,
        },
        "keep": {"s": 64 * max(size, 0.5), "marker": "o", "color": GREEN, "edgecolors": "white", "linewidths": 0.8},
    }
    for order, (status, word) in enumerate((("discard", "discarded"), ("keep", "kept")), start=3):
        if status in course.statuses:
            label = f"{word} ({course.statuses.count(status)}{', with the baseline' if status == 'keep' else ''})"
            points = _having(course, window, status)
            axes.scatter(*points, rasterized=many, zorder=order, label=label, **looks[status])


def _draw_crashes(axes: Axes, course: Course) -> None:
    """A square at the lower edge for each, as a crash has no value."""
    crashed = [number for number, status in zip(course.numbers, course.statuses, strict=True) if status == "crash"]
    if crashed:
        axes.scatter(
            crashed,
            [0.022] * len(crashed),
            transform=axes.get_xaxis_transform(),
            s=22,
            marker="s",
            color=GREY,
            alpha=0.6,
            linewidths=0,
            rasterized=len(crashed) > _CROWD,
            label=f"crashed ({len(crashed)})",
            zorder=4,
        )


def _draw_outside(axes: Axes, course: Course, window: Window) -> None:
    """A triangle at the edge for each value beyond it, in the colour of what became of it; keeps with the value."""
    columns = zip(course.numbers, course.metrics, course.statuses, strict=True)
    beyond = [(number, value, status) for number, value, status in columns if window.hides(value)]
    if not beyond:
        return
    for marker, edge in (("^", window.high), ("v", window.low)):
        those = [(number, status) for number, value, status in beyond if window.clipped(value) == edge]
        axes.scatter(
            [number for number, _ in those],
            [edge] * len(those),
            s=42,
            marker=marker,
            facecolors="none",
            edgecolors=[GREEN if status == "keep" else RED for _, status in those],
            rasterized=len(those) > _CROWD,
            zorder=5,
        )
    first = beyond[0]
    if first[2] == "keep":
        at = (first[0], window.clipped(first[1]))
        below = (-7, -17 if at[1] == window.high else 9)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        look: Any = {"textcoords": "offset points", "color": GREEN, "ha": "left", "bbox": ground, "zorder": 6}
        axes.annotate(f"{first[1]:.4g}", at, below, **look)
    far = max((value for _, value, _ in beyond), key=lambda value: abs(value - window.clipped(value)))
    axes.scatter(
        [], [], marker="^", facecolors="none", edgecolors=GREY, label=f"outside ({len(beyond)}, to {far:.4g})"
    )


def _having(course: Course, window: Window, status: Status) -> tuple[list[int], list[float]]:
    """Where the experiments of this status are that the window shows."""
    columns = zip(course.numbers, course.metrics, course.statuses, strict=True)
    shown = [(number, value) for number, value, one in columns if one == status and window.shows(value)]
    return [number for number, _ in shown], [value for _, value in shown]


def _name(axes: Axes, problem: Problem, course: Course) -> None:
    """Title and names of the axes."""
    direction = "lower" if problem.lower_is_better else "higher"
    name_axes(
        axes,
        "experiment" if course.is_numbered else "experiments so far",
        f"{one_line(problem.metric_name, 40)} ({direction} is better)",
    )
    title = textwrap.fill(one_line(problem.objective, _TITLE), _TITLE_LINE)
    axes.set_title(title, loc="left", fontsize=12, parse_math=False)


def _frame(axes: Axes, course: Course, window: Window) -> None:
    """The limits of the axes, and a word where nothing can be drawn."""
    from matplotlib.ticker import MaxNLocator

    margin = 0.06 * (window.high - window.low)
    axes.set_ylim(window.low - margin, window.high + margin)
    last = course.numbers[-1] if len(course) else 0
    axes.set_xlim(-0.5 - last * 0.01, max(last, 1) * 1.01 + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not any(math.isfinite(value) for value in course.metrics):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no experiment gave a value", transform=axes.transAxes, ha="center", color=GREY)


def explain(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, columns: int) -> None:
    """Put the legend below the chart, with each mark as large as it is in a short session."""
    from matplotlib.collections import PathCollection

    legend = figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=9.5)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set(alpha=1, sizes=[36], linewidths=[1.2])
