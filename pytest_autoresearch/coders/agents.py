"""The coding agents that are known by name: how each is called, and which keys are its own.

Observed with claude 2.1, codex 0.169 and opencode 1.18 in November 2026; `command:` in a problem calls any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_autoresearch.sections import CoderSection

PROMPT = "{prompt}"
_ANTHROPIC = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")
_OPENAI = ("OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN")
_OTHERS = ("OPENROUTER_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "MISTRAL_API_KEY", "XAI_API_KEY")


@dataclass(frozen=True, slots=True)
class Agent:
    """A coding agent: its command by permission, and the variables that hold keys of its own."""

    commands: Mapping[str, tuple[str, ...]]
    keys: tuple[str, ...]


AGENTS: Mapping[str, Agent] = {
    "claude": Agent(
        {
            "acceptEdits": ("claude", "-p", "--permission-mode", "acceptEdits", PROMPT),
            "bypass": ("claude", "-p", "--dangerously-skip-permissions", PROMPT),
        },
        (*_ANTHROPIC, *_AWS),
    ),
    "codex": Agent(
        {
            "acceptEdits": ("codex", "exec", "--sandbox", "workspace-write", PROMPT),
            "bypass": ("codex", "exec", "--dangerously-bypass-approvals-and-sandbox", PROMPT),
        },
        _OPENAI,
    ),
    "opencode": Agent(
        {"acceptEdits": ("opencode", "run", PROMPT), "bypass": ("opencode", "run", PROMPT)},
        (*_ANTHROPIC, *_AWS, *_OPENAI, *_OTHERS, "OPENCODE_API_KEY"),
    ),
}


def command_of(section: CoderSection) -> tuple[str, ...]:
    """The words of the agent's command, with `{prompt}` where the prompt goes."""
    if section.command is not None:
        return (*section.command,)
    return AGENTS[section.agent].commands[section.permission]


def keys_of(section: CoderSection) -> tuple[str, ...]:
    """The variables that hold the agent's own keys; a command of the user's names them in `coder.env`."""
    return () if section.command is not None or section.agent not in AGENTS else AGENTS[section.agent].keys


def with_prompt(command: tuple[str, ...], prompt: str) -> tuple[str, ...]:
    """The command with the prompt in place, as one argument that cannot be taken for an option."""
    text = f" {prompt}" if prompt.startswith("-") else prompt
    return tuple(word.replace(PROMPT, text) for word in command)
