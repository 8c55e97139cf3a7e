"""A drawn combination put in words: what changes, what is known, how it was drawn, how far it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_autoresearch.critics.observations import Observation
from pytest_autoresearch.critics.space import Space, Values
from pytest_autoresearch.records import ParameterValue, Risk

_SHOWN = 160
_REJECTED = 3


@dataclass(frozen=True, slots=True)
class Draw:
    """The combination `values` for an incumbent that has `here`; `rejected` are those drawn before it.

    `account` says how it was drawn.
    """

    space: Space
    here: Values
    values: Values
    rejected: Sequence[Values]
    observations: Sequence[Observation]
    account: str

    @property
    def parameters(self) -> dict[str, ParameterValue]:
        """Every tunable literal's value."""
        return dict(zip(self.space.names, self.values, strict=True))

    @property
    def changed(self) -> dict[str, tuple[ParameterValue, ParameterValue]]:
        """Each literal that changes: what it is and what it becomes."""
        pairs = zip(self.space.names, self.here, self.values, strict=True)
        return {name: (old, new) for name, old, new in pairs if old != new}

    def hypothesis(self) -> str:
        """The changes in one line."""
        return _shortened([f"{name} {old!r} → {new!r}" for name, (old, new) in self.changed.items()])

    def thoughts(self, metric_name: str, lower_is_better: bool) -> str:
        """What is known of the space."""
        measured = [observation for observation in self.observations if observation.cost is not None]
        crashed = len(self.observations) - len(measured)
        text = f"{len(self.observations)} observations in this search space, {crashed} of them crashes"
        if measured:
            best = min(measured, key=_cost)
            metric = _cost(best) if lower_is_better else -_cost(best)
            text += f"; best {metric_name} {metric:.6g} at {self._named(best.values)}"
        return f"{text}. The next combination is {self.account}."

    def alternatives(self) -> tuple[str, ...]:
        """The combinations that were drawn first and passed over."""
        return tuple(f"{self._named(values)}: drawn first, but known already" for values in self.rejected[:_REJECTED])

    def justification(self) -> str:
        """Why this combination."""
        return f"It was {self.account}, and it has not been tried in this search space."

    def pseudocode(self) -> str:
        """The assignments that change."""
        return "\n".join(f"{name} = {new!r}" for name, (_, new) in self.changed.items())

    def risk(self) -> Risk:
        """How far it goes from the incumbent.

        Low if no literal moves by more than a fifth of its (log) range and no choice without order changes; high if
        one moves by more than half of it; else med.
        """
        furthest = 0.0
        for limit, old, new in zip(self.space.ranges, self.here, self.values, strict=True):
            moved = abs(limit.to_unit(new) - limit.to_unit(old)) if limit.ordered else 0.5 * (old != new)
            furthest = max(furthest, moved)
        if furthest > 0.5:
            return "high"
        return "med" if furthest > 0.2 else "low"

    def _named(self, values: Values) -> str:
        return _shortened([f"{name} {value!r}" for name, value in zip(self.space.names, values, strict=True)])


def _shortened(parts: list[str]) -> str:
    """As many parts as fit into one line, and how many more there are."""
    text = parts[0][:_SHOWN]
    for index, part in enumerate(parts[1:], start=1):
        more = f", … and {len(parts) - index} more"
        if len(text) + len(part) + len(more) > _SHOWN:
            return text + more
        text += f", {part}"
    return text


def _cost(observation: Observation) -> float:
    assert observation.cost is not None
    return observation.cost
