"""What a problem of known optimum is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pytest_autoresearch.critics.literals import TunableLiteral, scan, template
from pytest_autoresearch.critics.space import Space, current_space
from pytest_autoresearch.records import ParameterValue

Values = Mapping[str, ParameterValue]


@dataclass(frozen=True)
class Problem:
    """A mutable file with literals, and what they are worth.

    `measure` gives the metric that running the file with these literals would give, None for a crash. `best` is the
    optimum or, where no proof is, the best that is known; `where` are literals that come close to it, for a model that
    knows the way. With `files` the file can be run on its own, beside them, and prints its score.
    """

    name: str
    source: str
    measure: Callable[..., float | None]
    best: float
    where: Values
    lower_is_better: bool = True
    files: Mapping[str, str] | None = None

    @cached_property
    def literals(self) -> tuple[TunableLiteral, ...]:
        """The literals that are tuned."""
        return scan(self.source).literals

    @cached_property
    def space(self) -> Space:
        """The space that they span."""
        found = current_space(self.literals, template(self.source, self.literals), ())
        assert found is not None
        return found

    @cached_property
    def baseline(self) -> float:
        """The metric of the file as it is."""
        metric = self.measure(**{literal.name: literal.value for literal in self.literals})
        assert metric is not None
        return metric

    def gain(self, metric: float) -> float:
        """How much of the way from the baseline to the best `metric` has come: 0 to 1."""
        return (metric - self.baseline) / (self.best - self.baseline)
