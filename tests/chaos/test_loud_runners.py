"""Runners that print without end, or nothing, or take all the memory there is; and a session of thousands of them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks import chatter
from tests.chaos import check
from tests.chaos.scene import PLAIN, ROOT
from tests.conftest import MakeToy
from tests.support import Toy, scores

MIB = 1 << 20
MEMORY_MIB = 100
LOG = 2 * MIB + 100
_PATIENCE_S = 3600
# A plugin of the run itself, which knows both processes: how much memory they had at most, experiment by experiment.
MEMORY = """
import json, os
from pathlib import Path

def mib(pid, what):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024

def pytest_autoresearch_experiment_recorded(research, experiment):
    pids = {"pytest": os.getpid(), "supervisor": research.opened.supervisor.identity.pid}
    now, peak = ({who: mib(pid, what) for who, pid in pids.items()} for what in ("VmRSS", "VmHWM"))
    with open(os.environ["MEMORY_LOG"], "a") as file:
        file.write(json.dumps({"number": experiment.number, "now": now, "peak": peak}) + "\\n")
"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


def idea(name: str, content: str) -> dict[str, str]:
    return {"hypothesis": name, "content": content}


def python(script: str) -> str:
    """A line of shell that runs `script`."""
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}\n"


def watched(toy: Toy, directory: Path, iterations: int, *arguments: str) -> list[dict[str, dict[str, float]]]:
    """Run it, and return what memory it took, experiment by experiment."""
    (directory / "memory_plugin.py").write_text(MEMORY)
    log = directory / "memory.jsonl"
    path = f"{directory}{os.pathsep}{ROOT}"
    process = toy.start(
        f"--iterations={iterations}",
        *PLAIN,
        *("-p", "memory_plugin"),
        *arguments,
        env={"PYTHONPATH": path, "MEMORY_LOG": str(log)},
    )
    output, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0, output
    return [json.loads(line) for line in log.read_text().splitlines()]


def prints(size: int, shape: str, score: int) -> str:
    return shlex.join(["exec", sys.executable, chatter.__file__, str(size), shape, str(score)]) + "\n"


def one_line_of(size: int, score: int) -> str:
    """A runner that prints a single line of `size` bytes, then its score."""
    return python(
        f"import os\nblock = b'x' * {MIB}\nfor _ in range({size // MIB}): os.write(1, block)\n"
        f"os.write(1, b'\\nscore: {score}')"
    )


def assert_loud_ones_are_measured(toy: Toy, directory: Path, metrics: list[float]) -> None:
    """Each has the metric it printed last, and nothing of what it printed stays in memory or on the disk."""
    seen = watched(toy, directory, len(metrics))
    assert [metric for _, metric in toy.statuses()[1:]] == metrics
    peak = max(max(one["peak"].values()) for one in seen)
    assert peak < MEMORY_MIB
    logs = [log.stat().st_size for log in (toy.checkout / ".autoresearch" / "logs").iterdir()]
    assert max(logs) <= LOG
    assert check.violations(toy.directory) == []


def test_many_lines_one_long_line_and_a_stream(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(
        idea("lines", prints(300 * MIB, "lines", 9)),
        idea("one line", one_line_of(100 * MIB, 8)),
        idea("stream", prints(100 * MIB, "stream", 7)),
        *scores(6),
    )
    assert_loud_ones_are_measured(toy, tmp_path, [9, 8, 7, 6])


@pytest.mark.soak
def test_two_gigabytes_of_lines_and_one_line_of_500_megabytes(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(
        idea("lines", prints(2000 * MIB, "lines", 9)),
        idea("one line", one_line_of(500 * MIB, 8)),
        *scores(7),
        problem={"hard_timeout_s": 600},
    )
    assert_loud_ones_are_measured(toy, tmp_path, [9, 8, 7])


def test_binary_output_and_a_last_line_without_an_end(make_toy: MakeToy, tmp_path: Path) -> None:
    binary = (
        "import os\nos.write(1, bytes(range(256)) * 4096 + b'\\xff\\xfe\\nscore: 9\\n' + b'\\x00\\x80' * 50_000)\n"
        "os.write(2, b'\\xf0\\x9f')\nos.write(1, b'\\nscore: 8')"
    )
    toy = make_toy(idea("binary", python(binary)), idea("no end", "printf 'score: 7'\n"), *scores(6))
    watched(toy, tmp_path, 3)
    assert [metric for _, metric in toy.statuses()] == [10, 8, 7, 6]
    assert check.violations(toy.directory) == []


def test_a_runner_that_says_nothing_for_its_whole_time_is_ended(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(
        idea("silent", "sleep 1000\n"),
        idea("silent and well", "exit 0\n"),
        *scores(6),
        problem={"time_budget_s": 1, "hard_timeout_s": 2},
    )
    watched(toy, tmp_path, 3)
    assert toy.statuses() == [("keep", 10), ("crash", None), ("crash", None), ("keep", 6)]
    reasons = [record["reason"] for record in toy.ledger("result")[1:3]]
    assert reasons[0].startswith("timeout: the runner was ended after 2 s")
    assert reasons[1].startswith("no metric")
    assert check.violations(toy.directory) == []


def test_a_runner_that_takes_all_memory_is_a_crash_and_the_next_one_is_unharmed(
    make_toy: MakeToy, tmp_path: Path
) -> None:
    greedy = "blocks = []\nwhile True: blocks.append(bytearray(1 << 24))"
    # what a kernel that is out of memory does to the process that has most of it
    killed = (
        f"import os, resource, signal\ntry:\n    exec({greedy!r})\nfinally:\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    bounded = "ulimit -v 400000\necho score: 1\n"
    toy = make_toy(
        idea("MemoryError", bounded + python(greedy)),
        idea("a child is killed", bounded + python(killed)),
        idea("it is killed", bounded + f"exec {python(killed)}"),
        *scores(6),
    )
    seen = watched(toy, tmp_path, 4)
    assert toy.statuses() == [("keep", 10), *[("crash", None)] * 3, ("keep", 6)]
    results = toy.ledger("result")[1:4]
    assert "MemoryError" in results[0]["log_tail"]
    assert [record["reason"] for record in results] == [
        "the runner ended with exit status 1",
        "a process of the runner was killed by SIGKILL (out of memory?)",
        "the runner was killed by SIGKILL",
    ]
    assert [record["machine"] for record in results] == [False, True, True]
    assert max(max(one["peak"].values()) for one in seen) < MEMORY_MIB
    assert check.violations(toy.directory) == []


@pytest.mark.soak
def test_five_thousand_experiments_in_one_session_take_no_more_memory_than_a_hundred(
    make_toy: MakeToy, tmp_path: Path
) -> None:
    iterations, warm = 5_000, 100
    toy = make_toy()
    seen = watched(toy, tmp_path, iterations, "-p", "benchmarks.alternating")
    assert len(seen) == iterations
    for who in ("pytest", "supervisor"):
        assert seen[-1]["now"][who] - seen[warm]["now"][who] <= 50
    assert len(toy.branch()) - 1 == iterations // 2
    assert len(toy.rows()) == iterations + 2
    assert check.violations(toy.directory) == []
