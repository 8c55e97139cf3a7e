"""What happens to an iteration when the model cannot be asked: the tuner, a pause, or the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Literal, Protocol

from pytest_autoresearch.critics.base import Brief, Critic, Exhausted
from pytest_autoresearch.critics.literals import has_tunable_literals
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.records import Idea

Policy = Literal["tuner", "wait", "stop"]
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0
_CI_PATIENCE_S = 600.0


class Watch(Protocol):
    """What the policy needs to know and to say."""

    def enough(self) -> str | None:
        """The stop rule that holds now, if one does."""

    def say(self, line: str) -> None:
        """Tell the person at the terminal."""


def policy_for(asked: Policy | None, source: str) -> Policy:
    """What to do when a model cannot be asked: as the problem says, else by whether there is something to tune."""
    return asked or ("tuner" if has_tunable_literals(source) else "wait")


def patience_s() -> float | None:
    """How long a model is waited for, in seconds; None for as long as it takes."""
    return _CI_PATIENCE_S if os.environ.get("CI") else None


class Fallback:
    """Asks `critic`, and does what `policy` says when that fails.

    Without a policy the tuner stands in if it has something to tune, otherwise the critic is waited for: in growing
    pauses, without end or for `patience_s` seconds, but not for a key that is refused, as that does not pass. What is
    proposed in the meantime is new and the tuner's, under its own name.
    """

    def __init__(
        self,
        critic: Critic,
        tuner: Critic,
        watch: Watch,
        policy: Policy | None,
        *,
        patience_s: float | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._critic = critic
        self._tuner = tuner
        self._watch = watch
        self._policy = policy
        self._patience_s = patience_s
        self._pause = pause
        self._clock = clock

    @property
    def name(self) -> str:
        """The critic's name."""
        return self._critic.name

    def propose(self, brief: Brief) -> Idea:
        """The critic's idea, or what there is instead; UserError where only the user can help."""
        try:
            return self._critic.propose(brief)
        except Fault as fault:
            if brief.rehearsal:
                raise UserError(fault.text) from None
            return self._instead(fault, brief)

    def _instead(self, fault: Fault, brief: Brief) -> Idea:
        policy = policy_for(self._policy, brief.source)
        if policy == "stop":
            raise UserError(f"{fault.text} (critic.on_failure: stop)")
        if policy == "tuner":
            try:
                idea = self._tuner.propose(brief)
            except Exhausted as exhausted:
                self._watch.say(f"the tuner cannot stand in: {exhausted}")
            else:
                self._watch.say(f"{fault.text}; the tuner proposes experiment {brief.label or brief.number}")
                return idea
        return self._waited(fault, brief)

    def _waited(self, fault: Fault, brief: Brief) -> Idea:
        """The critic's idea, once it can be asked again."""
        patience = Patience(self._watch, self._patience_s, pause=self._pause, clock=self._clock)
        while True:
            patience.wait(fault)
            try:
                return self._critic.propose(brief)
            except Fault as again:
                fault = again


class Patience:
    """Waits for a model in growing pauses, without end or until `limit_s` seconds are over."""

    def __init__(
        self,
        watch: Watch,
        limit_s: float | None,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch = watch
        self._limit_s = limit_s
        self._pause = pause
        self._clock = clock
        self._began = clock()
        self._next_s = _FIRST_PAUSE_S

    def wait(self, fault: Fault) -> None:
        """One pause after `fault`; UserError if that does not help, Exhausted if a stop rule holds."""
        waited = self._clock() - self._began  # a server that hangs takes its time as well
        if fault.kind == "unauthorized":
            raise UserError(fault.text)
        if self._limit_s is not None and waited >= self._limit_s:
            raise UserError(f"{fault.text}, after {waited:.0f} s of waiting")
        if reason := self._watch.enough():
            raise Exhausted(reason)
        seconds = max(self._next_s, min(fault.wait_s or 0.0, _LONGEST_PAUSE_S))
        self._watch.say(f"{fault.text}; waiting {seconds:.0f} s for it")
        self._pause(seconds)
        self._next_s = min(2 * self._next_s, _LONGEST_PAUSE_S)
