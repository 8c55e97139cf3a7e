"""The commands that show a session and change nothing in it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_autoresearch.cli_session import Command, add_problem, add_session, problem_file, session, story

if TYPE_CHECKING:
    from pytest_autoresearch.reports.story import Story


def add_views(command: Command) -> None:
    """Add them to the commands."""
    status = command("status", "say where a session stands", "It may be running.")
    status.set_defaults(command=_status)
    watch = command("watch", "show live where a session stands, until it ends")
    watch.add_argument("--every", type=_seconds, default=1.0, metavar="SECONDS", help="how often to look (default: 1)")
    watch.set_defaults(command=_watch)
    state = command("state", "print where a session stands, on one page of Markdown")
    state.set_defaults(command=_state)
    analyze = command("analyze", "print a session in numbers: counts, keep rate, critics, what gained most")
    analyze.add_argument("--json", action="store_true", help="print them as JSON: the audit without its experiments")
    analyze.set_defaults(command=_analyze)
    holdout = command(
        "holdout",
        "show what the kept experiments are worth to the second evaluator",
        "Nothing else shows it: what a critic or a coder knows, it can be led by.",
    )
    holdout.set_defaults(command=_holdout)
    for one in (status, watch, state, analyze, holdout, _audit_of(command), _report_of(command)):
        add_session(one)
    _add_compare(command)


def _audit_of(command: Command) -> argparse.ArgumentParser:
    audit = command(
        "audit",
        "write AUDIT_LOG.md and AUDIT_LOG.json",
        "They are beside problem.yaml in the session's checkout, and the loop writes them at its end.",
    )
    audit.add_argument("--output", type=Path, metavar="DIR", help="the directory to write them into instead")
    audit.add_argument(
        "--holdout",
        action="store_true",
        help="with the values of the second evaluator; only with an --output outside of the session's checkout",
    )
    audit.set_defaults(command=_audit)
    return audit


def _report_of(command: Command) -> argparse.ArgumentParser:
    report = command(
        "report",
        "write report.html, or another view of the session",
        "Without an option it is the page, beside problem.yaml in the session's checkout.",
    )
    what = report.add_mutually_exclusive_group()
    what.add_argument("--output", type=Path, metavar="FILE", help="write the page here instead")
    what.add_argument("--chart", type=Path, metavar="FILE", help="write the convergence chart, as .png or .svg")
    what.add_argument("--junit", type=Path, metavar="FILE", help="write the JUnit XML, made anew from the ledger")
    what.add_argument("--summary", action="store_true", help="print a summary in Markdown, for the page of a CI job")
    report.set_defaults(command=_report)
    return report


def _add_compare(command: Command) -> None:
    compare = command(
        "compare",
        "set sessions side by side, at equal experiments and at equal time",
        "A session is TAG, PATH, PATH@TAG, or LABEL=ONE,OTHER for several that are repeats of one another.",
    )
    compare.add_argument("sessions", nargs="+", metavar="SESSION", help="two or more sessions")
    add_problem(compare, "the problem that a TAG is of")
    compare.add_argument("--insist", action="store_true", help="compare also what was measured by different things")
    compare.add_argument(
        "--higher", action="append", default=[], metavar="NAME", help="a metric of `also:` of which more is better"
    )
    compare.add_argument("--json", action="store_true", help="print it as JSON")
    compare.add_argument("--chart", type=Path, metavar="FILE", help="draw the curves too, as .png or .svg")
    compare.set_defaults(command=_compare)


def _status(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.status import status_lines

    for line in status_lines(*session(parsed)):
        print(line)
    return 0


def _watch(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.watch import watch

    watch(*session(parsed), sys.stdout, every_s=parsed.every)
    return 0


def _state(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.reports.state import state_of

    print(state_of(story(parsed)), end="")
    return 0


def _analyze(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.reports.analysis import analysis_json, analysis_lines

    told = story(parsed)
    for line in [analysis_json(told)] if parsed.json else analysis_lines(told):
        print(line)
    return 0


def _holdout(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.holdout import holdout_lines

    for line in holdout_lines(*session(parsed)):
        print(line)
    return 0


def _audit(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.reports.audit import audit_on_demand

    for path in audit_on_demand(story(parsed), parsed.output, holdout=parsed.holdout):
        print(path)
    return 0


def _report(parsed: argparse.Namespace) -> int:
    told = story(parsed)
    if parsed.summary:
        from pytest_autoresearch.reports.summary import summary_markdown

        print(summary_markdown(told), end="")
    else:
        print(_written(told, parsed))
    return 0


def _written(told: Story, parsed: argparse.Namespace) -> Path:
    """Write the view that is asked for; where it is."""
    from pytest_autoresearch.reports.chart import write_chart
    from pytest_autoresearch.reports.junit import write_junit
    from pytest_autoresearch.reports.page import write_page

    path: Path = parsed.chart or parsed.junit or parsed.output or told.views["report.html"]
    if parsed.chart is not None:
        write_chart(told, path)
    elif parsed.junit is not None:
        write_junit(told, path)
    else:
        write_page(told, path, live=told.is_running)
    return path


def _compare(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.compare import compare
    from pytest_autoresearch.reports.comparands import find_sessions
    from pytest_autoresearch.reports.comparison import comparison_json, comparison_lines
    from pytest_autoresearch.reports.comparison_chart import write_comparison

    found = find_sessions(parsed.sessions, lambda: problem_file(parsed.problem))
    compared = compare(found, insist=parsed.insist, higher=parsed.higher)
    if parsed.json:
        print(json.dumps(comparison_json(compared), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(comparison_lines(compared)))
    if parsed.chart is not None:
        write_comparison(compared, parsed.chart)
    return 0


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text}")
    return seconds
