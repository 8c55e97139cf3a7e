"""What becomes of an iteration when the model cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pytest_autoresearch.critics.base import Brief, Exhausted
from pytest_autoresearch.critics.fallback import Fallback, Policy
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.records import Idea
from tests.critics.support import TUNABLE, brief
from tests.llm.desk import OpenDesk

PLAIN = "print(1)\n"


@dataclass
class Moody:
    """A critic that fails as often as it is told, then has an idea."""

    faults: list[Fault]
    name: str = "ollama"
    asked: int = 0

    def propose(self, brief: Brief) -> Idea:
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        return Idea("mine", critic=self.name)


@dataclass
class Stand:
    """A tuner that has an idea, or none."""

    name: str = "tuner"
    empty: bool = False

    def propose(self, brief: Brief) -> Idea:
        if self.empty:
            raise Exhausted("all has been tried")
        return Idea("tuned", critic=self.name)


@dataclass
class Case:
    """One critic with a policy; `pauses` are what it would have waited."""

    faults: list[Fault]
    policy: Policy | None = None
    tuner: Stand = field(default_factory=Stand)
    desk: OpenDesk = field(default_factory=OpenDesk)
    patience_s: float | None = None
    pauses: list[float] = field(default_factory=list)

    def propose(self, source: str = TUNABLE, **more: object) -> Idea:
        critic = Moody(self.faults)
        fallback = Fallback(
            critic,
            self.tuner,
            self.desk,
            self.policy,
            patience_s=self.patience_s,
            pause=self.pauses.append,
            clock=lambda: sum(self.pauses),
        )
        assert fallback.name == "ollama"
        return fallback.propose(brief(source=source, number=7, **more))  # type: ignore[arg-type]


def refused(count: int = 1) -> list[Fault]:
    return [Fault("unreachable", "nobody answers", passing=True) for _ in range(count)]


def test_a_critic_that_answers_is_not_stood_in_for() -> None:
    assert Case([]).propose().critic == "ollama"


def test_the_tuner_stands_in_under_its_own_name_where_there_is_something_to_tune() -> None:
    case = Case(refused())
    assert case.propose().critic == "tuner"
    assert case.desk.lines == ["nobody answers; the tuner proposes experiment 7"]
    assert case.pauses == []


def test_where_there_is_nothing_to_tune_the_critic_is_waited_for_in_growing_pauses() -> None:
    case = Case(refused(9))
    assert case.propose(PLAIN).critic == "ollama"
    assert case.pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert case.desk.lines[0] == "nobody answers; waiting 5 s for it"
    assert len(case.desk.lines) == 9


def test_the_policy_of_the_problem_counts() -> None:
    assert Case(refused(), policy="wait").propose().critic == "ollama"
    assert Case(refused(), policy="tuner").propose().critic == "tuner"
    with pytest.raises(UserError, match=r"^nobody answers \(critic.on_failure: stop\)$"):
        Case(refused(), policy="stop").propose()


def test_a_tuner_that_has_nothing_left_is_no_end_either() -> None:
    case = Case(refused(), policy="tuner", tuner=Stand(empty=True))
    assert case.propose().critic == "ollama"
    assert case.desk.lines == ["the tuner cannot stand in: all has been tried", "nobody answers; waiting 5 s for it"]


def test_a_server_that_asks_for_time_gets_it() -> None:
    case = Case([Fault("rate limited", "later", passing=True, wait_s=90)], policy="wait")
    case.propose()
    assert case.pauses == [90]


def test_a_key_that_is_refused_is_not_waited_for() -> None:
    with pytest.raises(UserError, match=r"^the key is wrong$"):
        Case([*refused(), Fault("unauthorized", "the key is wrong")], policy="wait").propose()
    assert Case([Fault("unauthorized", "the key is wrong")]).propose().critic == "tuner"


def test_waiting_has_an_end_where_somebody_else_waits() -> None:
    case = Case(refused(99), policy="wait", patience_s=30)
    with pytest.raises(UserError, match=r"^nobody answers, after 35 s of waiting$"):
        case.propose()


def test_a_stop_rule_ends_the_waiting() -> None:
    with pytest.raises(Exhausted, match=r"^8 hours are over$"):
        Case(refused(), policy="wait", desk=OpenDesk(stop="8 hours are over")).propose()


def test_in_a_rehearsal_a_failure_is_said() -> None:
    with pytest.raises(UserError, match=r"^nobody answers$"):
        Case(refused()).propose(rehearsal=True)


def test_a_budget_that_is_spent_is_not_stood_in_for() -> None:
    case = Case([Exhausted("spent")])  # type: ignore[list-item]
    with pytest.raises(Exhausted, match=r"^spent$"):
        case.propose()


def test_the_time_that_a_hanging_server_takes_is_part_of_the_patience() -> None:
    faults = [Fault("timeout", "it hangs", passing=True) for _ in range(20)]
    seconds = iter(range(0, 6000, 120))  # each look at the clock comes two minutes after the last one
    critic, desk = Moody(faults), OpenDesk()
    waiting = Fallback(
        critic, Stand(), desk, "wait", patience_s=600.0, pause=lambda _: None, clock=lambda: float(next(seconds))
    )
    with pytest.raises(UserError, match="it hangs, after 600 s of waiting"):
        waiting.propose(brief(source=PLAIN))
    assert critic.asked == 5
