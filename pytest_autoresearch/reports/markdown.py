"""The audit as Markdown: its facts put into tables and sections; nothing in them can open or close one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_autoresearch.reports.facts import Facts
from pytest_autoresearch.text import number, one_line

_CELL = 300
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")
_WORDS = {"keep": "kept", "discard": "discarded", "crash": "crashed"}
_HOLDOUT = ("label", "metric", "holdout", "worse", "failure")
_HIT = ("label", "gain", "effect", "metric", "critic", "hypothesis")
_KINDS = (("no sandbox", "none"), ("sandbox bwrap", "bwrap"))
_REASONING = (
    ("thought_process", "Thought process"),
    ("justification", "Justification"),
    ("code_pseudocode", "Pseudocode"),
    ("reasoning", "The model's reasoning"),
)


def head_lines(head: Facts) -> Iterator[str]:
    """All of the audit but the experiments."""
    session = head["session"]
    yield f"# Audit of session {session['branch']}\n\n{quoted(session['objective'])}\n\n"
    yield f"{session['metric']} is to be {'small' if session['lower_is_better'] else 'large'}. "
    yield f"Begun {session['began']}, last experiment {session['ended']}; "
    yield f"pytest-autoresearch {session['version']}.\n\n"
    yield from _section("Summary", _summary(head["summary"]))
    yield from _section("Can it be believed?", _integrity(head["integrity"]))
    yield from _section("Holdout", _table(_HOLDOUT, head.get("holdout", ())))
    yield from _section("Preconditions", _preconditions(head["preconditions"]))
    yield from _section("Critics", _critics(head["critics"]))
    yield from _section("Top hits", _table(_HIT, head["top_hits"]))
    yield "## Experiments\n\n"


def entry_lines(facts: Facts) -> Iterator[str]:
    """One experiment."""
    yield f"### {facts['label']} {_WORDS[facts['status']]}: {cell(facts['description'])}\n\n"
    yield f"{quoted(facts['reason'])}\n\n"
    yield from _table(("what", "value"), [{"what": what, "value": value} for what, value in _values(facts)])
    yield "\n"
    if facts["idea"]:
        yield from _idea(facts["idea"])
    if facts["diff"]:
        yield f"{fenced(facts['diff'], 'diff')}\n"
    if facts["log_tail"]:
        yield f"The end of the log:\n\n{fenced(facts['log_tail'])}\n"


def cell(value: Any) -> str:
    """A value as text that is no more than text, on one line."""
    if value is None or isinstance(value, float):
        return number(value)
    return escaped(one_line(str(value), _CELL))


def quoted(text: str) -> str:
    """A text of several lines as a quotation in which nothing has a meaning."""
    return "\n".join(f"> {escaped(line)}".rstrip() for line in text.split("\n"))


def escaped(text: str) -> str:
    """A text in which nothing has a meaning in Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", text)


def fenced(text: str, language: str = "") -> str:
    """A block of code with a fence that is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}\n"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    made = "".join(lines)
    if made:
        yield f"## {title}\n\n{made}\n"


def _table(columns: tuple[str, ...], rows: Iterable[Facts]) -> Iterator[str]:
    listed = list(rows)
    if not listed:
        return
    yield f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"
    for row in listed:
        yield f"| {' | '.join(cell(row[name]) for name in columns)} |\n"


def _summary(summary: Facts) -> Iterator[str]:
    best = f"{number(summary['best'])} (experiment {summary['best_label']})"
    share = summary["improvement_share"]
    gain = number(summary["improvement"]) + (f" ({share:+.2%})" if share is not None else "")
    rate = summary["keep_rate"]
    counts = f"{summary['kept']} kept, {summary['discarded']} discarded, {summary['crashed']} crashed"
    rows = (
        ("experiments", f"{_tried(summary)}: {counts}, {summary['duplicates']} measured before"),
        ("keep rate", "-" if rate is None else f"{rate:.0%}"),
        ("baseline", number(summary["baseline"])),
        ("best", best if summary["best"] is not None else "-"),
        ("improvement", gain),
        ("time of all runs", f"{summary['seconds']:.0f} s"),
        ("models", f"{summary['tokens']:,} tokens, USD {summary['usd']:.4g}"),
    )
    return _table(("what", "value"), [{"what": what, "value": value} for what, value in rows])


def _tried(summary: Facts) -> str:
    """How many experiments there were, and in how many iterations where some made several."""
    experiments, iterations = summary["experiments"], summary["iterations"]
    return f"{experiments} in {iterations} iterations" if iterations < experiments else str(experiments)


def _integrity(integrity: Facts) -> Iterator[str]:
    changes = integrity["contract_labels"][1:]
    expected, deviation = integrity["expected_false_keeps"], integrity["noise_deviation"]
    attacks = integrity["accepted_exploits"]
    rows = (
        ("where the number comes from", integrity["trust"]),
        ("sandbox", integrity["sandbox"]),
        ("changes of the contract", ", ".join(f"at experiment {one}" for one in changes) or "none"),
        ("runs that broke the contract, and were undone", integrity["breaches"]),
        ("runs that left something in the checkout, which was put aside", integrity["runs_that_left_files"]),
        ("measured with changes besides the mutable file", integrity["measured_with_changes_besides"]),
        ("noise of one measurement (standard deviation)", number(deviation) if deviation else "not measured"),
        ("candidates measured again", integrity["confirmations"]),
        ("false keeps to be expected at most", "not limited: no `noise`" if expected is None else f"{expected:.2g}"),
        *((f"accepted exploits of this version, {kind}", _share(attacks[name])) for kind, name in _KINDS),
    )
    return _table(("what", "value"), [{"what": what, "value": value} for what, value in rows])


def _share(exploits: Facts) -> str:
    return f"{exploits['accepted']} of {exploits['of']}"


def _preconditions(preconditions: list[Facts]) -> Iterator[str]:
    rows = [{"precondition": one["name"], **one} for one in preconditions]
    return _table(("precondition", "outcome", "detail"), rows)


def _critics(critics: list[Facts]) -> Iterator[str]:
    columns = ("critic", "tried", "kept", "crashed", "gain", "tokens", "usd")
    return _table(columns, critics)


def _values(facts: Facts) -> Iterator[tuple[str, Any]]:
    yield "metric", facts["metric"]
    yield "against what it had to beat", facts["delta"]
    yield "expected", facts["expected_delta"]
    for name in ("effect", "p", "resource"):
        if facts[name] is not None:
            yield name, facts[name]
    if facts["duplicate_of_label"]:
        yield "the same file as experiment", facts["duplicate_of_label"]
    yield "seconds", facts["seconds"]
    if facts["tokens"]:
        yield "tokens", facts["tokens"]
    yield "commit", facts["commit"][:12] or None
    if facts["critic"]:
        yield "critic", facts["critic"]
    for name, said in (("left", "left in the checkout, put aside"), ("changed_besides", "changed besides")):
        if facts[name]:
            yield said, ", ".join(facts[name])


def _idea(idea: Facts) -> Iterator[str]:
    yield f"**Hypothesis** (risk {idea['risk_level']})\n\n{quoted(idea['hypothesis'])}\n\n"
    for name, title in _REASONING:
        if idea[name]:
            yield f"**{title}**\n\n{quoted(idea[name])}\n\n"
    if idea["alternatives_considered"]:
        yield "**Alternatives considered**\n\n"
        yield "".join(f"- {cell(one)}\n" for one in idea["alternatives_considered"]) + "\n"
    if idea["log"]:
        yield f"Calls: `critic_logs/{cell(idea['log'])}`\n\n"
