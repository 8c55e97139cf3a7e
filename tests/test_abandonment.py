"""The client goes, however it goes: what it ran goes too, and so does the supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pytest_autoresearch
from pytest_autoresearch.processes import sweep
from tests.lab import escaped, escaping, living, new_marker
from tests.support import kill, wait_for

pytestmark = pytest.mark.timeout(180)
needs_subreaper = pytest.mark.skipif(sys.platform != "linux", reason="no child subreaper here")

ROOT = str(Path(pytest_autoresearch.__file__).parents[1])
CLIENT = """
import sys
sys.path = [*filter(None, sys.path)]
import ctypes, json, os, selectors, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pytest_autoresearch.processes import Command, Supervisor

marker, script, mode = sys.argv[2:]

def started(identity):
    Path("child").write_text(str(identity.pid))
    while mode == "gate":
        time.sleep(1)

with Supervisor(marker) as supervisor:
    Path("supervisor").write_text(str(supervisor.identity.pid))
    if mode == "fork" and not os.fork():
        Path("fork").write_text(str(os.getpid()))
        time.sleep(1000)
    command = Command(("bash", "-c", script), Path.cwd(), dict(os.environ), Path("log"), 1000, {"ok": "(ok)"})
    print(supervisor.run(command, started, lambda seconds: None).matches)
"""


class Client:
    """A process of its own that runs one command in `directory`."""

    def __init__(self, directory: Path, marker: str, script: str, mode: str = "", root: str = ROOT) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, root, marker, script, mode],
            cwd=directory,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, *names: str) -> None:
        """Until each of these files is there and not empty."""
        paths = [self.directory / name for name in names]
        wait_for(lambda: all(path.exists() and path.read_text() for path in paths), ", ".join(names))

    def pid(self, name: str) -> int:
        """The process that wrote its pid to the file `name`."""
        return int((self.directory / name).read_text())

    def everything(self) -> list[int]:
        """The supervisor, the command, and what escaped from it."""
        return [self.pid("supervisor"), self.pid("child"), *escaped(self.directory)]


@pytest.fixture
def marker() -> Iterator[str]:
    with new_marker() as marker:
        yield marker


ESCAPED = f"{escaping()}; echo all > all; sleep 1000"


@needs_subreaper
@pytest.mark.parametrize(
    "end",
    [
        kill,
        lambda process: os.killpg(process.pid, signal.SIGKILL),
        lambda process: os.killpg(process.pid, signal.SIGINT),
        lambda process: os.killpg(process.pid, signal.SIGTERM),
    ],
    ids=["kill", "kill group", "interrupt group", "terminate group"],
)
def test_nothing_outlives_the_client(
    marker: str, tmp_path: Path, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    client = Client(tmp_path, marker, ESCAPED)
    client.wait_for("all")
    end(client.process)
    wait_for(lambda: not living(client.everything()), "everything to end")
    kill(client.process)


def test_a_command_at_the_gate_never_runs_without_its_client(marker: str, tmp_path: Path) -> None:
    client = Client(tmp_path, marker, "touch ran", mode="gate")
    client.wait_for("child")
    assert living([client.pid("child")])
    kill(client.process)
    wait_for(lambda: not living([client.pid("supervisor"), client.pid("child")]), "the supervisor to end")
    assert not (tmp_path / "ran").exists()


def test_a_command_at_the_gate_never_runs_without_its_supervisor(marker: str, tmp_path: Path) -> None:
    client = Client(tmp_path, marker, "touch ran", mode="gate")
    client.wait_for("child")
    os.kill(client.pid("supervisor"), signal.SIGKILL)
    kill(client.process)
    wait_for(lambda: not living([client.pid("child")]), "the child to end")
    assert not (tmp_path / "ran").exists()


def test_a_fork_of_the_client_keeps_nothing_alive_and_is_left_alone(marker: str, tmp_path: Path) -> None:
    client = Client(tmp_path, marker, "echo all > all; sleep 1000", mode="fork")
    client.wait_for("all", "fork")
    kill(client.process)
    try:
        wait_for(lambda: not living([client.pid("supervisor"), client.pid("child")]), "the supervisor to end")
        assert living([client.pid("fork")])
    finally:
        os.kill(client.pid("fork"), signal.SIGKILL)


def test_what_a_dead_client_and_its_dead_supervisor_left_is_swept(marker: str, tmp_path: Path) -> None:
    client = Client(tmp_path, marker, f"{escaping(naked=0)}; echo all > all; sleep 1000")
    client.wait_for("all")
    os.kill(client.process.pid, signal.SIGSTOP)
    os.kill(client.pid("supervisor"), signal.SIGKILL)
    kill(client.process)
    left = [pid for pid in client.everything() if pid != client.pid("supervisor")]
    assert living(left) == left
    assert set(left) <= set(sweep(marker))
    assert living(left) == []


def test_the_supervisor_is_that_of_the_package_in_use_and_nothing_beside_it_shadows_a_module(
    marker: str, tmp_path: Path
) -> None:
    beside = tmp_path / "beside"
    shutil.copytree(Path(ROOT) / "pytest_autoresearch", beside / "pytest_autoresearch")
    with (beside / "pytest_autoresearch" / "supervisor.py").open("a") as copy:
        copy.write(f"\nwith open({str(tmp_path / 'users')!r}, 'a') as file:\n    print(os.getpid(), file=file)\n")
    for name in ("json", "selectors", "ctypes", "problem"):
        (beside / f"{name}.py").write_text("raise AssertionError('not me')")
    client = Client(beside, marker, "echo ok", root=str(beside))
    assert client.process.communicate()[0] == "{'ok': 'ok'}\n"
    assert str(client.pid("supervisor")) in (tmp_path / "users").read_text().split()
