"""How a session comes by its critic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.critics.choice import Choice, Kit, choose_critic
from pytest_autoresearch.critics.tuner import Tuner
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.models import Models
from tests.critics.support import brief
from tests.llm.desk import OpenDesk
from tests.llm.server import closed_port, say, serving
from tests.support import problem_with

TUNABLE = "RATE = 0.1  # search: 0.001..1 log\n"
NOTHING_TO_TUNE = "def solve():\n    return 0.1\n"


@pytest.fixture
def ideas(tmp_path: Path) -> Path:
    path = tmp_path / "ideas.yaml"
    path.write_text(json.dumps([{"hypothesis": f"idea {number}", "content": f"{number}"} for number in (1, 2, 3)]))
    return path


def chosen(ideas: Path, asked: str | None = None, source: str = TUNABLE, **section: Any) -> Choice:
    """The critic of a problem with that section; no Ollama answers unless the section says where."""
    nowhere = {"base_url": f"http://127.0.0.1:{closed_port()}/v1"}
    problem, desk = problem_with(critic={**nowhere, **section}), OpenDesk()
    models = Models(problem, asked or problem.critic.provider, None, desk, Mask({}))
    kit = Kit(problem, models, Mask({}), desk, Tuner("random"), ideas, source, with_edits=False)
    return choose_critic(kit, asked)


def refused(ideas: Path, asked: str | None = None, source: str = TUNABLE, **section: Any) -> str:
    with pytest.raises(UserError) as caught:
        chosen(ideas, asked, source, **section)
    return str(caught.value)


def test_what_the_problem_names_is_chosen_and_what_was_asked_for_wins(ideas: Path) -> None:
    named = chosen(ideas, provider="replay")
    assert (named.critic.name, named.why, named.models) == ("replay", "named by problem.yaml", None)
    asked = chosen(ideas, "tuner", provider="replay")
    assert (asked.critic.name, asked.why) == ("tuner", "named by --autoresearch-critic")
    assert chosen(ideas, "replay", source="", enabled=False).critic.name == "replay"


@pytest.mark.parametrize("provider", ["ollama", "openrouter", "openai", "hybrid"])
def test_a_critic_that_asks_a_model_brings_its_models(ideas: Path, provider: str) -> None:
    choice = chosen(ideas, provider=provider)
    assert choice.critic.name == provider
    assert choice.models is not None
    assert choice.models.endpoint.provider == ("ollama" if provider == "hybrid" else provider)
    assert chosen(ideas, provider, provider="replay").critic.name == provider


def test_a_hybrid_asks_the_server_that_the_problem_names(ideas: Path) -> None:
    choice = chosen(ideas, provider="hybrid", llm="openai")
    assert choice.models is not None
    assert choice.models.endpoint.key_env == "OPENAI_API_KEY"


def test_where_the_critic_is_switched_off_the_ideas_are_the_coders_or_come_by_hand(ideas: Path) -> None:
    choice = chosen(ideas, enabled=False)
    assert (choice.critic.name, choice.why) == ("hand", "critic.enabled is false")


def test_an_unknown_critic_is_refused_with_the_ones_there_are(ideas: Path) -> None:
    said = refused(ideas, "gpt")
    assert said.startswith("--autoresearch-critic: there is no critic 'gpt'; choose one with")
    assert "ollama, openrouter, openai, hybrid, tuner, replay or auto" in said


@pytest.mark.parametrize("critic", ["tuner", "hybrid"])
def test_a_sampler_without_anything_to_tune_says_what_to_write(ideas: Path, critic: str) -> None:
    said = refused(ideas, critic, source=NOTHING_TO_TUNE)
    assert said.startswith("the mutable file has no literal to tune; add one at its top level")


def test_auto_asks_an_ollama_that_answers_and_has_the_model_and_needs_no_other_coder(ideas: Path) -> None:
    with serving([say("x")], models=["small:latest"]) as server:
        choice = chosen(ideas, provider="auto", base_url=server.url, model="small")
    assert choice.critic.name == "ollama"
    assert choice.why == f"auto; ollama at {server.url} answers and has small"
    assert choice.brings_editor


def test_auto_passes_an_ollama_without_the_model_by(ideas: Path) -> None:
    with serving([say("x")], models=["other"]) as server:
        choice = chosen(ideas, provider="auto", base_url=server.url, model="small")
    assert choice.critic.name == "replay, then tuner"
    assert choice.why == f"auto; no small at ollama at {server.url}, and the problem ships ideas.yaml"


def test_auto_replays_what_the_problem_ships(ideas: Path) -> None:
    choice = chosen(ideas, provider="auto", source=NOTHING_TO_TUNE)
    assert choice.critic.name == "replay, then tuner"
    assert choice.why.startswith("auto; no gemma4:e2b at ollama at http://127.0.0.1:")
    assert choice.why.endswith(", and the problem ships ideas.yaml")
    assert choice.critic.propose(brief(source=NOTHING_TO_TUNE)).hypothesis == "idea 1"


def test_auto_tunes_where_there_is_something_to_tune(tmp_path: Path) -> None:
    choice = chosen(tmp_path / "ideas.yaml", provider="auto")
    assert choice.critic.name == "tuner"
    assert "no ideas.yaml, and the mutable file has literals to tune" in choice.why


def test_auto_without_ideas_and_literals_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    said = refused(tmp_path / "ideas.yaml", "auto", source=NOTHING_TO_TUNE)
    assert said.startswith("auto finds no critic: no gemma4:e2b at ollama at http://127.0.0.1:")
    assert f"no {tmp_path / 'ideas.yaml'}, and no literal to tune" in said


def test_once_the_ideas_are_used_up_the_tuner_takes_over_under_its_own_name(ideas: Path) -> None:
    relay = chosen(ideas, provider="auto").critic
    assert relay.propose(brief({"replay": 2})).critic == "replay"
    idea = relay.propose(brief({"replay": 3}, number=4))
    assert idea.critic == "tuner"
    assert idea.parameters.keys() == {"RATE"}


def test_the_relay_ends_when_the_incumbent_has_nothing_to_tune(ideas: Path) -> None:
    relay = chosen(ideas, provider="auto").critic
    with pytest.raises(Exhausted, match=r"^all 3 ideas .* tried, and the incumbent has no literal to tune$"):
        relay.propose(brief({"replay": 3}, source=NOTHING_TO_TUNE))
