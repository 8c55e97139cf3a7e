"""One command at a time is run as told, and nothing of it is left, whatever it does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_autoresearch import processes
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.processes import Command, Identity, Outcome, Supervisor, identify, marked
from pytest_autoresearch.supervisor import Messages, write_message
from tests.lab import Lab, escaped, escaping, living, new_marker
from tests.support import wait_for

pytestmark = pytest.mark.timeout(180)

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
needs_subreaper = pytest.mark.skipif(sys.platform != "linux", reason="no child subreaper here")


@pytest.fixture
def marker() -> Iterator[str]:
    with new_marker() as marker:
        yield marker


@pytest.fixture
def lab(marker: str, tmp_path: Path) -> Iterator[Lab]:
    with Supervisor(marker) as supervisor:
        yield Lab(tmp_path, supervisor)


class Failed(Exception):
    """What a test raises in a callback."""


# --- what a command is and what comes of it


def test_an_exit_status_is_reported(lab: Lab) -> None:
    outcome = lab.run("echo out; echo err >&2; exit 3")
    assert outcome == Outcome(3, outcome.seconds, False, {}, "out\nerr\n", 0, False, "")
    assert lab.log() == "out\nerr\n"
    assert outcome.seconds > 0


def test_a_signal_is_a_negative_exit_status(lab: Lab) -> None:
    outcome = lab.run("kill -SEGV $$")
    assert (outcome.exit, outcome.expired, outcome.lost) == (-signal.SIGSEGV, False, False)


def test_a_command_gets_directory_environment_and_marker_and_no_input(lab: Lab, marker: str) -> None:
    lab.run('pwd -P; echo "$AUTORESEARCH_MARKER"; cat; ps -o pgid= -p $$ | tr -d " "; echo $$')
    where, mark, group, pid = lab.log().splitlines()
    assert (where, mark, group) == (str(lab.directory.resolve()), marker, pid)


@linux
def test_a_command_inherits_no_descriptor_and_no_signal_disposition(lab: Lab) -> None:
    lab.run("cd /proc/self/fd; echo [0-9]*; grep -E 'Sig(Ign|Blk)' /proc/$$/status")
    descriptors, blocked, ignored = lab.log().splitlines()
    assert descriptors == "0 1 2 3"  # 3 is what lists them
    assert int(blocked.split()[1], 16) == int(ignored.split()[1], 16) == 0


def test_bytes_in_the_environment_and_in_arguments_pass_through(lab: Lab) -> None:
    odd = os.fsdecode(b"\xff\xe9 \n")
    command = Command(
        ("printenv", "ODD"), lab.directory, {"PATH": os.environ["PATH"], "ODD": odd}, lab.directory / "log", 60, {}
    )
    assert lab.supervisor.run(command, lambda _: None, lambda _: None).exit == 0
    assert (lab.directory / "log").read_bytes() == b"\xff\xe9 \n\n"


def test_the_last_match_counts(lab: Lab) -> None:
    patterns = {"loss": r"^loss=([\d.]+)$", "memory": r"memory (\d+)", "none": "never (this)"}
    outcome = lab.run("printf 'loss=0.5\\rloss=0.25\\r\\nmemory 3, memory 4\\nloss=1'", patterns=patterns)
    assert outcome.matches == {"loss": "1", "memory": "4"}


def test_what_a_process_prints_while_it_is_ended_counts(lab: Lab) -> None:
    script = "trap 'echo value=7; exit' TERM; echo value=1; while :; do sleep 0.01; done"
    outcome = lab.run(script, timeout_s=0.5, patterns={"value": r"value=(\d)"})
    assert (outcome.expired, outcome.matches) == (True, {"value": "7"})


def test_a_large_environment_passes_through(lab: Lab) -> None:
    large = {f"LARGE_{number}": "x" * 100_000 for number in range(10)}
    command = Command(("printenv",), lab.directory, {**os.environ, **large}, lab.directory / "log", 60, {})
    assert lab.supervisor.run(command, lambda _: None, lambda _: None).exit == 0
    assert lab.log().count("x" * 100_000) == 10


@pytest.mark.parametrize(
    ("argv", "cwd", "log", "reason"),
    [
        (("no-such-program",), ".", "log", "No such file"),
        (("./file",), ".", "log", "Permission denied"),
        (("true",), "nowhere", "log", "nowhere"),
        (("true",), ".", "nowhere/log", "nowhere/log"),
        (("nul\0",), ".", "log", "null"),
        (("true", "x" * (1 << 20)), ".", "log", "too long"),
    ],
)
def test_why_a_command_cannot_be_started_is_said(
    lab: Lab, argv: tuple[str, ...], cwd: str, log: str, reason: str
) -> None:
    (lab.directory / "file").touch()
    command = Command(argv, lab.directory / cwd, dict(os.environ), lab.directory / log, 60, {})
    outcome = lab.supervisor.run(command, lambda _: None, lambda _: None)
    assert reason in outcome.error
    assert (outcome.exit, outcome.lost, outcome.expired) == (None, False, False)
    assert lab.run("true").exit == 0


def test_a_command_begins_only_when_it_is_on_record(lab: Lab) -> None:
    def started(identity: Identity) -> None:
        assert identify(identity.pid) == identity
        time.sleep(0.3)
        assert not (lab.directory / "ran").exists()
        (lab.directory / "record").write_text(str(identity.pid))

    assert lab.run("touch ran; [ $$ = $(cat record) ]", started=started).exit == 0
    assert (lab.directory / "ran").exists()


def test_ticks_come_in_the_calling_thread(lab: Lab) -> None:
    ticks: list[tuple[int, float]] = []
    lab.run("sleep 3", tick=lambda seconds: ticks.append((threading.get_ident(), seconds)))
    assert {thread for thread, _ in ticks} == {threading.get_ident()}
    assert [seconds for _, seconds in ticks] == sorted({seconds for _, seconds in ticks})


# --- nothing of it is left


def test_a_deadline_ends_a_process(lab: Lab) -> None:
    outcome = lab.run("exec sleep 1000", timeout_s=0.2)
    assert (outcome.exit, outcome.expired, outcome.survivors) == (-signal.SIGTERM, True, 0)


def test_a_deadline_ends_a_process_that_ignores_sigterm(lab: Lab) -> None:
    outcome = lab.run("trap '' TERM; while :; do sleep 1; done", timeout_s=0.2)
    assert (outcome.exit, outcome.expired) == (-signal.SIGKILL, True)


@needs_subreaper
@pytest.mark.parametrize("ending", ["true", "exit 3", "kill -9 $$"])
def test_what_outlives_a_run_is_ended_and_counted(lab: Lab, ending: str) -> None:
    outcome = lab.run(f"{escaping()}; echo value=1; {ending}", patterns={"value": r"value=(\d)"})
    assert living(escaped(lab.directory)) == []
    assert (outcome.survivors, outcome.matches, outcome.expired) == (6, {"value": "1"}, False)


@needs_subreaper
def test_what_escaped_from_a_run_that_expires_is_ended(lab: Lab) -> None:
    def tick(_: float) -> None:
        if (lab.directory / "all").exists():
            lab.supervisor.expire()

    assert lab.run(f"{escaping()}; touch all; sleep 1000", tick=tick).expired
    assert living(escaped(lab.directory)) == []


def test_a_background_job_of_a_successful_run_is_ended(lab: Lab) -> None:
    outcome = lab.run("(sleep 1000 &); echo ok")
    assert (outcome.exit, outcome.survivors, outcome.tail) == (0, 1, "ok\n")


@needs_subreaper
@pytest.mark.parametrize("every_time", ["pass", "os.setsid()"])
def test_a_process_that_never_stops_forking_is_ended(lab: Lab, every_time: str) -> None:
    script = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
last = time.monotonic() + 20  # should the test be killed, this is not to go on for ever
for _ in range(4):
    if not os.fork():
        while time.monotonic() < last:
            os.fork() and os._exit(0)
            {every_time}
"""
    assert lab.run(f"{sys.executable} -c {shlex.quote(script)}").exit == 0
    assert marked(str(lab.supervisor._marker)) == []


