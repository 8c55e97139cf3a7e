"""Sessions side by side: what each label reached with the same number of experiments and in the same time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.reports.contender import AXES, Axis, Contender, Named, contender
from pytest_autoresearch.reports.front import Front, front_of
from pytest_autoresearch.reports.repeats import Estimate, estimate

SHARES = (0.5, 0.9)


@dataclass(frozen=True, slots=True)
class Group:
    """Sessions whose numbers can be compared; those with the same label are repeats."""

    lower_is_better: bool
    contenders: tuple[Contender, ...]

    @property
    def labels(self) -> Mapping[str, list[Contender]]:
        """The sessions of each label, in the order in which they were named."""
        found: dict[str, list[Contender]] = {}
        for one in self.contenders:
            found.setdefault(one.label, []).append(one)
        return found

    @property
    def best(self) -> float:
        """The best that any of them came to."""
        return (min if self.lower_is_better else max)(one.final for one in self.contenders)

    def horizon(self, axis: Axis) -> float:
        """As far as all of them went."""
        return min(one.length(axis) for one in self.contenders)

    def at(self, axis: Axis, at: float) -> dict[str, Estimate]:
        """The best so far of each label at a point of an axis."""
        return {label: estimate([one.best_at(axis, at) for one in ones]) for label, ones in self.labels.items()}

    def ranked(self, axis: Axis) -> list[tuple[str, Estimate]]:
        """The labels with what they reached where the first of the sessions ended, best first."""
        found = self.at(axis, self.horizon(axis))
        return sorted(found.items(), key=lambda pair: pair[1].mean, reverse=not self.lower_is_better)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Sessions on one metric, in groups of one contract each; `insisted` says that contracts were mixed."""

    metric_name: str
    lower_is_better: bool
    groups: tuple[Group, ...]
    front: Front | None
    insisted: bool = False


def compare(sessions: Sequence[Named], *, insist: bool = False, higher: Collection[str] = ()) -> Comparison:
    """Read the sessions, each in one pass, and set them side by side.

    Numbers of different contracts are not compared unless one insists. Of the raw metrics in `higher` a higher value
    is better. UserError for fewer than two sessions, or of different metrics.
    """
    if len(sessions) < 2:
        raise UserError("a comparison takes two sessions or more, such as: pytest-autoresearch compare run1 run2")
    _require_one_metric(sessions)
    lower = sessions[0].story.problem.lower_is_better
    contenders = [contender(one) for one in sessions]
    by_contract: dict[str, list[Contender]] = {}
    for one in contenders:
        by_contract.setdefault("" if insist else one.contract, []).append(one)
    return Comparison(
        metric_name=sessions[0].story.problem.metric_name,
        lower_is_better=lower,
        groups=tuple(Group(lower, tuple(ones)) for ones in by_contract.values()),
        front=front_of((point for one in contenders for point in one.points), higher),
        insisted=insist and len({one.contract for one in contenders}) > 1,
    )


def _require_one_metric(sessions: Sequence[Named]) -> None:
    first = sessions[0]
    for other in sessions[1:]:
        one, two = first.story.problem, other.story.problem
        if (one.metric_name, one.lower_is_better) != (two.metric_name, two.lower_is_better):
            raise UserError(
                f"{first.name} {_aim(one.lower_is_better)} {one.metric_name} and {other.name} "
                f"{_aim(two.lower_is_better)} {two.metric_name}: sessions are compared by one metric in one direction"
            )


def _aim(lower_is_better: bool) -> str:
    return "minimises" if lower_is_better else "maximises"


def verdict(group: Group) -> Iterator[str]:
    """For each axis a sentence: which label reached what, and whether that tells them apart."""
    if len(group.labels) < 2:
        return
    for axis in AXES:
        ranked = group.ranked(axis)
        told = ", ".join(f"{label} reached {_reached(found)}" for label, found in ranked)
        yield f"at {_amount(group.horizon(axis), axis)} each, {told}; {_told_apart(ranked)}"


def _reached(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:.6g} (one session)"
    return f"{found.mean:.6g} ({found.low:.6g} to {found.high:.6g}, {found.repeats} sessions)"


def _told_apart(ranked: Sequence[tuple[str, Estimate]]) -> str:
    (first, best), (second, next_best) = ranked[:2]
    if best.mean == next_best.mean:
        return f"{first} and {second} are equal"
    overlap = best.overlaps(next_best)
    if overlap is None:
        return f"{first} is ahead; one session of a label has no interval, so this may be luck"
    if overlap:
        return f"{first} is ahead of {second}, but the intervals overlap: this does not tell them apart"
    return f"{first} is better than {second}: the intervals do not overlap"


def _amount(value: float, axis: Axis) -> str:
    if axis == "experiments":
        return f"{value:,.0f} experiment{'' if value == 1 else 's'}"
    return f"{value:,.0f} {axis}" if value >= 100 else f"{value:.3g} {axis}"
