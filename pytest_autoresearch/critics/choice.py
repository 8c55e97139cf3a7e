"""Which critic a session gets, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pytest_autoresearch.critics.base import Brief, Critic, Exhausted
from pytest_autoresearch.critics.literals import has_tunable_literals
from pytest_autoresearch.critics.replay import Replay
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.problem import LLM_PROVIDERS, CriticSection, Provider
from pytest_autoresearch.records import Idea

_OFFER = "choose one with --autoresearch-critic: tuner, replay or auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """A critic, and the reason why it was chosen, in words for the header and the ledger."""

    critic: Critic
    why: str

    @property
    def vram_gb(self) -> float:
        """How much GPU memory the critic needs on this machine; embedded ones need none."""
        return 0.0


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


def choose_critic(section: CriticSection, asked: str | None, ideas: Path, source: str, tuner: Tuner) -> Choice:
    """The critic that was `asked` for, or that the problem names; UserError if there is no such critic to be had.

    `ideas` is the file of recorded ideas, whether or not it is there; `source` is the mutable file.
    """
    if asked is None and not section.enabled:
        raise UserError(f"critic.enabled is false, and edits by hand are not available in this version; {_OFFER}")
    provider = asked or section.provider
    origin = "--autoresearch-critic" if asked else "problem.yaml"
    if provider not in get_args(Provider):
        raise UserError(f"{origin}: there is no critic {provider!r}; {_OFFER}")
    if provider in LLM_PROVIDERS:
        raise UserError(f"{origin}: the critic {provider!r} is not available in this version; {_OFFER}")
    if provider == "replay":
        return Choice(Replay(ideas), f"named by {origin}")
    if provider == "tuner":
        return Choice(_with_literals(tuner, source), f"named by {origin}")
    return _automatic(ideas, source, tuner)


def _automatic(ideas: Path, source: str, tuner: Tuner) -> Choice:
    no_llm = "auto; no LLM critic in this version"
    if ideas.exists():
        return Choice(Relay(Replay(ideas), tuner), f"{no_llm}, and the problem ships {ideas.name}")
    if has_tunable_literals(source):
        return Choice(tuner, f"{no_llm}, no {ideas.name}, and the mutable file has literals to tune")
    raise UserError(
        f"auto finds no critic: no LLM critic in this version, no {ideas}, and no literal to tune in the mutable file "
        "(a line such as `LEARNING_RATE = 0.1  # search: 0.001..1 log` at its top level)"
    )


def _with_literals(tuner: Tuner, source: str) -> Tuner:
    if not has_tunable_literals(source):
        raise UserError(
            "the mutable file has no literal to tune; add one at its top level, such as "
            "`LEARNING_RATE = 0.1  # search: 0.001..1 log`"
        )
    return tuner
