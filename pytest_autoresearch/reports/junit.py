"""The JUnit XML of a session made anew from its records, as `pytest --autoresearch --junitxml=FILE` writes it."""

from __future__ import annotations

import json
import platform
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import replacing
from pytest_autoresearch.place import Place
from pytest_autoresearch.preconditions import Result
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.reports.properties import (
    Properties,
    best_of,
    of_candidates,
    of_check,
    of_experiment,
    of_nothing,
)
from pytest_autoresearch.reports.story import Entry, Nothing, Run, Story

_HEAD = b'<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">'
_ILLEGAL = re.compile("[^\t\n\r -~\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_RUN_TO_REFRESH = 50


def write_junit(story: Story, path: Path, *, run_id: str | None = None, module: str = "") -> None:
    """Make `path` the JUnit XML of the session, in one step: a test suite for each run, or only that of `run_id`.

    `module` is the problem file as pytest names it, relative to its root directory; without it, as git names it.
    LedgerDamaged if the ledger is not as it was written; an OSError names the file.
    """
    classname = (module or story.place.problem_path).replace("/", ".")
    with TemporaryFile() as cases, replacing(path) as file:
        file.write(_HEAD)
        for suite in _suites(story, run_id, classname, cases):
            file.write(suite.opening.encode())
            cases.seek(0)
            shutil.copyfileobj(cases, file)
            file.write(b"</testsuite>")
            cases.seek(0)
            cases.truncate()
        file.write(b"</testsuites>")


class JunitView:
    """Keeps the XML of a run up to date while it goes on; what hinders that is tried again, and costs no experiment.

    `throttle_s` is the least time between two refreshes. As one takes longer with each experiment, it also waits for
    fifty times as long as the last one took.
    """

    def __init__(
        self, place: Place, problem: Problem, path: Path, *, throttle_s: float, run_id: str, module: str
    ) -> None:
        self._place, self._problem, self._path = place, problem, path
        self._run_id, self._module = run_id, module
        self._throttle_s = throttle_s
        self._next = 0.0

    def refresh(self) -> bool:
        """Write the XML anew if it is time to; whether it was written."""
        began = time.monotonic()
        if began < self._next:
            return False
        self._next = began + self._throttle_s
        with suppress(OSError, UserError):
            story = Story(self._place, self._problem)
            write_junit(story, self._path, run_id=self._run_id, module=self._module)
            ended = time.monotonic()
            self._next = ended + max(self._throttle_s, _RUN_TO_REFRESH * (ended - began))
            return True
        return False


@dataclass(slots=True)
class _Suite:
    """The test cases of one run, in `file`, and what they add up to; times are in seconds since the epoch."""

    run_id: str
    began: float
    ended: float
    classname: str
    file: IO[bytes]
    checks: int = 0
    iterations: int = 0
    failures: int = 0
    skipped: int = 0

    @property
    def opening(self) -> str:
        """The start tag."""
        attributes = {
            "name": "pytest",
            "errors": "0",
            "failures": str(self.failures),
            "skipped": str(self.skipped),
            "tests": str(self.checks + self.iterations),
            "time": f"{max(0.0, self.ended - self.began):.3f}",
            "timestamp": datetime.fromtimestamp(self.began).astimezone().isoformat(),
            "hostname": platform.node(),
        }
        return f"<testsuite {' '.join(f'{name}={quoteattr(value)}' for name, value in attributes.items())}>"

    def iteration(self, properties: Properties, seconds: float = 0.0) -> None:
        """Add the next iteration; it is called by its place in the run."""
        self.iterations += 1
        self._add(f"iteration[{self.iterations}]", properties, seconds)

    def check(self, result: Result) -> None:
        """Add a precondition."""
        self.checks += 1
        self.failures += result.outcome == "failed"
        self.skipped += result.outcome in ("skipped", "blocked")
        self._add(f"precondition[{result.name}]", of_check(result), result.seconds, *_shortcoming(result))

    def _add(self, name: str, properties: Properties, seconds: float, *more: ElementTree.Element) -> None:
        case = ElementTree.Element("testcase", classname=safe(self.classname), name=name, time=f"{seconds:.3f}")
        listed = ElementTree.SubElement(case, "properties")
        for key, value in properties:
            ElementTree.SubElement(listed, "property", name=key, value=safe(str(value)))
        case.extend(more)
        self.file.write(ElementTree.tostring(case, encoding="utf-8"))


def _suites(story: Story, only: str | None, classname: str, file: IO[bytes]) -> Iterator[_Suite]:
    """Each suite with test cases; its cases are at the beginning of `file` until the next one is asked for."""
    checked = _Checked.read(story.place.records / "preconditions.json")
    suite: _Suite | None = None

    def opened(run_id: str, at: float) -> _Suite:
        made = _Suite(run_id, at, at, classname, file)
        for result in checked.results if run_id == checked.run_id else ():
            made.check(result)
        return made

    seen = False
    for event in _iterations(story.events()):
        if isinstance(event, Run):
            if suite is not None:
                yield suite
            suite = opened(event.run_id, event.at) if only in (None, event.run_id) else None
            seen = seen or event.run_id == checked.run_id
        elif suite is not None:
            _take(suite, event, story)
    if suite is not None:
        yield suite
    if not seen and checked.results and only in (None, checked.run_id):
        yield opened(checked.run_id, checked.at)


def _iterations(events: Iterable[Run | Entry | Nothing]) -> Iterator[Run | list[Entry] | Nothing]:
    """The events with the experiments of an iteration together."""
    made: list[Entry] = []
    for event in events:
        if made and not (isinstance(event, Entry) and _are_together(made[-1].experiment, event.experiment)):
            yield made
            made = []
        if isinstance(event, Entry):
            made.append(event)
        else:
            yield event
    if made:
        yield made


def _are_together(one: Experiment, other: Experiment) -> bool:
    return bool(one.seat and other.seat) and one.made_in == other.made_in


def _take(suite: _Suite, event: list[Entry] | Nothing, story: Story) -> None:
    if isinstance(event, Nothing):
        suite.iteration(of_nothing(event.reason))
    elif event[-1].experiment.number and (baseline := story.progress.baseline) is not None:
        made = [entry.experiment for entry in event]
        suite.ended = made[-1].at
        told = event[made.index(best_of(made, lower_is_better=story.problem.lower_is_better))]
        properties = of_experiment(told, story.place.tag, story.problem, baseline) + of_candidates(made)
        suite.iteration(properties, sum(entry.elapsed for entry in event))


@dataclass(frozen=True, slots=True)
class _Checked:
    """The preconditions of the last run, as far as there is a record of them."""

    run_id: str = ""
    at: float = 0.0
    results: tuple[Result, ...] = ()

    @classmethod
    def read(cls, path: Path) -> _Checked:
        """What `path` holds; nothing if it cannot be read, as it is no more than a view."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            saved = json.loads(path.read_bytes())
            at = datetime.strptime(saved["at"], "%Y-%m-%d %H:%M:%S").timestamp()
            return cls(saved["run_id"], at, tuple(Result(**result) for result in saved["results"]))
        return cls()


def _shortcoming(result: Result) -> Iterator[ElementTree.Element]:
    """What says of a precondition that it failed, or was not looked at."""
    if result.outcome == "passed":
        return
    if result.outcome == "failed":
        said = ElementTree.Element("failure", message=safe(result.detail))
    else:
        said = ElementTree.Element("skipped", type="pytest.skip", message=safe(result.detail))
    said.text = safe(result.detail)
    yield said


def safe(text: str) -> str:
    """`text` with each character that XML 1.0 cannot hold shown as pytest shows it, such as `#x1B`."""
    return _ILLEGAL.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"#x{code:02X}" if code <= 0xFF else f"#x{code:04X}"
