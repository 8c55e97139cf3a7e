"""The tuner learns from a history, proposes the same however often it is restarted, and says the truth about it."""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest

from pytest_autoresearch.critics.base import Brief, Critic, Exhausted
from pytest_autoresearch.critics.observations import Notes, Observation
from pytest_autoresearch.critics.ranges import Choices, Interval
from pytest_autoresearch.critics.samplers import SamplerName, Tpe, sampler_named, told_to_tpe
from pytest_autoresearch.critics.space import Space
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.records import Experiment, Idea, ParameterValue, Status
from tests.critics.support import Past, brief, experiment

pytest.importorskip("optuna")
pytest.importorskip("cmaes")

SOURCE = """\
# A model
DEPTH = 6  # search: 1..32
RATE = 0.1
LAYERS = 12
LOSS = "mse"  # search: [mse, huber, l1]
SHUFFLE = True
WIDTH = 64  # search: [16, 32, 64, 128]

print(DEPTH, RATE, LAYERS, LOSS, SHUFFLE, WIDTH)
"""
TWO = "X = 0.9  # search: 0.0..1.0\nY = 0.1  # search: 0.0..1.0\n"

Metrics = Callable[[dict[str, Any]], float | None]


@dataclass
class Ledger:
    """A history that has been through JSON, as the real one has."""

    records: list[Experiment] = field(default_factory=list)

    def experiments(self, after: int = -1) -> Iterator[Experiment]:
        for record in self.records:
            if record.number > after:
                idea = record.idea and Idea.from_json(json.loads(json.dumps(record.idea.to_json())))
                yield replace(record, idea=idea)

    def add(self, status: Status, metric: float | None, idea: Idea | None = None, **more: Any) -> None:
        number = len(self.records)
        fields: dict[str, Any] = {"contract": "c1", "commit": "", "parent": "", "blob": "", "description": "", **more}
        self.records.append(Experiment(number, status, "", metric, resource=None, seconds=0.0, idea=idea, **fields))


@dataclass
class Night:
    """A session without pytest: the incumbent, its metric, and what has been tried."""

    source: str = SOURCE
    metric: float | None = 10.0
    lower: bool = True
    seed: int = 7
    ideas: int = 0
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.ledger.add("keep", self.metric)

    def brief(self) -> Brief:
        return Brief(
            number=len(self.ledger.records),
            ideas={"tuner": self.ideas, "llm": 99},
            source=self.source,
            metric=self.metric,
            metric_name="loss",
            lower_is_better=self.lower,
            seed=self.seed,
            history=self.ledger,
        )

    def finish(self, idea: Idea, metric: float | None, **more: Any) -> None:
        """Judge and record; what is better is kept."""
        self.ideas += idea.critic == "tuner"
        if metric is None:
            self.ledger.add("crash", None, idea, **more)
        elif self.metric is None or (metric < self.metric if self.lower else metric > self.metric):
            self.ledger.add("keep", metric, idea, **more)
            assert idea.content is not None
            self.source, self.metric = idea.content, metric
        else:
            self.ledger.add("discard", metric, idea, **more)

    def run(self, critic: Critic, metrics: Metrics, count: int) -> list[Idea]:
        ideas = []
        for _ in range(count):
            idea = critic.propose(self.brief())
            self.finish(idea, metrics(dict(idea.parameters)))
            ideas.append(idea)
        return ideas


def loss(values: dict[str, Any]) -> float | None:
    """Best at depth 20, rate 0.03, 40 layers, huber, 32 wide; the loss `l1` crashes."""
    if values["LOSS"] == "l1":
        return None
    depth, rate = abs(values["DEPTH"] - 20) / 10, abs(math.log10(values["RATE"] / 0.03))
    layers, width = abs(values["LAYERS"] - 40) / 20, abs(values["WIDTH"] - 32) / 64
    return float(depth + rate + layers + width + 0.2 * values["SHUFFLE"] + 0.3 * (values["LOSS"] == "mse"))


def number(value: ParameterValue) -> float:
    assert not isinstance(value, str)
    return float(value)


