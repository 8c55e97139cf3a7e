"""Keys that have no effect beside the others are named at the start of a run, and no others are."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_autoresearch.fields import ProviderName
from pytest_autoresearch.idle import idle_keys
from tests.conftest import MakeToy
from tests.support import problem_with, scores


@pytest.mark.parametrize(
    ("critic", "server", "idle"),
    [
        ({}, "ollama", []),
        ({"provider": "hybrid", "llm": "openai"}, "openai", []),
        ({"provider": "tuner", "llm": "openai"}, "openai", []),
        ({"provider": "openai", "llm": "openai"}, "openai", []),
        ({"provider": "openai", "llm": "openrouter"}, "openai", ["critic.llm"]),
        ({"provider": "tuner", "llm": "openrouter"}, None, ["critic.llm"]),
        ({"when": "downtime"}, "ollama", []),
        ({"provider": "tuner", "when": "downtime"}, None, []),
        ({"provider": "openrouter", "when": "downtime"}, "openrouter", ["critic.when"]),
    ],
)
def test_a_key_of_the_critic_has_no_effect_where_another_server_is_asked(
    critic: dict[str, Any], server: ProviderName | None, idle: list[str]
) -> None:
    found = idle_keys(problem_with(critic=critic), server, uses_editor=False)
    assert [sentence.partition(" has no effect: ")[0] for sentence in found] == idle


@pytest.mark.parametrize(
    ("coder", "uses_editor", "idle"),
    [
        ({"enabled": True, "agent": "codex", "model": "m"}, False, True),
        ({"enabled": True, "agent": "editor", "model": "m"}, True, False),
        ({"enabled": True, "agent": "codex"}, False, False),
    ],
)
def test_a_model_of_the_coder_is_the_editors(coder: dict[str, Any], uses_editor: bool, idle: bool) -> None:
    found = list(idle_keys(problem_with(coder=coder), "ollama", uses_editor=uses_editor))
    assert [sentence.startswith("coder.model has no effect: ") for sentence in found] == [True] * idle


def test_a_run_names_them_and_makes_its_experiments(make_toy: MakeToy) -> None:
    sections = {"critic": {"provider": "replay", "llm": "openai"}, "coder": {"agent": "codex", "model": "m"}}
    toy = make_toy(*scores(8), problem=sections)
    done = toy.run("--iterations=1")
    assert "  critic.llm has no effect: no model is asked\n" in done.stdout
    assert "  coder.model has no effect: it is the editor's;" in done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8)]


def test_what_an_option_gives_an_effect_is_not_named(make_toy: MakeToy) -> None:
    sections = {"critic": {"provider": "replay", "llm": "openai"}, "coder": {"agent": "codex", "model": "m"}}
    toy = make_toy(*scores(8), problem=sections)
    done = toy.run("--iterations=1", "--autoresearch-coder=editor")
    assert "coder editor" in done.stdout
    assert "has no effect" not in done.stdout
