"""The table of what became of each attack, at the end of a run that made any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.arena import NEEDS, SANDBOXES, VERDICT

_WIDTH = 72


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table and the number of accepted exploits."""
    rows = sorted(_rows(terminalreporter))
    if not rows:
        return
    terminalreporter.section("attacks")
    for sandbox, name, needs, accepted, happened in rows:
        shown = happened if len(happened) <= _WIDTH else f"{happened[: _WIDTH - 1]}…"
        terminalreporter.line(f"{sandbox:5} {name:28} {needs:8} {'ACCEPTED' if accepted else 'no':8}  {shown}")
    for sandbox in SANDBOXES:
        here = [(needs, accepted) for where, _, needs, accepted, _ in rows if where == sandbox]
        for needs in NEEDS:
            among = [accepted for needed, accepted in here if needed == needs]
            if among:
                terminalreporter.line(f"sandbox {sandbox}, that need {needs}: {sum(among)} of {len(among)}")
        if here:
            total = sum(accepted for _, accepted in here)
            terminalreporter.line(f"accepted exploits, sandbox {sandbox}: {total} of {len(here)}")


def _rows(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, str, str, bool, str]]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                verdict = dict(report.user_properties).get(VERDICT)
                if isinstance(verdict, (list, tuple)):
                    sandbox, name, needs, accepted, happened = verdict
                    yield str(sandbox), str(name), str(needs), bool(accepted), str(happened)
