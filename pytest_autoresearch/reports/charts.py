"""The charts of a session as figures for plotly.js, made of plain values."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

from pytest_autoresearch.records import Status
from pytest_autoresearch.reports.digest import Row, Step

Figure = dict[str, Any]
Range = tuple[float, float]

_LOOKS: dict[Status, Figure] = {
    "discard": {"color": "#d9485f", "symbol": "circle-open", "size": 8, "line": {"width": 1.8}},
    "keep": {"color": "#2a9d5c", "symbol": "diamond", "size": 11},
    "crash": {"color": "#8a93a0", "symbol": "x", "size": 7},
}
_NAMES: dict[Status, str] = {"keep": "kept", "discard": "discarded", "crash": "crashed"}
_BEST, _BAND = "#3b7dd8", "rgba(59, 125, 216, 0.18)"
_FENCE = 3  # interquartile ranges: Tukey's "far out"
_MARKS = 1_000
_CLOSE = 0.25  # of the whole
_HOVER_WIDTH, _HOVER_LINES = 56, 4


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: what it shows in words, and its figure, None where there is nothing to draw."""

    name: str
    title: str
    caption: str
    figure: Figure | None = None


def hovers(rows: Iterable[Row]) -> dict[int, tuple[str, str]]:
    """What people call each experiment, and what is said of it under the pointer, as plotly's markup."""
    return {row.number: (row.label, _wrapped(row.hypothesis)) for row in rows}


def charts(
    rows: Sequence[Row], steps: Sequence[Step], metric: str, deviation: float | None, resource_name: str = "resource"
) -> Iterator[Chart]:
    """All charts, the most important first; `deviation` is that of one measurement."""
    drawn, told = thinned(rows)
    first = convergence(drawn, steps, metric, deviation)
    yield replace(first, caption=f"{first.caption}{told}")
    yield resource(drawn, metric, resource_name)
    yield calibration(rows, metric)
    yield effort(rows)