def square(values: dict[str, Any]) -> float:
    return float((values["X"] - 0.3) ** 2 + (values["Y"] - 0.7) ** 2)


# --- exactly the same, however often it is restarted


OTHERS = {15: ("LAYERS = ", "LAYERS = 1"), 25: ("print", "repr"), 40: ("repr", "print")}
"""What another critic changes, and when: a literal, the code, and the code back again."""


def eventful_night(tuner: Callable[[int], Tuner]) -> list[Idea]:
    """47 proposals between crashes, duplicates, the machine's failures, another contract, other critics' changes."""
    night = Night(metric=loss({"DEPTH": 6, "RATE": 0.1, "LAYERS": 12, "LOSS": "mse", "SHUFFLE": True, "WIDTH": 64}))
    ideas = []
    for turn in range(47):
        contract = "c1" if turn < 32 else "c2"
        idea = tuner(turn).propose(night.brief())
        ideas.append(idea)
        if turn % 11 == 5:
            night.ideas += 1  # it changed nothing in a coder's hands: an idea, but no experiment
        elif turn % 13 == 7:
            night.finish(idea, None, contract=contract, machine=True)
        elif turn % 9 == 4:
            night.finish(idea, loss(dict(idea.parameters)), contract=contract, duplicate_of=1)
        else:
            night.finish(idea, loss(dict(idea.parameters)), contract=contract)
        if turn in OTHERS and night.metric is not None:
            prose = Idea("better", critic="llm", content=night.source.replace(*OTHERS[turn]))
            night.finish(prose, night.metric - 0.01, contract=contract)
    return ideas


@pytest.mark.parametrize("sampler", get_args(SamplerName))
def test_a_restarted_tuner_proposes_what_one_that_lived_on_would_have(sampler: SamplerName) -> None:
    lasting = Tuner(sampler)
    without_a_break = eventful_night(lambda turn: lasting)
    assert eventful_night(lambda turn: Tuner(sampler)) == without_a_break
    sessions = {start: Tuner(sampler) for start in range(0, 47, 6)}
    assert eventful_night(lambda turn: sessions[turn - turn % 6]) == without_a_break
    assert len({idea.content for idea in without_a_break}) > 40


@pytest.mark.parametrize("sampler", get_args(SamplerName))
def test_proposals_do_not_depend_on_the_sense_of_the_metric(sampler: SamplerName) -> None:
    down = Night(TWO, square({"X": 0.9, "Y": 0.1}))
    up = Night(TWO, -square({"X": 0.9, "Y": 0.1}), lower=False)
    lower = down.run(Tuner(sampler), square, 25)
    higher = up.run(Tuner(sampler), lambda values: -square(values), 25)
    assert [idea.parameters for idea in lower] == [idea.parameters for idea in higher]


def test_another_seed_another_number_and_another_idea_give_another_proposal() -> None:
    brief = Night(TWO).brief()
    others = [brief, replace(brief, seed=8), replace(brief, number=2), replace(brief, ideas={"tuner": 1})]
    assert len({Tuner().propose(other).content for other in others}) == 4
    assert Tuner().propose(replace(brief, ideas={"llm": 5})) == Tuner().propose(brief)


def test_a_tuner_that_meets_a_shorter_history_reads_it_anew() -> None:
    first, second = Night(TWO), Night(TWO)
    tuner = Tuner()
    first.run(tuner, square, 8)
    assert second.run(tuner, square, 8) == Night(TWO).run(Tuner(), square, 8)


# --- what counts as an observation


def after(night: Night, number: int = 50) -> Idea:
    """The proposal for a fixed number and count of ideas: only what was observed can make a difference."""
    return Tuner().propose(replace(night.brief(), number=number, ideas={}))


def started() -> Night:
    night = Night(TWO, 0.72)
    night.run(Tuner(), square, 9)
    return night


def changed_proposal(add: Callable[[Night, Idea], None]) -> bool:
    """Whether one more experiment, with an idea of the same space, changes the next proposal."""
    night = started()
    before = after(night)
    idea = Tuner().propose(night.brief())
    add(night, replace(idea, content=night.source))
    return after(night).parameters != before.parameters


