"""An open session for a coder to work in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_autoresearch.coders.agent import AgentCoder
from pytest_autoresearch.coders.site import Site
from pytest_autoresearch.opening import open_session
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.records import Idea
from pytest_autoresearch.runner import Stage
from pytest_autoresearch.sections import CoderSection
from tests.support import Toy

IDEA = Idea("smaller steps", justification="they are large", code_pseudocode="STEP = 1", critic="test")


def nothing(line: str) -> None:
    """Whoever is told says nothing."""


@dataclass
class Room:
    """An open session; `lines` is what the person at the terminal is told, `hear` is called with each of them."""

    toy: Toy
    site: Site = field(init=False)
    lines: list[str] = field(default_factory=list)
    hear: Callable[[str], object] = nothing
    ticked: Callable[[float], object] = lambda elapsed: None

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.hear(line)

    def tick(self, stage: Stage, elapsed: float) -> None:
        self.ticked(elapsed)

    @property
    def source(self) -> bytes:
        return self.site.workspace.incumbent

    def agent(self, wait_s: float = 0, critic_keys: tuple[str, ...] = (), **keys: Any) -> AgentCoder:
        """An agent with these keys of `coder:`."""
        return AgentCoder(self.site, CoderSection(enabled=True, **keys), wait_s, critic_keys)

    def bash(self, script: str, idea: Idea = IDEA, **keys: Any) -> bytes:
        """What an agent that is a shell script makes of the file; the prompt is its first argument."""
        return self.agent(command=["bash", "-c", script, "agent", "{prompt}"], **keys).apply(idea, self.source)

    def edit(self, content: str) -> None:
        """Be somebody who edits the session's file."""
        self.site.workspace.mutable.write_text(content)

    def log(self) -> str:
        """The log of the last agent."""
        return max((self.site.directory / "coder_logs").iterdir()).read_text()


@contextmanager
def open_room(toy: Toy) -> Iterator[Room]:
    """The session of a toy, as long as it is open; it may be opened again."""
    problem_file = toy.project / "problem.yaml"
    problem = load_problem(problem_file)
    place = find_place(problem_file, problem.branch_prefix, None)
    room = Room(toy)
    with open_session(place, problem, room.tick, takes_edits=True) as opened:
        room.site = Site(opened.session, place, opened.contract, opened.supervisor, room.tick, room.say)
        yield room