def test_without_a_subreaper_what_keeps_parent_group_or_marker_is_ended(marker: str, tmp_path: Path) -> None:
    program = "from pytest_autoresearch import supervisor; supervisor.Program(reaper=False).serve()"
    root = str(Path(processes.__file__).parents[1])
    argv = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {program}"]
    order = {"argv": ["bash", "-c", escaping(naked=0)], "cwd": str(tmp_path), "log": str(tmp_path / "log")}
    environment = {**os.environ, "AUTORESEARCH_MARKER": marker}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        rest = {"env": environment, "timeout_s": 60, "patterns": {}, "secrets": []}
        write_message(process.stdin.fileno(), {"run": {**order, **rest}})
        write_message(process.stdin.fileno(), {"go": True})
        messages = Messages()
        _, _, done = [message for _ in range(3) for message in messages.feed(process.stdout.readline())]
        process.stdin.close()
    assert (done["done"]["exit"], done["done"]["survivors"]) == (0, 5)


# --- ended from outside


def test_expire_ends_the_run_and_nothing_else(lab: Lab) -> None:
    lab.supervisor.expire()
    assert lab.run("true").expired is False

    def tick(seconds: float) -> None:
        for _ in range(2):
            thread = threading.Thread(target=lab.supervisor.expire)
            thread.start()
            thread.join()

    outcome = lab.run("sleep 1000", tick=tick)
    assert (outcome.expired, outcome.lost) == (True, False)
    assert lab.run("true").expired is False


