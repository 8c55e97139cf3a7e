"""`report.html`: a session on one page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest_autoresearch
from pytest_autoresearch.files import replace_text
from pytest_autoresearch.git import Git
from pytest_autoresearch.reports import overview
from pytest_autoresearch.reports.charts import charts, hovers
from pytest_autoresearch.reports.diffs import Diff, diffs_of
from pytest_autoresearch.reports.digest import CRASHES, KEEPS, LATEST, ROWS, Digest, Row
from pytest_autoresearch.reports.story import Entry, Story
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.spread import Spread
from pytest_autoresearch.templating import render
from pytest_autoresearch.text import head, number, one_line, plain, tail

REFRESH_S = 30
_TOP = 3
_SHOWN_ROWS = 250
_TEXT, _LOG = 4_000, 4_000
_DIFF_LINES, _DIFF_LENGTH = 160, 200
_PATHS = 20
_NAME = 40
_NO_CHARTS = "The charts need plotly: pip install 'pytest-autoresearch[report]' brings it; then write this page again."


@dataclass(frozen=True, slots=True)
class Shown:
    """An experiment in full: its entry, what it changed, and what it is worth where it was measured again."""

    entry: Entry
    diff: Diff | None
    effect: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its heading, its class in the style sheet, and the field of a row that it shows."""

    heading: str
    css: str
    field: str
    is_text: bool = False


def write_page(story: Story, path: Path, *, live: bool) -> None:
    """Write the page of the session to `path` in one step; a `live` one loads itself anew from time to time.

    It shows all that is on record by now. LedgerDamaged if the ledger is not as it was written, Refused if the machine
    does not let us write.
    """
    digest = Digest(Tally(lower_is_better=story.problem.lower_is_better))
    digest.take_all(story.entries())
    replace_text(path, _page(story, digest, live=live))


def _page(story: Story, digest: Digest, *, live: bool) -> str:
    script, plotly = _resource("page.js"), _plotly()
    return render(
        "reports",
        "page.html.j2",
        refresh_s=REFRESH_S if live else None,
        css=_resource("page.css"),
        scripts=[plotly, script] if plotly else [script],
        policy=_policy(script, plotly),
        no_charts="" if plotly else _NO_CHARTS,
        version=pytest_autoresearch.__version__,
        written=_at(time.time()),
        bounds={"keeps": KEEPS, "latest": LATEST, "crashes": CRASHES, "rows": ROWS, "shown": _SHOWN_ROWS},
        **_texts(),
        **_session(story, digest),
    )


def _session(story: Story, digest: Digest) -> dict[str, Any]:
    progress, problem, tally, rows = story.progress, story.problem, digest.tally, digest.rows
    spread = progress.spread
    called = one_line(problem.columns[2], _NAME)
    drawn = list(charts(rows, digest.steps, problem.metric_name, spread.deviation, called)) if rows else []
    return {
        "problem": problem,
        "branch": story.place.branch,
        "progress": progress,
        "improvement": overview.improvement(progress),
        "tried": overview.tried(progress, tally),
        "cost": overview.cost(progress, tally),
        "trust": overview.trust(problem, progress, tally),
        "top": list(digest.top(_TOP)),
        "scores": sorted(tally.scores.values(), key=lambda score: -score.tried),
        "rows": rows,
        "columns": _columns(rows, called),
        "charts": drawn,
        "figures": {chart.name: chart.figure for chart in drawn},
        "hovers": hovers(rows),
        "shown": _shown(Git(story.place.home), digest.full, spread),
    }


def _columns(rows: Sequence[Row], resource: str) -> list[Column]:
    """The columns of the table that the session has something for."""
    every = (
        Column("#", "n", "number"),
        Column("status", "s", "status", is_text=True),
        Column("metric", "m", "metric"),
        Column("Δ", "d", "delta"),
        Column("expected Δ", "x", "expected"),
        Column(resource, "x", "resource"),
        Column("seconds", "x", "seconds"),
        Column("tokens", "x", "tokens"),
        Column("critic", "c", "critic", is_text=True),
        Column("hypothesis", "h", "hypothesis", is_text=True),
    )
    optional = ("expected", "resource", "tokens")
    return [one for one in every if one.field not in optional or any(getattr(row, one.field) for row in rows)]


def _shown(git: Git, entries: Sequence[Entry], spread: Spread) -> list[Shown]:
    found = diffs_of(git, (entry.experiment for entry in entries), lines=_DIFF_LINES, length=_DIFF_LENGTH)
    return [Shown(entry, found.get(entry.experiment.commit), _effect(entry, spread)) for entry in entries]


def _effect(entry: Entry, spread: Spread) -> str:
    confirmation = entry.experiment.confirmation
    if confirmation is None or not (confirmation.candidate and confirmation.incumbent):
        return ""
    return f"{spread.effect(confirmation)}, {confirmation.in_words}"


def _texts() -> dict[str, Any]:
    """What the template does with text and numbers."""
    return {
        "value": number,
        "signed": overview.signed,
        "duration": overview.duration,
        "at": _at,
        "line": one_line,
        "text": lambda text: head(plain(text), _TEXT),
        "log": lambda text: tail(plain(text), _LOG),
        "paths": _listed,
    }


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _PATHS} more" if len(paths) > _PATHS else ""
    return ", ".join(one_line(path, 200) for path in paths[:_PATHS]) + more


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _resource(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _plotly() -> str:
    """The charting library; '' where it is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return ""
    return str(get_plotlyjs())


def _policy(*scripts: str) -> str:
    """A policy under which only these scripts run and nothing is loaded (https://www.w3.org/TR/CSP3/)."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts if script)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
