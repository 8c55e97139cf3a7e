"""The line that says what runs: a bar on a real terminal, a line a minute elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pyte

from tests.conftest import MakeToy
from tests.support import PYTEST, Toy, clean_environment, scores

COLUMNS, LINES = 100, 60


def on_a_terminal(toy: Toy, *arguments: str) -> tuple[str, list[str]]:
    """What a run wrote to a terminal, and what that terminal shows at the end."""
    outside, inside = pty.openpty()
    environment = clean_environment({"TERM": "xterm", "COLUMNS": str(COLUMNS), "LINES": str(LINES)})
    command = [*PYTEST, "-p", "no:cacheprovider", "--autoresearch", "--autoresearch-confirm", *arguments]
    process = subprocess.Popen(command, cwd=toy.project, env=environment, stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    written = b""
    while True:
        try:
            written += os.read(outside, 65536)
        except OSError:  # the other end is closed
            break
    os.close(outside)
    process.wait()
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.ByteStream(screen).feed(written)
    return written.decode(), [line.rstrip() for line in screen.display if line.strip()]


def test_a_bar_is_drawn_on_a_terminal_and_leaves_pytests_lines_as_they_were(make_toy: MakeToy) -> None:
    slow = {"hypothesis": "slow", "content": "sleep 2.2; echo score: 8\n"}
    toy = make_toy(slow, {**slow, "content": "sleep 1.2; echo score: 7\n"})
    written, shown = on_a_terminal(toy, "--iterations=1", "-v")
    assert re.search(r"\[█+░+\] experiment 1, runner: 1 s of 5 s \(ended at 20 s\)", written)
    assert "\x1b[2K" in written
    assert not [line for line in shown if "runner:" in line]
    assert next(line for line in shown if "iteration[1]" in line).split() == [
        "problem.yaml::iteration[1]",
        "KEPT",
        "[100%]",
    ]
    written, shown = on_a_terminal(toy, "--iterations=1", "-q")
    assert "experiment 2, runner" in written
    assert [line.split()[0] for line in shown if line.endswith("[100%]")] in (["....s....K"], [".........K"])


def test_elsewhere_a_line_a_minute_says_the_same(make_toy: MakeToy) -> None:
    faster = "from pytest_autoresearch import live\n\nlive._HEARTBEAT_S = 1.0\n"
    toy = make_toy({"hypothesis": "slow", "content": "sleep 2.5; echo score: 8\n"}, files={"conftest.py": faster})
    done = toy.run("--iterations=1")
    beats = re.findall(
        r"^autoresearch: experiment 1, runner: \d s of 5 s \(ended at 20 s\)$", done.stdout, re.MULTILINE
    )
    assert len(beats) == 2
    assert "\x1b" not in done.stdout


def test_what_runs_is_called_as_people_call_it(make_toy: MakeToy) -> None:
    """Its running number is 3, as two came before it at once."""
    faster = "from pytest_autoresearch import live\n\nlive._HEARTBEAT_S = 1.0\n"
    slow = {"hypothesis": "slow", "content": "sleep 1.5; echo score: 7\n"}
    toy = make_toy(*scores(9, 8), slow, files={"conftest.py": faster})
    toy.run("--iterations=1", "--autoresearch-candidates=2")
    done = toy.run("--iterations=1")
    assert "autoresearch: experiment 2, runner: 1 s of 5 s" in done.stdout
