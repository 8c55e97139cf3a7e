"""A comparison drawn: the best so far of each label against experiments and against time, and the front."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_autoresearch.compare import Comparison, Group
from pytest_autoresearch.reports.canvas import CYCLE, canvas, name_axes
from pytest_autoresearch.reports.comparison import grid
from pytest_autoresearch.reports.contender import Axis
from pytest_autoresearch.reports.front import Front
from pytest_autoresearch.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACROSS: tuple[Axis, ...] = ("experiments", "seconds of runs")
_STYLES, _MARKERS = ("-", "--", "-.", ":"), "osD^vP"
_POINTS, _LABEL, _TITLE, _MARKED = 300, 40, 60, 8
_EARLY, _SQUEEZED = 0.05, 8


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Draw it to `path`, a .png or an .svg: a row for each contract, and one for the front if there is one."""
    front = comparison.front if comparison.front and len(comparison.front.metrics) > 1 else None
    rows = len(comparison.groups) + (front is not None)
    direction = "lower" if comparison.lower_is_better else "higher"
    with canvas(path, 11, 1 + 3.6 * rows) as figure:
        cells = figure.add_gridspec(rows, 2)
        for row, group in enumerate(comparison.groups):
            for column, axis in enumerate(_ACROSS):
                axes = figure.add_subplot(cells[row, column])
                _draw(axes, group, axis)
                name_axes(axes, axis, f"{comparison.metric_name} ({direction} is better)" if not column else "")
            if len(comparison.groups) > 1:
                names = one_line(", ".join(one.name for one in group.contenders), _TITLE)
                figure.axes[-2].set_title(names, loc="left", parse_math=False)
        if front is not None:
            _draw_front(figure.add_subplot(cells[-1, :]), front)


def _draw(axes: Axes, group: Group, axis: Axis) -> None:
    points = grid(group, axis, _POINTS)
    looks = zip(group.labels.items(), cycle(CYCLE), cycle(_STYLES), cycle(_MARKERS), strict=False)
    for (label, ones), color, style, marker in looks:
        found = [group.at(axis, at)[label] for at in points]
        for one in ones if len(ones) > 1 else ():
            values = [one.best_at(axis, at) for at in points]
            axes.step(points, values, where="post", color=color, linewidth=0.7, alpha=0.4)
        axes.step(
            points,
            [each.mean for each in found],
            where="post",
            color=color,
            linestyle=style,
            linewidth=2,
            marker=marker,
            markevery=max(1, len(points) // _MARKED),
            markersize=5,
        )
        bands = [(each.low, each.high) for each in found if each.low is not None and each.high is not None]
        if bands:
            low, high = zip(*bands, strict=True)
            axes.fill_between(points, low, high, step="post", color=color, alpha=0.12, linewidth=0)
        named = one_line(label, _LABEL)
        text = f"{named}, mean of {len(ones)}, 95 % interval" if len(ones) > 1 else named
        axes.plot([], [], color=color, linestyle=style, marker=marker, markersize=5, label=_as_text(text))
    axes.set_ylim(*_heights(group, axis))
    if axis == "experiments":
        axes.legend(frameon=False, fontsize=9.5)


def _heights(group: Group, axis: Axis) -> tuple[float, float]:
    """From the best to where the sessions began, or were after a twentieth if that would squeeze the rest."""
    early = _EARLY * group.horizon(axis)
    began = [one.baseline for one in group.contenders]
    then = [one.best_at(axis, early) for one in group.contenders]
    last = [one.best_at(axis, group.horizon(axis)) for one in group.contenders]
    whole, most = _span(began + last), _span(then + last)
    low, high = most if _SQUEEZED * (most[1] - most[0]) < whole[1] - whole[0] and most[0] < most[1] else whole
    margin = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _draw_front(axes: Axes, front: Front) -> None:
    """The front in its first two metrics, a mark for each session."""
    across, up = front.metrics[:2]
    sessions = dict.fromkeys(point.session for point in front.points)
    for session, color, marker in zip(sessions, cycle(CYCLE), cycle(_MARKERS), strict=False):
        of_it = [point.also for point in front.points if point.session == session]
        values = [also[across] for also in of_it], [also[up] for also in of_it]
        axes.scatter(*values, color=color, marker=marker, s=40, label=_as_text(session))
    left_out = f"; not shown: {', '.join(front.metrics[2:])}" if len(front.metrics) > 2 else ""
    axes.set_title(f"Pareto front of {front.measured} experiments{left_out}", loc="left", parse_math=False)
    name_axes(axes, across, up)
    axes.legend(frameon=False, fontsize=9.5)


def _as_text(label: str) -> str:
    """A label that is no formula and is not hidden."""
    return label.replace("$", r"\$").lstrip("_") or "session"