def test_a_measured_experiment_and_a_crash_are_observations() -> None:
    assert changed_proposal(lambda night, idea: night.ledger.add("discard", 0.9, idea))
    assert changed_proposal(lambda night, idea: night.ledger.add("crash", None, idea))


def test_a_metric_that_is_no_number_counts_as_a_crash() -> None:
    night = started()
    night.ledger.add("discard", math.nan, Tuner().propose(night.brief()))
    assert "11 observations in this search space, 1 of them crashes" in after(night).thought_process


def test_a_failure_of_the_machine_says_nothing() -> None:
    assert not changed_proposal(lambda night, idea: night.ledger.add("crash", None, idea, machine=True))


def test_experiments_of_other_critics_and_other_spaces_say_nothing() -> None:
    assert not changed_proposal(lambda night, idea: night.ledger.add("discard", 0.1, Idea("prose", critic="llm")))
    assert not changed_proposal(lambda night, idea: night.ledger.add("discard", 0.1, replace(idea, space="other [1]")))


def test_experiments_under_another_contract_are_not_compared() -> None:
    night = started()
    idea = Tuner().propose(night.brief())
    night.ledger.add("discard", 0.9, idea, contract="c2")
    assert "2 observations in this search space" in after(night).thought_process


def test_where_the_search_began_and_the_incumbent_are_observations() -> None:
    night = Night(TWO, 5.0)
    assert "1 observations in this search space, 0 of them crashes; best loss 5 at X 0.9, Y 0.1" in (
        Tuner().propose(night.brief()).thought_process
    )
    night.run(Tuner(), lambda values: 4.0, 1)
    assert "2 observations" in after(night).thought_process
    night.source, night.metric = TWO.replace("0.9", "0.8"), 3.0
    assert "3 observations" in after(night).thought_process
    assert "best loss 3 at X 0.8, Y 0.1" in after(night).thought_process


def test_an_incumbent_without_a_metric_is_no_observation() -> None:
    night = Night(TWO, None)
    assert "0 observations" in Tuner().propose(night.brief()).thought_process


@pytest.mark.parametrize(
    "parameters",
    [{}, {"X": 0.5}, {"X": 0.5, "Y": 7.0}, {"X": "text", "Y": None}, {"X": 0.5, "Z": 0.5}, {"X": 1, "Y": True}],
)
def test_parameters_that_do_not_fit_the_space_are_passed_over(parameters: dict[str, ParameterValue]) -> None:
    night = started()
    night.ledger.add("discard", 0.1, replace(Tuner().propose(night.brief()), parameters=parameters))
    assert "10 observations" in after(night).thought_process


@pytest.mark.parametrize("text", ["", " ", "x", "x [", "x 3", "x [1]", 'x ["a", "b"]', "x [0.9,0.1]", "x {}"])
def test_a_space_that_cannot_be_read_is_passed_over(text: str) -> None:
    night = Night(TWO, 5.0)
    night.ledger.add("discard", 0.1, replace(Tuner().propose(night.brief()), space=text))
    assert "1 observations" in after(night).thought_process


# --- the space stays the same when a value is kept


def test_default_ranges_stay_when_a_value_is_kept() -> None:
    night = Night("RATE = 0.1\nTREES = 200\nFLAG = True\n", 100.0)
    ideas = night.run(Tuner("random"), lambda values: -len(night.ledger.records), 60)
    assert len({idea.space for idea in ideas}) == 1
    assert all(0.01 <= number(idea.parameters["RATE"]) <= 1.0 for idea in ideas)
    assert all(25 <= number(idea.parameters["TREES"]) <= 1600 for idea in ideas)


def test_a_literal_that_another_critic_moved_out_of_its_range_begins_a_new_space() -> None:
    night = Night("TREES = 200\n", 100.0)
    old = night.run(Tuner("random"), lambda values: 200.0, 3)[0].space
    night.source = "TREES = 5000\n"
    moved = Tuner("random").propose(night.brief())
    assert moved.space != old
    assert 625 <= number(moved.parameters["TREES"]) <= 40_000
    night.finish(moved, 300.0)
    night.source = "TREES = 1000\n"
    assert Tuner("random").propose(night.brief()).space == moved.space


