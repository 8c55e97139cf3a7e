"""The hybrid critic: a sampler proposes, and in a share of the iterations a model that sees the sampler's state.

After Ferreira et al., "Can LLMs Beat Classical Hyperparameter Optimization Algorithms? A Study on autoresearch"
(arXiv 2603.24647), where CMA-ES that shares its mean, step size and covariance with a model did best of nine methods
with the model on 30 % of the trials, and a model of 0.8B parameters was enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.critics.digest import Digest
from pytest_autoresearch.critics.fallback import Fallback, Watch
from pytest_autoresearch.critics.form import IdeaForm, IdeaModel, edits_fit, strict_object, validated
from pytest_autoresearch.critics.literals import render
from pytest_autoresearch.critics.llm import recorded
from pytest_autoresearch.critics.prompt import idea_prompt, number
from pytest_autoresearch.critics.ranges import Choices
from pytest_autoresearch.critics.tuner import Tuner, View
from pytest_autoresearch.llm.conversation import Conversation, Invalid, find_object
from pytest_autoresearch.llm.dialect import Shape
from pytest_autoresearch.llm.model import LanguageModel
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import Idea, ParameterValue

_TOP = 5
_LATEST = 20
_LARGE = 1 << 53
_PARTNER = (
    "You share the search with a sampler that sets the literals of the file. You see what it knows, and it is told "
    "every result, yours too. Answer with `change` = `parameters` and a value for each literal in `parameters`, which "
    "may be far from what it would draw; or with `change` = `code` and `edits`, if another kind of change promises "
    "more."
)
_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


class Hybrid:
    """Has the sampler of `tuner` propose, and `model` in the share of the iterations that `critic.llm_share` says.

    Each idea bears the name of who had it. Where the model fails, `critic.on_failure` decides; unless it says
    otherwise, the sampler takes the turn.
    """

    name = "hybrid"

    def __init__(
        self,
        problem: Problem,
        model: LanguageModel,
        mask: Mask,
        watch: Watch,
        tuner: Tuner,
        *,
        has_coder: bool = True,
        patience_s: float | None = None,
    ) -> None:
        partner = Partner(problem, model, mask, tuner, has_coder=has_coder)
        policy = problem.critic.on_failure or "tuner"
        self._share = problem.critic.llm_share
        self._tuner = tuner
        self._partner = Fallback(partner, tuner, watch, policy, patience_s=patience_s)

    def propose(self, brief: Brief) -> Idea:
        """The sampler's idea, or the model's: other values for the literals, or a change of the code."""
        models = is_turn(sum(brief.ideas.values()), self._share)
        return (self._partner if models else self._tuner).propose(brief)


class Partner:
    """The model that shares a search with the sampler of `tuner`.

    Without a coder (`has_coder`), a change of the code has to come with edits that fit.
    """

    def __init__(self, problem: Problem, model: LanguageModel, mask: Mask, tuner: Tuner, *, has_coder: bool) -> None:
        self.name = model.endpoint.provider
        self._problem = problem
        self._model = model
        self._mask = mask
        self._tuner = tuner
        self._has_coder = has_coder
        self._digest = Digest(problem.critic.context_last_n, problem.lower_is_better)

    def propose(self, brief: Brief) -> Idea:
        """Values for the literals or a change of the code; Fault if the model gives none."""
        view = self._tuner.view(brief)
        self._digest.read(brief.history)
        state = self._state(brief, view)
        prompt = idea_prompt(self._problem, brief, self._digest, self._mask, with_edits=True, sampler=state)
        conversation = Conversation(self._model, prompt.system, prompt.user)
        fit = edits_fit(brief.source, self._problem.mutable_file)
        strict = HybridForm(brief.source, view, fit)
        idea = conversation.ask("critic", strict, replace(strict, check=None) if self._has_coder else None)
        try:
            fit(idea)
        except Invalid:
            idea = replace(idea, edits=())
        return recorded(replace(idea, critic=self.name), self._model)

    def _state(self, brief: Brief, view: View) -> str:
        """The sampler's state in readable form, with the best and the latest trials."""
        sign = 1.0 if brief.lower_is_better else -1.0
        measured = [one for one in view.observations if one.cost is not None]
        best = sorted(measured, key=lambda one: one.cost if one.cost is not None else math.inf)[:_TOP]

        def line(values: tuple[ParameterValue, ...], cost: float | None) -> str:
            named = ", ".join(f"{name}={value!r}" for name, value in zip(view.space.names, values, strict=True))
            return f"- {named}: {'crashed' if cost is None else number(sign * cost)}"

        parts = [
            _PARTNER,
            self._tuner.state(view),
            "Ranges: "
            + "; ".join(f"{name} {limit}" for name, limit in zip(view.space.names, view.space.ranges, strict=True)),
            "The best:\n" + "\n".join(line(one.values, one.cost) for one in best),
            "The latest:\n" + "\n".join(line(one.values, one.cost) for one in view.observations[-_LATEST:]),
        ]
        return "\n\n".join(parts)


class _HybridModel(IdeaModel):
    change: Literal["parameters", "code"]
    parameters: dict[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class HybridForm:
    """An idea that sets the literals of `view`, or changes the code of `source`; `check` looks at its edits."""

    source: str
    view: View
    check: Callable[[Idea], None] | None

    @property
    def shape(self) -> Shape:
        """The schema of an idea, with the literals as its parameters."""
        schema = dict(IdeaForm(with_edits=True).shape.schema["properties"])
        values = {name: self._type(index) for index, name in enumerate(self.view.space.names)}
        schema["change"] = {"type": "string", "enum": ["parameters", "code"]}
        schema["parameters"] = strict_object(values)
        return Shape("next_idea", strict_object(schema))

    def read(self, text: str) -> Idea:
        """The idea in a model's answer; Invalid if there is none, or if it cannot be tried."""
        answer = validated(_HybridModel, find_object(text))
        idea = answer.idea()
        if answer.change == "code":
            if self.check is not None:
                self.check(idea)
            return idea
        values = tuple(self._value(index, answer.parameters) for index in range(len(self.view.space.names)))
        if values in self.view.tried:
            raise Invalid("parameters: this combination was measured before; choose another one")
        parameters = dict(zip(self.view.space.names, values, strict=True))
        content = render(self.source, self.view.literals, parameters)
        return replace(idea, edits=(), content=content, parameters=parameters, space=self.view.space.text)

    def _type(self, index: int) -> dict[str, Any]:
        limit = self.view.space.ranges[index]
        kind = {"type": _TYPES[type(self.view.here[index])]}
        return {**kind, "enum": list(limit.values)} if isinstance(limit, Choices) else kind

    def _value(self, index: int, given: dict[str, ParameterValue]) -> ParameterValue:
        """The value for one literal, of its type and within its range; the incumbent's where none is given."""
        name, limit, here = self.view.space.names[index], self.view.space.ranges[index], self.view.here[index]
        value = _as(given.get(name, here), here)
        if not limit.contains(value):
            raise Invalid(f"parameters.{name}: expected {limit}, got {value!r}")
        return value


def is_turn(turns: int, share: float) -> bool:
    """Whether the next turn, after so many, is the model's: evenly spread, and never more than `share` of them."""
    return math.floor((turns + 1) * share + 1e-9) > math.floor(turns * share + 1e-9)


def _as(value: ParameterValue, like: ParameterValue) -> ParameterValue:
    """A number as the kind of number that the literal is, if it is one: JSON has only one kind."""
    if isinstance(value, float) and type(like) is int and value.is_integer():
        return int(value)
    if type(value) is int and type(like) is float and abs(value) < _LARGE:
        return float(value)
    return value
