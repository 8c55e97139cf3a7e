"""A session in numbers, on demand: counts, keep rate, what was kept, what gained most."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pytest_autoresearch.reports.audit import audit_head
from pytest_autoresearch.reports.facts import Facts
from pytest_autoresearch.reports.story import Story
from pytest_autoresearch.text import number, one_line

_HYPOTHESIS = 80


def analysis_lines(story: Story) -> Iterator[str]:
    """For people."""
    head = audit_head(story)
    summary = head["summary"]
    rate = "-" if summary["keep_rate"] is None else f"{summary['keep_rate']:.0%}"
    share = summary["improvement_share"]
    yield f"session {head['session']['branch']}: {summary['experiments']} experiments, keep rate {rate}"
    yield f"{summary['kept']} kept, {summary['discarded']} discarded, {summary['crashed']} crashed"
    gained = "" if share is None else f" ({share:+.2%} better)"
    best = f"{number(summary['best'])}{gained}"
    yield f"{head['session']['metric']}: {number(summary['baseline'])} → {best}, {head['session']['trust']}"
    yield from story.progress.spread.lines()
    yield from (_critic(one) for one in head["critics"])
    yield from (_hit(one) for one in head["top_hits"])


def analysis_json(story: Story) -> str:
    """The same for programs: the audit without its experiments."""
    return json.dumps(audit_head(story), indent=2, ensure_ascii=False)


def _critic(score: Facts) -> str:
    spent = f", {score['tokens']:,} tokens, USD {score['usd']:.4g}" if score["tokens"] else ""
    return f"critic {score['critic']}: {score['kept']} of {score['tried']} kept, gained {score['gain']:.6g}{spent}"


def _hit(hit: Facts) -> str:
    hypothesis = one_line(hit["hypothesis"], _HYPOTHESIS)
    return f"{hit['label']:>5} {hit['gain']:+12.6g} {number(hit['metric']):>12}  {hypothesis}"
