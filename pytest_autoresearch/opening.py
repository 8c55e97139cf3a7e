"""How a session begins, and how one that was interrupted is made whole."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_autoresearch import __version__, checkout
from pytest_autoresearch.coders.fence import Fence
from pytest_autoresearch.contract import Contract, Origin, Pristine
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.git import Git
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import SCHEMA
from pytest_autoresearch.lock import SessionLock
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem, key_names, load_problem
from pytest_autoresearch.processes import Supervisor, sweep
from pytest_autoresearch.recovery import EDIT, recover
from pytest_autoresearch.results import ResultsTable
from pytest_autoresearch.runner import Runner, Tick
from pytest_autoresearch.session import Session
from pytest_autoresearch.workspace import Workspace

_TEMPORARY = "autoresearch-check-"
_OTHER_PROBLEM = (
    "problem.yaml was changed after this session began; it goes on with its own version. "
    "To use the new one, start another session with --autoresearch-tag"
)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session and what measures in its checkout."""

    session: Session
    runner: Runner
    supervisor: Supervisor
    contract: Contract


def has_begun(place: Place) -> bool:
    """Whether there is such a session."""
    return (place.records / "ledger.jsonl").exists()


@contextmanager
def open_session(place: Place, problem: Problem, tick: Tick, *, takes_edits: bool = False) -> Iterator[OpenSession]:
    """The session of `place`, begun if it is new and recovered if it was interrupted; UserError if it cannot be.

    A session goes on with the `problem.yaml` of its own checkout, whatever has become of the user's. One that
    `takes_edits` measures what somebody wrote into its mutable file; another one refuses to go on over it.
    """
    place.records.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = SessionLock(place.records)
        lock.acquire(place.branch)
        stack.callback(lock.release)
        journal = Journal(place.records / "ledger.jsonl")
        stack.callback(journal.close)
        _begin(place, problem, journal)
        checkout.keep_out_of_git(place, problem)
        with checkout.worktrees_to_ourselves(place):
            path = _checkout(place, journal)
        ground = _Ground(place, path, place.branch, place.records, takes_edits)
        yield _assemble(stack, ground, problem, journal, tick)


@contextmanager
def open_temporary(place: Place, problem: Problem, tick: Tick) -> Iterator[OpenSession]:
    """A session in a detached checkout of the user's commit that is gone afterwards; no branch, no records."""
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-")).resolve()
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        git, path = Git(place.home), directory / "checkout"
        ref = f"refs/autoresearch/check-{os.getpid()}"
        start = checkout.first_commit(place, problem, checkout.check_committed(place, problem), ref)
        stack.callback(git.ask, "update-ref", "-d", ref)
        stack.callback(_remove_temporary, place, path)
        with checkout.worktrees_to_ourselves(place):
            _remove_abandoned(git)
            git.output("worktree", "add", "--detach", str(path), start)
        checkout.copy_ignored(place, problem, start, directory / "copies")
        journal = Journal(directory / "ledger.jsonl")
        stack.callback(journal.close)
        journal.write("begin", **_beginning(place, start))
        yield _assemble(stack, _Ground(place, path, None, directory, False), problem, journal, tick)


def _begin(place: Place, problem: Problem, journal: Journal) -> None:
    """Put a new session on record; UserError if it cannot begin, or if this one is another problem's."""
    if journal.progress.begin is None:
        head = checkout.check_committed(place, problem)
        if Git(place.home).ask("rev-parse", "--verify", "--quiet", f"refs/heads/{place.branch}"):
            raise UserError(
                f"branch {place.branch} exists and is no session's of this machine; "
                f"choose another name with --autoresearch-tag, or delete it: git branch -D {place.branch}"
            )
        start = checkout.first_commit(place, problem, head, place.ref)
        checkout.copy_ignored(place, problem, start, place.records / "copies")
        journal.write("begin", **_beginning(place, start))
    if (owner := journal.progress.beginning["problem"]) != place.problem_path:
        raise UserError(
            f"session {place.branch} belongs to {owner}, not to {place.problem_path}; "
            "start another one with --autoresearch-tag, or give each problem a branch_prefix of its own"
        )


def _beginning(place: Place, start: str) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "version": __version__,
        "session": uuid.uuid4().hex,
        "branch": place.branch,
        "problem": place.problem_path,
        "commit": start,
    }


