"""Noise as a gate: the exact test, and what the loop makes of values that vary."""

from __future__ import annotations

import random
import re
import statistics
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from pytest_autoresearch.noise import confirm, least_p, looks_better
from pytest_autoresearch.problem import ProblemError, parse_problem
from pytest_autoresearch.records import Confirmation, Role
from pytest_autoresearch.sections import MOST_PAIRS, NoiseSection
from pytest_autoresearch.spread import Spread
from tests.chaos import check
from tests.cli.support import apart
from tests.conftest import MakeToy
from tests.support import Toy, kill, wait_for

Test = Literal["pooled", "paired"]


def section(**keys: Any) -> NoiseSection:
    return NoiseSection.model_validate(keys)


# --- the test itself


def by_hand(ours: Sequence[int], theirs: Sequence[int], test: Test) -> float:
    """The share of all ways that look as good, larger being better, each looked at."""
    if test == "paired":
        differences = [one - other for one, other in zip(ours, theirs, strict=True)]
        flips = list(product((1, -1), repeat=len(ours)))
        sums = [sum(sign * one for sign, one in zip(flip, differences, strict=True)) for flip in flips]
        return sum(one >= sum(differences) for one in sums) / len(sums)
    ways = [sum(chosen) for chosen in combinations([*ours, *theirs], len(ours))]
    return sum(one >= sum(ours) for one in ways) / len(ways)


@pytest.mark.parametrize("test", ["pooled", "paired"])
@pytest.mark.parametrize("pairs", range(1, 7))
def test_the_p_value_is_the_share_of_ways_that_look_as_good(pairs: int, test: Test) -> None:
    dice = random.Random(pairs)
    for _ in range(30):
        ours, theirs = ([dice.randint(0, 4) for _ in range(pairs)] for _ in range(2))
        assert least_p(ours, theirs, pairs, test, lower_is_better=False) == by_hand(ours, theirs, test)
        lower = [-one for one in ours], [-one for one in theirs]
        assert least_p(*lower, pairs, test, lower_is_better=True) == by_hand(ours, theirs, test)


def test_values_that_no_float_adds_up_exactly_are_ties() -> None:
    ours, theirs = (0.1, 0.2, 0.3), (0.3, 0.2, 0.1)
    assert least_p(ours, theirs, 3, "pooled", lower_is_better=True) == by_hand((1, 2, 3), (3, 2, 1), "pooled")
    assert least_p((1e-300,), (1e300,), 1, "pooled", lower_is_better=True) == 0.5


@pytest.mark.parametrize("test", ["pooled", "paired"])
def test_no_value_that_is_still_to_come_makes_the_p_value_less_than_was_said(test: Test) -> None:
    dice = random.Random(7)
    for _ in range(200):
        ours, theirs = ([dice.choice((-1e6, 1e6, dice.gauss(0, 1))) for _ in range(5)] for _ in range(2))
        least = [least_p(ours[:seen], theirs[:seen], 5, test, lower_is_better=True) for seen in range(1, 6)]
        assert least == sorted(least)


def test_the_least_is_what_the_best_that_can_still_come_gives() -> None:
    best = least_p((2.0, -1e9, -1e9), (1.0, 1e9, 1e9), 3, "pooled", lower_is_better=True)
    assert least_p((2.0,), (1.0,), 3, "pooled", lower_is_better=True) == best == 2 / 20


@pytest.mark.parametrize("test", ["pooled", "paired"])
def test_twenty_pairs_are_counted_through(test: Test) -> None:
    ours, theirs = range(20), range(20, 40)
    assert least_p(ours, theirs, 20, test, lower_is_better=True) == 1 / (137846528820 if test == "pooled" else 2**20)


# --- the gate


def sampled(**values: Sequence[float | None]) -> tuple[Any, list[Role]]:
    """What gives the next of each one's values, and the order in which they were asked for."""
    left: dict[str, Iterator[float | None]] = {name: iter(one) for name, one in values.items()}
    asked: list[Role] = []

    def sample(role: Role) -> float | None:
        asked.append(role)
        return next(left[role])

    return sample, asked


