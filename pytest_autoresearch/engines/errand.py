"""One run on another machine: what is sent there, how it is carried out, and what comes back."""

from __future__ import annotations

import os
import pickle
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pytest_autoresearch.checkout import VIEWS
from pytest_autoresearch.contract import Contract, Pinned, Pristine
from pytest_autoresearch.engines.store import Store
from pytest_autoresearch.engines.tree import Carried, unpack
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.holdout import Bar
from pytest_autoresearch.leftovers import Left
from pytest_autoresearch.machine import refusals
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.output import HEAD
from pytest_autoresearch.problem import Problem, key_names
from pytest_autoresearch.processes import Supervisor
from pytest_autoresearch.records import Candidate, Measurement
from pytest_autoresearch.runner import Runner, RunnerParts, Stage
from pytest_autoresearch.sandbox import Sandbox, Surroundings, why_none
from pytest_autoresearch.workspace import Workspace

_PIECE = 1 << 16

Tell = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for all runs of a session.

    `problem` is the pickled problem, which lies in the directory `inside` of the tree with that `digest`; `mode` are
    the permissions of the mutable file. `data` are the files of `fingerprint:` with their hashes, `links` those of
    `link:` with what they lead to. `home` and `common` are the user's checkout and its git directory, where a machine
    has them too. `variables` are those that `env:` names.
    """

    digest: str
    problem: bytes = field(repr=False)
    problem_name: str
    inside: str
    mode: int
    pinned: tuple[Pinned, ...]
    data: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, Path], ...]
    home: Path
    common: Path
    mark: str
    variables: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Errand:
    """One candidate to be measured; what passes the `bar` is held out."""

    terms: Terms
    candidate: Candidate
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: the logs by name, and what the second evaluator said, if it was asked."""

    measured: Measurement
    logs: dict[str, bytes] = field(repr=False)
    held: tuple[float | None, str] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why it could not be carried out, which says nothing of the candidate."""

    reason: str


def carry_out(errand: Errand, fetch: Callable[[], bytes], tell: Tell) -> Done | Refusal:
    """Measure a candidate in a directory of its own; `fetch` gets the archive, if this machine has it not.

    `tell` is called about once a second while the runner runs, with what is new in its log and where that begins.
    Whatever ends this process, nothing that it started outlives it.
    """
    try:
        with refusals():
            store = Store()
            archive = store.archive(errand.terms.digest, fetch)
            with store.room() as room:
                return _Bench(room, archive, errand, tell).measure()
    except UserError as error:
        return Refusal(str(error))


class _Bench:
    """What measures one candidate, in `room`."""

    def __init__(self, room: Path, archive: Path, errand: Errand, tell: Tell) -> None:
        self._errand = errand
        self._terms = terms = errand.terms
        self._problem: Problem = pickle.loads(terms.problem)
        self._room = room
        self._tell = tell
        self._told = 0
        self._contract = _contract(terms, archive)
        checkout = room / "checkout"
        unpack(archive, checkout)
        self._workspace = Workspace(checkout, terms.inside, self._problem.mutable_file, None, "")

    def measure(self) -> Done:
        """Run it; UserError if it cannot be run."""
        terms, project = self._terms, self._workspace.project
        self._require_links()
        self._workspace.write(self._errand.candidate.content)
        self._workspace.mutable.chmod(terms.mode)
        self._require_tree()
        second = _Second(self._room / "holdout.log", self._errand.bar)
        with Supervisor(f"{terms.mark}.{uuid.uuid4().hex[:12]}", nested=True) as supervisor:
            measured = Runner(self._parts(supervisor, second)).measure(self._errand.candidate)
        self._contract.forget_others(project)
        logs = {path.stem: path.read_bytes() for path in self._room.glob("*.log")}
        return Done(measured, logs, second.held)

    def _require_links(self) -> None:
        for name, target in self._terms.links:
            if not target.exists():
                raise UserError(
                    f"link: {name}: there is no {target} on this node; have it at the same place on each node, or "
                    "keep runs where it is with engine.resources"
                )

    def _require_tree(self) -> None:
        """UserError if what is here is not what the session's numbers rest on."""
        project = self._workspace.project
        changed = self._contract.changed(project)
        found, wanted = self._contract.data(project).hashes, dict(self._terms.data)
        changed += sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        if changed:
            named = ", ".join(changed[:5])
            raise UserError(f"{named}: not the same here as in the session's checkout; make it so and run again")
        if why := why_none(self._problem.sandbox):
            raise UserError(f"sandbox: {why}; install it on each node, or take `sandbox` out of problem.yaml")

    def _parts(self, supervisor: Supervisor, second: _Second) -> RunnerParts:
        terms, variables = self._terms, dict(self._terms.variables)
        links = dict(terms.links)
        return RunnerParts(
            self._problem,
            self._workspace,
            self._contract,
            Pristine(self._room / "pristine", self._contract, links),
            supervisor,
            sandbox=Sandbox(self._problem.sandbox, self._surroundings(links.values())),
            second=second,
            leftovers=_NothingKept(),
            logs=_Logs(self._room),
            started=lambda what, number, identity: None,
            strayed=lambda number, left: None,
            tick=self._tick,
            secrets=Mask({**os.environ, **variables}, key_names(self._problem)).values,
            variables=variables,
        )

    def _surroundings(self, linked: Iterable[Path]) -> Surroundings:
        workspace, terms = self._workspace, self._terms
        project = workspace.project
        kept = (workspace.mutable, *(project / name for name in (*VIEWS, *self._contract.files)))
        home = terms.home if terms.home.is_dir() else Path.home()
        return Surroundings(workspace.checkout, project, home, terms.common, kept, tuple(linked))

    def _tick(self, stage: Stage, elapsed: float) -> None:
        if stage.what != "runner":
            return
        with (self._room / "run.log").open("rb") as log:
            log.seek(self._told)
            piece = log.read(min(_PIECE, max(0, HEAD - self._told)))
        self._tell(self._told, piece)
        self._told += len(piece)


@lru_cache(maxsize=2)
def _contract(terms: Terms, archive: Path) -> Contract:
    """Kept from run to run, so that data which all of them share are read once."""
    return Contract(Carried(archive, terms.inside, terms.pinned), pickle.loads(terms.problem), terms.problem_name)


class _NothingKept:
    """A checkout that is gone after the run: nothing that is left there can be found by another one."""

    def before_run(self) -> Left | None:
        """It is as it was packed."""
        return None

    def after_run(self, *, broken: bool) -> Left | None:
        """Nobody comes after."""
        return None


@dataclass(frozen=True, slots=True)
class _Logs:
    """The logs of one run."""

    room: Path

    def of(self, candidate: Candidate) -> Path:
        """The runner's."""
        return self.room / "run.log"

    def of_evaluator(self, log: Path) -> Path:
        """The evaluator's."""
        return self.room / "evaluator.log"


class _Second:
    """What the second evaluator says, to be taken along."""

    def __init__(self, log: Path, bar: Bar | None) -> None:
        self.log = log
        self._bar = bar
        self.held: tuple[float | None, str] | None = None

    def bar(self, candidate: Candidate) -> Bar | None:
        """The bar that was sent along."""
        return self._bar

    def take(self, candidate: Candidate, metric: float | None, failure: str) -> None:
        """Take it along."""
        self.held = (metric, failure)
