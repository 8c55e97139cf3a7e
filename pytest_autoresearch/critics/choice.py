"""Which critic a session gets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pytest_autoresearch.critics.base import Brief, Critic, Exhausted
from pytest_autoresearch.critics.fallback import Fallback, Watch, patience_s
from pytest_autoresearch.critics.hand import Hand
from pytest_autoresearch.critics.hybrid import Hybrid
from pytest_autoresearch.critics.literals import has_tunable_literals
from pytest_autoresearch.critics.llm import LlmCritic
from pytest_autoresearch.critics.replay import Replay
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import Provider
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.models import Models
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import Idea

_OFFER = "choose one with --autoresearch-critic: ollama, openrouter, openai, hybrid, tuner, replay or auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """A critic, and the reason why it was chosen, in words for the header and the ledger.

    `models` are those that it asks, None if it asks none. With `brings_editor` its ideas are for the built-in editor,
    although the problem switches no coder on.
    """

    critic: Critic
    why: str
    models: Models | None = None
    brings_editor: bool = False


@dataclass(frozen=True, slots=True)
class Kit:
    """What critics are made of.

    `ideas` is the file of recorded ideas, whether or not it is there; `source` is the mutable file.
    `has_coder` says that somebody other than a person makes the edits that an idea lacks.
    """

    problem: Problem
    models: Models
    mask: Mask
    watch: Watch
    tuner: Tuner
    ideas: Path
    source: str
    with_edits: bool
    has_coder: bool = True


class Relay:
    """Asks one critic until it has nothing left, then another, as long as there is something to tune."""

    def __init__(self, first: Critic, then: Critic) -> None:
        self.name = f"{first.name}, then {then.name}"
        self._first = first
        self._then = then

    def propose(self, brief: Brief) -> Idea:
        """An idea of the first critic that has one."""
        try:
            return self._first.propose(brief)
        except Exhausted as exhausted:
            if not has_tunable_literals(brief.source):
                raise Exhausted(f"{exhausted}, and the incumbent has no literal to tune") from None
        return self._then.propose(brief)


def choose_critic(kit: Kit, asked: str | None) -> Choice:
    """The critic that was `asked` for, or that the problem names; UserError if there is no such critic to be had."""
    section = kit.problem.critic
    if asked is None and not section.enabled:
        return Choice(Hand(), "critic.enabled is false")
    provider = asked or section.provider
    origin = "--autoresearch-critic" if asked else "problem.yaml"
    if provider not in get_args(Provider):
        raise UserError(f"{origin}: there is no critic {provider!r}; {_OFFER}")
    why = f"named by {origin}"
    if provider == "replay":
        return Choice(Replay(kit.ideas), why)
    if provider == "tuner":
        return Choice(_with_literals(kit), why)
    if provider == "hybrid":
        _with_literals(kit)
        return Choice(_hybrid(kit), why, kit.models)
    return _automatic(kit) if provider == "auto" else Choice(_llm(kit, with_edits=kit.with_edits), why, kit.models)


def _llm(kit: Kit, *, with_edits: bool) -> Critic:
    critic = LlmCritic(kit.problem, kit.models.critic, kit.mask, with_edits=with_edits)
    return Fallback(critic, kit.tuner, kit.watch, kit.problem.critic.on_failure, patience_s=patience_s())


def _hybrid(kit: Kit) -> Critic:
    return Hybrid(
        kit.problem,
        kit.models.critic,
        kit.mask,
        kit.watch,
        kit.tuner,
        has_coder=kit.has_coder,
        patience_s=patience_s(),
    )


def _automatic(kit: Kit) -> Choice:
    model = kit.models.endpoint
    if kit.models.has_local_model():
        why = f"auto; {model.place} answers and has {model.model}"
        return Choice(_llm(kit, with_edits=True), why, kit.models, brings_editor=True)
    no_llm = f"auto; no {model.model} at {model.place}"
    if kit.ideas.exists():
        return Choice(Relay(Replay(kit.ideas), kit.tuner), f"{no_llm}, and the problem ships {kit.ideas.name}")
    if has_tunable_literals(kit.source):
        return Choice(kit.tuner, f"{no_llm}, no {kit.ideas.name}, and the mutable file has literals to tune")
    raise UserError(
        f"auto finds no critic: no {model.model} at {model.place}, no {kit.ideas}, and no literal to tune in the "
        "mutable file (a line such as `LEARNING_RATE = 0.1  # search: 0.001..1 log` at its top level)"
    )


def _with_literals(kit: Kit) -> Tuner:
    if not has_tunable_literals(kit.source):
        raise UserError(
            "the mutable file has no literal to tune; add one at its top level, such as "
            "`LEARNING_RATE = 0.1  # search: 0.001..1 log`"
        )
    return kit.tuner