def test_a_run_that_expires_at_the_gate_never_begins(lab: Lab) -> None:
    outcome = lab.run("touch ran", started=lambda _: lab.supervisor.expire())
    assert (outcome.expired, (lab.directory / "ran").exists()) == (True, False)


def test_a_failing_record_means_that_the_command_never_runs(lab: Lab) -> None:
    def started(_: Identity) -> None:
        raise Failed

    with pytest.raises(Failed):
        lab.run("touch ran", started=started)
    assert not (lab.directory / "ran").exists()
    assert lab.run("true").exit == 0


@needs_subreaper
def test_an_exception_while_waiting_ends_the_run(lab: Lab) -> None:
    def tick(_: float) -> None:
        if (lab.directory / "all").exists():
            raise KeyboardInterrupt

    supervisor = lab.supervisor.identity
    with pytest.raises(KeyboardInterrupt):
        lab.run(f"{escaping()}; touch all; sleep 1000", tick=tick)
    assert living([*escaped(lab.directory), supervisor.pid]) == []
    assert lab.run("exit 5").exit == 5
    assert lab.supervisor.identity != supervisor


def test_ctrl_c_ends_the_run(lab: Lab) -> None:
    child: list[Identity] = []
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))

    def started(identity: Identity) -> None:
        child.append(identity)
        timer.start()

    with pytest.raises(KeyboardInterrupt):
        lab.run("sleep 1000", started=started)
    assert identify(child[0].pid) != child[0]


def test_closing_ends_the_supervisor_and_may_be_repeated(marker: str) -> None:
    supervisor = Supervisor(marker)
    supervisor.close()
    supervisor.close()
    supervisor.expire()
    assert identify(supervisor.identity.pid) is None