def test_both_are_measured_in_turn_and_a_drift_favours_neither() -> None:
    sample, asked = sampled(candidate=(1, 1, 1), incumbent=(2, 2, 2))
    found = confirm(section(), 0, True, sample)
    assert found.holds
    assert found.in_words == "p = 0.05, 3 pairs"
    assert asked == ["candidate", "incumbent", "incumbent", "candidate", "candidate", "incumbent"]


def test_what_cannot_become_better_any_more_is_not_measured_to_the_end() -> None:
    sample, asked = sampled(candidate=(3,), incumbent=(2,))
    found = confirm(section(), 0, True, sample)
    assert not found.holds
    assert found.in_words == "p ≥ 0.1, 1 of 3 pairs"
    assert len(asked) == 2


@pytest.mark.parametrize("who", ["candidate", "incumbent"])
def test_one_that_gives_no_metric_ends_it(who: Role) -> None:
    sample, _ = sampled(**{"candidate": (1, 1), "incumbent": (2, 2)} | {who: (1.5, None)})
    found = confirm(section(), 0, True, sample)
    assert found.failed == who
    assert not found.holds


@pytest.mark.parametrize(
    ("keys", "pairs"),
    [
        ({}, 3),
        ({"alpha": 0.01}, 5),
        ({"test": "paired"}, 5),
        ({"confirm": 6}, 6),
        ({"correction": "bonferroni", "candidates": 100}, 7),
        ({"correction": "spending"}, 4),
    ],
)
def test_as_many_pairs_as_it_takes_to_reach_alpha(keys: dict[str, Any], pairs: int) -> None:
    assert section(**keys).pairs_for(section(**keys).alpha_of(0)) == pairs


def test_what_is_spent_adds_up_to_alpha() -> None:
    spending = section(correction="spending", alpha=0.1)
    levels = [spending.alpha_of(earlier) for earlier in range(10_000)]
    assert 0.0999 < sum(levels) < 0.1
    assert [spending.pairs_for(level) for level in levels] == sorted(spending.pairs_for(level) for level in levels)
    assert spending.pairs_for(levels[-1]) < MOST_PAIRS


@pytest.mark.parametrize(
    ("gain", "metric", "better"),
    [(0, 9.999, True), (0, 10, False), (0.5, 9.6, False), (0.5, 9.4, True), ("5%", 9.6, False), ("5%", 9.4, True)],
)
def test_what_looks_better(gain: float | str, metric: float, better: bool) -> None:
    noise = section(min_improvement=gain)
    assert looks_better(noise, metric, 10, True) is better
    assert looks_better(noise, -metric, -10, False) is better


# --- how much a measurement varies


def groups(*values: Sequence[float]) -> Spread:
    spread = Spread()
    for one in values:
        spread._take(one)
    return spread


def test_the_deviation_is_that_within_the_groups() -> None:
    assert groups((1,), (5,)).deviation is None
    spread = groups((1, 3), (11, 13), (7,))
    assert spread.deviation == statistics.stdev((1, 3))
    assert spread.freedom == 2


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_intervals_are_as_wide_as_students(freedom: int, quantile: float) -> None:
    spread = Spread(squares=freedom, freedom=freedom)
    found = Confirmation((1.0, 1.0), (0.0, 0.0), 2, 0.1, 0.2)
    low, high = re.findall(r"[-+]\d+\.\d+", spread.effect(found))
    assert float(high) - float(low) == pytest.approx(2 * quantile, rel=0.01)


# --- the loop


