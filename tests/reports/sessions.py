"""Sessions of any length that were never run: ledgers written by the package's own hand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import patch

from pytest_autoresearch.ledger import Ledger
from pytest_autoresearch.place import Place
from pytest_autoresearch.records import Idea
from pytest_autoresearch.reports.story import Story
from tests.support import problem_with

BEGAN = 1_700_000_000.0


@dataclass(frozen=True)
class Trial:
    """One experiment of a made-up session; None is a crash."""

    metric: float | None
    kept: bool = False
    seconds: float = 1.0
    contract: str = "c1"
    critic: str = "tuner"
    hypothesis: str = ""
    tokens: int = 0
    more: Mapping[str, Any] | None = None


def descent(values: Iterable[float | None], *, lower_is_better: bool = True, **fields: Any) -> list[Trial]:
    """A trial for each value, kept if it is the best so far; the first one is the baseline."""
    trials: list[Trial] = []
    best: float | None = None
    for value in values:
        better = value is not None and (best is None or (value < best if lower_is_better else value > best))
        best = value if better else best
        trials.append(Trial(value, kept=better, **fields))
    return trials


def session(
    directory: Path,
    trials: Iterable[Trial],
    tag: str = "run1",
    samples: Mapping[int, Sequence[float]] | None = None,
    **problem: Any,
) -> Story:
    """A session `toy/tag` in `directory` with these experiments on record.

    `samples` says of an experiment when what was measured for it and the ones after it ended, ten seconds each.
    """
    place = Place(directory, PurePosixPath("."), "problem.yaml", directory / ".git", "toy", tag)
    place.records.mkdir(parents=True)
    ledger = Ledger(place.records / "ledger.jsonl")
    with patch.object(os, "fsync", lambda _: None):  # of made-up sessions nobody needs to be sure
        ledger.append("begin", session=tag, seed=1, branch=place.branch, commit="0" * 40, schema=1)
        for number, trial in enumerate(trials):
            for at, ended in enumerate((samples or {}).get(number, ()), start=number):
                ledger.append("sample", number=at, role="first", contract=trial.contract, seconds=10.0, at=ended)
            _write(ledger, number, trial)
    ledger.close()
    return Story(place, problem_with(**problem))


def _write(ledger: Ledger, number: int, trial: Trial) -> None:
    hypothesis = trial.hypothesis or f"idea {number}"
    if number:
        if trial.tokens:
            call = {"role": "critic", "provider": "openai", "model": "m", "seconds": 1.0, "fault": ""}
            ledger.append("call", number=number, **call, prompt=trial.tokens, completion=0, usd=trial.tokens / 1e6)
        ledger.append("idea", critic=trial.critic, number=number, idea=Idea(hypothesis, critic=trial.critic).to_json())
    status = "crash" if trial.metric is None else "keep" if trial.kept else "discard"
    fields = {
        "number": number,
        "status": status,
        "reason": "no metric" if trial.metric is None else "",
        "metric": trial.metric,
        "resource": None,
        "seconds": trial.seconds,
        "commit": f"{number:040x}",
        "parent": "0" * 40,
        "blob": f"{number:040x}",
        "contract": trial.contract,
        "description": hypothesis if number else "baseline",
        "tokens": trial.tokens,
        "usd": trial.tokens / 1e6,
        "at": BEGAN + 10.0 * number,
    }
    ledger.append("result", **fields, **(trial.more or {}))
