"""Running a program to its end, and what that took."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import clean_environment

ROOT = Path(__file__).parents[1]
# Plugins that a developer of this package has and that cost time of their own.
QUIET = ("-p", "no:randomly", "-p", "no:xdist", "-p", "no:rerunfailures")
PYTEST = (sys.executable, "-m", "pytest", "-q", *QUIET)


@dataclass(frozen=True, slots=True)
class Timed:
    """What a program printed; `seconds` by the clock on the wall, `cpu` with all its children."""

    printed: str
    seconds: float
    cpu: float


def timed(command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None) -> Timed:
    """Run a program that has to succeed, with this checkout on its path and the environment of a user."""
    environment = clean_environment({"PYTHONPATH": str(ROOT), **(env or {})})
    before, began = _cpu(), time.perf_counter()
    done = subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    if done.returncode:
        said = done.stdout[-4000:] + done.stderr[-4000:]
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return Timed(done.stdout, seconds, cpu)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
