"""The engine of many machines: each run is a task of a Ray cluster."""

from __future__ import annotations

import os
import pickle
import stat
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress

from pytest_autoresearch import __version__
from pytest_autoresearch.engines.board import Board
from pytest_autoresearch.engines.cluster import Cluster
from pytest_autoresearch.engines.errand import Done, Errand, Terms
from pytest_autoresearch.engines.flight import Flight
from pytest_autoresearch.engines.remote import errand_task
from pytest_autoresearch.engines.tree import Tree, pack
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.opening import OpenSession
from pytest_autoresearch.place import Place
from pytest_autoresearch.records import Candidate, Measurement, label
from pytest_autoresearch.runner import Stage, Tick
from pytest_autoresearch.sections import TRIES, EngineSection

_POLL_S = 0.5
_SLOWEST_POLL_S = 5.0
_AT_EASE = 8
_LAST_WORD_S = 5.0
_SAID_AFTER_S = 10.0
_PATIENCE_S = 300.0
_CANCEL_S = 25.0
_ENDED = Measurement(None, failure="ended before the cluster had measured it", machine=True)


class RayEngine:
    """Measures each candidate on whichever node has room for it; UserError if there is no cluster.

    `warn` takes what the user should know of the cluster. What no node could ever run is waited for `patience_s`.
    """

    def __init__(
        self,
        place: Place,
        opened: OpenSession,
        section: EngineSection,
        tick: Tick,
        warn: Callable[[str], None],
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._opened = opened
        self._section = section
        self._tick = tick
        self._warn = warn
        self._patience_s = patience_s
        tree = pack(opened.session.workspace)
        self._terms = _terms(place, opened, tree)
        self._room = threading.BoundedSemaphore(self.workers)
        self._flights: dict[str, Flight] = {}
        self._ended = 0
        self._cluster = Cluster(section)
        ray = self._ray = self._cluster.ray
        self._tree = ray.put(tree.content)
        self._board = ray.remote(**self._cluster.beside_us, num_cpus=0, max_restarts=-1)(Board).remote()
        options = {"max_retries": TRIES - 1, "scheduling_strategy": "SPREAD", **self._cluster.options}
        self._task = ray.remote(**options)(errand_task())

    @property
    def workers(self) -> int:
        """How many candidates are measured at a time, if the cluster has room for them."""
        return self._section.workers or self._section.at_once

    @property
    def doing(self) -> str:
        """What there is to say of the runs under way, '' if nothing."""
        return next((words for flight in list(self._flights.values()) if (words := flight.in_words)), "")

    def measure(self, candidate: Candidate) -> Measurement:
        """Run a candidate on the cluster; UserError if it cannot be run there."""
        ended = self._ended
        with self._room:
            return _ENDED if ended != self._ended else self._fly(candidate, ended)

    def expire(self) -> None:
        """End what runs, and what waits for a node."""
        self._ended += 1
        for flight in list(self._flights.values()):
            self._cancel(flight)

    def close(self) -> None:
        """End what runs, and let go of the cluster."""
        self.expire()
        until = time.monotonic() + _CANCEL_S
        while self._flights and time.monotonic() < until:
            time.sleep(0.05)
        with suppress(Exception):
            self._ray.kill(self._board)
        self._cluster.close()

    # --- one run

    def _fly(self, candidate: Candidate, ended: int) -> Measurement:
        bar = self._opened.runner.parts.second.bar(candidate)
        errand = pickle.dumps(Errand(self._terms, candidate, bar))
        iteration, _ = self._opened.session.progress.place_of(candidate.number)
        key = uuid.uuid4().hex
        task = self._cluster.submit(self._task, __version__, errand, [self._tree], self._board, key)
        flight = Flight(label(iteration or candidate.number, candidate.seat), task)
        self._flights[key] = flight
        if ended != self._ended:  # while it was asked for
            self._cancel(flight)
        try:
            with flight.following(self._opened.runner.parts.logs, candidate):
                self._see_through(key, flight, candidate)
                return self._landed(flight, candidate)
        finally:
            del self._flights[key]

    def _see_through(self, key: str, flight: Flight, candidate: Candidate) -> None:
        try:
            self._wait(key, flight, candidate)
        except BaseException:
            self._end(flight)
            raise

    def _wait(self, key: str, flight: Flight, candidate: Candidate) -> None:
        """Return once there is a result; meanwhile say how it stands."""
        while not self._ray.wait([flight.task], timeout=pause_s(len(self._flights)))[0]:
            self._listen(key, flight, _POLL_S)
            self._require_node(flight)
            if not candidate.seat:
                problem, what = self._opened.session.problem, flight.in_words or "runner"
                stage = Stage(what, candidate.number, problem.time_budget_s, problem.hard_timeout_s)
                self._tick(stage, flight.seconds)
            if flight.cancelled_s > _CANCEL_S:
                self._ray.cancel(flight.task, force=True)
                return
        self._listen(key, flight, _LAST_WORD_S)

    def _listen(self, key: str, flight: Flight, patience_s: float) -> None:
        """Take in what it says; an answer that is late is taken the next time, as what it holds is said only once."""
        if flight.asked is None:
            flight.asked = self._board.take.remote(key)
        if not self._ray.wait([flight.asked], timeout=patience_s)[0]:
            return
        asked, flight.asked = flight.asked, None
        with suppress(self._ray.exceptions.RayError):
            for node in flight.take(self._ray.get(asked)):
                self._lost(flight, node)

    def _lost(self, flight: Flight, node: str) -> None:
        self._warn(f"experiment {flight.label}: node {node} or the worker on it is gone; it is measured again")

    def _require_node(self, flight: Flight) -> None:
        """Say what it waits for; UserError if it has waited long enough for what no node has."""
        if flight.has_begun and not self._cluster.has_node(flight.node):
            self._lost(flight, flight.lose())
        if not flight.has_begun and flight.seconds > min(_SAID_AFTER_S, self._patience_s / 2):
            flight.waiting = f"waiting for {self._cluster.shortage()}"
            if flight.seconds > self._patience_s and not self._cluster.could_run():
                raise UserError(
                    f"engine: no node can take a run, which asks for {self._cluster.shortage()}; change "
                    "engine.resources, or add a node, and run again"
                )

    def _landed(self, flight: Flight, candidate: Candidate) -> Measurement:
        """What came of it, with its logs where they belong."""
        errors = self._ray.exceptions
        try:
            kind, node, answer = self._ray.get(flight.task, timeout=0 if flight.cancelled_s else None)
        except (errors.TaskCancelledError, errors.GetTimeoutError):
            return _ENDED
        except errors.RayTaskError:
            raise
        except errors.RayError as error:
            if flight.cancelled_s:
                return _ENDED
            lost = f"the cluster lost the run {TRIES} times ({type(error).__name__})"
            return Measurement(None, seconds=flight.seconds, failure=lost, machine=True)
        if kind == "done":
            done = pickle.loads(answer)
            if isinstance(done, Done):
                return self._taken(flight, candidate, done)
            answer = done.reason
        raise UserError(f"engine: node {node}: {answer}")

    def _taken(self, flight: Flight, candidate: Candidate, done: Done) -> Measurement:
        parts = self._opened.runner.parts
        flight.write_logs(parts.logs, done.logs)
        if done.held is not None:
            parts.second.log.write_bytes(done.logs.get("holdout", b""))
            parts.second.take(candidate, *done.held)
        return done.measured

    def _cancel(self, flight: Flight) -> None:
        flight.cancel()
        # Ray 2.60 ends this process if a task is cancelled that has just ended ("task that was not pending")
        if not self._ray.wait([flight.task], timeout=0)[0]:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(flight.task)

    def _end(self, flight: Flight) -> None:
        """Have it ended when this returns, if its node still answers."""
        self._cancel(flight)
        if not self._ray.wait([flight.task], timeout=_CANCEL_S)[0]:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(flight.task, force=True)


def pause_s(runs: int) -> float:
    """The seconds between two times that each of so many runs is listened to; listening takes some 2 ms."""
    return min(_SLOWEST_POLL_S, _POLL_S * max(1.0, runs / _AT_EASE))


def _terms(place: Place, opened: OpenSession, tree: Tree) -> Terms:
    session, contract, parts = opened.session, opened.contract, opened.runner.parts
    workspace, problem = session.workspace, session.problem
    return Terms(
        tree.digest,
        pickle.dumps(problem),
        place.problem_name,
        str(place.inside),
        stat.S_IMODE(workspace.mutable.stat().st_mode),
        tuple(contract.files.values()),
        tuple(contract.data(workspace.project).hashes.items()),
        tuple(parts.pristine.links.items()),
        place.home,
        place.common,
        session.mark,
        tuple(_named(problem.env, os.environ).items()),
    )


def _named(names: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in names if name in environment}
