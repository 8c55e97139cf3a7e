"""The search space that the literals of one file span, and the text by which a later session knows it again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_autoresearch.critics.literals import TunableLiteral
from pytest_autoresearch.critics.ranges import Range, default_range
from pytest_autoresearch.records import ParameterValue

Values = tuple[ParameterValue, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """Names and ranges, in the order of the file.

    `start` is what the literals were when the space was first met: default ranges follow from it, so that they stay
    when a better value is kept. `text` is a hash of names, types, ranges and the file around the literals, then
    `start` as JSON: two measurements can be compared in one model only if it is the same.
    """

    names: tuple[str, ...]
    ranges: tuple[Range, ...]
    start: Values
    text: str

    @property
    def size(self) -> int | None:
        """How many combinations there are; None if a range has no steps."""
        levels = [limit.levels for limit in self.ranges]
        return None if None in levels else math.prod(level for level in levels if level is not None)

    def nth(self, number: int) -> Values:
        """The combination number `number` of `size`."""
        values = []
        for limit in self.ranges:
            number, index = divmod(number, limit.levels or 1)
            values.append(limit.at(index))
        return tuple(values)

    def contains(self, values: Values) -> bool:
        """Whether each value is of its range."""
        if len(values) != len(self.ranges):
            return False
        return all(limit.contains(value) for limit, value in zip(self.ranges, values, strict=True))

    def to_unit(self, values: Values) -> tuple[float, ...]:
        """The values as a point of the unit cube."""
        return tuple(limit.to_unit(value) for limit, value in zip(self.ranges, values, strict=True))

    def from_unit(self, point: Sequence[float]) -> Values:
        """The values at a point of the unit cube."""
        return tuple(limit.from_unit(unit) for limit, unit in zip(self.ranges, point, strict=True))


def current_space(literals: Sequence[TunableLiteral], template: str, recorded: Iterable[str]) -> Space | None:
    """The space of these literals: the first of the `recorded` ones that they still span, else a new one.

    None if there is nothing to tune.
    """
    again = (_recorded_space(text, literals, template) for text in recorded)
    here = tuple(literal.value for literal in literals)
    return next((space for space in again if space is not None), None) or _space(literals, template, here)


def _recorded_space(text: str, literals: Sequence[TunableLiteral], template: str) -> Space | None:
    here = tuple(literal.value for literal in literals)
    try:
        start = json.loads(text.partition(" ")[2])
    except ValueError:
        return None
    if not isinstance(start, list) or list(map(type, start)) != list(map(type, here)):
        return None
    space = _space(literals, template, tuple(start))
    return space if space is not None and space.text == text and space.contains(here) else None


def _space(literals: Sequence[TunableLiteral], template: str, start: Values) -> Space | None:
    names = tuple(literal.name for literal in literals)
    limits = [literal.stated or default_range(value) for literal, value in zip(literals, start, strict=True)]
    ranges = tuple(limit for limit in limits if limit is not None)
    if not ranges or len(ranges) < len(limits):
        return None
    kinds = [f"{type(value).__name__} {limit}" for value, limit in zip(start, ranges, strict=True)]
    digest = hashlib.sha256(json.dumps([names, kinds, template]).encode()).hexdigest()[:16]
    return Space(names, ranges, start, f"{digest} {json.dumps(start, separators=(',', ':'))}")
