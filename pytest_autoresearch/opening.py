"""How a session begins, and how one that was interrupted is made whole."""

from __future__ import annotations

import os
import shlex
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
from pytest_autoresearch.engines.checkouts import remove_slots, slot_records
from pytest_autoresearch.engines.gpus import shares
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.files import flush_way
from pytest_autoresearch.git import Git
from pytest_autoresearch.git_locks import GitLocks
from pytest_autoresearch.handwork import Handwork
from pytest_autoresearch.holdout import SecondOpinion
from pytest_autoresearch.journal import Journal
from pytest_autoresearch.ledger import SCHEMA
from pytest_autoresearch.leftovers import Leftovers
from pytest_autoresearch.lock import SessionLock
from pytest_autoresearch.logs import LOGS_KEPT, Logs
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.place import Place
from pytest_autoresearch.problem import Problem, key_names, load_problem
from pytest_autoresearch.processes import Supervisor, sweep
from pytest_autoresearch.recovery import EDIT, recover
from pytest_autoresearch.results import ResultsTable
from pytest_autoresearch.runner import Runner, RunnerParts, Tick
from pytest_autoresearch.sandbox import Sandbox, Surroundings
from pytest_autoresearch.session import Session
from pytest_autoresearch.workspace import Workspace

LEFTOVERS = "leftovers"
_AS_THE_USERS = ("critic", "coder", "stop", "prices", "tracker", "engine")
_TEMPORARY = "autoresearch-check-"
_OTHER_PROBLEM = (
    "problem.yaml was changed after this session began; but for critic, coder, stop, prices, tracker and engine, it "
    "goes on with its own version. To use the new one, start another session with --autoresearch-tag"
)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session on its `ground`, and what measures there; `views` says where each view of it goes."""

    session: Session
    runner: Runner
    supervisor: Supervisor
    contract: Contract
    views: dict[str, Path]
    ground: Ground


def has_begun(place: Place) -> bool:
    """Whether there is such a session."""
    return (place.records / "ledger.jsonl").exists()


@contextmanager
def open_session(place: Place, problem: Problem, tick: Tick, *, takes_edits: bool = False) -> Iterator[OpenSession]:
    """The session of `place`, begun if it is new and recovered if it was interrupted; UserError if it cannot be.

    A session goes on with the `problem.yaml` of its own checkout, whatever has become of the user's; but who proposes,
    who makes the edits and when it is enough is as the user's says now. One that
    `takes_edits` measures what somebody wrote into its mutable file; another one refuses to go on over it.
    """
    place.records.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = SessionLock(place.records)
        lock.acquire(place.branch)
        stack.callback(lock.release)
        journal = Journal(place.records / "ledger.jsonl")
        stack.callback(journal.close)
        locks = _ref_locks(place)
        _begin(place, problem, journal, locks)
        checkout.keep_out_of_git(place, problem)
        with checkout.worktrees_to_ourselves(place):
            path = _checkout(place, journal, locks)
        ground = Ground(place, path, place.branch, place.records, takes_edits, locks)
        yield _assemble(stack, ground, problem, journal, tick)


@contextmanager
def open_temporary(place: Place, problem: Problem, tick: Tick) -> Iterator[OpenSession]:
    """A session in a detached checkout of the user's commit that is gone afterwards; no branch, no records."""
    with ExitStack() as stack:
        directory = _temporary_directory(stack)
        ref = f"refs/autoresearch/check-{os.getpid()}"
        head = checkout.check_committed(place, problem)
        start = checkout.first_commit(place, problem, head, ref, GitLocks(directory))
        stack.callback(Git(place.home).ask, "update-ref", "-d", ref)
        checkout.copy_ignored(place, problem, start, directory / "copies")
        yield _open_in(stack, directory, place, problem, tick, start=start)


