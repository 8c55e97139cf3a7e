"""The nine things that must hold before a loop may start, each one function."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pytest_autoresearch.checkout import check_committed
from pytest_autoresearch.critics.base import Brief, Exhausted
from pytest_autoresearch.engines.cluster import require_ray
from pytest_autoresearch.environment import runner_environment
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import replace_text
from pytest_autoresearch.git import Git
from pytest_autoresearch.logs import LOGS_KEPT
from pytest_autoresearch.machine import refusals
from pytest_autoresearch.opening import has_begun
from pytest_autoresearch.place import find_repository
from pytest_autoresearch.problem import ProblemError
from pytest_autoresearch.processes import marked
from pytest_autoresearch.records import Idea
from pytest_autoresearch.research import Parts, Research
from pytest_autoresearch.sandbox import in_words
from pytest_autoresearch.text import one_line

_ROOM_MB = 256
_HYPOTHESIS = 200

Outcome = Literal["passed", "failed", "skipped", "blocked"]


class NotApplicable(Exception):
    """The check has nothing to look at here; the message says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one check came to, what it saw, and how long it took in seconds."""

    name: str
    outcome: Outcome
    detail: str
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the loop may start as far as this check goes."""
        return self.outcome in ("passed", "skipped")


def repo_git(research: Research, parts: Parts) -> str:
    """A repository with a commit, in which the problem's files are as committed."""
    top, _ = find_repository(research.problem_file.parent)
    try:
        problem, place = research.problem, research.place
    except ProblemError:
        head = Git(top).ask("rev-parse", "--verify", "--quiet", "HEAD")
        return f"{top} at {head[:12] if head else 'no commit'} (its files: see problem_yaml)"
    if has_begun(place):
        return f"{place.home}; session {place.branch} has begun"
    return f"{place.home} at {check_committed(place, problem)[:12]}"


def tools_present(research: Research, parts: Parts) -> str:
    """git, bash and the interpreter, where the runner will look for them; the agent and the sandbox, if there are."""
    path = runner_environment(os.environ, ())["PATH"]
    agent = research.agent_program
    tools = ["git", "python3", "bash", *([agent] if agent else [])]
    missing = [tool for tool in tools if shutil.which(tool, path=path) is None]
    if missing:
        raise UserError(f"{', '.join(missing)}: not found on PATH; install it and run again")
    version = Git(research.problem_file.parent).text("--version").removeprefix("git version ")
    found = f"git {version}, python3 {shutil.which('python3', path=path)}, bash"
    with suppress(ProblemError):  # precondition problem_yaml says so
        found += f"; {in_words(research.problem.sandbox)}"
    return f"{found}, {shutil.which(agent, path=path)}" if agent else found


def problem_yaml(research: Research, parts: Parts) -> str:
    """The problem file is right, and selects nothing that this version lacks."""
    problem, engine = research.problem, research.engine_section
    if engine.kind == "ray":
        require_ray()
    if engine.candidates > 1 and research.waits_for_edits:
        raise UserError(
            f"engine.candidates is {engine.candidates}, and edits by hand come one at a time; set it to 1, or have a "
            "critic whose ideas carry edits, or a coder"
        )
    direction = "lower" if problem.lower_is_better else "higher"
    return f"{problem.metric_name}, {direction} is better, {problem.trust}, at most {problem.hard_timeout_s:g} s a run"


def critic_endpoint(research: Research, parts: Parts) -> str:
    """The critic is there: its server answers, knows the key and has the model."""
    choice = research.choice
    if choice.models is None:
        return f"{choice.critic.name} ({choice.why}); embedded, no endpoint"
    return f"{choice.critic.name} ({choice.why}); {choice.models.check(with_editor=research.uses_editor)}"


def vram_budget(research: Research, parts: Parts) -> str:
    """The critic's model fits beside what runs on the GPU."""
    models = research.choice.models
    if models is not None and not models.endpoint.is_local:
        raise NotApplicable("the critic's model runs on another machine")
    if shutil.which("nvidia-smi") is None:
        raise NotApplicable("no nvidia-smi: no NVIDIA GPU to share")
    query = ["nvidia-smi", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=60)
    if answer.returncode:
        raise UserError(f"nvidia-smi failed: {answer.stdout.strip() or answer.stderr.strip()}; mend the driver")
    gpus = [tuple(float(value) / 1024 for value in line.split(",")) for line in answer.stdout.strip().splitlines()]
    needed = 0.0 if models is None else research.problem.critic.max_vram_gb
    loaded = 0.0 if models is None else models.critic.loaded_gb()
    free = max((gpu[0] for gpu in gpus), default=0.0) + loaded
    if free < needed:
        raise UserError(
            f"the critic may take {needed:g} GiB of GPU memory (critic.max_vram_gb) and {free:.1f} are free; "
            "free some, choose a smaller model, or lower the limit"
        )
    shown = ", ".join(f"{gpu[0]:.1f} of {gpu[1]:.1f} GiB free" for gpu in gpus)
    held = f", the model holds {loaded:.1f} already" if loaded else ""
    return f"{shown}{held}; the critic needs {needed:g}"


def baseline_smoke(research: Research, parts: Parts) -> str:
    """The runner gives a metric in time, and really reads the mutable file of the session's checkout."""
    session = research.session
    measured_before = session.progress.incumbent is not None
    incumbent = session.baseline(parts.measure)
    session.prove_reading(parts.measure)
    what = "as measured before" if measured_before else f"in {incumbent.seconds:.1f} s"
    return f"{session.problem.metric_name} {incumbent.metric:.6g} {what} (experiment {incumbent.label})"


