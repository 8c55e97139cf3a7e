"""Sessions for reports: a short one that really ran, and the same with a long ledger behind it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pytest_autoresearch.journal import Journal
from pytest_autoresearch.records import Confirmation, Idea, Risk, Status
from pytest_autoresearch.reports.page import write_page
from pytest_autoresearch.reports.story import Story, find_session
from tests.support import Toy

Records = Iterator[tuple[str, dict[str, Any]]]
SCRIPT = "<script>window.hacked = 1</script>"
_RISKS: tuple[Risk, ...] = ("low", "med", "high")
_CRITICS = ("tuner", "ollama/gemma4:e2b", "replay")
_WORDS = ("rate", "warmup", "cosine", "schedule", "batch", "width", "depth", "dropout", "momentum", "decay", "norm")


def story_of(toy: Toy) -> Story:
    """The story of a toy's session."""
    return Story(*find_session(toy.project / "problem.yaml", None))


def page_of(toy: Toy, *, live: bool = False) -> Path:
    """The page of a toy's session, written beside its repository."""
    path = toy.directory.parent / "report.html"
    write_page(story_of(toy), path, live=live)
    return path


def lengthen(toy: Toy, number: int, seed: int = 0) -> None:
    """Add to the ledger what a night leaves there, up to experiment `number`; the ledger itself writes the lines."""
    journal, dice = Journal(toy.records / "ledger.jsonl"), random.Random(seed)
    with patch.object(os, "fsync", lambda _: None):
        for each in range(journal.progress.next_number, number + 1):
            for kind, fields in _experiment(each, journal, dice):
                journal.write(kind, **fields)
    journal.close()


def _experiment(number: int, journal: Journal, dice: random.Random) -> Records:
    incumbent = journal.progress.incumbent
    assert incumbent is not None
    best = incumbent.metric
    assert best is not None
    status: Status = dice.choices(("keep", "discard", "crash"), weights=(6, 78, 16))[0]
    delta = {"keep": -abs(dice.gauss(0, 0.02 * best)), "discard": abs(dice.gauss(0, 0.3))}.get(status)
    idea = _idea(dice)
    commit, blob = (hashlib.sha1(f"{what} {number}".encode()).hexdigest() for what in ("commit", "blob"))
    made = {"number": number, "commit": commit, "parent": incumbent.commit, "blob": blob}
    tokens = 0 if idea.critic == "tuner" else dice.randint(800, 6000)
    if tokens:
        yield "call", {"number": number, **_call(idea.critic, tokens)}
    yield "idea", {"critic": idea.critic, "number": number, "idea": idea.to_json()}
    yield "applied", made
    result: dict[str, Any] = {
        "status": status,
        "reason": "exit 1" if delta is None else f"{'better' if delta < 0 else 'worse'}: {delta:+.4g}",
        "metric": None if delta is None else best + delta,
        "resource": None if delta is None else dice.uniform(800, 1200),
        "seconds": dice.uniform(200, 320),
        "contract": incumbent.contract,
        "description": idea.hypothesis,
        "exit": 1 if delta is None else 0,
        "machine": False,
        "duplicate_of": None,
        "log_tail": f"Traceback (most recent call last):\n  {SCRIPT}\nRuntimeError: {number}" if delta is None else "",
        "tokens": tokens,
        "usd": tokens * 2e-6,
    }
    if status == "keep" and delta is not None:
        result["confirmation"] = _confirmation(best, delta, dice)
    yield "result", made | result


def _idea(dice: random.Random) -> Idea:
    return Idea(
        f"a {dice.choice(_WORDS)} of {dice.uniform(0, 1):.3g} with {' '.join(dice.choices(_WORDS, k=6))} {SCRIPT}",
        thought_process="The last twenty experiments say most about it. " * 8,
        alternatives_considered=("no schedule at all", "twice the width"),
        expected_delta=dice.gauss(-0.1, 0.1),
        justification="It was so in the paper.",
        code_pseudocode="for step in steps:\n    rate = schedule(step)",
        risk_level=dice.choice(_RISKS),
        critic=dice.choice(_CRITICS),
    )


def _call(critic: str, tokens: int) -> dict[str, Any]:
    asked = {"role": "critic", "provider": "ollama", "model": critic, "prompt": tokens - 200, "completion": 200}
    return {**asked, "usd": tokens * 2e-6, "seconds": 4.0, "fault": ""}


def _confirmation(best: float, delta: float, dice: random.Random) -> dict[str, Any]:
    noise = [dice.gauss(0, 0.05) for _ in range(6)]
    candidate = tuple(best + delta + one for one in noise[:3])
    return asdict(Confirmation(candidate, tuple(best + one for one in noise[3:]), pairs=3, p=0.04, alpha=0.05))