class Drawer:
    """Gives the toy's runner its values, one a run, and knows how many it gave."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()

    def script(self, name: str, *values: object) -> str:
        """A mutable file that prints the next of the values each time it is run."""
        file = self._directory / name
        file.write_text("".join(f"{value}\n" for value in values))
        return f"# {name}\nvalue=$(head -n 1 {file}); sed -i 1d {file}\necho score: $value\n"

    def idea(self, name: str, *values: object) -> dict[str, str]:
        return {"hypothesis": name, "content": self.script(name, *values)}

    def left(self, name: str) -> int:
        """How many values were not asked for."""
        return len((self._directory / name).read_text().splitlines())


@pytest.fixture
def drawer(tmp_path: Path) -> Drawer:
    return Drawer(tmp_path / "values")


def noisy(make_toy: MakeToy, drawer: Drawer, *ideas: Any, baseline: Sequence[object] = (), **keys: Any) -> Toy:
    files = {"solution.sh": drawer.script("baseline", *(baseline or (10, 11, 9, *[10] * 12)))}
    return make_toy(*ideas, files=files, problem={"noise": {"repeats": 3, **keys}})


def reasons(toy: Toy) -> list[tuple[str, str]]:
    return [(record["status"], record["reason"]) for record in toy.ledger("result")[1:]]


def test_better_is_what_is_better_when_it_is_measured_again(make_toy: MakeToy, drawer: Drawer) -> None:
    toy = noisy(
        make_toy,
        drawer,
        drawer.idea("luck", 5, 11),
        drawer.idea("better", 7, 8, 9, 7, 8, 9, 7),
        drawer.idea("worse", 9),
        drawer.idea("best", 3, 4, 5, 3),
        baseline=(10, 11, 9, 10, 12, 10, 11),
    )
    done = toy.run("--iterations=4", "--junitxml=report.xml")
    assert done.returncode == 0, done.stdout
    assert toy.ledger("result")[0]["values"] == [10, 11, 9]
    assert reasons(toy) == [
        ("discard", "inconclusive (p ≥ 0.1, 1 of 3 pairs): 10 → 11 (+1)"),
        ("keep", "11 → 8 (-3), p = 0.05, 3 pairs"),
        ("discard", "worse: 8 → 9 (+1)"),
        ("keep", "8 → 4 (-4), p = 0.05, 3 pairs"),
    ]
    assert toy.statuses() == [("keep", 10), ("discard", 11), ("keep", 8), ("discard", 9), ("keep", 4)]
    told = [
        "noise: a measurement varies by 1 (standard deviation, 10 degrees of freedom)",
        "noise: 3 candidates measured again; if none were better, 0.15 keeps were to be expected at most",
    ]
    assert [line for line in done.stdout.splitlines() if line.startswith("noise: ")] == told
    status = apart(toy.project, "status")
    assert status.code == 0, status.err
    assert [line for line in status.out.splitlines() if line.startswith("noise: ")] == told
    kept = [line for line in status.out.splitlines() if " kept: " in line]
    assert kept == [
        "experiment 2 kept: -3 (-4.819 to -1.181 at 95%), p = 0.05, 3 pairs",
        "experiment 4 kept: -4 (-5.819 to -2.181 at 95%), p = 0.05, 3 pairs",
    ]
    assert [drawer.left(name) for name in ("baseline", "luck", "better", "worse", "best")] == [0] * 5
    assert check.violations(toy.directory) == []


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        (("better", 5, 6, "none"), "crash", "when it was measured again: the metric 'none' is not a finite number"),
        (("better", 5, 6, 6, 6), "discard", "inconclusive: the incumbent gave no metric when it was measured again"),
        (("better", 8.5), "discard", "no better than min_improvement (20%) asks for: 10 → 8.5 (-1.5)"),
        (("better", 5, 9, 9, 9), "discard", "no better than min_improvement (20%) asks for: 11 → 9 (-2)"),
    ],
)
def test_why_what_looked_better_is_not_kept(
    make_toy: MakeToy, drawer: Drawer, values: tuple[Any, ...], status: str, reason: str
) -> None:
    again = (10, "none") if "incumbent" in reason else (11, 11, 11)
    toy = noisy(make_toy, drawer, drawer.idea(*values), baseline=(10, 11, 9, *again), min_improvement="20%")
    toy.run("--iterations=1")
    assert reasons(toy) == [(status, reason)]
    assert len(toy.branch()) == 1
    assert toy.checkout.joinpath("solution.sh").read_text().startswith("# baseline\n")


def test_the_same_file_is_measured_again_as_it_may_give_another_value(make_toy: MakeToy, drawer: Drawer) -> None:
    same = drawer.idea("same", 12, 5, 6, 7, 6)
    toy = noisy(make_toy, drawer, same, same)
    toy.run("--iterations=2")
    assert [status for status, _ in reasons(toy)] == ["discard", "keep"]


def test_a_baseline_without_a_metric_is_refused_whichever_of_them_it_is(make_toy: MakeToy, drawer: Drawer) -> None:
    toy = noisy(make_toy, drawer, drawer.idea("better", 5), baseline=(10, "none"))
    done = toy.run("--iterations=1")
    assert done.returncode == 1
    assert "the baseline gives no metric: the metric 'none' is not a finite number" in done.stdout


def test_a_baseline_is_measured_as_often_again_when_the_contract_has_changed(
    make_toy: MakeToy, drawer: Drawer
) -> None:
    files = {"solution.sh": drawer.script("baseline", 10, 11, 9, 20, 22, 21), "data.csv": "1"}
    problem = {"noise": {"repeats": 3}, "fingerprint": ["data.csv"]}
    toy = make_toy(drawer.idea("worse", 12), drawer.idea("better", 22), files=files, problem=problem)
    toy.run("--iterations=1")
    (toy.checkout / "data.csv").write_text("2")
    toy.run("--iterations=1")
    assert [record["metric"] for record in toy.ledger("remeasured")] == [21]
    assert reasons(toy)[1] == ("discard", "worse: 21 → 22 (+1)")


def test_what_was_measured_before_a_kill_is_not_measured_again(
    make_toy: MakeToy, drawer: Drawer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    toy = noisy(make_toy, drawer, drawer.idea("better", 5, 8, "", 8, 8), baseline=(10, 11, 9, 10, 10, 12))
    wait = f"if [ -z $value ]; then touch {gate}; sleep 100; fi\necho score: $value\n"
    ideas = toy.directory / "ideas.yaml"
    ideas.write_text(ideas.read_text().replace("echo score: $value\\n", wait.replace("\n", "\\n")))
    process = toy.start("--iterations=1")
    wait_for(gate.exists, "the fourth measurement")
    kill(process)
    before = [(record["role"], record["metric"]) for record in toy.ledger("sample")]
    assert before[3:] == [("first", 5), ("candidate", 8), ("incumbent", 10), ("incumbent", 10)]
    done = toy.run("--iterations=1")
    assert done.returncode == 0, done.stdout
    assert reasons(toy) == [("keep", "10.6667 → 8 (-2.66667), p = 0.05, 3 pairs")]
    assert [drawer.left(name) for name in ("baseline", "better")] == [0, 0]
    assert check.violations(toy.directory) == []


def test_with_a_correction_every_further_candidate_needs_more(make_toy: MakeToy, drawer: Drawer) -> None:
    ideas = [drawer.idea(f"better{score}", score, *[score] * 10) for score in (8, 6)]
    toy = noisy(make_toy, drawer, *ideas, correction="spending")
    toy.run("--iterations=2")
    assert [reason.split(", ")[1:] for _, reason in reasons(toy)] == [
        ["p = 0.0143", "4 pairs"],
        ["p = 0.00397", "5 pairs"],
    ]


def test_the_page_shows_a_section_that_is_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "noise.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    shown = section(**yaml.safe_load(block)["noise"])
    assert (shown.repeats, shown.alpha, shown.min_improvement) == (3, 0.05, "0.5%")
    keys = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert keys == list(NoiseSection.model_fields)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (
            "{confirm: 2}",
            "noise: expected confirm: 3 at least: 2 pairs come down to p = 0.167 at best, and alpha is 0.05",
        ),
        ("{confirm: 4, test: paired}", "noise: expected confirm: 5 at least"),
        ("{correction: bonferroni}", "noise: expected `candidates`, how many are corrected for"),
        ("{candidates: 5}", "noise: expected `candidates`, how many are corrected for, with `correction: bonferroni`"),
        ("{alpha: 1.0e-20}", "noise: expected a larger alpha: 20 pairs cannot come down to 1e-20"),
        (
            "{min_improvement: a lot}",
            "noise.min_improvement: expected a number that is not negative, such as 0.01, or a",
        ),
        ("{min_improvement: -1}", "noise.min_improvement: expected a number that is not negative"),
        ("{min_improvement: nan%}", "noise.min_improvement: expected a number that is not negative"),
    ],
)
def test_what_cannot_be_asked_for_is_said(tmp_path: Path, noise: str, message: str) -> None:
    (tmp_path / "solution.sh").write_text("")
    text = "objective: o\nmetric_name: m\nmetric_regex: (.*)\nmutable_file: solution.sh\nrunner: bash solution.sh\n"
    with pytest.raises(ProblemError) as refused:
        parse_problem(tmp_path / "problem.yaml", f"{text}noise: {noise}\n")
    assert str(refused.value).startswith(f"problem.yaml:6: {message}")
