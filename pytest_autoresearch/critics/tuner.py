"""The critic without an LLM: a sampler sets the literals of the mutable file, and learns from what they gave."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_autoresearch.critics.base import Brief, Exhausted
from pytest_autoresearch.critics.literals import TunableLiteral, render, scan, template, tunable_literals
from pytest_autoresearch.critics.observations import Notes, Observation
from pytest_autoresearch.critics.samplers import SamplerName, sampler_named
from pytest_autoresearch.critics.space import Space, Values, current_space
from pytest_autoresearch.critics.tuner_idea import Draw
from pytest_autoresearch.records import Idea

_NOTHING = (
    "the incumbent has no literal to tune; write one at the top level of the mutable file, such as "
    "`LEARNING_RATE = 0.1  # search: 0.001..1 log`"
)
_DRAWS = 16
_RANDOM_DRAWS = 100


@dataclass(frozen=True, slots=True)
class View:
    """The search over the literals of one incumbent: where they are (`here`) and what was observed."""

    literals: tuple[TunableLiteral, ...]
    space: Space
    here: Values
    observations: list[Observation]
    siblings: tuple[Values, ...] = ()

    @property
    def tried(self) -> set[Values]:
        """The combinations that are known, or are going to be."""
        return {self.here, *self.siblings, *(observation.values for observation in self.observations)}


class Tuner:
    """Proposes values for the top-level literals of the incumbent (`literals` says which, and from what range).

    An idea follows from the session's seed, its history and its place in it: a tuner that lives through the session,
    one that is new after an interruption and one that is new for each idea propose the same. One tuner serves one
    session. `filename` is what the mutable file is called in messages.
    """

    name = "tuner"

    def __init__(self, sampler: SamplerName = "tpe", filename: str = "the mutable file") -> None:
        self._sampler = sampler_named(sampler)
        self._filename = filename
        self._notes = Notes()

    def propose(self, brief: Brief) -> Idea:
        """A combination of values that was not tried yet.

        Raises Exhausted if the file has nothing to tune or all has been tried, UserError for a comment that cannot
        be used and for a sampler that is not installed.
        """
        view = self.view(brief)
        draw = self._drawn(view, brief)
        return Idea(
            hypothesis=draw.hypothesis(),
            thought_process=draw.thoughts(brief.metric_name, brief.lower_is_better),
            alternatives_considered=draw.alternatives(),
            justification=draw.justification(),
            code_pseudocode=draw.pseudocode(),
            risk_level=draw.risk(),
            content=render(brief.source, view.literals, draw.parameters),
            critic=self.name,
            parameters=draw.parameters,
            space=view.space.text,
        )

    def view(self, brief: Brief) -> View:
        """The search as it stands; raises what `propose` raises for a file that cannot be searched over."""
        if brief.number <= self._notes.last:
            self._notes = Notes()
        self._notes.read(brief.history)
        literals = self._literals(brief.source)
        space = current_space(literals, template(brief.source, literals), self._notes.spaces())
        if space is None:
            raise Exhausted(_NOTHING)
        here = tuple(literal.value for literal in literals)
        siblings = tuple(_values(brief.siblings, space))
        observed = self._notes.observed(space, here, brief)
        return View(literals, space, here, observed, siblings)

    def state(self, view: View) -> str:
        """What the sampler has made of the observations, in words."""
        return self._sampler.state(view.space, view.observations)

    def _literals(self, source: str) -> tuple[TunableLiteral, ...]:
        """What can be tuned. A bad comment is for the user to mend, unless another critic has brought it in."""
        return scan(source).literals if self._notes.foreign else tunable_literals(source, self._filename)

    def _drawn(self, view: View, brief: Brief) -> Draw:
        """A combination that neither the incumbent has nor an experiment had."""
        space, here, tried = view.space, view.here, view.tried
        observations = _with_lies(view) if self._sampler.is_lied_to else view.observations
        if space.size is not None and len(tried) >= space.size:
            raise Exhausted(f"every one of the {space.size} combinations has been tried")
        rejected: list[Values] = []
        for attempt in range(_DRAWS):
            values = self._sampler.draw(space, observations, _seed(brief, attempt))
            if values not in tried:
                return Draw(space, here, values, rejected, observations, self._sampler.account(space, observations))
            rejected.append(values)
        account = f"drawn uniformly at random, as {_DRAWS} draws of the sampler gave nothing new"
        return Draw(space, here, _new_at_random(space, tried, brief), rejected, observations, account)


def _values(ideas: Iterable[Idea], space: Space) -> Iterator[Values]:
    """The combinations that ideas of this space propose."""
    for idea in ideas:
        values = tuple(idea.parameters[name] for name in space.names if name in idea.parameters)
        if idea.space == space.text and space.contains(values):
            yield values


def _with_lies(view: View) -> list[Observation]:
    """What was observed, and of what is not measured yet that it is as bad as the worst: it keeps a sampler away.

    D. Ginsbourger, R. Le Riche and L. Carraro, "Kriging is well-suited to parallelize optimization", 2010: the
    constant liar.
    """
    worst = max((one.cost for one in view.observations if one.cost is not None), default=None)
    return [*view.observations, *(Observation(values, worst) for values in view.siblings)]


def _new_at_random(space: Space, tried: set[Values], brief: Brief) -> Values:
    """A combination that is not in `tried`: a random one, or the next one after it in a space of finite size."""
    chance = random.Random(_seed(brief, _DRAWS))
    for _ in range(_RANDOM_DRAWS):
        values = space.from_unit([chance.random() for _ in space.ranges])
        if values not in tried:
            return values
    if space.size is None:
        raise Exhausted(f"{_DRAWS + _RANDOM_DRAWS} draws in a row gave nothing new")
    first = chance.randrange(space.size)
    numbers = (number % space.size for number in range(first, first + space.size))
    return next(values for number in numbers if (values := space.nth(number)) not in tried)


def _seed(brief: Brief, attempt: int) -> int:
    """A seed below 2**32, its own for each draw; ideas count, as one that changed nothing leaves no experiment."""
    place = f"{brief.seed} {brief.number} {brief.ideas.get(Tuner.name, 0)} {attempt}"
    return int.from_bytes(hashlib.sha256(place.encode()).digest()[:4], "big")
