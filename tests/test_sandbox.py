"""What a runner finds of the machine inside the sandbox: real processes in a real bubblewrap."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any

import psutil
import pytest
import yaml

from pytest_autoresearch.sandbox import why_none
from pytest_autoresearch.sections import SandboxSection
from tests.chaos import check
from tests.conftest import MakeToy
from tests.support import Toy, properties, scores

_WHY = why_none(SandboxSection())
needs_bwrap = pytest.mark.skipif(bool(_WHY), reason=f"{_WHY} (CONTRIBUTING.md)")
KEY = "sk-0123456789abcdefghijklmnop"


def probe(*snippets: str) -> dict[str, str]:
    """An idea whose run says of each snippet whether it came off."""
    lines = [f"({snippet}) > /dev/null 2>&1 && echo yes {at} || echo no {at}" for at, snippet in enumerate(snippets)]
    return {"hypothesis": "look around", "content": "\n".join([*lines, "echo score: 8", ""])}


def came_off(toy: Toy, snippets: Sequence[str]) -> dict[str, bool]:
    """Which of the snippets came off in a run of the toy, whose last idea is their probe."""
    done = toy.run("--iterations=1", env={"SECRET": KEY})
    assert done.returncode == 0, done.stdout
    assert toy.statuses()[-1] == ("keep", 8), (toy.checkout / "run.log").read_text()
    log = (toy.checkout / "run.log").read_text().splitlines()
    return {snippet: f"yes {at}" in log for at, snippet in enumerate(snippets)}


def sandboxed(make_toy: MakeToy, snippets: Sequence[str], files: dict[str, str] | None = None, **keys: Any) -> Toy:
    everything = {"evaluate.txt": "mine\n", "labels/test.csv": "1\n", **(files or {})}
    problem = {"readonly_files": ["evaluate.txt"], "sandbox": {"kind": "bwrap", **keys}}
    return make_toy(probe(*snippets), files=everything, problem=problem)


@needs_bwrap
def test_a_runner_can_do_its_work(make_toy: MakeToy) -> None:
    can = (
        "cat evaluate.txt",
        "cat labels/test.csv",
        "echo x > artifact",
        "mkdir d && mv artifact d/",
        "echo x > /tmp/x",
        "echo x > ~/x",
        f"{sys.executable} -c 'import yaml, pytest'",
        "test -e /dev/urandom",
        "echo x > /dev/shm/x",
        "ps -p 1",
    )
    assert came_off(sandboxed(make_toy, can), can) == dict.fromkeys(can, True)


CANNOT = (
    "echo >> evaluate.txt",
    "rm evaluate.txt",
    "mv evaluate.txt x",
    "echo >> problem.yaml",
    "echo >> solution.sh",
    "ln -sf /etc/passwd solution.sh",
    "echo >> .git",
    "rm results.tsv",
    "echo >> next_idea.json",
    "touch /etc/x",
    "touch /usr/x",
    "touch /x",
    "mount -o remount,rw,bind /",
    "git log",
    "ls ../../.git/autoresearch",
    "ls .autoresearch/logs",
    "ls ../../solution.sh",
    "ls $USERS",
    "kill -0 $PYTEST",
    f"grep -qa {KEY} /proc/*/environ",
    "ls ~/.[a-z]*rc ~/.ssh ~/.profile",
    "ls $RUN",
    "mknod x c 1 3",
    "unshare --mount true",
    "nsenter -t 1 -m true",
    "exec 3<>/dev/tcp/127.0.0.1/$PORT",
)


@needs_bwrap
def test_it_changes_nothing_and_finds_nothing_that_is_not_its_own(make_toy: MakeToy, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("mine")
    run = next(Path("/run").iterdir(), Path("/run/nothing"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        names = {"USERS": tmp_path / "users.txt", "RUN": run, "PYTEST": os.getpid(), "PORT": server.getsockname()[1]}
        snippets = [Template(snippet).safe_substitute(names) for snippet in CANNOT]
        toy = sandboxed(make_toy, snippets)
        assert came_off(toy, snippets) == dict.fromkeys(snippets, False)
    assert check.violations(toy.directory) == []
    assert (tmp_path / "users.txt").read_text() == "mine"


@needs_bwrap
def test_each_of_it_can_be_done_without_the_sandbox(make_toy: MakeToy, tmp_path: Path) -> None:
    """So that none of the above is refused for another reason."""
    harmless = ("echo >> next_idea.json", "ls .autoresearch/logs", "ls ../../solution.sh", "git log", "kill -0 $PPID")
    toy = make_toy(probe(*harmless))
    assert came_off(toy, harmless) == dict.fromkeys(harmless, True)


@needs_bwrap
def test_what_is_asked_for_is_hidden_and_what_is_asked_for_is_shown(make_toy: MakeToy, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").touch()
    (tmp_path / "data" / "keys").touch()
    snippets = ("cat labels/test.csv", "grep . evaluate.txt", f"ls {tmp_path}/data/x", f"touch {tmp_path}/data/y")
    hide = ["labels", "evaluate.txt"]
    toy = sandboxed(make_toy, snippets, hide=hide, show=[str(tmp_path / "data")])
    assert list(came_off(toy, snippets).values()) == [False, False, True, False]
    assert (toy.checkout / "evaluate.txt").read_text() == "mine\n"


@needs_bwrap
def test_the_network_can_be_had(make_toy: MakeToy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        snippets = [f"exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}"]
        assert list(came_off(sandboxed(make_toy, snippets, network=True), snippets).values()) == [True]


@needs_bwrap
def test_memory_is_limited_for_each_process(make_toy: MakeToy) -> None:
    snippets = [f"{sys.executable} -c 'bytearray({megabytes}_000_000)'" for megabytes in (100, 900)]
    toy = sandboxed(make_toy, snippets, memory_gb=0.5)
    assert list(came_off(toy, snippets).values()) == [True, False]


@needs_bwrap
def test_nothing_outlives_it(make_toy: MakeToy, tmp_path: Path) -> None:
    leaves = "echo $$ > pid; (setsid bash -c 'sleep 1000 & sleep 1000' &)"
    toy = sandboxed(make_toy, [leaves])
    assert came_off(toy, [leaves]) == {leaves: True}
    assert living(toy) == []


def living(toy: Toy) -> list[psutil.Process]:
    """The processes of the toy's session that have not ended."""
    session = toy.ledger("begin")[0]["session"]
    return [process for process in psutil.process_iter() if session in str(environment(process))]


