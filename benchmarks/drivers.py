"""Who drives: the loop with each coder, and each agent that drives by hand, on TSP with the same ten ideas.

The model behind all of them is scripted, so that what differs is the driver: how long it takes, how often a model is
asked, and whether every idea gets to be measured. It says nothing about how good the ideas of a real model are.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arena import workplace
from benchmarks.figures import Scale, Table
from benchmarks.timed import timed
from tests.agents.home import home_of
from tests.agents.model import TspAgent, TspDriver
from tests.llm.server import MODEL, Asked, Behaviour, ScriptedServer, serving
from tests.support import COMMAND, tsp

_EXPERIMENTS: Mapping[Scale, int] = {"full": 10, "quick": 4, "smoke": 1}
_AGENTS = ("claude", "codex", "opencode")
_BY_HAND = {
    "claude": ("claude", "-p", "--dangerously-skip-permissions"),
    "codex": ("codex", "exec", "--dangerously-bypass-approvals-and-sandbox"),
    "opencode": ("opencode", "run"),
}
_COLUMNS = (
    "driver",
    "kept",
    "discarded",
    "crashed",
    "best",
    "critic's calls",
    "coder's calls",
    "KiB sent to the model",
    "the largest call KiB",
    "s",
    "s an experiment",
)


@dataclass(frozen=True, slots=True)
class Night:
    """What one driver came to."""

    statuses: Sequence[str]
    best: float
    calls: Sequence[Asked]
    seconds: float

    def row(self, driver: str) -> tuple[str, ...]:
        """A row of the table; experiment 0 is the baseline."""
        done = self.statuses[1:]
        counts = [str(done.count(status)) for status in ("keep", "discard", "crash")]
        critics = [asked for asked in self.calls if "critic of an automatic" in _system(asked)]
        calls = (str(len(critics)), str(len(self.calls) - len(critics)))
        sizes = [len(json.dumps(asked.body)) / 1024 for asked in self.calls]
        sent = (f"{sum(sizes):,.0f}", f"{max(sizes):,.0f}")
        return (
            driver,
            *counts,
            f"{self.best:.6f}",
            *calls,
            *sent,
            f"{self.seconds:.1f}",
            f"{self.seconds / len(done):.1f}",
        )


def tables(scale: Scale) -> Iterator[Table]:
    """The loop with the editor and each agent that is there, then each agent by hand."""
    count = _EXPERIMENTS[scale]
    rows = [_loop("editor", count).row("loop, editor")]
    agents = [agent for agent in _AGENTS if shutil.which(agent)] if scale != "smoke" else []
    rows += [_loop(agent, count).row(f"loop, {agent}") for agent in agents]
    rows += [_by_hand(agent, count).row(f"by hand, {agent}") for agent in agents]
    missing = [agent for agent in _AGENTS if agent not in agents]
    notes = [f"Not installed, and so not driven: {', '.join(missing)}."] if missing else []
    yield Table(f"drivers: {count} experiments on tsp_heuristic, the same ideas", _COLUMNS, rows, notes)


def _loop(coder: str, count: int) -> Night:
    """`pytest --autoresearch` with a critic and this coder."""

    def drive(server: ScriptedServer, directory: Path, environment: Mapping[str, str]) -> Path:
        critic = {"provider": "ollama", "base_url": server.url, "model": MODEL}
        toy = tsp(directory / "loop", critic=critic, coder={"enabled": True, "agent": coder, "wait_s": 1})
        options = ("--autoresearch", "--autoresearch-confirm", f"--iterations={count}", "tsp")
        timed([sys.executable, "-m", "pytest", *options], toy.directory, environment)
        return toy.directory / ".git"

    return _night(coder, TspAgent(), drive)


def _by_hand(agent: str, count: int) -> Night:
    """One run of an agent that has `program.md` and takes every step itself."""

    def drive(server: ScriptedServer, directory: Path, environment: Mapping[str, str]) -> Path:
        target = directory / "tsp"
        timed([*COMMAND, "init", "--example", "tsp_heuristic", "--target", str(target)], directory, environment)
        timed(
            [*_BY_HAND[agent], f"Read program.md and make {count} experiments."],
            target,
            {**environment, "PWD": str(target)},
        )
        return target / ".git"

    return _night(agent, TspDriver(count, shlex.join(COMMAND)), drive)


def _night(
    agent: str,
    script: Callable[[Asked], Behaviour],
    drive: Callable[[ScriptedServer, Path, Mapping[str, str]], Path],
) -> Night:
    with workplace() as directory, serving(script) as server, home_of(agent, server.url) as environment:
        began = time.perf_counter()
        repository = drive(server, directory, {} if agent == "editor" else environment)
        seconds = time.perf_counter() - began
        ledger = repository / "autoresearch" / "tsp" / "run1" / "ledger.jsonl"
        results = [json.loads(line) for line in ledger.read_text().splitlines() if '"kind":"result"' in line]
    best = min(record["metric"] for record in results if record["metric"] is not None)
    calls = [asked for asked in server.asked if asked.method == "POST"]
    return Night([record["status"] for record in results], best, calls, seconds)


def _system(asked: Asked) -> str:
    messages = asked.body.get("messages") or [{"content": ""}]
    return str(messages[0]["content"])
