"""What a session's history says about each search space, read once and then only on from where it stopped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_autoresearch.critics.base import Brief, History
from pytest_autoresearch.critics.space import Space, Values
from pytest_autoresearch.records import Experiment, ParameterValue


@dataclass(frozen=True, slots=True)
class Observation:
    """A combination and what it cost: the metric, its sign turned where higher is better; None if it crashed.

    `proposed` tells a tuner's trial from an incumbent that is known anyway.
    """

    values: Values
    cost: float | None
    proposed: bool = True


@dataclass(slots=True)
class _Series:
    """The trials of one space that can be compared, each combination once, with their metrics.

    `before` is the metric of the incumbent from which the first was proposed. `unread` waits for somebody who knows
    the space.
    """

    before: float | None = None
    unread: list[tuple[Mapping[str, ParameterValue], float | None]] = field(default_factory=list)
    metrics: dict[Values, float | None] = field(default_factory=dict)

    def read(self, space: Space) -> None:
        """Take in the trials that fit the space; one that does not (another version's) says nothing."""
        for parameters, metric in self.unread:
            values = tuple(parameters[name] for name in space.names if name in parameters)
            if space.contains(values):
                self.metrics.setdefault(values, metric)
        self.unread.clear()


class Notes:
    """A reader of histories that keeps what a tuner needs.

    `foreign` says that a change was kept which no tuner proposed: the file is not the user's own any more.
    """

    def __init__(self) -> None:
        self.foreign = False
        self._last = -1
        self._contract = ""
        self._incumbent: tuple[str, float | None] = ("", None)
        self._series: dict[str, dict[str, _Series]] = {}

    @property
    def last(self) -> int:
        """The number of the last experiment that was read."""
        return self._last

    def read(self, history: History) -> None:
        """Add the experiments that were finished since."""
        for experiment in history.experiments(self._last):
            self._last = experiment.number
            self._contract = experiment.contract
            if experiment.idea is not None and experiment.idea.space:
                self._add(experiment, experiment.idea.space, experiment.idea.parameters)
            elif experiment.status == "keep" and experiment.number:
                self.foreign = True
            if experiment.status == "keep":
                self._incumbent = (experiment.contract, experiment.metric)

    def _add(self, experiment: Experiment, space: str, parameters: Mapping[str, ParameterValue]) -> None:
        # Taken out and put back in: the space that was used last comes last.
        contracts = self._series[space] = self._series.pop(space, {})
        if experiment.contract not in contracts:
            contract, metric = self._incumbent
            before = metric if contract == experiment.contract else None
            contracts[experiment.contract] = _Series(before if experiment.beaten is None else experiment.beaten)
        if not experiment.machine:
            contracts[experiment.contract].unread.append((parameters, _finite(experiment.metric)))

    def spaces(self) -> Iterable[str]:
        """The spaces of the ideas so far, the last one first."""
        return reversed(self._series)

    def observed(self, space: Space, here: Values, brief: Brief) -> list[Observation]:
        """What is known of `space`: where it began, the incumbent (`here`), then trial by trial.

        Only trials under the contract of the incumbent's metric count, and each combination once.
        """
        series = self._series.get(space.text, {}).get(brief.contract or self._contract, _Series())
        series.read(space)
        known = {space.start: _finite(series.before), here: _finite(brief.metric)}
        sign = 1.0 if brief.lower_is_better else -1.0
        return [
            *(Observation(v, sign * m, False) for v, m in known.items() if m is not None and v not in series.metrics),
            *(Observation(v, None if m is None else sign * m) for v, m in series.metrics.items()),
        ]


def _finite(metric: float | None) -> float | None:
    return metric if metric is not None and math.isfinite(metric) else None