def critic_dry_run(research: Research, parts: Parts) -> str:
    """The critic gives one valid idea; where the loop is to start, it is the next experiment's."""
    session = research.session
    if session.progress.pending_idea is not None:
        return f"experiment {session.label} goes on with the idea it has"

    def rehearse(brief: Brief) -> Idea:
        return parts.propose(replace(brief, rehearsal=True))

    try:
        if not research.options.loop:
            idea = rehearse(session.brief())
        else:
            research.announce()
            with session.working_on(session.seat()) if research.engine_section.candidates > 1 else nullcontext():
                idea = session.propose(rehearse)
    except Exhausted as exhausted:
        raise NotApplicable(f"no idea left: {exhausted}") from None
    return f"{idea.critic}: {one_line(idea.hypothesis, _HYPOTHESIS)}"


def cleanup_check(research: Research, parts: Parts) -> str:
    """Nothing of an earlier run is left running, logs rotate, the disk has room."""
    session = research.session
    if left := marked(session.mark):
        raise UserError(f"processes of this session are still running and cannot be ended: {left}; end them by hand")
    logs = list((session.workspace.own_directory() / "logs").glob("run-*.log"))
    runs = sum(not log.name.endswith(".evaluator.log") for log in logs)
    if runs > LOGS_KEPT:
        raise UserError(f"{logs[0].parent} holds the logs of {runs} runs, more than {LOGS_KEPT}; delete the oldest")
    places = {
        place: shutil.disk_usage(place).free >> 20 for place in (session.workspace.checkout, research.place.common)
    }
    fullest, free = min(places.items(), key=lambda entry: entry[1])
    if free < _ROOM_MB:
        raise UserError(f"{free} MiB are free on the disk of {fullest}, expected at least {_ROOM_MB}; make room")
    return f"nothing left running, {runs} logs, {free / 1024:.1f} GiB free"


def confirm_loop(research: Research, parts: Parts) -> str:
    """A person has said that the loop may run."""
    if research.options.confirm and research.options.loop:
        research.confirm()
    if research.confirmed:
        return f"confirmed for {research.place.branch}"
    how = "run once with --autoresearch --autoresearch-confirm"
    if research.options.loop:
        raise UserError(f"nobody has confirmed that session {research.place.branch} may run by itself; {how}")
    raise NotApplicable(f"not confirmed yet; to let the loop run, {how}")


@dataclass(frozen=True, slots=True)
class Check:
    """One check with what it needs to hold first; `loop_needs` counts only where the loop is to start."""

    function: Callable[[Research, Parts], str]
    needs: tuple[str, ...] = ()
    loop_needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that people see."""
        return self.function.__name__


CHECKS = (
    Check(repo_git),
    Check(tools_present),
    Check(problem_yaml),
    Check(critic_endpoint, ("problem_yaml",)),
    Check(vram_budget, ("critic_endpoint",)),
    Check(baseline_smoke, ("repo_git", "tools_present", "problem_yaml"), ("confirm_loop",)),
    Check(critic_dry_run, ("critic_endpoint", "baseline_smoke")),
    Check(cleanup_check, ("baseline_smoke",)),
    Check(confirm_loop, ("repo_git", "problem_yaml")),
)
NAMES = tuple(check.name for check in CHECKS)


class Preconditions:
    """The nine checks of one run, each made at most once, whoever asks first."""

    def __init__(self, research: Research) -> None:
        self._research = research
        self._results: dict[str, Result] = {}

    def result(self, name: str, parts: Parts) -> Result:
        """What check `name` came to; what it needs is looked at before it."""
        if name not in self._results:
            self._results[name] = self._make(CHECKS[NAMES.index(name)], parts)
            self._save()
        return self._results[name]

    def first_failure(self, parts: Parts) -> Result | None:
        """The check that keeps the loop from starting, if one does."""
        results = [self.result(name, parts) for name in NAMES]
        failures = [result for result in results if not result.holds]
        return min(failures, key=lambda result: result.outcome != "failed", default=None)

    @property
    def any_failed(self) -> bool:
        """Whether a check that was made so far does not hold."""
        return any(not result.holds for result in self._results.values())

    def _make(self, check: Check, parts: Parts) -> Result:
        gated = self._research.options.loop and not self._research.options.by_hand
        needs = check.needs + (check.loop_needs if gated else ())
        for need in needs:
            if not self.result(need, parts).holds:
                return Result(check.name, "blocked", f"blocked by precondition[{self._root(need)}]", 0.0)
        began = time.monotonic()
        outcome, detail = _outcome(check, self._research, parts)
        return Result(check.name, outcome, detail, round(time.monotonic() - began, 3))

    def _root(self, name: str) -> str:
        """The check that failed, of those that block one another."""
        result = self._results[name]
        return name if result.outcome == "failed" else result.detail.split("[")[1].rstrip("]")

    def _save(self) -> None:
        """Keep the results with the ledger, where there is one; a disk that is full costs no more than that."""
        if not self._research.is_open or not self._research.place.records.is_dir():
            return
        results = [asdict(self._results[name]) for name in NAMES if name in self._results]
        saved = {"run_id": self._research.run_id, "at": time.strftime("%Y-%m-%d %H:%M:%S"), "results": results}
        text = json.dumps(saved, indent=2, ensure_ascii=False)
        with suppress(OSError):
            replace_text(self._research.place.records / "preconditions.json", text + "\n")


def _outcome(check: Check, research: Research, parts: Parts) -> tuple[Outcome, str]:
    try:
        with refusals():
            return "passed", check.function(research, parts)
    except NotApplicable as reason:
        return "skipped", str(reason)
    except UserError as error:
        return "failed", str(error)