@contextmanager
def open_at(place: Place, problem: Problem, commit: str, tick: Tick) -> Iterator[OpenSession]:
    """The same at any commit, with the session's copies of the files that git does not hold."""
    with ExitStack() as stack:
        directory = _temporary_directory(stack)
        if (place.records / "copies").is_dir():
            shutil.copytree(place.records / "copies", directory / "copies")
        yield _open_in(stack, directory, place, problem, tick, start=commit)


def _temporary_directory(stack: ExitStack) -> Path:
    """A directory that is gone when `stack` is closed."""
    directory = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{os.getpid()}-")).resolve()
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _open_in(
    stack: ExitStack, directory: Path, place: Place, problem: Problem, tick: Tick, *, start: str
) -> OpenSession:
    """A session that begins with `start` in a checkout below `directory`; `stack` takes the checkout away."""
    git, path, locks = Git(place.home), directory / "checkout", GitLocks(directory)
    stack.callback(_remove_temporary, place, path)
    with checkout.worktrees_to_ourselves(place):
        _remove_abandoned(git)
        git.output("worktree", "add", "--detach", str(path), start)
    journal = Journal(directory / "ledger.jsonl")
    stack.callback(journal.close)
    journal.write("begin", **_beginning(place, start))
    return _assemble(stack, Ground(place, path, None, directory, False, locks), problem, journal, tick)


def _ref_locks(place: Place) -> GitLocks:
    """The lock files of the session's refs; those of its checkout come once it is known where that is."""
    locks = GitLocks(place.records / "aside")
    for ref in (f"refs/heads/{place.branch}", place.ref):
        locks.add(place.common / f"{ref}.lock", place.home, place.common)
    return locks


def _begin(place: Place, problem: Problem, journal: Journal, locks: GitLocks) -> None:
    """Put a new session on record; UserError if it cannot begin, or if this one is another problem's."""
    if journal.progress.begin is None:
        head = checkout.check_committed(place, problem)
        if Git(place.home).ask("rev-parse", "--verify", "--quiet", f"refs/heads/{place.branch}"):
            raise UserError(
                f"branch {place.branch} exists and is no session's of this machine: {journal.ledger.path} is not "
                "there. Put that back, choose another name with --autoresearch-tag, or give the branch another name: "
                f"git -C {shlex.quote(str(place.home))} branch -m {place.branch} {place.branch}-old"
            )
        start = checkout.first_commit(place, problem, head, place.ref, locks)
        checkout.copy_ignored(place, problem, start, place.records / "copies")
        flush_way(place.common, place.records)
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


def _checkout(place: Place, journal: Journal, locks: GitLocks) -> Path:
    """The session's checkout, made or made again where it is not there."""
    progress = journal.progress
    _require_commits(place, journal)
    path = checkout.find_own(place, Path(progress.checkout) if progress.checkout else None)
    if place.is_at_home and progress.checkout is None:
        checkout.settle_at_home(place, progress.beginning["commit"], locks)
    # a coder that was killed together with us may have switched; `recover` undoes what it did
    checkout.check_checkout(place, path, on_any_branch=Fence.stands(place.records))
    if not checkout.is_own(place, path) or (progress.checkout is None and not place.is_at_home):
        checkout.make_checkout(place, path, progress.tip, locks)
        shutil.rmtree(place.records / LEFTOVERS, ignore_errors=True)
    if progress.checkout != str(path):
        journal.write("checkout", path=str(path))
    for name in ("index.lock", "HEAD.lock"):
        locks.add(checkout.git_directory(place, path) / name, path, checkout.git_directory(place, path))
    return path


