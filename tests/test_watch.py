"""The live view of a session in another terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyte
import pytest
from filelock import FileLock

from pytest_autoresearch import lock
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.ledger import Ledger
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.watch import View, watch
from tests.conftest import MakeToy
from tests.reports.sessions import descent, session
from tests.support import Toy, clean_environment, kill, scores, wait_for

pytestmark = pytest.mark.timeout(120)
SCRIPT = """
import sys
from pathlib import Path
from pytest_autoresearch.place import find_place
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.watch import watch

file = Path(sys.argv[1])
problem = load_problem(file, look=False)
watch(find_place(file, problem.branch_prefix, None), problem, sys.stdout, every_s=0.1)
"""
WAITING = "touch {there}; until [ -e {go} ]; do sleep 0.02; done; echo score: 5\n"


def watcher(toy: Toy) -> list[str]:
    return [sys.executable, "-c", SCRIPT, str(toy.project / "problem.yaml")]


def view_of(toy: Toy) -> View:
    file = toy.project / "problem.yaml"
    problem = load_problem(file, look=False)
    return View(find_place(file, problem.branch_prefix, None), problem)


class Terminal:
    """A real pseudo-terminal with a watch on it, as somebody sees it; what was written is kept."""

    def __init__(self, toy: Toy, columns: int = 100, lines: int = 30) -> None:
        self._outside, inside = pty.openpty()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.resize(columns, lines)
        environment = clean_environment({"TERM": "xterm"})
        self.process = subprocess.Popen(
            watcher(toy), env=environment, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
        )
        os.close(inside)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._outside, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._outside, 65536)
            except OSError:  # the other end is closed
                return
            self.written += data
            self._stream.feed(data)

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def until(self, text: str) -> None:
        wait_for(lambda: any(text in line for line in self.shown), f"{text!r} on {self.shown}")

    def end(self) -> int:
        code = self.process.wait(timeout=30)
        self._reader.join()
        os.close(self._outside)
        return code


@contextmanager
def terminal(toy: Toy, columns: int = 100, lines: int = 30) -> Iterator[Terminal]:
    opened = Terminal(toy, columns, lines)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()


@contextmanager
def in_the_middle(toy: Toy, there: Path) -> Iterator[subprocess.Popen[str]]:
    """A session whose second experiment runs until it is told to go on."""
    running = toy.start("--iterations=2")
    try:
        wait_for(there.exists, "the second experiment")
        yield running
    finally:
        kill(running)


@pytest.fixture
def toy(make_toy: MakeToy, tmp_path: Path) -> Toy:
    waiting = WAITING.format(there=tmp_path / "there", go=tmp_path / "go")
    return make_toy(*scores(8), {"hypothesis": "wait", "content": waiting}, problem={"hard_timeout_s": 60})


def test_a_terminal_shows_a_running_session_and_says_that_it_was_killed(toy: Toy, tmp_path: Path) -> None:
    with in_the_middle(toy, tmp_path / "there") as running, terminal(toy) as seen:
        seen.until("session toy/run1: running, process")
        seen.until("under way: experiment 2, applied: wait")
        assert any("score: 10 → 8 (experiment 1)" in line for line in seen.shown)
        assert "    1 keep                8  score 8" in seen.shown
        assert "Ctrl-C ends the watch, not the session" in seen.shown[0]
        assert seen.screen.cursor.hidden
        kill(running)
        assert seen.end() == 0
    assert not seen.screen.cursor.hidden
    told = seen.written.decode().rpartition("\x1b[?1049l")[2].splitlines()
    assert told[0] == "session toy/run1: not running"
    assert told[-1] == "the session has ended, before experiment 2 was finished; the next start goes on with it"


def test_it_is_redrawn_in_place_as_the_session_goes_on(toy: Toy, tmp_path: Path) -> None:
    with in_the_middle(toy, tmp_path / "there"), terminal(toy) as seen:
        seen.until("under way")
        (tmp_path / "go").touch()
        assert seen.end() == 0
    inside = seen.written.decode().partition("\x1b[?1049h")[2].partition("\x1b[?1049l")[0]
    frames = inside.split("\x1b[H")[1:]
    assert len(frames) > 1
    assert all(frame.count("\n") < 30 for frame in frames)
    assert "\x1b[2J" not in inside
    assert "    2 keep                5  wait" in frames[-1]
    assert "the session has ended\x1b[K" in frames[-1]


def test_a_smaller_terminal_gets_what_fits(toy: Toy, tmp_path: Path) -> None:
    with in_the_middle(toy, tmp_path / "there"), terminal(toy) as seen:
        seen.until("under way")
        seen.resize(40, 4)
        wait_for(lambda: [len(line) <= 40 for line in seen.shown] == [True] * 4, "four lines")
        wait_for(lambda: seen.shown[-1].startswith("2 experiments") or "1 experiment" in seen.shown[-1], "the fourth")
        seen.resize(100, 30)
        seen.until("under way")
        seen.process.send_signal(signal.SIGINT)
        assert seen.end() == 0


def test_ctrl_c_ends_it_quietly_and_not_the_session(toy: Toy, tmp_path: Path) -> None:
    with in_the_middle(toy, tmp_path / "there") as running, terminal(toy) as seen:
        seen.until("under way")
        seen.process.send_signal(signal.SIGINT)
        assert seen.end() == 0
        assert running.poll() is None
    assert not seen.screen.cursor.hidden
    assert "Traceback" not in seen.written.decode()
    assert "\x1b[?7h\x1b[?25h\x1b[?1049l" in seen.written.decode()


def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was(toy: Toy, tmp_path: Path) -> None:
    with in_the_middle(toy, tmp_path / "there") as running, terminal(toy) as seen:
        seen.until("under way")
        seen.process.send_signal(signal.SIGTERM)
        assert seen.end() == 128 + signal.SIGTERM
        assert running.poll() is None
    assert not seen.screen.cursor.hidden
    assert seen.written.endswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l")


def test_elsewhere_each_change_is_a_block(toy: Toy, tmp_path: Path) -> None:
    with in_the_middle(toy, tmp_path / "there"):
        with subprocess.Popen(watcher(toy), env=clean_environment(), stdout=subprocess.PIPE, text=True) as seen:
            assert seen.stdout
            assert next(seen.stdout).startswith("session toy/run1: running, process ")
            (tmp_path / "go").touch()
            rest = seen.stdout.read()
        assert seen.returncode == 0
    assert "\x1b" not in rest
    blocks = rest.split("\n\n")
    assert len(set(blocks)) == len(blocks)
    assert blocks[-1].splitlines()[-1] == "the session has ended"
    assert "2 experiments: 2 kept" in blocks[-1]


def test_a_session_that_is_not_running_is_waited_for(toy: Toy, tmp_path: Path) -> None:
    toy.run("--iterations=1")
    with terminal(toy) as seen:
        seen.until("waiting for it to go on")
        assert any(line.startswith("last record: ") for line in seen.shown)
        with in_the_middle(toy, tmp_path / "there"):
            seen.until("running, process")
        assert seen.end() == 0


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    story = session(tmp_path, descent([10.0 - number / 1000 for number in range(2_000)]))
    view, path = View(story.place, story.problem), story.place.records / "ledger.jsonl"
    view.look()
    before = psutil.Process().io_counters().read_chars if sys.platform == "linux" else 0
    size = path.stat().st_size
    told = list(view.lines())
    with path.open("ab") as file:  # a torn line is no record yet
        file.write(b'{"prev":"')
    for _ in range(5):
        view.look()
    assert list(view.lines()) == told
    assert told[2].startswith("1999 experiments: ")
    if sys.platform == "linux":
        assert psutil.Process().io_counters().read_chars - before < size / 2


def test_a_session_that_was_begun_anew_is_read_from_its_start(tmp_path: Path) -> None:
    story = session(tmp_path / "one", descent([10, 9, 8]))
    view = View(story.place, story.problem)
    view.look()
    other = session(tmp_path / "two", descent([20]))
    (other.place.records / "ledger.jsonl").replace(story.place.records / "ledger.jsonl")
    view.look()
    assert "score: 20 → 20 (experiment 0)" in list(view.lines())


def test_the_lock_is_never_touched(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_the_middle(toy, tmp_path / "there"):
        monkeypatch.setattr(FileLock, "acquire", None)
        view = view_of(toy)
        view.look()
        assert next(view.lines()).startswith("session toy/run1: running, process ")
        assert not view.has_ended


def test_a_process_that_lives_but_let_go_of_the_lock_does_not_run_the_session(tmp_path: Path) -> None:
    held = lock.SessionLock(tmp_path)
    held.acquire("toy/run1")
    assert lock.seen_holder(tmp_path).startswith(f"process {os.getpid()}, since ")
    held.release()
    assert lock.seen_holder(tmp_path) == ""


def test_no_session_and_a_damaged_one_are_said(tmp_path: Path) -> None:
    story = session(tmp_path, descent([10, 9]))
    ledger = Ledger(story.place.records / "ledger.jsonl")
    ledger.path.write_text(ledger.path.read_text().replace('"metric":10', '"metric":11'))
    out = io.StringIO()
    with pytest.raises(UserError, match="was changed after it was written"):
        watch(story.place, story.problem, out, every_s=0.01)
    ledger.path.unlink()
    with pytest.raises(UserError, match="there is no session toy/run1 yet"):
        watch(story.place, story.problem, out, every_s=0.01)
    assert out.getvalue() == ""
