"""Real agents from npm, each with a home of its own in which its model is the scripted one on loopback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PACKAGES = {"claude": "@anthropic-ai/claude-code", "codex": "@openai/codex", "opencode": "opencode-ai"}
KEY = "sk-ant-not-a-key-0123456789abcdef"


def needed(agent: str) -> str:
    """The agent's program; the test is skipped where it is not installed."""
    program = shutil.which(agent)
    if program is None:
        pytest.skip(f"needs {agent} on PATH: npm install --global {PACKAGES[agent]}")
    return program


@contextmanager
def home_of(agent: str, url: str) -> Iterator[dict[str, str]]:
    """The environment in which `agent` asks the server at `url` (with `/v1`).

    Not below /tmp: codex's sandbox cannot start there where bubblewrap is installed.
    """
    with TemporaryDirectory(prefix="home-", dir="/var/tmp") as name:
        home = Path(name)
        environment = {"HOME": name, "XDG_CONFIG_HOME": f"{name}/.config", "XDG_DATA_HOME": f"{name}/.local/share"}
        if agent == "opencode":
            provider = {
                "npm": "@ai-sdk/openai-compatible",
                "name": "scripted",
                "options": {"baseURL": url, "apiKey": "none"},
                "models": {"scripted": {"name": "scripted"}},
            }
            config = home / ".config" / "opencode" / "opencode.json"
            config.parent.mkdir(parents=True)
            config.write_text(json.dumps({"model": "scripted/scripted", "provider": {"scripted": provider}}))
        elif agent == "codex":
            (home / ".codex").mkdir()
            (home / ".codex" / "config.toml").write_text(
                'model = "scripted"\nmodel_provider = "loopback"\n[model_providers.loopback]\nname = "loopback"\n'
                f'base_url = "{url}"\nwire_api = "responses"\n'
            )
        else:
            environment["ANTHROPIC_BASE_URL"] = url.removesuffix("/v1")
            environment["ANTHROPIC_API_KEY"] = KEY
            environment["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
            if os.geteuid() == 0:
                environment["IS_SANDBOX"] = "1"
        yield environment