def test_supervisors_side_by_side_do_not_disturb_each_other(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with new_marker() as other_marker, Supervisor(other_marker) as supervisor:
        other = Lab(tmp_path_factory.mktemp("other"), supervisor)
        outcomes: list[Outcome] = []
        script = "(sleep 1000 & echo $! > pid); until [ -e over ]; do sleep 0.01; done; kill -0 $(cat pid)"
        thread = threading.Thread(target=lambda: outcomes.append(other.run(script)))
        thread.start()
        assert lab.run("(sleep 1000 &)").survivors == 1
        assert lab.run("sleep 1000", timeout_s=0.1).expired
        assert lab.run("kill -9 $PPID").lost
        (other.directory / "over").touch()
        thread.join()
    assert (outcomes[0].exit, outcomes[0].survivors) == (0, 1)


def test_children_of_the_client_are_neither_ended_nor_reaped(lab: Lab) -> None:
    with subprocess.Popen(["sleep", "1000"]) as alive, subprocess.Popen(["false"]) as dead:
        wait_for(lambda: identify(dead.pid) is None, "the child to end")
        assert lab.run("(sleep 1000 &)").survivors == 1
        assert lab.run("kill -9 $PPID; sleep 1000").lost
        lab.supervisor.close()
        assert os.waitpid(dead.pid, 0) == (dead.pid, 1 << 8)
        assert alive.poll() is None
        alive.kill()


# --- the supervisor does not come through


def test_a_supervisor_that_its_command_kills_is_lost_and_replaced(lab: Lab) -> None:
    first = lab.supervisor.identity
    outcome = lab.run(f"{escaping(naked=0)}; kill -9 $PPID; sleep 1000")
    assert (outcome.lost, outcome.exit, outcome.expired) == (True, None, False)
    assert living(escaped(lab.directory)) == []
    assert lab.run("exit 4").exit == 4
    assert lab.supervisor.identity != first


def test_a_supervisor_that_is_told_to_end_ends_the_run_first(lab: Lab) -> None:
    outcome = lab.run(f"{escaping(naked=0)}; kill $PPID; sleep 1000")
    assert outcome.lost
    assert living(escaped(lab.directory)) == []


@linux
def test_a_nested_supervisor_whose_parent_is_killed_ends_everything(marker: str, tmp_path: Path) -> None:
    """Whoever kills the children of this process leaves nothing of a run, as long as they stop at the children."""
    with Supervisor(marker, nested=True) as supervisor:
        lab = Lab(tmp_path, supervisor)

        def kill_children(elapsed: float) -> None:
            psutil.Process(supervisor.identity.pid).kill()

        outcome = lab.run(f"{escaping()}; sleep 1000", tick=kill_children)
    assert outcome.lost or outcome.exit is not None
    wait_for(lambda: not marked(marker), "the end of everything")


def test_a_nested_supervisor_runs_what_another_one_does(marker: str, tmp_path: Path) -> None:
    with Supervisor(marker, nested=True) as supervisor:
        lab = Lab(tmp_path, supervisor)
        assert [lab.run(f"exit {status}").exit for status in (0, 3)] == [0, 3]
        assert lab.run("sleep 1000", timeout_s=0.2).expired
    wait_for(lambda: identify(supervisor.identity.pid) is None, "the end of the supervisor")


def test_a_supervisor_that_died_between_two_runs_is_replaced(lab: Lab) -> None:
    os.kill(lab.supervisor.identity.pid, signal.SIGKILL)
    wait_for(lambda: identify(lab.supervisor.identity.pid) is None, "the supervisor to end")
    assert lab.run("exit 4").exit == 4


@needs_subreaper
def test_a_supervisor_that_falls_silent_is_replaced(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_ANSWER_S", 1.0)
    outcome = lab.run(f"{escaping()}; kill -STOP $PPID; sleep 1000", timeout_s=5)
    assert (outcome.lost, outcome.expired) == (True, True)
    assert living(escaped(lab.directory)) == []
    assert lab.run("exit 4").exit == 4


def test_a_supervisor_that_cannot_be_started_is_an_error(marker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(UserError, match="cannot be started"):
        Supervisor(marker)


def test_a_line_that_is_no_message_is_an_error() -> None:
    assert Messages().feed(b'{"go": true}\n{"exp') == [{"go": True}]
    with pytest.raises(ValueError, match="Expecting"):
        Messages().feed(b"Segmentation fault\n")


def test_a_pattern_without_end_costs_the_matches_only(lab: Lab) -> None:
    patterns = {"slow": "(x+x+)+y()", "quick": "(x)"}
    outcome = lab.run("printf %200s | tr ' ' x; exit 3", patterns=patterns)
    assert (outcome.exit, outcome.matches, outcome.lost) == (3, {}, False)
    assert "given up" in lab.log()


# --- a great deal of output


@linux
@pytest.mark.parametrize(
    ("script", "size"),
    [
        ("yes 'loss=0.5 and more' | head -c 200000000; echo", 200_000_001),
        ("head -c 50000000 /dev/zero | tr '\\0' =; echo", 50_000_001),
        ("head -c 30000000 /dev/urandom; echo", 30_000_001),
    ],
    ids=["lines", "one line", "binary"],
)
def test_memory_and_log_are_bounded_and_the_last_match_is_right(lab: Lab, script: str, size: int) -> None:
    value = "loss=" + "1234567890" * 10
    script = (
        f"{script}; for i in {{1..30000}}; do printf '%s\\r' 'filling up the pipe'; done; echo {value}; printf loss=x"
    )
    size += 30_000 * len("filling up the pipe\r") + len(f"{value}\nloss=x")
    outcome = lab.run(script, patterns={"loss": r"^loss=(\d+)$", "other": r"other=(\d+)"})
    status = Path(f"/proc/{lab.supervisor.identity.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert outcome.matches == {"loss": value.removeprefix("loss=")}
    assert peak
    assert int(peak[1]) < 100_000
    assert psutil.Process(lab.supervisor.identity.pid).memory_info().rss < 100_000_000
    log = (lab.directory / "log").read_bytes()
    assert log.endswith(f"{value}\nloss=x".encode())
    assert log[1 << 20 :].startswith(f"\n[... {size - (2 << 20)} bytes left out ...]\n".encode())
    assert len(log) - len(f"\n[... {size - (2 << 20)} bytes left out ...]\n") == 2 << 20
