"""What a critic's model is told: objective, constraints, history and file, with everything foreign marked as data."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.critics.digest import Digest, Entry
from pytest_autoresearch.critics.excerpt import excerpt
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import BASELINE
from pytest_autoresearch.templating import render
from pytest_autoresearch.text import one_line, plain, tail

_FILE = 24_000
_LOG_TAIL = 1500
_HYPOTHESIS = 300
_REASON = 200
_WORD = re.compile(r"[A-Za-z_]\w+")
_WORDS_OF = {"keep": "kept", "discard": "discarded", "crash": "CRASHED"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """The two messages with which a conversation begins."""

    system: str
    user: str


def idea_prompt(
    problem: Problem, brief: Brief, digest: Digest, mask: Mask, *, with_edits: bool = False, sampler: str = ""
) -> Prompt:
    """The question for the next idea; `sampler` is the state of a sampler in words, '' if there is none."""
    fence = secrets.token_hex(6)
    source = plain(brief.source)
    shown = excerpt(source, _FILE, _mentioned(digest))
    recent = list(digest.recent)
    values: dict[str, Any] = {
        "fence": fence,
        "mutable_file": problem.mutable_file,
        "lower_is_better": brief.lower_is_better,
        "with_edits": with_edits,
        "thinking": problem.critic.thinking,
    }
    details = {
        "objective": problem.objective.strip(),
        "metric_name": brief.metric_name,
        "baseline": brief.baseline,
        "metric": brief.metric,
        "misses": brief.misses,
        "leave": brief.misses >= problem.critic.leave_after,
        "readonly": ", ".join(f"`{name}`" for name in problem.readonly_files),
        "runner": problem.runner,
        "time_budget_s": problem.time_budget_s,
        "hard_timeout_s": problem.hard_timeout_s,
        "best": [entry for entry in digest.best if entry not in recent],
        "nearest": [entry for entry in digest.nearest_misses if entry not in recent],
        "came_to_nothing": one_line(brief.came_to_nothing, _HYPOTHESIS + _REASON),
        "siblings": [one_line(idea.hypothesis, _HYPOTHESIS) for idea in brief.siblings],
        "recent": [entry for entry in recent if entry.label != BASELINE],
        "sampler": sampler,
        "source": shown,
        "whole": shown == source,
        "number": number,
        "line": line,
        "data": lambda text: plain(tail(text, _LOG_TAIL)).rstrip(),
    }
    system = render("critics", "system.md.j2", **values)
    user = render("critics", "idea.md.j2", **values, **details)
    return Prompt(mask.text(system), mask.text(user))


def repeated(label: str, result: str) -> str:
    """What a model is told that proposes what was measured already, as the experiment of that label."""
    return render("critics", "repeated.md.j2", label=label, result=result)


def number(value: float | None) -> str:
    """A metric in a prompt."""
    return "nothing" if value is None else f"{value:.6g}"


def line(entry: Entry) -> str:
    """One experiment in one line: what was tried, what was expected, what came of it."""
    text = f"- {entry.label} {_WORDS_OF[entry.status]}: {one_line(entry.hypothesis, _HYPOTHESIS)}"
    if entry.expected is not None:
        text += f" | expected {entry.expected:+.4g}"
    if entry.delta is not None:
        text += f" | got {entry.delta:+.4g} ({number(entry.metric)})"
    return f"{text} | {one_line(entry.reason, _REASON)}"


def _mentioned(digest: Digest) -> set[str]:
    """The names that the last ideas speak of."""
    return {word for entry in digest.recent for word in _WORD.findall(entry.hypothesis)}