def _checkout(place: Place, journal: Journal) -> Path:
    """The session's checkout, made or made again where it is not there."""
    progress = journal.progress
    path = checkout.find_own(place, Path(progress.checkout) if progress.checkout else None)
    if place.is_at_home and progress.checkout is None:
        checkout.settle_at_home(place, progress.beginning["commit"])
    # a coder that was killed together with us may have switched; `recover` undoes what it did
    checkout.check_checkout(place, path, on_any_branch=Fence.stands(place.records))
    if not checkout.is_own(place, path) or (progress.checkout is None and not place.is_at_home):
        tip = progress.incumbent.commit if progress.incumbent else progress.beginning["commit"]
        checkout.make_checkout(place, path, tip)
    if progress.checkout != str(path):
        journal.write("checkout", path=str(path))
    return path


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where a session stands: its checkout, its branch (None for one that is thrown away), its records."""

    place: Place
    checkout: Path
    branch: str | None
    records: Path
    takes_edits: bool

    @property
    def project(self) -> Path:
        return self.checkout / self.place.inside


def _assemble(stack: ExitStack, ground: _Ground, users: Problem, journal: Journal, tick: Tick) -> OpenSession:
    """The session on its ground, made whole, with what measures in it; everything is closed by `stack`."""
    place, project = ground.place, ground.project
    _place_copies(ground.records / "copies", project)
    _place_problem(place, journal, ground.checkout)
    problem = load_problem(project / place.problem_name, look=False)
    linked = checkout.links(place, problem, project)
    views = checkout.own_paths(project)
    workspace = Workspace(ground.checkout, str(place.inside), problem.mutable_file, ground.branch, place.ref)
    origin = Origin(workspace.git, journal.progress.beginning["commit"], str(place.inside), ground.records / "copies")
    contract = Contract(origin, problem, place.problem_name)
    table = ResultsTable(views["results.tsv"], problem.columns, journal.rows)
    found = recover(journal, workspace, contract, table, records=ground.records, takes_edits=ground.takes_edits)
    session = Session(
        place.tag,
        problem,
        journal,
        workspace,
        fingerprint=contract.fingerprint(project),
        table=table,
        idea_file=views["next_idea.json"],
        program_file=views["program.md"],
        edit_file=ground.records / EDIT,
        notices=[*([] if problem == users else [_OTHER_PROBLEM]), *found.notices],
        takes_edits=ground.takes_edits,
        edit=found.edit,
    )
    stack.callback(sweep, session.id)
    supervisor = Supervisor(session.id)
    stack.callback(supervisor.close)
    stack.callback(session.close)
    pristine = Pristine(ground.records / "pristine", contract, linked)
    runner = Runner(
        problem,
        workspace,
        contract,
        pristine,
        supervisor,
        run_log=views["run.log"],
        started=session.process_started,
        tick=tick,
        secrets=Mask(os.environ, key_names(problem)).values,
    )
    return OpenSession(session, runner, supervisor, contract)


def _place_problem(place: Place, journal: Journal, top: Path) -> None:
    """Put the problem back where a run has taken it away; `recover` does so with the files that it names."""
    file = top / place.problem_path
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        start = journal.progress.beginning["commit"]
        file.write_bytes(Git(top, ceiling=top.parent).output("cat-file", "--filters", f"{start}:{place.problem_path}"))


def _place_copies(copies: Path, project: Path) -> None:
    """Put the files that git does not hold where the runner looks for them."""
    for top, _, names in os.walk(copies):
        for name in names:
            source = Path(top) / name
            target = project / source.relative_to(copies)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


def _remove_temporary(place: Place, path: Path) -> None:
    with checkout.worktrees_to_ourselves(place):
        Git(place.home).ask("worktree", "remove", "--force", "--force", str(path))


def _remove_abandoned(git: Git) -> None:
    """Take away the temporary checkouts of runs that were killed."""
    for path, _ in git.worktrees():
        directory = path.parent
        if directory.name.startswith(_TEMPORARY) and not psutil.pid_exists(int(directory.name.split("-")[2])):
            git.ask("worktree", "remove", "--force", "--force", str(path))
            shutil.rmtree(directory, ignore_errors=True)