def test_other_code_or_another_range_is_another_space() -> None:
    def space(source: str) -> str:
        return Tuner().propose(Night(source).brief()).space

    assert space("A = 4\n") != space("A = 4\nx = 1\n")
    assert space("A = 4  # search: 1..8\n") != space("A = 4  # search: 1..9\n")
    assert space("A = 4\n") == space("A = 4\n")


def test_the_space_of_many_literals_is_a_short_text() -> None:
    source = "".join(f"A_RATHER_LONG_NAME_{number} = {number / 7}\n" for number in range(1, 81))
    assert len(Tuner().propose(Night(source).brief()).space) < 2000


# --- nothing is proposed twice


@pytest.mark.parametrize("sampler", get_args(SamplerName))
def test_a_finite_space_is_tried_to_the_last_combination(sampler: SamplerName) -> None:
    night = Night("A = 2  # search: 1..5\nB = True\nC = 'x'  # search: [x, y, z]\n")
    ideas = night.run(Tuner(sampler), lambda values: 11.0 + values["A"] if values["C"] != "z" else None, 29)
    tried = {tuple(idea.parameters.values()) for idea in ideas}
    assert len(tried) == 29
    assert (2, True, "x") not in tried
    with pytest.raises(Exhausted, match="every one of the 30 combinations has been tried"):
        Tuner(sampler).propose(night.brief())


def test_what_was_drawn_but_known_is_named_as_an_alternative() -> None:
    night = Night("A = True\nB = True\n")
    night.run(Tuner(), lambda values: 11.0, 2)
    ideas = [Tuner().propose(replace(night.brief(), number=number)) for number in range(50, 60)]
    assert len({idea.content for idea in ideas}) == 1
    alternatives = [alternative for idea in ideas for alternative in idea.alternatives_considered]
    assert alternatives
    assert all(alternative.endswith(": drawn first, but known already") for alternative in alternatives)


@pytest.mark.parametrize(
    "source", ["", "x = 1\n", "SEED = 1\n", "A = 'text'\n", "not python {", "A = 1  # search: fixed\n"]
)
def test_a_file_without_literals_exhausts_the_tuner_with_advice(source: str) -> None:
    with pytest.raises(Exhausted, match=r"LEARNING_RATE = 0\.1  # search: 0\.001\.\.1 log"):
        Tuner().propose(Night(source).brief())


# --- comments that cannot be used


def test_a_bad_comment_of_the_user_is_for_the_user_to_mend() -> None:
    with pytest.raises(UserError, match=r"train\.py:1: A = 1: 2\.\.5 does not contain 1"):
        Tuner(filename="train.py").propose(Night("A = 1  # search: 2..5\nB = 1\n").brief())


def test_a_bad_comment_that_another_critic_brought_in_does_not_end_the_night() -> None:
    night = Night("A = 1\nB = 1\n")
    night.finish(Idea("comment", critic="llm", content="A = 1  # search: 2..5\nB = 1\n"), 1.0)
    assert list(Tuner().propose(night.brief()).parameters) == ["B"]


# --- the idea


def test_an_idea_says_what_changes_and_what_it_rests_on() -> None:
    night = Night(metric=9.0)
    night.run(Tuner(), loss, 12)
    idea = Tuner().propose(night.brief())
    assert idea.critic == "tuner"
    assert list(idea.parameters) == ["DEPTH", "RATE", "LAYERS", "LOSS", "SHUFFLE", "WIDTH"]
    assert idea.expected_delta is None
    assert idea.edits == ()
    assert idea.content is not None
    changed = {line.partition(" = ")[0] for line in idea.code_pseudocode.splitlines()}
    assert changed == {part.split()[0] for part in idea.hypothesis.split(", ")}
    for old, new in zip(night.source.splitlines(), idea.content.splitlines(), strict=True):
        name = old.partition(" = ")[0]
        assert (old != new) == (name in changed)
    for line in idea.code_pseudocode.splitlines():
        assert line.replace("'", '"') in idea.content
    assert "drawn by TPE where the best 2 of 13 observations" in idea.thought_process
    assert "drawn by TPE" in idea.justification


