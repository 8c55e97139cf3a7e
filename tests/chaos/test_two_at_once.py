"""Sessions that run at the same time: on one checkout only one does, on several none notices another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests.chaos import check
from tests.chaos.machine import LOOP
from tests.chaos.scene import PLAIN, Scene
from tests.cli.support import apart
from tests.conftest import MakeToy
from tests.support import COMMAND, Toy, alive, clean_environment, git, kill, scores, wait_for

MANY = 10
AT_ONCE = ("bash", "-c", 'read; exec "$@" < /dev/null', "bash")
LONGER_THAN_A_SESSION_S = 2.5
PATIENT = {"hard_timeout_s": 600}
RUNNING = r"session toy/run1 is running already \(process {}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that a runner waits for; another one beside it says that it does."""
    return tmp_path / "gate"


def waiting(gate: Path, score: int) -> dict[str, str]:
    """An idea whose runner waits for the gate."""
    return {
        "hypothesis": f"wait, {score}",
        "content": f"touch {gate}.reached\nuntil [ -e {gate} ]; do sleep 0.02; done\necho score: {score}\n",
    }


@contextmanager
def running(toy: Toy, gate: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has come to the gate; it has ended afterwards."""
    process = toy.start(*arguments, *PLAIN)
    try:
        wait_for(Path(f"{gate}.reached").exists, "the runner to come to the gate")
        yield process
    finally:
        gate.touch()
        if process.poll() is None:
            process.communicate(timeout=60)


def test_the_second_one_is_told_who_runs_and_the_first_one_is_unharmed(make_toy: MakeToy, gate: Path) -> None:
    toy = make_toy(waiting(gate, 8), *scores(9, 7), problem=PATIENT)
    with running(toy, gate, "--iterations=3") as first:
        second = toy.run("--iterations=1", *PLAIN)
        assert second.returncode == 1
        assert re.search(RUNNING.format(first.pid), second.stdout)
        assert "Traceback" not in second.stdout
        for step in ("propose", "run", "reset", "apply"):
            refused = apart(toy.project, step)
            assert refused.code == 1
            assert re.search(RUNNING.format(first.pid), refused.err)
            assert len(refused.err.splitlines()) == 1
        status = apart(toy.project, "status")
        assert status.code == 0
        assert f"running, process {first.pid}, since" in status.out
        gate.touch()
        output, _ = first.communicate(timeout=60)
        assert first.returncode == 0, output
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("discard", 9), ("keep", 7)]
    assert check.violations(toy.directory) == []
    assert "not running" in apart(toy.project, "status").out


def test_what_is_looked_up_all_the_time_disturbs_no_run(make_toy: MakeToy, gate: Path) -> None:
    toy = make_toy(waiting(gate, 8), *scores(9, 7), problem=PATIENT)
    with running(toy, gate, "--iterations=3") as first:
        lookers = [
            subprocess.Popen([*COMMAND, "status"], cwd=toy.project, env=clean_environment(), stdout=subprocess.DEVNULL)
            for _ in range(5)
        ]
        gate.touch()
        output, _ = first.communicate(timeout=60)
        assert [looker.wait() for looker in lookers] == [0] * 5
    assert first.returncode == 0, output
    assert check.violations(toy.directory) == []


def starts(toy: Toy, *arguments: str) -> subprocess.Popen[str]:
    """A run that begins when its standard input is closed, so that many can begin at the same instant."""
    return subprocess.Popen(
        [*AT_ONCE, *LOOP, *arguments],
        cwd=toy.project,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def together(runs: list[subprocess.Popen[str]]) -> list[str]:
    """Let them all begin, and return what they print."""
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
        run.stdin = None
    return [run.communicate(timeout=120)[0] for run in runs]


@pytest.mark.long
def test_ten_sessions_of_one_repository_do_not_notice_one_another(scene: Scene, tmp_path: Path) -> None:
    toy = scene.play(tmp_path / "repository").toy
    git(toy.directory, "pack-refs", "--all")
    before = {name: value for name, value in check.users_things(toy.directory).items() if name != "refs"}
    tags = [f"night{number}" for number in range(MANY)]
    runs = [starts(toy, f"--iterations={scene.iterations}", f"--autoresearch-tag={tag}") for tag in tags]
    outputs = together(runs)
    assert [output for run, output in zip(runs, outputs, strict=True) if run.returncode] == []
    for tag in tags:
        branch = f"toy/{tag}"
        assert check.violations(toy.directory, branch) == []
        assert check.summary(toy.directory, branch) == scene.undisturbed
    exclude = (toy.directory / ".git" / "info" / "exclude").read_text().splitlines()
    assert len(exclude) == len(set(exclude))
    assert git(toy.directory, "worktree", "list").count("\n") == MANY
    assert {name: value for name, value in check.users_things(toy.directory).items() if name != "refs"} == before


@pytest.mark.long
def test_ten_sessions_in_ten_checkouts_of_the_users_do_not_notice_one_another(
    make_toy: MakeToy, tmp_path: Path
) -> None:
    toy = make_toy(*scores(8, 9, 7))
    homes = [tmp_path / f"home{number}" for number in range(MANY)]
    for home in homes:
        git(toy.directory, "worktree", "add", "--quiet", "--detach", str(home))
    runs = []
    for number, home in enumerate(homes):
        elsewhere = Toy.__new__(Toy)
        elsewhere.directory, elsewhere.inside, elsewhere.prefix = home, ".", "toy"
        runs.append(starts(elsewhere, "--iterations=3", f"--autoresearch-tag=night{number}"))
    outputs = together(runs)
    assert [output for run, output in zip(runs, outputs, strict=True) if run.returncode] == []
    for number in range(MANY):
        assert check.violations(toy.directory, f"toy/night{number}") == []


def state(path: Path) -> object:
    """What a file holds, or which names a directory does; None if there is neither."""
    if path.is_dir():
        return sorted(path.iterdir())
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize(
    ("lock", "guarded"),
    [
        ("exclude.lock", "info/exclude"),
        ("worktrees.lock", "worktrees"),
        ("toy/run1/confirmed.lock", "autoresearch/toy/run1/confirmed.json"),
    ],
)
def test_what_several_write_is_written_by_one_at_a_time(make_toy: MakeToy, lock: str, guarded: str) -> None:
    toy = make_toy(*scores(8))
    git_directory = toy.directory / ".git"
    path = git_directory / "autoresearch" / lock
    path.parent.mkdir(parents=True)
    before = state(git_directory / guarded)
    with FileLock(path):
        process = toy.start("--iterations=1", *PLAIN)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(LONGER_THAN_A_SESSION_S)
        assert state(git_directory / guarded) == before
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert state(git_directory / guarded) != before
    assert check.violations(toy.directory) == []


@pytest.mark.long
def test_of_ten_that_begin_the_same_session_at_the_same_instant_one_runs(make_toy: MakeToy, gate: Path) -> None:
    toy = make_toy(files={"solution.sh": waiting(gate, 10)["content"]}, problem=PATIENT)
    runs = [starts(toy, "--iterations=1") for _ in range(MANY)]
    for run in runs:
        assert run.stdin is not None
        run.stdin.close()
        run.stdin = None
    wait_for(lambda: sum(run.poll() is None for run in runs) == 1, "all but one to be turned away")
    (winner,) = (run for run in runs if run.poll() is None)
    gate.touch()
    for run in runs:
        output, _ = run.communicate(timeout=60)
        if run is not winner:
            assert run.returncode == 1
            assert re.search(RUNNING.format(winner.pid), output), output
    assert [record["kind"] for record in toy.ledger()].count("begin") == 1
    assert toy.statuses() == [("keep", 10)]
    assert check.violations(toy.directory) == []


def test_the_lock_of_a_killed_run_is_nobodys(make_toy: MakeToy, gate: Path) -> None:
    toy = make_toy(waiting(gate, 8), *scores(7), problem=PATIENT)
    with running(toy, gate, "--iterations=2") as first:
        kill(first)
        assert (toy.records / "lock").exists()
        gate.touch()
        done = toy.run("--iterations=2", *PLAIN)
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]
    assert check.violations(toy.directory) == []


def test_somebody_elses_process_that_got_the_pid_is_neither_believed_nor_ended(make_toy: MakeToy, gate: Path) -> None:
    toy = make_toy(waiting(gate, 8), *scores(7), problem=PATIENT)
    with running(toy, gate, "--iterations=2") as first:
        first.send_signal(signal.SIGSTOP)
        runner = toy.ledger("started")[-1]["process"]
        kill(first)
        gate.touch()
        wait_for(lambda: not alive(runner["pid"]), "the supervisor to end what the killed run left")
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        try:
            give_pid(toy, first.pid, runner["pid"], stranger.pid)
            assert "not running" in apart(toy.project, "status").out
            done = toy.run("--iterations=2", *PLAIN)
            assert done.returncode == 0, done.stdout
            assert "left behind" not in done.stdout
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]


def give_pid(toy: Toy, holder: int, runner: int, pid: int) -> None:
    """Let what is on record of a run's two processes name `pid`, as if it had been given out again."""
    path = toy.records / "holder.json"
    record = json.loads(path.read_text())
    assert record["pid"] == holder
    path.write_text(json.dumps({**record, "pid": pid}))
    ledger = toy.records / "ledger.jsonl"
    *lines, last = ledger.read_text().splitlines(keepends=True)
    assert json.loads(last)["process"]["pid"] == runner
    ledger.write_text("".join(lines) + last.replace(f'"pid":{runner}', f'"pid":{pid}'))


# Takes a lock and ends; a fork of it, which has its descriptors, stays.
LEAVES_AN_HEIR = """
import fcntl, os, signal, sys
lock = open(sys.argv[1])
fcntl.flock(lock, fcntl.LOCK_EX)
if child := os.fork():
    print(child)
else:
    os.closerange(0, 3)
    signal.pause()
"""


def test_a_lock_that_a_forked_process_has_inherited_names_that_process(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1", *PLAIN)
    command = [sys.executable, "-c", LEAVES_AN_HEIR, str(toy.records / "lock")]
    heir = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    try:
        refused = toy.run("--iterations=1", *PLAIN)
        assert refused.returncode == 1
        assert f"session toy/run1 is running already (process {heir}, which holds its lock" in refused.stdout
        assert f"end it: kill {heir}" in refused.stdout
    finally:
        os.kill(heir, signal.SIGKILL)
    wait_for(lambda: not alive(heir), "the process to be gone")
    done = toy.run("--iterations=1", *PLAIN)
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]
    assert check.violations(toy.directory) == []