def thinned(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """The keeps and so many of the others, evenly, that a browser draws them at once; and what to say about it."""
    others = sum(row.status != "keep" for row in rows)
    every = -(-others // _MARKS)
    if every < 2:
        return list(rows), ""
    left = [row for row in rows if row.status == "keep" or row.number % every == 0 or row is rows[-1]]
    return left, f" Of the {others:,} that were not kept, one in {every} is drawn; the table has all."


def convergence(rows: Sequence[Row], steps: Sequence[Step], metric: str, deviation: float | None) -> Chart:
    """The metric of each experiment, and the best so far, which breaks where numbers cannot be compared."""
    line = [*steps, Step(rows[-1].number, steps[-1].best)] if steps else []
    best = [step.best for step in line if step.best is not None]
    values = [row.metric for row in rows if row.metric is not None]
    whole, close = frame(values, best), frame(values, best[1:])
    has_close_up = close[1] - close[0] < _CLOSE * (whole[1] - whole[0])
    shown = close if has_close_up else whole
    band = [] if deviation is None else [_band(line, deviation)]
    breaks = [step.number for step in steps if step.best is None]
    figure = _figure([*band, _best(line), *_points(rows, "number", "metric"), *_crashes(rows)], _across(rows), metric)
    figure["layout"]["yaxis"]["range"] = shown
    figure["layout"] |= {
        "shapes": [_break(number) for number in breaks],
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        "updatemenus": [_zooms(whole, close)] if has_close_up else [],
    }
    outside = sum(not shown[0] <= one <= shown[1] for one in values)
    return Chart("convergence", "Convergence", _caption(outside, breaks, deviation), figure)


def frame(values: Sequence[float], needed: Sequence[float]) -> Range:
    """The part of an axis that shows all that is `needed` and of `values` what is not far out."""
    low, high = _fences(values)
    span = max(needed, default=0) - min(needed, default=0)
    inner = [one for one in values if low - span <= one <= high + span] + list(needed)
    least, most = min(inner, default=0), max(inner, default=1)
    margin = 0.07 * (most - least) or 0.05 * abs(most) or 1
    return least - margin, most + margin


def _fences(values: Sequence[float]) -> Range:
    if len(values) < 4:
        return min(values, default=0), max(values, default=0)
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    reach = _FENCE * (upper - lower)
    return lower - reach, upper + reach


def _caption(outside: int, breaks: Sequence[int], deviation: float | None) -> str:
    parts = ["Hover for the hypothesis; click to read the experiment; drag to zoom."]
    if outside:
        parts.append(f"{outside:,} beyond the frame; a double-click shows all.")
    if breaks:
        parts.append("A dotted line is a change of the contract: numbers left and right of it cannot be compared.")
    if deviation is not None:
        parts.append("The band is one standard deviation of a measurement around the best.")
    return " ".join(parts)


def _zooms(whole: Range, close: Range) -> Figure:
    """Buttons for the whole and for a close-up of what the way from the baseline would press flat."""
    buttons = [
        {"label": label, "method": "relayout", "args": [{"yaxis.range": limits}]}
        for label, limits in (("Close-up", close), ("Whole", whole))
    ]
    place = {"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "direction": "right"}
    return {"type": "buttons", "buttons": buttons, "showactive": False, **place}


def _break(number: int) -> Figure:
    line = {"dash": "dot", "width": 1.5, "color": "#8a93a0"}
    return {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": number - 0.5, "x1": number - 0.5, "line": line}


def _best(line: Sequence[Step]) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [step.number for step in line],
        "y": [step.best for step in line],
        "line": {"shape": "hv", "color": _BEST, "width": 2.5},
        "connectgaps": False,
        "hoverinfo": "skip",
    }


def _band(line: Sequence[Step], deviation: float) -> Figure:
    """The best line's surroundings: one rectangle for each stretch on which it is level."""
    x: list[int | None] = []
    y: list[float | None] = []
    for one, following in pairwise(line):
        if one.best is not None:
            x += [one.number, following.number, following.number, one.number, None]
            low, high = one.best - deviation, one.best + deviation
            y += [low, low, high, high, None]
    style = {"mode": "lines", "fill": "toself", "fillcolor": _BAND, "line": {"width": 0}, "hoverinfo": "skip"}
    return {"type": "scatter", "name": "noise, ±1 standard deviation", "x": x, "y": y, **style}


def _points(rows: Sequence[Row], x: str, y: str) -> Iterator[Figure]:
    for status in _LOOKS:
        drawn = [row for row in rows if row.status == status and None not in (getattr(row, x), getattr(row, y))]
        if drawn:
            yield _scatter(status, drawn, [getattr(row, x) for row in drawn], [getattr(row, y) for row in drawn])


def _crashes(rows: Sequence[Row]) -> Iterator[Figure]:
    drawn = [row for row in rows if row.status == "crash" and row.metric is None]
    if drawn:
        points = _scatter("crash", drawn, [row.number for row in drawn], [0.02] * len(drawn))
        yield points | {"yaxis": "y2", "hovertemplate": "<b>%{customdata[1]} crashed</b><br>%{text}<extra></extra>"}


def _scatter(status: Status, rows: Sequence[Row], x: Sequence[float], y: Sequence[float]) -> Figure:
    name = _NAMES[status]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "marker": _LOOKS[status],
        "customdata": [row.number for row in rows],
        "x": x,
        "y": y,
        "hovertemplate": f"<b>%{{customdata[1]}} {name}: %{{y:.6g}}</b><br>%{{text}}<extra></extra>",
    }


def resource(rows: Sequence[Row], metric: str, called: str) -> Chart:
    """What an improvement costs in the resource, which is `called` so in `results.tsv`."""
    traces = list(_points(rows, "resource", "metric"))
    title = f"{metric} against {called}"
    if not traces:
        return Chart("resource", title, "No resource was measured: resource_metric_regex gives one.")
    figure = _figure(traces, called, metric)
    measured = [row for row in rows if row.resource is not None and row.metric is not None]
    kept = [row for row in measured if row.status == "keep"]
    for axis, name in (("xaxis", "resource"), ("yaxis", "metric")):
        values, needed = ([getattr(row, name) for row in some] for some in (measured, kept))
        figure["layout"][axis]["range"] = frame(values, needed)
    return Chart("resource", title, f"{called} is the resource that resource_metric_regex finds.", figure)


def calibration(rows: Sequence[Row], metric: str) -> Chart:
    """Expected against actual change: on the diagonal the critic was right."""
    told = [(row.expected, row.delta) for row in rows if row.expected is not None and row.delta is not None]
    title = "Is the critic calibrated?"
    if not told:
        return Chart("calibration", title, "No critic said which change of the metric it expected.")
    low, high = (edge(min(pair) if edge is min else max(pair) for pair in told) for edge in (min, max))
    line = {"dash": "dash", "width": 1.5, "color": _BEST}
    diagonal = {"type": "scatter", "mode": "lines", "name": "as expected", "line": line, "hoverinfo": "skip"}
    traces = [diagonal | {"x": [low, high], "y": [low, high]}, *_points(thinned(rows)[0], "expected", "delta")]
    figure = _figure(traces, f"expected change of {metric}", "actual change")
    return Chart("calibration", title, _calibration(told), figure)


def _calibration(told: Sequence[tuple[float, float]]) -> str:
    right = sum(expected * actual > 0 for expected, actual in told)
    ratios = [actual / expected for expected, actual in told if expected]
    share = f" The median change was {median(ratios):.2g} times the expected one." if ratios else ""
    return f"The direction was right in {right:,} of {len(told):,}.{share}"


def effort(rows: Sequence[Row]) -> Chart:
    """Seconds and tokens of each experiment, one above the other."""
    traces = [_area(rows, "seconds", "#8a63d2", "y")]
    if any(row.tokens for row in rows):
        traces.append(_area(rows, "tokens", "#c98a1b", "y2"))
    figure = _figure(traces, _across(rows), "seconds")
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    if len(traces) > 1:
        figure["layout"]["yaxis"]["domain"] = [0, 0.46]
        figure["layout"]["yaxis2"] = {
            "domain": [0.54, 1],
            "title": _title("tokens"),
            "rangemode": "tozero",
        }
    seconds = median(row.seconds for row in rows)
    caption = f"The median experiment ran for {seconds:.3g} s."
    return Chart(
        "effort", "Time and tokens", caption if len(traces) > 1 else f"{caption} No tokens were spent.", figure
    )


def _area(rows: Sequence[Row], name: str, colour: str, axis: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "yaxis": axis,
        "fill": "tozeroy",
        "line": {"shape": "hvh", "color": colour, "width": 1},
        "customdata": [row.number for row in rows],
        "x": [row.number for row in rows],
        "y": [getattr(row, name) for row in rows],
        "hovertemplate": f"<b>%{{customdata[1]}}: %{{y:.6g}} {name}</b><br>%{{text}}<extra></extra>",
    }


def _across(rows: Iterable[Row]) -> str:
    """The axis of the numbers: by them people call experiments that were made one at a time."""
    return "experiment" if all(row.label == str(row.number) for row in rows) else "experiments so far"


def _figure(traces: list[Figure], x: str, y: str) -> Figure:
    axis = {"automargin": True, "zeroline": False}
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": _title(html.escape(x)), **axis},
            "yaxis": {"title": _title(html.escape(y)), **axis},
            "margin": {"l": 56, "r": 12, "t": 40, "b": 44},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
            "hoverlabel": {"align": "left", "bgcolor": "#1f2733", "bordercolor": "#8a93a0", "font": {"color": "#fff"}},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13},
        },
    }


def _title(text: str) -> Figure:
    return {"text": text, "font": {"size": 13}}


def _wrapped(text: str) -> str:
    lines = textwrap.wrap(text, _HOVER_WIDTH, max_lines=_HOVER_LINES, placeholder=" …")
    return "<br>".join(html.escape(line) for line in lines)
