"""What stands in for a weak and a strong model: it answers a real prompt, and knows nothing or much of the optimum."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from benchmarks.problems.problem import Problem
from pytest_autoresearch.critics.literals import scan
from pytest_autoresearch.critics.ranges import Range
from pytest_autoresearch.records import ParameterValue
from tests.llm.server import Asked, Behaviour, idea, say

_DATA = re.compile(r"<<<data (\w+)\n(.*?)\n\1>>>", re.DOTALL)
_STEP = 0.5
_NOISE = 0.1


@dataclass(frozen=True, slots=True)
class Improviser:
    """Answers with values for the literals of a problem.

    A weak one draws them at random. A strong one goes half the way from the incumbent, as it reads it in the prompt,
    to the optimum, give or take a tenth of the range; of choices without an order it knows the right one as often as
    not.
    """

    problem: Problem
    dice: random.Random
    strong: bool

    def __call__(self, asked: Asked) -> Behaviour:
        """What to answer to a request."""
        source = _DATA.findall(asked.messages[1]["content"])[-1][1]
        here = {literal.name: literal.value for literal in scan(source).literals}
        space = self.problem.space
        values = {
            name: self._value(name, limit, here[name]) for name, limit in zip(space.names, space.ranges, strict=True)
        }
        return say(idea("other values", change="parameters", parameters=values, edits=[]))

    def _value(self, name: str, limit: Range, here: ParameterValue) -> ParameterValue:
        if not self.strong:
            return limit.from_unit(self.dice.random())
        there = self.problem.where[name]
        if not limit.ordered:
            return there if self.dice.random() < _STEP else here
        start, end = limit.to_unit(here), limit.to_unit(there)
        return limit.from_unit(min(1.0, max(0.0, start + _STEP * (end - start) + self.dice.gauss(0, _NOISE))))