def test_a_hypothesis_is_one_bounded_line() -> None:
    source = "".join(f"A_RATHER_LONG_NAME_{number} = {number / 7}\n" for number in range(1, 31))
    hypothesis = Tuner().propose(Night(source).brief()).hypothesis
    assert len(hypothesis) <= 160
    assert hypothesis.startswith("A_RATHER_LONG_NAME_1 0.14285714285714285 → ")
    assert hypothesis.endswith(" more")
    assert int(hypothesis.split("… and ")[1].split()[0]) + hypothesis.count("→") == 30


def test_the_risk_grows_with_the_distance_from_the_incumbent() -> None:
    night = Night("X = 0.5  # search: 0.0..1.0\n")
    seen = set()
    for number in range(1, 60):
        idea = Tuner("random").propose(replace(night.brief(), number=number))
        moved = abs(float(idea.parameters["X"]) - 0.5)
        assert idea.risk_level == ("low" if moved <= 0.2 else "med")
        seen.add(idea.risk_level)
    assert seen == {"low", "med"}
    far = [Tuner("random").propose(replace(Night(TWO).brief(), number=number)).risk_level for number in range(1, 30)]
    assert "high" in far


# --- the samplers


def best_of(sampler: SamplerName, seed: int, count: int) -> float:
    night = Night(TWO, square({"X": 0.9, "Y": 0.1}), seed=seed)
    night.run(Tuner(sampler), square, count)
    assert night.metric is not None
    return night.metric


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_sampler_that_learns_beats_one_that_does_not(sampler: SamplerName) -> None:
    learnt = statistics.median(best_of(sampler, seed, 60) for seed in range(5))
    assert learnt < statistics.median(best_of("random", seed, 60) for seed in range(5)) / 2


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_region_that_crashes_is_avoided(sampler: SamplerName) -> None:
    night = Night(TWO, 2.0)
    ideas = night.run(Tuner(sampler), lambda values: None if values["X"] < 0.5 else (values["X"] - 0.8) ** 2, 60)
    assert sum(number(idea.parameters["X"]) < 0.5 for idea in ideas[-20:]) <= 3


def unit_square(count: int, *, crash: bool = False) -> tuple[Space, list[Observation]]:
    space = Space(("X", "Y"), (Interval(0.0, 1.0), Interval(0.0, 1.0)), (0.5, 0.5), "x")
    chance = random.Random(1)
    points = [(chance.random(), chance.random()) for _ in range(count)]
    return space, [
        Observation(point, None if crash and index % 40 else sum(point)) for index, point in enumerate(points)
    ]


def test_a_long_history_is_told_in_part_with_its_best() -> None:
    _, observations = unit_square(5000)
    told = told_to_tpe(observations)
    assert 1000 < len(told) <= 1750
    assert min(told, key=lambda one: one.cost or 0) == min(observations, key=lambda one: one.cost or 0)
    assert told[-1000:] == observations[-1000:]
    assert told_to_tpe(observations[:1499]) == observations[:1499]


def test_crashes_never_count_as_good() -> None:
    _, observations = unit_square(400, crash=True)
    told = told_to_tpe(observations)
    measured = sum(one.cost is not None for one in told)
    assert measured == 10
    assert math.ceil(0.1 * len(told)) <= measured
    assert told_to_tpe([Observation((0.1, 0.1), None)] * 20) == []


def test_tpe_with_nothing_but_crashes_still_draws() -> None:
    space, _ = unit_square(0)
    crashes = [Observation((index / 20, 0.5), None) for index in range(20)]
    assert space.contains(Tpe().draw(space, crashes, 1))
    assert "at random" in Tpe().account(space, crashes)