def environment(process: psutil.Process) -> dict[str, str]:
    with suppress(psutil.Error):
        return process.environ()
    return {}


@needs_bwrap
def test_ends_are_what_they_are_without_it(make_toy: MakeToy) -> None:
    ends = {
        "exit 3": "the runner ended with exit status 3",
        "kill -9 $$": "a process of the runner was killed by SIGKILL (out of memory?)",
        "trap '' TERM; (setsid sleep 1000 &); sleep 1000": "timeout: the runner was ended after 2 s (hard_timeout_s)",
    }
    ideas = [{"hypothesis": "an end", "content": f"{content}\n"} for content in ends]
    toy = make_toy(*ideas, problem={"sandbox": "bwrap", "time_budget_s": 1, "hard_timeout_s": 2})
    toy.run("--iterations=3")
    assert [record["reason"] for record in toy.ledger("result")[1:]] == list(ends.values())
    assert living(toy) == []


@needs_bwrap
def test_links_of_the_problem_lead_where_they_led(make_toy: MakeToy) -> None:
    snippets = ("cat data/train.csv", "touch data/x")
    toy = make_toy(
        probe(*snippets),
        files={"data/train.csv": "1\n", ".gitignore": "data\n"},
        problem={"link": ["data"], "sandbox": "bwrap"},
    )
    assert list(came_off(toy, snippets).values()) == [True, False]


@needs_bwrap
def test_an_evaluated_problem_goes_on_as_it_does_without_it(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "8", "content": "echo 8 > answer; echo score: 1\n"},
        files={"solution.sh": "echo 10 > answer\n", "evaluate.sh": "echo score: $(cat answer)\n"},
        problem={
            "artifacts": ["answer"],
            "evaluator": "bash evaluate.sh",
            "readonly_files": ["evaluate.sh"],
            "sandbox": {"hide": "evaluate.sh"},
        },
    )
    assert toy.run("--iterations=1").returncode == 0
    assert toy.statuses() == [("keep", 10), ("keep", 8)]


@needs_bwrap
def test_it_is_said_what_is_enforced(make_toy: MakeToy) -> None:
    toy = make_toy(problem={"sandbox": {"memory_gb": 4}})
    done = toy.pytest("problem.yaml", "--junitxml=report.xml")
    assert done.returncode == 0, done.stdout
    said = properties(toy.project / "report.xml")["precondition[tools_present]"]["detail"]
    assert said.endswith(
        "sandbox bwrap: the system read-only, home and repository hidden, no network, nothing outlives it; "
        "4 GB of memory for each process, the number of processes and the disk are not limited"
    )


def test_a_sandbox_that_is_not_there_is_a_failure_and_nothing_runs(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*scores(8), problem={"sandbox": "bwrap"})
    (tmp_path / "bin").mkdir()
    for tool in ("git", "bash", "python3"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    done = toy.run("--iterations=1", env={"PATH": str(tmp_path / "bin")})
    assert done.returncode == 1
    assert "sandbox: bwrap is not on PATH; install bubblewrap; or take `sandbox` out" in done.stdout
    assert not (toy.records / "ledger.jsonl").exists()


def test_one_that_cannot_work_is_a_failure_too(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*scores(8), problem={"sandbox": "bwrap"})
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bwrap").write_text(
        "#!/bin/sh\necho bwrap: No permissions to create new namespace >&2; exit 1\n"
    )
    (tmp_path / "bin" / "bwrap").chmod(0o755)
    done = toy.run("--iterations=1", env={"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"})
    assert done.returncode == 1
    assert "sandbox: bwrap cannot work here: bwrap: No permissions to create new namespace" in done.stdout
    assert not (toy.records / "ledger.jsonl").exists()


def test_the_page_has_every_key_and_a_section_that_is_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "trust.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert SandboxSection.model_validate(yaml.safe_load(block)["sandbox"]).memory_gb == 16
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(SandboxSection.model_fields)
