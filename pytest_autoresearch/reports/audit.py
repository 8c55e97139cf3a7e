"""`AUDIT_LOG.md` and `AUDIT_LOG.json`: all that somebody may want to check, for people and for programs."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import replacing
from pytest_autoresearch.git import Git
from pytest_autoresearch.holdout import held_keeps
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.problem import key_names
from pytest_autoresearch.reports import markdown
from pytest_autoresearch.reports.diffs import Diff, diffs_of
from pytest_autoresearch.reports.facts import (
    VERSION,
    Facts,
    critic_facts,
    critic_logs,
    entry_facts,
    integrity_facts,
    precondition_facts,
    session_facts,
    summary_facts,
)
from pytest_autoresearch.reports.story import Entry, Story
from pytest_autoresearch.reports.tally import Tally
from pytest_autoresearch.text import one_line

MARKDOWN, JSON = "AUDIT_LOG.md", "AUDIT_LOG.json"
_TOP = 10
_BATCH, _DIFF_LINES, _DIFF_LENGTH = 200, 200, 300
_HEADS = ("diff --git ", "index ", "--- ", "+++ ")
_HYPOTHESIS = 300


def write_audit(story: Story, directory: Path, mask: Mask, *, holdout: bool = False) -> tuple[Path, Path]:
    """Write both files into `directory`, each in one step, with every key hidden; their paths.

    The ledger is read twice: what stands first is known last.
    """
    head = audit_head(story)
    if holdout:
        head["holdout"] = holdout_facts(story)
    paths = directory / MARKDOWN, directory / JSON
    with replacing(paths[0]) as text, replacing(paths[1]) as data:
        _write(text, map(mask.text, markdown.head_lines(head)))
        _write(data, [_opening(mask.data(head))])
        for number, facts in enumerate(_experiments(story)):
            shown = mask.data(facts) if mask.concerns(_json(facts)) else facts
            _write(text, markdown.entry_lines(shown))
            _write(data, [",\n" if number else "\n", _json(shown)])
        _write(data, ["\n]}\n"])
    return paths


def audit_on_demand(story: Story, directory: Path | None, *, holdout: bool) -> tuple[Path, Path]:
    """Write both files where the loop does, or into `directory`; UserError where the `holdout` has no place.

    What lies in the checkout, a critic, a coder or a candidate may come to see.
    """
    views, project = story.views, story.project
    outside = directory is not None and not directory.resolve().is_relative_to(project.resolve())
    if holdout and not outside:
        raise UserError(f"--holdout needs an --output outside of {project}: what is in there, a coder may see")
    mask = Mask(os.environ, key_names(story.problem))
    return write_audit(story, directory or views[MARKDOWN].parent, mask, holdout=holdout)


def audit_head(story: Story) -> Facts:
    """All of the audit but the experiments one by one."""
    tally, keeps = Tally(story.problem.lower_is_better), list[Entry]()
    for entry in story.entries():
        tally.take(entry)
        if entry.experiment.number and entry.experiment.status == "keep" and entry.delta is not None:
            keeps.append(entry)
    return {
        "version": VERSION,
        "session": session_facts(story, tally),
        "summary": summary_facts(story, tally),
        "integrity": integrity_facts(story, tally),
        "preconditions": precondition_facts(story.place.records),
        "critics": [critic_facts(score) for score in tally.scores.values()],
        "top_hits": [_hit(entry, story) for entry in heapq.nlargest(_TOP, keeps, key=lambda one: abs(one.delta or 0))],
    }


def _hit(entry: Entry, story: Story) -> Facts:
    """A keep, by how much it was better than the keep before it; `effect` is what measuring both again gave."""
    done, delta, found = entry.experiment, entry.delta or 0.0, entry.experiment.confirmation
    return {
        "number": done.number,
        "label": done.label,
        "gain": -delta if story.problem.lower_is_better else delta,
        "effect": story.progress.spread.effect(found) if found else None,
        "metric": done.metric,
        "commit": done.commit,
        "critic": entry.critic,
        "hypothesis": one_line(entry.idea.hypothesis if entry.idea else done.description, _HYPOTHESIS),
    }


def holdout_facts(story: Story) -> list[Facts]:
    """Both values of each keep, and where it is worse on the holdout than the keep before it."""
    return [asdict(one) for one in held_keeps(story.place, story.problem)]


def _experiments(story: Story) -> Iterator[Facts]:
    git, logs, spread = Git(story.place.home), critic_logs(story.project), story.progress.spread
    return (entry_facts(entry, spread, logs, diff) for entry, diff in _with_diffs(git, story.entries()))


def _with_diffs(git: Git, entries: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    """Each experiment with what its candidate changed, bounded; '' where there is no candidate."""
    waiting = iter(entries)
    while batch := list(islice(waiting, _BATCH)):
        found = diffs_of(git, (one.experiment for one in batch), lines=_DIFF_LINES, length=_DIFF_LENGTH)
        yield from ((one, _text(found.get(one.experiment.commit))) for one in batch)


def _text(diff: Diff | None) -> str:
    if diff is None:
        return ""
    more = [f"[... {diff.left_out} lines left out ...]"] if diff.left_out else []
    return "\n".join([*(line for line in diff.lines if not line.startswith(_HEADS)), *more])


def _opening(head: Facts) -> str:
    return _json(head)[:-1] + ',"experiments":['


def _json(data: Facts) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _write(file: BinaryIO, parts: Iterable[str]) -> None:
    file.writelines(part.encode(errors="replace") for part in parts)
