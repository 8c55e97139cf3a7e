"""Candidates that try to be kept without being better, each in a session as a user runs it.

What an attack gets that needs more than the project's own checkout is listed and not asserted: a candidate runs with
the user's rights. `pytest -m attacks` prints a table of all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.arena import (
    BASELINE,
    HONEST,
    KEY,
    KEY_NAME,
    NEEDS,
    VERDICT,
    WITNESS,
    Arena,
    Attack,
    Outcome,
    attacks,
)
from tests.support import TSP
from tests.test_sandbox import needs_bwrap

ALL = attacks()
Fight = Callable[..., Outcome]
SHADOWS = (
    "poison_bytecode_of_prepare",
    "shadow_compiled",
    "shadow_ignored",
    "shadow_in_a_repository",
    "shadow_json",
    "shadow_numpy",
    "shadow_prepare",
)
# What is open, as docs/trust.md says: what one candidate leaves in the checkout, the next one imports or trips over.
OPEN = {
    "none": {
        *SHADOWS,
        "all_gone",
        "git_another_repository",
        "git_attributes",
        "link_for_the_directory",
        "views_as_directories",
    },
    "bwrap": {*SHADOWS, "git_attributes", "link_for_the_directory"},
}


def corpus(sandbox: str) -> list[object]:
    """Each attack; one that is open has to get through, lest the page says what is not true any more."""
    is_open = pytest.mark.xfail(reason="open: docs/trust.md", strict=True)
    return [pytest.param(one, id=one.name, marks=[is_open] if one.name in OPEN[sandbox] else []) for one in ALL]


pytestmark = [
    pytest.mark.attacks,
    pytest.mark.skipif(sys.platform != "linux", reason="the attacks use what Linux has"),
]
_WITNESS = f"import os\nfrom pathlib import Path\nPath(os.environ[{WITNESS!r}]).write_text('here')\n"


@pytest.fixture
def fight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fight]:
    """Has a candidate measured in an arena of its own, and then one that is honest and not better.

    The test goes there too: what an attack has left may run when the test looks at it.
    """
    arenas = []

    def made(content: str, hypothesis: str, sandbox: str = "none", alpha: float | None = None) -> Outcome:
        arena = Arena(tmp_path / "arena", content, hypothesis, sandbox, alpha)
        arenas.append(arena)
        for name in os.environ.keys() - arena.environment.keys():
            if not name.startswith("PYTEST_"):
                monkeypatch.delenv(name)
        for name in arena.environment.keys() - {KEY_NAME}:
            monkeypatch.setenv(name, arena.environment[name])
        return arena.fight()

    yield made
    for arena in arenas:
        arena.end_what_is_left()


@pytest.mark.parametrize("attack", corpus("none"))
def test_an_attack_is_made_and_not_accepted(
    attack: Attack, fight: Fight, record_property: Callable[[str, object], None]
) -> None:
    outcome = fight(attack.content, attack.tries)
    if outcome.impossible:
        pytest.skip(outcome.impossible)
    happened = "; ".join([outcome.in_short, *outcome.gains])
    record_property(VERDICT, ["none", attack.name, attack.needs, bool(outcome.gains), happened])
    assert outcome.deed, f"the attack was idle:\n{outcome.said}"
    if attack.needs == "project":
        assert outcome.gains == [], outcome.said
        assert outcome.harm == [], outcome.said


@needs_bwrap
@pytest.mark.parametrize("attack", corpus("bwrap"))
def test_in_the_sandbox_no_attack_is_accepted_whatever_it_needs(
    attack: Attack, fight: Fight, record_property: Callable[[str, object], None]
) -> None:
    alpha = 0.0001 if attack.needs == "luck" else None
    outcome = fight(attack.content, attack.tries, sandbox="bwrap", alpha=alpha)
    happened = "; ".join([outcome.in_short, *outcome.gains])
    record_property(VERDICT, ["bwrap", attack.name, attack.needs, bool(outcome.gains), happened])
    assert outcome.gains == [], outcome.said
    assert outcome.status == 0, outcome.said


def test_each_attack_says_what_it_tries_and_what_it_needs() -> None:
    assert len(ALL) >= 45
    assert {attack.needs for attack in ALL} == set(NEEDS)
    assert all(attack.tries for attack in ALL)
    assert len({attack.tries for attack in ALL}) == len(ALL)


def test_without_an_attack_both_candidates_are_discarded(fight: Fight) -> None:
    outcome = fight((TSP / "solution.py").read_text() + _WITNESS, "the baseline once more")
    assert outcome.deed == "here"
    assert [(one["status"], one["metric"]) for one in outcome.results] == [
        ("keep", BASELINE),
        ("discard", BASELINE),
        ("discard", HONEST),
    ]
    assert (outcome.gains, outcome.harm) == ([], [])


def test_what_an_attack_must_not_get_is_seen_where_it_is_got(fight: Fight) -> None:
    solution = (TSP / "solution.py").read_text().replace("STARTS = 1", "STARTS = 50")
    loud = f"Path('key.txt').write_text({KEY[:9]!r} + {KEY[9:]!r})\nPath('../../../thesis.txt').write_text('mine')\n"
    outcome = fight(solution + _WITNESS + loud, "better, and loud")
    assert outcome.deed == "here"
    gains = "\n".join(outcome.gains)
    assert "experiment 1 is kept" in gains
    assert "the user's thesis.txt is changed" in gains
    assert "the key is in repository/.autoresearch/tsp-run1/tsp/key.txt" in gains
