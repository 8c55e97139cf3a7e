"""How what a coder does in git is told from what others do there at the same time: its name, and its commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SETTINGS = {
    "core.logAllRefUpdates": "always",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_NAME = "autoresearch coder"
_ENDS = frozenset({"pop", "drop", "clear", "branch", "expire", "delete", "-d"})


@dataclass(frozen=True, slots=True)
class Traces:
    """What the coder with the name `token` leaves: its e-mail address in git, and the log of its commands."""

    token: str
    log: Path

    @property
    def email(self) -> str:
        """What stands beside every commit that it makes and every ref that it moves."""
        return f"coder-{self.token}@localhost"

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What its environment needs for that.

        They also keep the user's hooks and signing key out of it, open no editor, and have git log the moves of every
        ref. The settings are not given as GIT_CONFIG_KEY_n: codex can withhold what has KEY in its name.
        """
        settings = " ".join(f"'{name}={value}'" for name, value in _SETTINGS.items())
        before = environment.get("GIT_CONFIG_PARAMETERS", "")
        return {
            "GIT_CONFIG_PARAMETERS": f"{before} {settings}".strip(),
            "GIT_TRACE2_EVENT": str(self.log),
            "GIT_EDITOR": ":",
            **{f"GIT_{who}_NAME": _NAME for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": self.email for who in ("AUTHOR", "COMMITTER")},
        }

    def named(self, ref: str) -> bool:
        """Whether it gave git a command in which this ref, or a setting of this branch, is named."""
        short = ref.split("/", 2)[-1]
        forms = {ref, ref.removeprefix("refs/"), short, f":{ref}", f":{short}"}
        setting = f"branch.{short}."
        return any(word in forms or word.startswith(setting) for command in self._commands() for word in command)

    def ended_stashes(self) -> bool:
        """Whether it gave git a command that takes entries off the stash."""
        about = {"stash", "refs/stash"}
        return any(not (command.isdisjoint(about) or command.isdisjoint(_ENDS)) for command in self._commands())

    def _commands(self) -> Iterator[set[str]]:
        """The words of each command."""
        for line in self.log.read_bytes().splitlines() if self.log.exists() else ():
            with suppress(ValueError, LookupError):  # a git that was killed left half a line
                if b'"event":"start"' in line:
                    yield {*json.loads(line)["argv"]}
