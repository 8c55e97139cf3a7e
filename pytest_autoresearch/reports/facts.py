"""What the audit says of a session and of each experiment, as plain JSON values (docs/audit-schema.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import gmtime, strftime
from typing import Any

from pytest_autoresearch import __version__
from pytest_autoresearch.records import Experiment
from pytest_autoresearch.reports.exploits import ACCEPTED
from pytest_autoresearch.reports.story import Entry, Story
from pytest_autoresearch.reports.tally import Score, Tally
from pytest_autoresearch.spread import Spread
from pytest_autoresearch.text import head, plain, tail
from pytest_autoresearch.workspace import OWN

Facts = dict[str, Any]

VERSION = 1
_TEXT, _REASONING, _LOG = 4000, 4000, 2000


def at(seconds: float) -> str:
    """A time as text, in UTC; '' for none."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds)) if seconds else ""


def session_facts(story: Story, tally: Tally) -> Facts:
    """Which session it is, and on what problem."""
    problem, begin = story.problem, story.progress.beginning
    return {
        "branch": story.place.branch,
        "tag": story.place.tag,
        "id": begin["session"],
        "start": begin["commit"],
        "problem": begin["problem"],
        "objective": problem.objective.strip(),
        "metric": problem.metric_name,
        "lower_is_better": problem.lower_is_better,
        "trust": problem.trust,
        "sandbox": problem.sandbox.kind,
        "began": at(tally.began),
        "ended": at(tally.ended),
        "version": __version__,
    }


def summary_facts(story: Story, tally: Tally) -> Facts:
    """What came of it; improvement is in units of the metric, positive if it is one."""
    progress, counts = story.progress, story.progress.counts
    baseline, best = progress.baseline, progress.incumbent
    experiments, kept = progress.experiments, progress.kept
    return {
        "experiments": experiments,
        "iterations": tally.iterations,
        "kept": kept,
        "discarded": counts["discard"],
        "crashed": counts["crash"],
        "duplicates": tally.duplicates,
        "keep_rate": kept / experiments if experiments else None,
        "baseline": baseline.metric if baseline else None,
        "best": best.metric if best else None,
        "best_experiment": best.number if best else None,
        "best_label": best.label if best else None,
        "best_commit": best.commit if best else None,
        **_improvement(baseline, best, lower_is_better=story.problem.lower_is_better),
        "seconds": round(tally.seconds, 3),
        "elapsed": round(tally.elapsed, 3),
        "tokens": progress.spent.tokens,
        "usd": round(progress.spent.usd, 6),
    }


def _improvement(baseline: Experiment | None, best: Experiment | None, *, lower_is_better: bool) -> Facts:
    """The improvement, in all and as a share of the baseline; None where the contract has changed in between."""
    change = None
    if baseline and best and baseline.metric is not None and best.metric is not None:
        change = (baseline.metric - best.metric) * (1 if lower_is_better else -1)
    if change is None or not baseline or not best or baseline.contract != best.contract:
        return {"improvement": None, "improvement_share": None}
    return {"improvement": change, "improvement_share": change / abs(baseline.metric) if baseline.metric else None}


def integrity_facts(story: Story, tally: Tally) -> Facts:
    """Whether the numbers are to be believed."""
    spread = story.progress.spread
    return {
        "trust": story.problem.trust,
        "sandbox": story.problem.sandbox.kind,
        "contracts": tally.contracts,
        "contract_labels": tally.changes,
        "breaches": tally.breaches,
        "runs_that_left_files": tally.leaving,
        "measured_with_changes_besides": tally.besides,
        "noise_deviation": spread.deviation,
        "confirmations": spread.tests,
        "expected_false_keeps": spread.alphas if spread.tests else None,
        "accepted_exploits": ACCEPTED,
    }


def critic_facts(score: Score) -> Facts:
    """How one critic did."""
    return {**asdict(score), "keep_rate": score.kept / score.tried if score.tried else None}


def precondition_facts(records: Path) -> list[Facts]:
    """The preconditions as they were looked at last; [] if they were not."""
    with suppress(OSError, ValueError, KeyError):
        found = json.loads((records / "preconditions.json").read_text())
        return [{name: one[name] for name in ("name", "outcome", "detail", "seconds")} for one in found["results"]]
    return []


def critic_logs(project: Path) -> str:
    """Where the calls to models are kept in full."""
    return f"{project}/{OWN}/critic_logs"


def entry_facts(entry: Entry, spread: Spread, logs: str, diff: str) -> Facts:
    """One experiment with the reasoning that led to it, its change, and what came of it.

    `spread` is that of the whole session, `logs` the directory of its critic logs.
    """
    done, found = entry.experiment, entry.experiment.confirmation
    return {
        "number": done.number,
        "label": done.label,
        "iteration": done.made_in,
        "seat": done.seat,
        "status": done.status,
        "reason": plain(done.reason),
        "metric": done.metric,
        "beaten": entry.beaten,
        "best": entry.best,
        "delta": entry.delta,
        "expected_delta": entry.expected,
        "effect": spread.effect(found) if found and found.failed is None else None,
        "p": found.p if found else None,
        "values": list(done.values),
        "resource": done.resource,
        "seconds": done.seconds,
        "tokens": done.tokens,
        "usd": done.usd,
        "exit": done.exit,
        "machine": done.machine,
        "duplicate_of": done.duplicate_of,
        "duplicate_of_label": entry.twin,
        "commit": done.commit,
        "parent": done.parent,
        "contract": done.contract,
        "at": at(done.at),
        "run_id": entry.run_id,
        "description": plain(done.description),
        "critic": entry.critic,
        "idea": _idea(entry, logs),
        "calls": [asdict(call) for call in entry.calls],
        "left": list(entry.left),
        "changed_besides": list(entry.besides),
        "diff": diff,
        "log_tail": plain(tail(done.log_tail, _LOG)),
    }


def _idea(entry: Entry, logs: str) -> Facts | None:
    idea = entry.idea
    if idea is None:
        return None
    return {
        "hypothesis": _text(idea.hypothesis),
        "thought_process": _text(idea.thought_process),
        "alternatives_considered": [_text(one) for one in idea.alternatives_considered],
        "justification": _text(idea.justification),
        "code_pseudocode": _text(idea.code_pseudocode),
        "risk_level": idea.risk_level,
        "parameters": dict(idea.parameters),
        "log": idea.log,
        "reasoning": _reasoning(f"{logs}/{idea.log}") if idea.log else "",
    }


def _reasoning(log: str) -> str:
    """What the model thought before its last answer, where the server gave that."""
    found = [one for one in _raw_responses(log) if one.get("reasoning_field")]
    return _text(str(found[-1]["reasoning_field"]), _REASONING) if found else ""


def _raw_responses(log: str) -> Iterator[Facts]:
    with suppress(OSError), Path(log).open("rb") as file:
        for line in file:
            with suppress(ValueError):
                response = json.loads(line).get("raw_response")
                if isinstance(response, dict):
                    yield response


def _text(text: str, length: int = _TEXT) -> str:
    return plain(head(text, length))
