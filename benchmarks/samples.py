"""The sample runs of the examples, made anew: `python -m benchmarks.samples`, in a fresh clone of this repository.

Each example runs as its README says, in the session `run1`; what it left is copied to its `sample_run/`. Where that
session is there already, it is not run again, and only the files are written anew.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks import picture
from benchmarks.machine import usable_cores
from benchmarks.picture import ROOT, Audit, sample, sample_audit
from pytest_autoresearch.files import replace_text
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.reports.audit import write_audit
from pytest_autoresearch.reports.chart import write_chart
from pytest_autoresearch.reports.junit import write_junit
from pytest_autoresearch.reports.page import write_page
from pytest_autoresearch.reports.state import state_of
from pytest_autoresearch.reports.story import Story, find_session
from pytest_autoresearch.text import number
from pytest_autoresearch.workspace import OWN

_PACKAGES = ("pytest", "pytest-autoresearch", "numpy", "optuna", "cmaes", "scikit-learn", "xgboost-cpu", "xgboost")
_FILES = (
    ("`report.html`", "the session on one page, to be opened in a browser; it loads nothing", "report"),
    ("`AUDIT_LOG.md`, `AUDIT_LOG.json`", "all that somebody may want to check", "audit"),
    ("`STATE.md`", "where the session stood at its end", "state"),
    ("`convergence.svg`", "the chart alone", "report --chart convergence.svg"),
    ("`junit.xml`", "a test case for each experiment", "report --junit junit.xml"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """An example, and the commands that make its sample run from the root of a clone."""

    example: str
    commands: Sequence[str]

    def session(self) -> tuple[Place, Problem]:
        """Its session, whether it has begun or not."""
        return find_session(ROOT / "examples" / self.example / "problem.yaml", None)


SAMPLES = (
    Sample(
        "tsp_heuristic",
        (
            "pytest --autoresearch --iterations=4 --autoresearch-critic=replay --autoresearch-confirm"
            " examples/tsp_heuristic",
            "pytest --autoresearch --iterations=16 --autoresearch-critic=auto examples/tsp_heuristic",
        ),
    ),
    *(
        Sample(name, (f"pytest --autoresearch --iterations=30 --autoresearch-confirm examples/{name}",))
        for name in ("xgboost_tuning", "multi_metric_demo")
    ),
)


def run(one: Sample) -> None:
    """Run the session of a sample, unless it has begun."""
    if one.session()[0].records.exists():
        return
    for command in one.commands:
        print(f"$ {command}", flush=True)
        subprocess.run([sys.executable, "-m", *shlex.split(command)], cwd=ROOT, check=True)


def write(one: Sample, machine: str) -> None:
    """Write the files of a sample from its session."""
    story, place = Story(*one.session()), sample(one.example)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copy(story.views["results.tsv"], place)
    calls = story.project / OWN / "critic_logs"
    if calls.is_dir():
        shutil.copytree(calls, place / calls.name)
    write_audit(story, place, Mask(os.environ))
    write_page(story, place / "report.html", live=False)
    write_chart(story, place / "convergence.svg")
    write_junit(story, place / "junit.xml")
    replace_text(place / "STATE.md", state_of(story))
    replace_text(place / "README.md", "".join(_readme(one, sample_audit(one.example), machine)))


def _readme(one: Sample, audit: Audit, machine: str) -> Iterator[str]:
    """What somebody has to know of a sample."""
    session, summary = audit["session"], audit["summary"]
    yield "# A real run of this example\n\n| | |\n|---|---|\n"
    yield f"| date | {session['began'][:10]} |\n"
    yield f"| machine | {machine}, {platform.system()}, Python {platform.python_version()} |\n"
    yield f"| versions | {', '.join(_versions())} |\n"
    yield f"| critic | {_critics(audit['critics'])} |\n"
    yield f"| result | {session['metric']} {number(summary['baseline'])} → {number(summary['best'])} in "
    yield f"{summary['experiments']} experiments: {summary['kept']} kept, {summary['discarded']} discarded, "
    yield f"{summary['crashed']} crashed |\n\n"
    yield f"From the root of a clone:\n\n```console\n{chr(10).join(one.commands)}\n```\n\n"
    yield "| file | what it is | made by `pytest-autoresearch …` |\n|---|---|---|\n"
    yield "| `results.tsv` | a row an experiment | written by the session itself |\n"
    yield from (f"| {names} | {what} | `{command}` |\n" for names, what, command in _FILES)
    asked = any(critic["tokens"] for critic in audit["critics"])
    yield "| `critic_logs/` | every call to a model | written by the session itself |\n" if asked else ""
    yield "" if asked else "\nThere is no `critic_logs/`: it would hold the calls to a model, and none was asked.\n"
    yield "\n`python -m benchmarks.samples` makes this directory again, in a fresh clone.\n"


def _critics(critics: Sequence[Any]) -> str:
    """Who proposed how many."""
    told = ", ".join(f"{one['critic']} ({one['tried']} experiments, {one['kept']} kept)" for one in critics)
    return told if any(one["tokens"] for one in critics) else f"{told}; no LLM was used"


def _versions() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the samples, then the README's picture of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samples", description=__doc__)
    parser.add_argument("--machine", default=f"{usable_cores()} cores", metavar="WORDS", help="what to say of it")
    asked = parser.parse_args(arguments)
    for one in SAMPLES:
        run(one)
        write(one, asked.machine)
    picture.main()


if __name__ == "__main__":
    main()
