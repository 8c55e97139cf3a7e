"""The Pareto front of raw metrics: what no other point is at least as good as in all of them, and better in one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.reports.contender import Point


@dataclass(frozen=True, slots=True)
class Front:
    """The best compromises of `measured` experiments, in the order of the first metric.

    Of the metrics in `higher` a higher value is better, of the others a lower one.
    """

    metrics: tuple[str, ...]
    higher: frozenset[str]
    measured: int
    points: tuple[Point, ...]


def front_of(points: Iterable[Point], higher: Collection[str] = ()) -> Front | None:
    """The front of all points that have all metrics, None if there are none; UserError if `higher` names no metric.

    Of points with the same values the first stands for all.
    """
    found = list(points)
    names = tuple(dict.fromkeys(name for point in found for name in point.also))
    if unknown := sorted(set(higher) - set(names)):
        known = ", ".join(names) or "none; name them in problem.yaml under `also`"
        raise UserError(f"{', '.join(unknown)}: no raw metric on record has this name; there are: {known}")
    whole = [point for point in found if len(point.also) == len(names)]
    if not whole:
        return None
    signs = [-1 if name in higher else 1 for name in names]
    costs: dict[tuple[float, ...], Point] = {}
    for point in whole:
        costs.setdefault(tuple(sign * point.also[name] for sign, name in zip(signs, names, strict=True)), point)
    best = _undominated(sorted(costs))
    return Front(names, frozenset(higher), len(whole), tuple(costs[cost] for cost in best))


def _undominated(ordered: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Those of different points, in their order, that no other dominates: one that does comes before it."""
    front: list[tuple[float, ...]] = []
    for cost in ordered:
        if not any(all(a <= b for a, b in zip(other, cost, strict=True)) for other in front):
            front.append(cost)
    return front
