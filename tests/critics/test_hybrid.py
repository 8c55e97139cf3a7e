"""The hybrid critic: a sampler, and a model that sees what the sampler knows."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from pytest_autoresearch.critics.hybrid import Hybrid, is_turn
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.records import Experiment, Idea
from tests.critics.support import brief, experiment
from tests.llm.server import Asked, Behaviour, idea, say, serving, status
from tests.llm.support import Line, ollama
from tests.support import problem_with

SOURCE = """RATE = 0.1  # search: 0.001..1 log
DEPTH = 4  # search: 1..16
MODE = "slow"  # search: [slow, fast]
print(RATE, DEPTH, MODE)
"""


def answer(change: str = "parameters", edits: Sequence[Any] = (), **parameters: Any) -> Behaviour:
    return say(idea("mine", change=change, parameters=parameters, edits=list(edits)))


class Night:
    """A session of a hybrid critic on `SOURCE`, in which every experiment is discarded unless it is said otherwise."""

    def __init__(self, script: Any, share: float = 1.0, sampler: str = "random", **critic: Any) -> None:
        self.past: list[Experiment] = [experiment(0, "keep", 10.0)]
        self.had: dict[str, int] = {}
        self.asked: list[Asked] = []
        self.line: Line
        self._script = script
        self._tuner = Tuner(sampler)  # type: ignore[arg-type]
        self._problem = problem_with(mutable_file="solution.py", critic={"llm_share": share, **critic})

    def propose(self, source: str = SOURCE, metric: float = 10.0) -> Idea:
        with serving(self._script) as server:
            self.line = Line(ollama(server.url))
            hybrid = Hybrid(self._problem, self.line.model, Mask({}), self.line.desk, self._tuner)
            found = hybrid.propose(
                brief(self.had, source=source, number=len(self.past), past=self.past, metric=metric, contract="c")
            )
            self.line.model.close()
        self.asked = server.chats
        self.had[found.critic] = self.had.get(found.critic, 0) + 1
        return found

    def measured(self, found: Idea, metric: float | None) -> None:
        self.past.append(experiment(len(self.past), "discard" if metric else "crash", metric, found))


@pytest.mark.parametrize(("share", "turns"), [(0.3, 3), (0.0, 0), (1.0, 10), (0.5, 5), (0.1, 1), (0.95, 9)])
def test_the_model_has_its_share_of_the_turns_evenly_spread(share: float, turns: int) -> None:
    taken = [turn for turn in range(10) if is_turn(turn, share)]
    assert len(taken) == turns
    gaps = {after - before for before, after in pairwise(taken)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


def test_each_idea_bears_the_name_of_who_had_it() -> None:
    night = Night([answer(RATE=0.2)], share=0.3)
    names = []
    for number in range(7):
        night._script = [answer(RATE=0.2 + number / 100)]
        found = night.propose()
        night.measured(found, 20.0 + number)
        names.append(found.critic)
    assert names == ["tuner", "tuner", "tuner", "ollama", "tuner", "tuner", "ollama"]


def test_parameters_become_the_file_and_are_told_to_the_sampler() -> None:
    night = Night([answer(RATE=0.5, DEPTH=8, MODE="fast")])
    found = night.propose()
    assert found.content == SOURCE.replace("0.1 ", "0.5 ").replace("= 4", "= 8").replace('"slow"', '"fast"')
    assert found.parameters == {"RATE": 0.5, "DEPTH": 8, "MODE": "fast"}
    night.measured(found, 3.0)
    view = Tuner("random").view(brief(source=SOURCE, number=2, past=night.past, contract="c"))
    assert [(one.values, one.cost) for one in view.observations if one.proposed] == [((0.5, 8, "fast"), 3.0)]


def test_what_is_not_given_stays_and_numbers_are_numbers() -> None:
    found = Night([answer(RATE=1, DEPTH=8.0)]).propose()
    assert found.parameters == {"RATE": 1.0, "DEPTH": 8, "MODE": "slow"}
    assert found.content is not None
    assert "RATE = 1.0 " in found.content
    assert "DEPTH = 8 " in found.content


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"RATE": 5.0}, "parameters.RATE: expected 0.001..1.0 log, got 5.0"),
        ({"DEPTH": 3.5}, "parameters.DEPTH: expected 1..16, got 3.5"),
        ({"DEPTH": True}, "parameters.DEPTH: expected 1..16, got True"),
        ({"MODE": "medium"}, "parameters.MODE: expected ['slow', 'fast'], got 'medium'"),
        ({"RATE": 10**400}, "parameters.RATE: expected"),
        ({}, "parameters: this combination was measured before; choose another one"),
    ],
)
def test_values_that_cannot_be_tried_are_sent_back_with_the_range(parameters: dict[str, Any], said: str) -> None:
    night = Night([answer(**parameters), answer(RATE=0.3)])
    assert night.propose().parameters["RATE"] == 0.3
    assert said in night.asked[1].user


def test_a_change_of_the_code_is_taken_as_one() -> None:
    night = Night([answer("code", [{"search": "print(RATE, DEPTH, MODE)", "replace": "print(1)"}])])
    found = night.propose()
    assert found.edits[0].replace == "print(1)"
    assert (found.content, found.space, dict(found.parameters)) == (None, "", {})


def test_code_that_does_not_fit_is_left_to_a_coder_after_the_second_round() -> None:
    night = Night([answer("code", [{"search": "nowhere", "replace": "x"}])])
    found = night.propose()
    assert (found.critic, found.edits, found.content) == ("ollama", (), None)
    assert len(night.asked) == 2


def test_where_the_model_fails_the_sampler_takes_its_turn() -> None:
    night = Night([status(401)])
    found = night.propose()
    assert found.critic == "tuner"
    assert night.line.desk.lines[-1].endswith("the tuner proposes experiment 1")


def test_the_schema_has_a_place_for_every_literal_of_its_type() -> None:
    night = Night([answer(RATE=0.2)])
    night.propose()
    properties = night.asked[0].body["response_format"]["json_schema"]["schema"]["properties"]
    assert properties["change"]["enum"] == ["parameters", "code"]
    assert properties["parameters"]["properties"] == {
        "RATE": {"type": "number"},
        "DEPTH": {"type": "integer"},
        "MODE": {"type": "string", "enum": ["slow", "fast"]},
    }
    assert properties["parameters"]["required"] == ["RATE", "DEPTH", "MODE"]


def a_long_night(sampler: str) -> str:
    """What the model is told after forty trials of a bowl with its bottom at RATE 0.03, DEPTH 12."""
    night = Night([answer(RATE=0.2)], share=0.0, sampler=sampler)
    chance = random.Random(2)
    for _ in range(40):
        found = night.propose()
        rate, depth = float(found.parameters["RATE"]), int(found.parameters["DEPTH"])
        crashed = depth > 14
        cost = abs(rate - 0.03) * 10 + abs(depth - 12) + chance.random() / 100
        night.measured(found, None if crashed else cost)
    last = Night([answer(RATE=0.2)], share=1.0, sampler=sampler)
    last.past = night.past
    last.propose()
    return last.asked[0].user


def test_the_model_sees_the_state_of_cma_es() -> None:
    pytest.importorskip("cmaes", reason="CMA-ES needs cmaes: pip install 'pytest-autoresearch[tuner]'")
    text = a_long_night("cmaes")
    assert "CMA-ES after " in text
    assert "step size " in text
    assert "- DEPTH: mean " in text
    assert "Correlations: " in text
    assert "Ranges: RATE 0.001..1.0 log; DEPTH 1..16; MODE ['slow', 'fast']" in text
    best, latest = text.split("The best:\n")[1].split("The latest:\n")
    assert best.count("\n- ") + 1 == 5
    assert latest.split("\n\n")[0].count("\n- ") + 1 == 20
    values = [float(line.rsplit(": ", 1)[1]) for line in best.strip().splitlines()]
    assert values == sorted(values)


def test_the_model_sees_the_state_of_tpe() -> None:
    pytest.importorskip("optuna", reason="TPE needs optuna: pip install 'pytest-autoresearch[tuner]'")
    text = a_long_night("tpe")
    assert re.search(r"TPE draws where its good observations \(\d of \d\d\) are denser", text)
    assert "- MODE: good " in text
    assert "crashed" in text


def test_a_model_that_is_no_good_spoils_nothing() -> None:
    night = Night(lambda asked: say(json.dumps({"x": 1})), share=1.0)
    for _ in range(3):
        found = night.propose()
        assert found.critic == "tuner"
        night.measured(found, 11.0)


@pytest.mark.parametrize("policy", ["stop", "tuner"])
def test_the_policy_for_a_model_that_fails_is_that_of_the_other_critics(policy: str) -> None:
    night = Night([status(401)], on_failure=policy)
    if policy == "tuner":
        assert night.propose().critic == "tuner"
        return
    with pytest.raises(UserError, match="on_failure: stop"):
        night.propose()


def test_without_a_coder_a_change_of_the_code_that_does_not_fit_is_none() -> None:
    unfit = answer("code", edits=[{"search": "NOWHERE", "replace": "x"}])
    with serving([unfit]) as server:
        line = Line(ollama(server.url))
        problem = problem_with(mutable_file="solution.py", critic={"llm_share": 1})
        hybrid = Hybrid(problem, line.model, Mask({}), line.desk, Tuner("random"), has_coder=False)
        past = [experiment(0, "keep", 10.0)]
        found = hybrid.propose(brief({}, source=SOURCE, number=1, past=past, metric=10.0, contract="c"))
        line.model.close()
    assert found.critic == "tuner"
    assert found.content is not None
