"""A comparison as lines for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pytest_autoresearch.compare import SHARES, Comparison, Group, verdict
from pytest_autoresearch.reports.contender import AXES, Axis, Contender
from pytest_autoresearch.reports.front import Front

VERSION = 1
_LEFT, _CURVE, _LISTED = 2, 100, 20
_STAGES = (0.1, 0.25, 0.5, 1.0)


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """What there is to say, for people."""
    direction = "lower" if comparison.lower_is_better else "higher"
    yield f"{comparison.metric_name}, {direction} is better"
    if comparison.insisted:
        yield "the sessions rest on different contracts; their numbers are compared because you insist"
    elif len(comparison.groups) > 1:
        yield (
            f"the sessions rest on {len(comparison.groups)} different contracts: they are measured in different ways, "
            "so numbers of one are not compared to numbers of another"
        )
    for group in comparison.groups:
        yield ""
        yield from _group(group)
    if comparison.front is not None:
        yield ""
        yield from _front(comparison.front)


def _group(group: Group) -> Iterator[str]:
    yield from _table([_HEADER, *(_row(one, group.best) for one in group.contenders)])
    for one in group.contenders:
        if one.left_out:
            yield f"{one.name}: {one.left_out} experiments before its contract changed are counted, not compared"
        if one.iterations < one.tried:
            yield (
                f"{one.name}: {one.tried:,} experiments in {one.iterations:,} iterations: those that ran at once "
                "count one by one at equal experiments, and once at equal time"
            )
    if len(group.labels) < len(group.contenders) or len(group.labels) > 1:
        yield ""
        yield f"best after so many experiments; of several sessions the mean and Student's {_LEVEL} interval"
        yield from _table(_stages(group))
    sentences = list(verdict(group))
    if sentences:
        yield ""
    yield from sentences


_LEVEL = "95 %"
_HEADER = (
    *("session", "label", "experiments", "kept", "crashed", "from", "to"),
    *(f"to {share:.0%}" for share in SHARES),
    *("runs s", "wall s", "tokens", "USD"),
)


def _row(one: Contender, best: float) -> tuple[str, ...]:
    reached = [one.experiments_to(share, best) for share in SHARES]
    rate = f" ({one.kept / one.tried:.0%})" if one.tried else ""
    return (
        one.name,
        one.label,
        f"{one.tried:,}",
        f"{one.kept}{rate}",
        str(one.crashed),
        f"{one.baseline:.6g}",
        f"{one.final:.6g}",
        *("never" if number is None else f"{number:,}" for number in reached),
        f"{one.length('seconds of runs'):,.1f}",
        f"{one.length('seconds of wall clock'):,.1f}",
        f"{one.tokens:,}",
        f"{one.usd:.4g}",
    )


def _stages(group: Group) -> Iterator[tuple[str, ...]]:
    end = group.horizon("experiments")
    stages = sorted({max(1, round(share * end)) for share in _STAGES} if end else {0})
    found = [group.at("experiments", stage) for stage in stages]
    yield ("label", "sessions", *(f"{stage:,}" for stage in stages))
    for label, ones in group.labels.items():
        yield (label, str(len(ones)), *(str(each[label]) for each in found))


def _front(front: Front) -> Iterator[str]:
    aims = ", ".join(f"{name} ({'higher' if name in front.higher else 'lower'} is better)" for name in front.metrics)
    yield f"Pareto front of {aims}: {len(front.points)} of {front.measured} experiments with raw metrics on record"
    rows = [
        (point.session, point.label, *(f"{point.also[name]:.6g}" for name in front.metrics))
        for point in front.points[:_LISTED]
    ]
    yield from _table([("session", "experiment", *front.metrics), *rows])
    if len(front.points) > _LISTED:
        yield f"and {len(front.points) - _LISTED} more, which --json lists"


def _table(rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need to be, the first two to the left and numbers to the right."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = enumerate(zip(row, widths, strict=True))
        yield "  ".join(f"{cell:{'<' if at < _LEFT else '>'}{width}}" for at, (cell, width) in cells).rstrip()


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The same as plain values, with the curves at up to a hundred points each."""
    front = comparison.front
    return {
        "version": VERSION,
        "metric": comparison.metric_name,
        "lower_is_better": comparison.lower_is_better,
        "insisted": comparison.insisted,
        "interval": "Student's, 95 %",
        "groups": [_group_json(group) for group in comparison.groups],
        "front": None
        if front is None
        else {
            "metrics": list(front.metrics),
            "higher": sorted(front.higher),
            "measured": front.measured,
            "points": [{**asdict(point), "also": dict(point.also)} for point in front.points],
        },
    }


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "best": group.best,
        "sessions": [_session_json(one, group.best) for one in group.contenders],
        "curves": {axis: _curves(group, axis) for axis in AXES},
        "verdict": list(verdict(group)),
    }


def _session_json(one: Contender, best: float) -> dict[str, Any]:
    names = (
        "name",
        "label",
        "contract",
        "tried",
        "iterations",
        "kept",
        "crashed",
        "tokens",
        "usd",
        "left_out",
        "baseline",
        "final",
    )
    return {
        **{name: getattr(one, name) for name in (*names, "baseline", "final")},
        "length": {axis: one.length(axis) for axis in AXES},
        "experiments_to": {f"{share:g}": one.experiments_to(share, best) for share in SHARES},
    }


def _curves(group: Group, axis: Axis) -> dict[str, Any]:
    points = grid(group, axis)
    found = [group.at(axis, at) for at in points]
    return {"at": points, "labels": {label: [asdict(each[label]) for each in found] for label in group.labels}}


def grid(group: Group, axis: Axis, points: int = _CURVE) -> list[float]:
    """Up to so many places from the baseline to as far as all sessions went."""
    end = group.horizon(axis)
    if axis == "experiments":
        points = min(points, int(end) + 1)
        return [float(round(end * place / max(1, points - 1))) for place in range(points)]
    return [end * place / (points - 1) for place in range(points)]