def test_cma_es_is_the_one_of_the_cmaes_package() -> None:
    import cmaes
    import numpy as np

    space, _ = unit_square(0)
    bounds = np.array([[0.0, 1.0]] * 2)
    optimizer = cmaes.CMA(mean=np.array([0.5, 0.5]), sigma=0.2, bounds=bounds, n_max_resampling=20)
    observations: list[Observation] = []
    for generation in range(5):
        told = []
        for index in range(optimizer.population_size):
            seed = 100 * generation + index
            optimizer.reseed_rng(seed)
            values = sampler_named("cmaes").draw(space, observations, seed)
            assert values == space.from_unit([float(unit) for unit in optimizer.ask()])
            x, y = (float(value) for value in values)
            cost = None if x < 0.2 else (x - 0.3) ** 2 + y
            observations.append(Observation(values, cost))
            told.append((np.array([x, y]), math.inf if cost is None else cost))
        optimizer.tell(told)


def test_cma_es_that_has_converged_begins_elsewhere() -> None:
    space, _ = unit_square(0)
    same = [Observation((0.5 + index * 1e-5, 0.5), float(index)) for index in range(6)]
    draws = [sampler_named("cmaes").draw(space, same, seed) for seed in range(100)]
    middle = [statistics.mean(float(draw[axis]) for draw in draws) for axis in (0, 1)]
    assert max(abs(value - 0.5) for value in middle) > 0.05


@pytest.mark.parametrize("sampler", get_args(SamplerName))
def test_every_sampler_stays_within_any_space(sampler: SamplerName) -> None:
    ranges = (Interval(1, 9, 2), Interval(1e-4, 1.0, log=True), Choices(("a", "b", "c")), Choices((1, 2, 8)))
    space = Space(("A", "B", "C", "D"), ranges, (3, 0.1, "b", 8), "x")
    chance = random.Random(3)
    observations: list[Observation] = []
    for seed in range(40):
        values = sampler_named(sampler).draw(space, observations, seed)
        assert space.contains(values)
        observations.append(Observation(values, chance.choice([None, chance.random()])))


@pytest.mark.parametrize("sampler", get_args(SamplerName))
@pytest.mark.parametrize("line", ["A = True\n", "A = 0.5\n", "A = 'x'  # search: [x, y, z, w]\n"])
def test_one_literal_is_enough(sampler: SamplerName, line: str) -> None:
    night = Night(line)
    with pytest.raises(Exhausted, match="every one") if "0.5" not in line else warnings.catch_warnings():
        night.run(Tuner(sampler), lambda values: 11.0, 12)


# --- manners


@pytest.mark.parametrize("sampler", get_args(SamplerName))
def test_nothing_is_printed_and_no_warning_leaves(sampler: SamplerName, capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Night(metric=9.0).run(Tuner(sampler), loss, 15)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity


@pytest.mark.parametrize(("sampler", "module"), [("tpe", "optuna"), ("cmaes", "cmaes")])
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    sampler: SamplerName, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"needs {module}.*pip install 'pytest-autoresearch\[tuner\]'"):
        Tuner(sampler).propose(Night(TWO).brief())
    assert Tuner("random").propose(Night(TWO).brief()).parameters


def test_a_space_begins_with_what_all_of_its_iteration_had_to_beat() -> None:
    """Another critic's candidate beside it is kept, and was not what it was proposed from."""
    space = Space(("RATE",), (Interval(0.0, 1.0),), (0.1,), "space")
    beside = {"iteration": 1, "beaten": 10.0}
    idea = Idea("another rate", critic="tuner", parameters={"RATE": 0.2}, space="space")
    past = [
        experiment(0, "keep", 10.0),
        experiment(1, "keep", 8.0, Idea("a change", critic="llm"), seat=1, **beside),
        experiment(2, "discard", 9.0, idea, seat=2, **beside),
    ]
    notes = Notes()
    notes.read(Past(past))
    found = notes.observed(space, (0.5,), brief(metric=8.0, contract="c"))
    assert found[0] == Observation((0.1,), 10.0, proposed=False)
