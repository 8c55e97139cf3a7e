"""Who is left behind is found by marker, identity and descent, and ended; nobody else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import pytest_autoresearch
from pytest_autoresearch.processes import Identity, identify, marked, sweep
from pytest_autoresearch.processtree import Entry, descendants, table
from tests.lab import living, new_marker
from tests.support import wait_for

pytestmark = pytest.mark.timeout(120)

ROOT = str(Path(pytest_autoresearch.__file__).parents[1])


@pytest.fixture
def marker() -> Iterator[str]:
    with new_marker() as marker:
        yield marker


class Nursery:
    """Starts processes; those that are left are killed in the end."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory

    def bash(self, script: str, **environment: str) -> subprocess.Popen[bytes]:
        """A bash that runs `script`, once it has created the file `ready`."""
        ready = self._directory / "ready"
        ready.unlink(missing_ok=True)
        environment = {"PATH": os.environ["PATH"], **environment}
        process = subprocess.Popen(["bash", "-c", script], cwd=self._directory, env=environment)
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        wait_for(ready.exists, "the process to be ready")
        return process


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with ExitStack() as stack:
        yield Nursery(stack, tmp_path)


def identity(pid: int) -> Identity:
    found = identify(pid)
    assert found
    return found


STAY = "touch ready; exec sleep 1000"


def test_an_identity_is_the_same_for_as_long_as_the_process_lives(nursery: Nursery) -> None:
    one, other = nursery.bash(STAY), nursery.bash(STAY)
    assert identify(one.pid) == identify(one.pid)
    assert identify(one.pid) != identify(other.pid)
    one.kill()
    wait_for(lambda: identify(one.pid) is None, "the process to end")
    assert one.wait() == -signal.SIGKILL
    assert identify(one.pid) is None


def test_a_process_is_found_by_its_whole_marker(nursery: Nursery, marker: str) -> None:
    process = nursery.bash(STAY, AUTORESEARCH_MARKER=marker)
    nursery.bash(STAY, AUTORESEARCH_MARKER=f"{marker} and more", OTHER=f"AUTORESEARCH_MARKER={marker}")
    assert marked(marker) == [process.pid]
    assert sweep(marker) == [process.pid]
    assert process.wait() == -signal.SIGTERM
    assert sweep(f"{marker} and more")


def test_what_descends_from_a_marked_process_is_ended_too(nursery: Nursery, marker: str, tmp_path: Path) -> None:
    script = "env -i setsid bash -c 'trap \"\" TERM; echo $$ > pid; touch ready; while :; do sleep 1; done' & wait"
    process = nursery.bash(script, AUTORESEARCH_MARKER=marker)
    pid = int((tmp_path / "pid").read_text())
    assert marked(marker) == [process.pid]
    assert {process.pid, pid} <= set(sweep(marker))
    assert living([process.pid, pid]) == []


def test_a_process_is_ended_by_its_identity(nursery: Nursery, marker: str) -> None:
    process = nursery.bash(STAY)
    assert sweep(marker, [identity(process.pid)]) == [process.pid]
    assert process.wait() == -signal.SIGTERM


def test_a_process_that_got_the_pid_of_another_is_left_alone(nursery: Nursery, marker: str) -> None:
    process = nursery.bash(STAY)
    now = identity(process.pid)
    assert sweep(marker, [replace(now, ticks="1"), replace(now, boot="an earlier one")]) == []
    assert process.poll() is None


def test_neither_the_caller_nor_an_ancestor_is_ended(nursery: Nursery, marker: str, tmp_path: Path) -> None:
    program = f"""
import os, subprocess, sys
sys.path.insert(0, {ROOT!r})
from pytest_autoresearch.processes import identify, sweep
child = subprocess.Popen(["sleep", "1000"])
ended = sweep({marker!r}, [identify(os.getpid()), identify(os.getppid())])
print(ended == [child.pid], child.wait())
"""
    (tmp_path / "program.py").write_text(program)
    script = f"touch ready; {sys.executable} program.py > printed; echo over >> printed"
    assert nursery.bash(script, AUTORESEARCH_MARKER=marker).wait() == 0
    assert (tmp_path / "printed").read_text() == "True -15\nover\n"


def test_sweeping_where_nothing_is_left_ends_nothing(marker: str) -> None:
    gone = Identity(os.getpid(), "0", "")
    assert sweep(marker, [gone]) == []


def test_descent_is_followed_to_its_end_and_round_circles() -> None:
    processes = {pid: Entry(parent, pid, "") for pid, parent in {1: 0, 2: 1, 3: 2, 4: 1, 5: 3, 8: 9, 9: 8}.items()}
    assert descendants(processes, [2]) == {3, 5}
    assert descendants(processes, [4]) == set()
    assert descendants(processes, [2, 3]) == {3, 5}
    assert descendants(processes, [8]) == {8, 9}


def test_the_table_holds_this_process_and_its_parent() -> None:
    processes = table()
    assert processes[os.getpid()].parent == os.getppid()
    assert processes[os.getpid()].group == os.getpgrp()
    assert os.getppid() in processes
