"""The Ray cluster that runs go to: what the user says where it is, one of this machine otherwise.

https://docs.ray.io/en/latest/ray-core/api/doc/ray.init.html
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.sections import EngineSection
from pytest_autoresearch.text import one_line

_OPTIONS = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
_SAID = 300
_ANSWER_S = 10.0
_KNOWN_S = 2.0


class Cluster:
    """A connection to Ray, which is given up by `close`; with it goes a cluster that was started for it.

    UserError if there is no Ray, or no cluster where the user says that there is one.
    """

    def __init__(self, section: EngineSection) -> None:
        require_ray()
        import ray

        self.ray: Any = ray
        self._resources = dict(section.resources)
        self._known: dict[str, Mapping[str, float]] = {}
        self._known_until = 0.0
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(ray, section.address)

    @property
    def options(self) -> dict[str, Any]:
        """What each run asks of the cluster, as options of a task."""
        own = {name: value for name, value in self._resources.items() if name not in _OPTIONS}
        asked: dict[str, Any] = {name: value for name, value in self._resources.items() if name in _OPTIONS}
        return {**asked, "resources": own} if own else asked

    @property
    def beside_us(self) -> dict[str, Any]:
        """The options of what is on the node that we are connected to, and dies with that one only."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = self.ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}

    @property
    def demand(self) -> dict[str, float]:
        """The same as a node has it; a task takes one CPU if nothing else is said."""
        return _demand(self._resources)

    def nodes(self) -> dict[str, Mapping[str, float]]:
        """What each node that lives has in all, by its id; known for two seconds."""
        if time.monotonic() >= self._known_until:
            self._known = {node["NodeID"]: node["Resources"] for node in self.ray.nodes() if node["Alive"]}
            self._known_until = time.monotonic() + _KNOWN_S
        return self._known

    def has_node(self, name: str) -> bool:
        """Whether a node lives that calls itself so: `host (the beginning of its id)`."""
        beginning = name.rpartition("(")[2].rstrip(")")
        return any(node.startswith(beginning) for node in self.nodes())

    def could_run(self) -> bool:
        """Whether there is a node that could take a run, if nothing else ran there."""
        nodes = self.nodes().values()
        return any(all(node.get(name, 0) >= value for name, value in self.demand.items()) for node in nodes)

    def shortage(self) -> str:
        """What a run asks for, and what there is."""
        nodes = self.nodes().values()
        held = " + ".join(_in_words({name: node.get(name, 0) for name in self.demand}) for node in nodes)
        return f"{_in_words(self.demand)}; the cluster has {held or 'no node'} on {len(nodes)} node(s)"

    def submit(self, task: Any, *arguments: Any) -> Any:
        """The result to come of a task; UserError if Ray does not take what each run asks for."""
        try:
            return task.remote(*arguments)
        except (ValueError, TypeError) as error:
            raise UserError(f"engine.resources: {one_line(str(error), _SAID)}") from None

    def close(self) -> None:
        """Let go of it."""
        if self._is_ours:
            with _undisturbed():
                self.ray.shutdown()


def require_ray() -> None:
    """UserError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("engine: ray is not installed; pip install 'pytest-autoresearch[ray]', here and on each node")


def in_words(section: EngineSection) -> str:
    """Which cluster, and how authentication and telemetry are set, for the header."""
    address = section.address or os.environ.get("RAY_ADDRESS")
    where = f"the cluster at {address}" if address else "the cluster of this machine, started if there is none"
    settings = ", ".join(f"{name} {_setting(name)}" for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"))
    return f"engine ray: {where}; {_in_words(_demand(section.resources))} a run; {settings}"


def _demand(resources: Mapping[str, float]) -> dict[str, float]:
    asked = {"num_cpus": 1.0, **resources}
    return {_OPTIONS.get(name, name): value for name, value in asked.items() if value}


def _setting(name: str) -> str:
    value = os.environ.get(name)
    return "is not set (Ray's default)" if value is None else f"= {one_line(value, 20)}"


def _in_words(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{value:g} {name}" for name, value in sorted(resources.items()))


def _connect(ray: Any, address: str | None) -> None:
    """Let Ray take the address as it takes it: None is RAY_ADDRESS, else this machine's, else a new one."""
    where = address or os.environ.get("RAY_ADDRESS") or "this machine"
    try:
        _require_listener(where)
        with _undisturbed():
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError, ImportError, AssertionError) as error:
        raise UserError(
            f"engine: no Ray cluster at {where}: {one_line(str(error), _SAID)}; start one with `ray start --head`, "
            "mend engine.address, or take it out and one is started here"
        ) from None


def _require_listener(where: str) -> None:
    """OSError if nobody is at `host:port`, where Ray itself would try for minutes."""
    if found := re.fullmatch(r"(?:\w+://)?\[?([^/\]]+)\]?:(\d+)(?:/.*)?", where):
        socket.create_connection((found[1], int(found[2])), timeout=_ANSWER_S).close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the signal handlers as they are, which Ray replaces, and Ray's warnings from ending the run."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)} if in_main else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
