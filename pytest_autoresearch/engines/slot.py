"""A checkout beside the session's in which one candidate of several is measured, and what measures there."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from pytest_autoresearch.checkout import VIEWS, worktrees_to_ourselves
from pytest_autoresearch.contract import Pristine
from pytest_autoresearch.engines.checkouts import remove_slots, slot_checkout, slot_records
from pytest_autoresearch.files import first_free
from pytest_autoresearch.git import Git
from pytest_autoresearch.leftovers import Leftovers
from pytest_autoresearch.opening import OpenSession
from pytest_autoresearch.place import CHECKOUTS, Place
from pytest_autoresearch.processes import Supervisor
from pytest_autoresearch.records import Candidate, Measurement
from pytest_autoresearch.runner import Runner
from pytest_autoresearch.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Slot:
    """One worker of this machine."""

    workspace: Workspace
    runner: Runner
    supervisor: Supervisor

    def measure(self, candidate: Candidate) -> Measurement:
        """Run a candidate here."""
        self.workspace.write(candidate.content)
        return self.runner.measure(candidate)


@contextmanager
def open_slots(place: Place, opened: OpenSession, variables: list[dict[str, str]]) -> Iterator[list[Slot]]:
    """A slot for each of the `variables` that its runs see besides; their checkouts are gone afterwards.

    What a run that was killed left of such is gone since the session was opened.
    """
    with ExitStack() as stack:
        stack.callback(remove_slots, place, opened.ground.records)
        yield [_open(stack, place, opened, number, more) for number, more in enumerate(variables, start=1)]


def _open(stack: ExitStack, place: Place, opened: OpenSession, number: int, variables: Mapping[str, str]) -> Slot:
    session, ground = opened.session, opened.ground
    home = session.workspace
    records = slot_records(ground.records) / str(number)
    records.mkdir(parents=True)  # before the checkout: a start that finds this looks for that
    workspace = _workspace(place, opened)
    project = workspace.project
    supervisor = stack.enter_context(Supervisor(f"{session.mark}.{number}"))
    leftovers = Leftovers(
        workspace, records / "leftovers", session.problem.artifacts, VIEWS, alone=True, aside_of=home
    )
    leftovers.know(anew=False)
    parts = opened.runner.parts
    around = parts.sandbox.around
    kept = tuple(workspace.checkout / path.relative_to(home.checkout) for path in around.kept)
    sandbox = replace(parts.sandbox, around=replace(around, checkout=workspace.checkout, project=project, kept=kept))
    pristine = Pristine(records / "pristine", opened.contract, parts.pristine.links)
    own = replace(
        parts,
        workspace=workspace,
        pristine=pristine,
        supervisor=supervisor,
        sandbox=sandbox,
        leftovers=leftovers,
        variables=variables,
        tick=lambda stage, elapsed: None,
    )
    return Slot(workspace, Runner(own), supervisor)


def _workspace(place: Place, opened: OpenSession) -> Workspace:
    """A copy of the session's checkout, caches included, in a worktree of its own that is on no branch."""
    home, problem = opened.session.workspace, opened.session.problem
    with worktrees_to_ourselves(place):
        path = first_free(slot_checkout(place, number) for number in count(1))
        Git(place.home).output("worktree", "add", "--detach", "--no-checkout", str(path), home.tip)
    _copy(home.checkout, path, home.project)
    workspace = Workspace(path, str(place.inside), problem.mutable_file, None, place.ref, locks=home.locks)
    workspace.git.output("read-tree", "HEAD")
    workspace.stand_on(home.tip)
    return workspace


def _copy(source: Path, target: Path, project: Path) -> None:
    """Copy what a run finds in a checkout."""

    def ignore(directory: str, names: list[str]) -> set[str]:
        return left_out(source, project, Path(directory), names)

    shutil.copytree(source, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)


def left_out(checkout: Path, project: Path, directory: Path, names: Iterable[str]) -> set[str]:
    """Which `names` in a directory of a checkout no run is to find: git's, those that are ours, sockets and pipes."""
    ours = set()
    if directory == checkout:
        ours |= {CHECKOUTS, ".git"}
    if directory == project:
        ours |= {CHECKOUTS, *VIEWS}
    return {name for name in names if name in ours or not _can_be_copied(directory / name)}


def _can_be_copied(path: Path) -> bool:
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
