"""Open and close a session and say what that took: `python -m benchmarks.opened bare|journal|session PROBLEM TAG`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import peak_mib
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.opening import open_session
from pytest_autoresearch.place import Place, find_place
from pytest_autoresearch.problem import Problem, load_problem


def _bare(place: Place, problem: Problem) -> None:
    """What nobody can do without: each line is read and hashed."""
    with (place.records / "ledger.jsonl").open("rb") as file:
        for line in file:
            hashlib.sha256(line).hexdigest()


def _journal(place: Place, problem: Problem) -> None:
    Journal(place.records / "ledger.jsonl").close()


def _session(place: Place, problem: Problem) -> None:
    with open_session(place, problem, lambda stage, elapsed: None):
        pass


_WAYS: dict[str, Callable[[Place, Problem], None]] = {"bare": _bare, "journal": _journal, "session": _session}


def main(way: str, problem_file: Path, tag: str) -> None:
    """Print seconds and peak memory as JSON."""
    problem = load_problem(problem_file)
    place = find_place(problem_file, problem.branch_prefix, tag)
    began, used = time.perf_counter(), time.process_time()
    _WAYS[way](place, problem)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mib": peak_mib(os.getpid())}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
