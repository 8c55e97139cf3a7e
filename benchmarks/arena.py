"""Repositories and sessions of the sizes that a benchmark asks for."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from benchmarks.timed import PYTEST, Timed, timed
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import Record
from pytest_autoresearch.records import Edit, Experiment, Idea
from tests.support import Toy

_FILES_IN_DIRECTORY = 100
_SENTENCE = "The step size is the literal that the last twenty experiments say most about. "


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory that is gone afterwards; TMPDIR says where."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        yield Path(directory).resolve()


def repository(directory: Path, files: int, problem: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> Toy:
    """A problem, with these keys besides, in a repository of about `files` files."""
    padding = {_padding(number): f"{number}\n" for number in range(files)}
    return Toy(directory, files=padding, problem={"hard_timeout_s": 600, **problem}, **options)


def _padding(number: int) -> str:
    return f"data/{number // _FILES_IN_DIRECTORY:04}/{number % _FILES_IN_DIRECTORY:04}.txt"


@dataclass(frozen=True, slots=True)
class Arena:
    """One session of a problem, by its tag."""

    toy: Toy
    tag: str = "run1"

    @property
    def ledger(self) -> Path:
        """The session's ledger."""
        return self.toy.directory / ".git" / "autoresearch" / "toy" / self.tag / "ledger.jsonl"

    @property
    def checkout(self) -> Path:
        """The session's checkout."""
        return self.toy.directory / ".autoresearch" / f"toy-{self.tag}"

    def records(self) -> list[Record]:
        """What is on record."""
        return [json.loads(line) for line in self.ledger.read_text().splitlines()]

    def pytest(self, *arguments: str, env: Mapping[str, str] | None = None) -> Timed:
        """Run pytest on the problem, as a user does."""
        ours = ("--autoresearch", "--autoresearch-confirm", f"--autoresearch-tag={self.tag}", "problem.yaml")
        return timed([*PYTEST, *ours, *arguments], self.toy.directory, env)

    def alternate(self, iterations: int) -> None:
        """Begin the session or go on with it: ideas that are kept and discarded in turn."""
        self.pytest("-p", "benchmarks.alternating", f"--iterations={iterations}")

    def observe(self, iterations: int, *arguments: str, every: int = 1) -> list[Record]:
        """The same, with what `probe` saw at each experiment whose number in this run `every` divides."""
        seen = self.toy.directory.with_name("observed.jsonl")
        env = {"BENCHMARKS_OBSERVED": str(seen), "BENCHMARKS_EVERY": str(every)}
        self.pytest("-p", "benchmarks.probe", *arguments, f"--iterations={iterations}", env=env)
        return [json.loads(line) for line in seen.read_text().splitlines()]

    def lengthen(self, number: int) -> None:
        """Add to the ledger what discarded experiments leave there, up to experiment `number`.

        The lines are written by the ledger itself, in full and in its own format; only the flushes to disk, which
        nothing depends on here, are left out.
        """
        journal = Journal(self.ledger)
        incumbent = journal.progress.incumbent
        assert incumbent is not None
        with patch.object(os, "fsync", lambda _: None):
            for each in range(journal.progress.next_number, number + 1):
                for kind, fields in _discarded(each, incumbent):
                    journal.write(kind, **fields)
        journal.close()


def moments(records: Iterable[Record], kind: str) -> dict[int, float]:
    """When the records of one kind were written, by the number of their experiment, in seconds since the epoch."""
    return {record["number"]: record["at"] for record in records if record["kind"] == kind}


def ideas_that(work: str, count: int) -> list[Mapping[str, Any]]:
    """So many ideas, all different and worse than the baseline, whose runs do this."""
    return [{"hypothesis": f"{number}", "content": f"{work}; echo score: {20 + number}\n"} for number in range(count)]


def log_name(number: int) -> str:
    """The critic log of an experiment."""
    return f"{number:06}.jsonl"


def _discarded(number: int, incumbent: Experiment) -> Iterator[tuple[str, Record]]:
    """The records of one experiment that was not better, about as long as an LLM's are."""
    commit, blob = (hashlib.sha1(f"{what} {number}".encode()).hexdigest() for what in ("commit", "blob"))
    hypothesis = f"experiment {number} is better with a step of {1 / (number + 1):.6f}"
    idea = Idea(
        hypothesis,
        thought_process=_SENTENCE * 8,
        alternatives_considered=(_SENTENCE, _SENTENCE),
        justification=_SENTENCE * 3,
        edits=(Edit(f"STEP = {number}", f"STEP = {number + 1}"),),
        critic="bench",
        log=log_name(number),
    )
    made = {"number": number, "commit": commit, "parent": incumbent.commit, "blob": blob}
    yield "idea", {"critic": idea.critic, "number": number, "idea": idea.to_json()}
    yield "applied", made
    process = {"pid": number, "ticks": str(number), "boot": "00000000-0000-0000-0000-000000000000"}
    yield "started", {"number": number, "what": "runner", "process": process}
    yield (
        "result",
        {
            **made,
            "status": "discard",
            "reason": "worse: 10 → 11 (+1)",
            "metric": 11.0 + number,
            "resource": None,
            "seconds": 0.01,
            "contract": incumbent.contract,
            "description": hypothesis,
            "exit": 0,
            "machine": False,
            "duplicate_of": None,
            "log_tail": "",
        },
    )
