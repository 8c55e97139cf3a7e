"""Which coder the user asked for, and how long edits by hand are waited for."""

from __future__ import annotations

import os

from pytest_autoresearch.sections import CoderSection

_WAIT_S = 600.0
_SHORT_WAIT_S = 60.0


def chosen_section(section: CoderSection, asked: str | None) -> CoderSection:
    """The section as the option `asked` changes it: an agent's name, or external for edits by hand."""
    if asked is None:
        return section
    if asked == "external":
        return section.model_copy(update={"enabled": False})
    return section.model_copy(update={"enabled": True, "agent": asked, "command": None})


def uses_editor(section: CoderSection) -> bool:
    """Whether the built-in editor is switched on."""
    return section.enabled and section.agent == "editor" and section.command is None


def edit_limit(section: CoderSection, asked_s: float | None) -> float | None:
    """How long edits by hand are waited for where nobody else makes them; None for as long as it takes."""
    if asked_s is not None or section.wait_s is not None:
        return section.wait_s if asked_s is None else asked_s
    return _SHORT_WAIT_S if os.environ.get("CI") else None


def fallback_limit(section: CoderSection, asked_s: float | None, *, bounded: bool) -> float:
    """How long an edit by hand is waited for after an agent that made none; shorter in a `bounded` run."""
    if asked_s is not None:
        return asked_s
    if section.wait_s is not None:
        return section.wait_s
    return _SHORT_WAIT_S if bounded or os.environ.get("CI") else _WAIT_S