def _require_commits(place: Place, journal: Journal) -> None:
    """UserError if git has lost what the session goes on from."""
    progress = journal.progress
    needed = {progress.beginning["commit"]: "the session's beginning"}
    if progress.incumbent is not None:
        needed[progress.incumbent.commit] = f"experiment {progress.incumbent.label}"
    for pending in progress.pending_candidates:
        needed[pending["commit"]] = f"experiment {progress.label_of(pending['number'])}"
    for commit in Git(place.home).missing(needed):
        raise UserError(
            f"commit {commit} ({needed[commit]}) is in {place.home} no more. Fetch it from a copy of the repository: "
            f"git -C {shlex.quote(str(place.home))} fetch COPY 'refs/autoresearch/*:refs/autoresearch/*', or start "
            "another session with --autoresearch-tag"
        )


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a session stands: its checkout, its branch (None for one that is thrown away), its records."""

    place: Place
    checkout: Path
    branch: str | None
    records: Path
    takes_edits: bool
    locks: GitLocks

    def mark(self, session: str) -> str:
        """What the processes of a session are known by; a copy of the records has the same id, and another mark."""
        found = self.records.stat()
        return f"{session}-{found.st_dev:x}-{found.st_ino:x}"

    @property
    def project(self) -> Path:
        return self.checkout / self.place.inside


def _assemble(stack: ExitStack, ground: Ground, users: Problem, journal: Journal, tick: Tick) -> OpenSession:
    """The session on its ground, made whole, with what measures in it; everything is closed by `stack`."""
    place, project = ground.place, ground.project
    _place_copies(ground.records / "copies", project)
    _place_problem(place, journal, ground.checkout)
    problem = _as_it_goes_on(load_problem(project / place.problem_name, look=False), users)
    linked = checkout.links(place, problem, project)
    views = checkout.own_paths(project)
    inside, mark = str(place.inside), ground.mark(journal.progress.beginning["session"])
    workspace = Workspace(ground.checkout, inside, problem.mutable_file, ground.branch, place.ref, locks=ground.locks)
    origin = Origin(workspace.git, journal.progress.beginning["commit"], str(place.inside), ground.records / "copies")
    contract = Contract(origin, problem, place.problem_name)
    table = ResultsTable(views["results.tsv"], problem.columns, journal.rows)
    alone = not (ground.takes_edits or place.is_at_home)
    leftovers = Leftovers(workspace, ground.records / LEFTOVERS, problem.artifacts, views, alone=alone)
    found = recover(
        journal,
        workspace,
        contract,
        table,
        leftovers,
        mark=mark,
        records=ground.records,
        takes_edits=ground.takes_edits,
    )
    if slot_records(ground.records).exists():
        remove_slots(place, ground.records)
    leftovers.know(anew=journal.progress.baseline is None)
    hand = Handwork(
        workspace, journal.progress, ground.records / EDIT, takes_edits=ground.takes_edits, edit=found.edit
    )
    session = Session(
        place.tag,
        problem,
        journal,
        workspace,
        fingerprint=contract.fingerprint(project),
        table=table,
        idea_file=views["next_idea.json"],
        program_file=views["program.md"],
        hand=hand,
        notices=[*([] if problem == users else [_OTHER_PROBLEM]), *found.notices],
        mark=mark,
    )
    stack.callback(sweep, mark)
    supervisor = Supervisor(mark)
    stack.callback(supervisor.close)
    stack.callback(session.close)
    pristine = Pristine(ground.records / "pristine", contract, linked)
    kept = (workspace.mutable, *views.values(), *(project / path for path in contract.files))
    around = Surroundings(ground.checkout, project, place.home, place.common, kept, tuple(linked.values()))
    parts = RunnerParts(
        problem,
        workspace,
        contract,
        pristine,
        supervisor,
        sandbox=Sandbox(problem.sandbox, around),
        second=SecondOpinion(problem, ground.records, session),
        leftovers=leftovers,
        logs=Logs(workspace, views["run.log"], lambda: [done.commit for done in session.recent(LOGS_KEPT)]),
        started=session.process_started,
        strayed=session.strayed,
        tick=tick,
        secrets=Mask(os.environ, key_names(problem)).values,
        variables=shares(1, problem.engine.gpus)[0],
    )
    return OpenSession(session, Runner(parts), supervisor, contract, views, ground)


def _as_it_goes_on(own: Problem, users: Problem) -> Problem:
    """The session's problem with those of the user's sections that have no part in what is measured."""
    return own.model_copy(update={name: getattr(users, name) for name in _AS_THE_USERS})


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
