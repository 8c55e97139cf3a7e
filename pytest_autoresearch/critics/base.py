"""What every critic is: something that proposes one change to the incumbent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pytest_autoresearch.records import Experiment, Idea, Measurement


class Exhausted(Exception):
    """The critic has nothing left to propose; the message says why. The session ends cleanly."""


class History(Protocol):
    """The finished experiments of a session, oldest first, without being held in memory."""

    def experiments(self, after: int = -1) -> Iterator[Experiment]:
        """Each experiment whose number is greater than `after`, with its idea."""


def _nothing_known(content: bytes) -> Measurement | None:
    return None


@dataclass(frozen=True, slots=True)
class Brief:
    """What a critic is told when it is asked for an idea.

    `number` is the experiment that the idea is for, which people call `label`. `ideas` counts, for each critic by
    name, the ideas that this session has had from it (an idea that changed nothing is one of them, but not an
    experiment). `source` is the incumbent's mutable file and `metric` its value under `contract`: what was
    measured under another one cannot be compared with it ('' stands for that of the last experiment). `seed`
    identifies the session: the same seed, history and number give the same idea.

    `baseline` is the metric of experiment 0, `misses` the number of experiments since the last keep.
    `came_to_nothing` is the last idea, with the reason, if no experiment came of it. `known` gives what was measured
    of a mutable file under the same contract, None if it was not. In a `rehearsal` a critic that fails says so
    (UserError) instead of finding a way around. `siblings` are the ideas that will be measured beside this
    one, which should differ from them.
    """

    number: int
    ideas: Mapping[str, int]
    source: str
    metric: float | None
    metric_name: str
    lower_is_better: bool
    seed: int
    history: History
    contract: str = ""
    baseline: float | None = None
    misses: int = 0
    came_to_nothing: str = ""
    known: Callable[[bytes], Measurement | None] = _nothing_known
    rehearsal: bool = False
    siblings: tuple[Idea, ...] = ()
    label: str = ""


class Critic(Protocol):
    """Proposes one change at a time."""

    @property
    def name(self) -> str:
        """What it is called in the ledger."""

    def propose(self, brief: Brief) -> Idea:
        """One idea for `brief.number`; raises Exhausted if there is none, UserError if the user has to act."""
