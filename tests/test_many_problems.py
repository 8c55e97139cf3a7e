"""Many problems at once: one worker of pytest-xdist for each, and what becomes of them when something ends early."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from tests.support import PYTEST, Idea, Toy, alive, clean_environment, git, kill, scores, wait_for
from tests.test_pytest import NINE

pytestmark = pytest.mark.long

AT_ONCE = ("-n2", "--dist=loadfile")
CONFIRMED = ("--autoresearch", "--autoresearch-confirm")
PRECONDITIONS = [f"precondition[{name}]" for name in NINE]

MakeProblem = Callable[..., Toy]
Cases = dict[str, dict[str, ElementTree.Element]]


@pytest.fixture
def make_problem(tmp_path: Path) -> MakeProblem:
    """Makes one of the problems of a repository, with a branch_prefix and a directory of its own."""

    def make(name: str, ideas: Sequence[Idea], **options: Any) -> Toy:
        problem = {"branch_prefix": name, **options.pop("problem", {})}
        directory = tmp_path / "repository"
        return Toy(directory, ideas, inside=f"problems/{name}", prefix=name, problem=problem, **options)

    return make


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    """Where runners say that they are there, and which processes they are."""
    place = tmp_path / "meeting"
    place.mkdir()
    return place


def meets(meeting: Path, name: str, others: Sequence[str], score: int) -> Idea:
    """An idea whose runner waits until those of the other problems run too."""
    wait = "".join(f"until [ -e {meeting}/{other} ]; do sleep 0.02; done\n" for other in others)
    return {"hypothesis": f"score {score}", "content": f"touch {meeting}/{name}\n{wait}echo score: {score}\n"}


def stays(meeting: Path, name: str, score: int) -> Idea:
    """An idea whose runner stays until it is ended, the first time; it leaves its pids and those of a child."""
    first = f"mkdir {meeting}/{name}.first 2> /dev/null"
    content = f"sleep 1000 & echo $! $$ >> {meeting}/{name}.pids\n{first} && sleep 1000\necho score: {score}\n"
    return {"hypothesis": f"score {score}", "content": content}


def run(toy: Toy, *arguments: str) -> subprocess.CompletedProcess[str]:
    return toy.pytest(*CONFIRMED, *arguments, "--junitxml=report.xml", cwd=toy.directory)


def start(toy: Toy, *arguments: str) -> subprocess.Popen[str]:
    """The same without waiting for its end, in a process group of its own."""
    return subprocess.Popen(
        [*PYTEST, *CONFIRMED, *AT_ONCE, *arguments, "--junitxml=report.xml"],
        cwd=toy.directory,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def in_the_middle(meeting: Path, *toys: Toy, iterations: int = 2) -> subprocess.Popen[str]:
    """A run in which each problem is at an experiment that stays."""
    process = start(toys[0], f"--iterations={iterations}")
    wait_for(lambda: all((meeting / f"{toy.prefix}.first").exists() for toy in toys), "all runners")
    return process


def still_running(meeting: Path) -> list[int]:
    return [int(pid) for file in meeting.glob("*.pids") for pid in file.read_text().split() if alive(int(pid))]


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The workers of a run: what execnet starts is a Python that is told by its pipe what to do."""
    return [child for child in psutil.Process(process.pid).children() if "exec(eval" in " ".join(child.cmdline())]


def is_told_to_end(pid: int) -> bool:
    """Whether a suspended process has a SIGTERM to come to."""
    pending = re.search(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return pending is not None and bool(int(pending[1], 16) & 1 << signal.SIGTERM - 1)


def cases(toy: Toy) -> Cases:
    """The test cases of the XML by problem and name, in their order."""
    found: Cases = defaultdict(dict)
    for case in ElementTree.parse(toy.directory / "report.xml").iter("testcase"):
        problem = re.fullmatch(r"problems\.(\w+)\.problem\.yaml", str(case.get("classname")))
        assert problem
        found[problem[1]][str(case.get("name"))] = case
    return found


def values(case: ElementTree.Element) -> dict[str, str]:
    return {str(entry.get("name")): str(entry.get("value")) for entry in case.iter("property")}


def is_whole(toy: Toy, statuses: Sequence[str]) -> None:
    """Ledger, table, branch and checkout of a session say the same, and these are the statuses after the baseline."""
    results = toy.ledger("result")
    assert [record["status"] for record in results] == ["keep", *statuses]
    assert [record["number"] for record in results] == list(range(len(statuses) + 1))
    assert [record["number"] for record in toy.ledger("idea")] == list(range(1, len(statuses) + 1))
    assert [row[3] for row in toy.rows()[1:]] == ["keep", *statuses]
    assert toy.branch() == [record["commit"] for record in results if record["status"] == "keep"]
    assert git(toy.checkout, "status", "--porcelain") == ""


# --- what a run does


def test_each_problem_has_a_worker_and_they_run_at_the_same_time(make_problem: MakeProblem, meeting: Path) -> None:
    first = make_problem("a", [meets(meeting, "a", "b", 8), *scores(9, 7)])
    second = make_problem("b", [meets(meeting, "b", "a", 12), *scores(5, "x")])
    done = run(first, *AT_ONCE, "--iterations=3", "-v", "problems")
    assert done.returncode == 0, done.stdout
    is_whole(first, ["keep", "discard", "keep"])
    is_whole(second, ["discard", "keep", "crash"])
    assert git(first.directory, "status", "--porcelain") == "?? report.xml"
    found = cases(first)
    for toy in (first, second):
        of_toy = found[toy.prefix]
        assert list(of_toy) == [*PRECONDITIONS, "iteration[1]", "iteration[2]", "iteration[3]"]
        assert all(values(of_toy[name]).keys() == {"detail"} for name in PRECONDITIONS)
        for record in toy.ledger("result")[1:]:
            told = values(of_toy[f"iteration[{record['number']}]"])
            assert told["commit"] == record["commit"]
            assert told["status"] == record["status"]
            assert told["metric_value"] == ("" if record["metric"] is None else str(float(record["metric"])))
            assert len(told) == 21
    assert re.search(r"\[gw\d\] \[ *\d+%\] KEPT problems/a/problem.yaml::iteration\[1\]", done.stdout)
    assert re.search(r"\[gw\d\] \[ *\d+%\] DISCARDED problems/b/problem.yaml::iteration\[1\]", done.stdout)
    assert re.search(r"\[gw\d\] \[ *\d+%\] CRASHED problems/b/problem.yaml::iteration\[3\]", done.stdout)


def test_the_run_announces_and_sums_up_each_problem_once(make_problem: MakeProblem) -> None:
    first = make_problem("b", scores(8, 9))
    make_problem("a", scores(7, "x"))
    done = run(first, *AT_ONCE, "--iterations=2", "problems/b", "problems/a")
    before, after = done.stdout.split("autoresearch: problems/b/problem.yaml =")
    assert before.count("session a/run1, in ") == before.count("session b/run1, in ") == 1
    of_first, of_second = after.split("autoresearch: problems/a/problem.yaml =")
    assert "\n    1 KEPT                 8  score 8\n" in of_first
    assert "\n    2 DISCARDED            9  score 9\n" in of_first
    assert "\nsession b/run1: 1 kept, 1 discarded, 0 crashed of 2 experiments\n" in of_first
    assert "\nscore: 10 → 8 (-20.00%), self-reported\n" in of_first
    assert "\nsession a/run1: 1 kept, 0 discarded, 1 crashed of 2 experiments\n" in of_second
    assert re.search(r"1 crashed\b.* in [\d.]+s", of_second.splitlines()[-1])
    assert done.stderr == ""


def test_more_problems_than_workers_come_one_after_the_other(make_problem: MakeProblem) -> None:
    toys = [make_problem(name, scores(8, 7)) for name in "abc"]
    done = run(toys[0], *AT_ONCE, "--iterations=2")
    assert done.returncode == 0, done.stdout
    for toy in toys:
        is_whole(toy, ["keep", "keep"])
    assert all(len(of_toy) == 11 for of_toy in cases(toys[0]).values())


def test_the_next_run_goes_on_with_each_session(make_problem: MakeProblem) -> None:
    toys = [make_problem(name, scores(8, 7, 6)) for name in "ab"]
    run(toys[0], *AT_ONCE, "--iterations=1")
    assert run(toys[0], "--iterations=1").returncode == 0
    assert run(toys[0], *AT_ONCE, "--iterations=1").returncode == 0
    for toy in toys:
        is_whole(toy, ["keep", "keep", "keep"])


@pytest.mark.parametrize("named", [("problems/a/problem.yaml",), ("problems/a/problem.yaml", "problems/a")])
def test_one_problem_has_one_worker(make_problem: MakeProblem, named: tuple[str, ...]) -> None:
    toy = make_problem("a", scores(8, 9))
    make_problem("b", scores(8))
    done = run(toy, *AT_ONCE, "--iterations=2", *named)
    assert done.returncode == 0, done.stdout
    is_whole(toy, ["keep", "discard"])
    assert list(cases(toy)) == ["a"]
    assert len(cases(toy)["a"]) == 11


def test_what_a_worker_has_to_say_the_run_says(make_problem: MakeProblem) -> None:
    conftest = """
from pytest_autoresearch.records import Idea, Measurement

class Number(float):
    pass

def pytest_autoresearch_measure(candidate):
    return Measurement(metric=Number(8)) if candidate.number == 2 else None

def pytest_autoresearch_propose(brief):
    if brief.number == 2:
        return Idea(hypothesis="half a \\ud83d pair", content="echo score: 8\\n", critic="hook")
"""
    toy = make_problem("a", scores(10, 9), files={"conftest.py": conftest})
    make_problem("b", scores(9, 8))
    done = run(toy, *AT_ONCE, "--iterations=3", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("autoresearch: iteration 1: no experiment: ") == 1
    assert re.search(r"NOOP problems/a/problem.yaml::iteration\[1\]", done.stdout)
    assert values(cases(toy)["a"]["iteration[3]"])["status"] == "keep"
    assert "half a #xD83D pair" in values(cases(toy)["a"]["iteration[3]"])["hypothesis"]


def test_preconditions_of_many_problems_are_checked_at_the_same_time(make_problem: MakeProblem) -> None:
    toy = make_problem("a", scores(8))
    make_problem("b", scores(8), problem={"metric_regex": "^nothing: (.*)"})
    done = toy.pytest(*AT_ONCE, "-v", "problems/a/problem.yaml", "problems/b/problem.yaml", cwd=toy.directory)
    assert done.returncode == 1
    assert re.search(r"PASSED problems/a/problem.yaml::precondition\[baseline_smoke\]", done.stdout)
    assert re.search(r"FAILED problems/b/problem.yaml::precondition\[baseline_smoke\]", done.stdout)
    assert git(toy.directory, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


# --- gate and exit codes


def test_nothing_runs_unless_somebody_has_said_so(make_problem: MakeProblem) -> None:
    toys = [make_problem(name, scores(8)) for name in "ab"]
    done = toys[0].pytest("--autoresearch", "--iterations=1", *AT_ONCE, cwd=toys[0].directory)
    assert done.returncode == 1
    for toy in toys:
        assert f"nobody has confirmed that session {toy.prefix}/run1 may run by itself" in done.stdout
        assert not toy.records.exists()


def test_an_unconfirmed_loop_whose_gate_was_not_selected_is_1(make_problem: MakeProblem) -> None:
    toys = [make_problem(name, scores(8)) for name in "ab"]
    options = ("--autoresearch", "--iterations=1", "-k", "iteration", "-rs", *AT_ONCE)
    done = toys[0].pytest(*options, cwd=toys[0].directory)
    assert done.returncode == 1
    assert "blocked by precondition[confirm_loop]" in done.stdout


def test_what_one_problem_lacks_is_no_hindrance_to_another(make_problem: MakeProblem) -> None:
    whole = make_problem("a", scores(8, 7))
    make_problem("b", scores(8, 7), problem={"metric_regex": "^nothing: (.*)"})
    done = run(whole, *AT_ONCE, "--iterations=2")
    assert done.returncode == 1
    is_whole(whole, ["keep", "keep"])
    of_other = cases(whole)["b"]
    assert of_other["precondition[baseline_smoke]"].find("failure") is not None
    assert of_other["iteration[2]"].find("skipped") is not None


@pytest.mark.parametrize(
    ("ideas", "others", "code"), [(("x",), ("x",), 1), (("x",), (8,), 0), ((), (), 5), ((), (10,), 5), ((), (8,), 0)]
)
def test_the_exit_code_is_that_of_all_problems(
    make_problem: MakeProblem, ideas: tuple[object, ...], others: tuple[object, ...], code: int
) -> None:
    toy = make_problem("a", scores(*ideas))
    make_problem("b", scores(*others))
    assert run(toy, *AT_ONCE, "--iterations=1").returncode == code


# --- selection


def test_what_is_selected_is_selected_on_every_worker(make_problem: MakeProblem) -> None:
    toys = [make_problem(name, scores(8, 7)) for name in "ab"]
    done = run(toys[0], *AT_ONCE, "--iterations=2", "-k", "iteration and not 2")
    assert done.returncode == 0, done.stdout
    for toy in toys:
        is_whole(toy, ["keep"])
    assert [list(of_toy) for of_toy in cases(toys[0]).values()] == [["iteration[1]"]] * 2


def test_collecting_alone_starts_no_worker(make_problem: MakeProblem) -> None:
    toys = [make_problem(name, scores(8)) for name in "ab"]
    done = run(toys[0], *AT_ONCE, "--iterations=1", "--co", "-q")
    assert done.returncode == 0, done.stdout
    assert sum("::" in line for line in done.stdout.splitlines()) == 20
    assert not toys[0].records.exists()


def test_the_failed_iteration_is_found_again(make_problem: MakeProblem) -> None:
    conftest = """
from pathlib import Path

def pytest_autoresearch_measure(candidate):
    if candidate.number == 2 and not Path("ok").exists():
        raise OSError("no")
"""
    toy = make_problem("a", scores(8, 7), files={"conftest.py": conftest})
    other = make_problem("b", scores(8, 7))
    assert run(toy, *AT_ONCE, "--iterations=2").returncode == 1
    (toy.directory / "ok").touch()
    done = run(toy, *AT_ONCE, "--iterations=2", "--lf")
    assert done.returncode == 0, done.stdout
    assert list(cases(toy)) == ["a"]
    is_whole(toy, ["keep", "keep"])
    is_whole(other, ["keep", "keep"])


def test_the_first_failure_ends_the_others_if_that_is_wanted(make_problem: MakeProblem, meeting: Path) -> None:
    conftest = f"""
import time
from pathlib import Path

def pytest_autoresearch_measure(candidate):
    while not Path({str(meeting)!r}, "b.first").exists():
        time.sleep(0.02)
    raise OSError("no")
"""
    toy = make_problem("a", scores(8, 7))
    toy.write("conftest.py", conftest)
    other = make_problem("b", [stays(meeting, "b", 8), *scores(7)])
    done = run(toy, *AT_ONCE, "--iterations=2", "-x", "-k", "a or iteration")
    assert done.returncode == 1, done.stdout
    assert not still_running(meeting)
    assert other.statuses() == [("keep", 10)]
    assert run(toy, "--iterations=2", "problems/b").returncode == 0
    is_whole(other, ["keep", "keep"])


# --- refusals


@pytest.mark.parametrize(
    "options",
    [
        ("-n2",),
        ("-d", "--tx=2*popen"),
        *(("-n2", f"--dist={dist}") for dist in ("load", "each", "worksteal", "loadscope", "loadgroup")),
        ("--tx=2*popen", "--dist=loadfile"),
        ("--tx=popen", "--tx=popen", "--dist=load"),
    ],
)
def test_every_other_distribution_is_refused_with_the_line_that_works(
    make_problem: MakeProblem, options: tuple[str, ...]
) -> None:
    toys = [make_problem(name, scores(8)) for name in "ab"]
    done = toys[0].pytest(*CONFIRMED, "--iterations=1", *options, "problems", cwd=toys[0].directory)
    assert done.returncode == 4
    assert "Traceback" not in done.stdout + done.stderr
    assert not toys[0].records.exists()
    line = re.search(r"this works: pytest (--autoresearch .*)", done.stderr)
    assert line
    assert line[1] == "--autoresearch --iterations=1 -n 2 --dist loadfile problems"
    assert run(toys[0], *line[1].split()).returncode == 0
    for toy in toys:
        is_whole(toy, ["keep"])


@pytest.mark.parametrize("named", ["problems", "problems/a/problem.yaml"])
def test_no_end_is_refused(make_problem: MakeProblem, named: str) -> None:
    toy = make_problem("a", scores(8))
    make_problem("b", scores(8))
    done = toy.pytest(*CONFIRMED, *AT_ONCE, named, cwd=toy.directory)
    assert done.returncode == 4
    assert f"this works: pytest --autoresearch --iterations=N -n 2 --dist loadfile {named}\n" in done.stderr
    assert not toy.records.exists()


@pytest.mark.parametrize("options", [AT_ONCE, ()])
def test_two_problems_that_would_be_one_session_are_refused(
    make_problem: MakeProblem, options: tuple[str, ...]
) -> None:
    toy = make_problem("a", scores(8))
    make_problem("b", scores(8), problem={"branch_prefix": "a"})
    done = run(toy, *options, "--iterations=1")
    assert done.returncode == 4
    assert "problems/a/problem.yaml and problems/b/problem.yaml would both be session a/run1" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not toy.records.exists()


def test_a_problem_that_cannot_be_collected_ends_the_run(make_problem: MakeProblem) -> None:
    toy = make_problem("a", scores(8), files={"conftest.py": "raise RuntimeError('broken')\n"})
    make_problem("b", scores(8))
    done = run(toy, *AT_ONCE, "--iterations=1")
    assert done.returncode != 0
    assert "RuntimeError: broken" in done.stdout + done.stderr
    assert not toy.records.exists()


def test_a_plugin_that_breaks_a_worker_is_no_success(make_problem: MakeProblem) -> None:
    conftest = """
import os

def pytest_runtest_logstart(nodeid):
    if "b/problem.yaml::iteration[2]" in nodeid and "PYTEST_XDIST_WORKER" in os.environ:
        raise RuntimeError("broken")
"""
    whole = make_problem("a", scores(8, 7))
    broken = make_problem("b", scores(8, 7))
    (whole.directory / "conftest.py").write_text(conftest)
    done = run(whole, *AT_ONCE, "--iterations=2")
    assert done.returncode == 3, done.stdout
    assert "RuntimeError: broken" in done.stdout
    is_whole(whole, ["keep", "keep"])
    assert broken.statuses() == [("keep", 10), ("keep", 8)]


# --- ends


def to_the_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    os.killpg(process.pid, number)


def to_the_run(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("send", [to_the_group, to_the_run])
def test_an_interrupt_puts_everything_back_and_writes_the_xml(
    make_problem: MakeProblem,
    meeting: Path,
    number: signal.Signals,
    send: Callable[[subprocess.Popen[str], signal.Signals], None],
) -> None:
    toys = [make_problem(name, [*scores(9), stays(meeting, name, 8)]) for name in "ab"]
    process = in_the_middle(meeting, *toys, iterations=3)
    ours = workers(process)
    assert len(ours) == 2
    send(process, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert not still_running(meeting)
    assert not [worker for worker in ours if alive(worker.pid)]
    for toy in toys:
        assert toy.statuses() == [("keep", 10), ("keep", 9)]
        assert (toy.checkout / "solution.sh").read_text() == "echo score: 9\n"
        assert git(toy.checkout, "status", "--porcelain") == ""
        of_toy = cases(toy)[toy.prefix]
        assert values(of_toy["iteration[1]"])["status"] == "keep"
        skipped = of_toy["iteration[2]"].find("skipped")
        assert skipped is not None
        assert "interrupted" in str(skipped.get("message"))
        assert f"session {toy.prefix}/run1: 1 kept, 0 discarded, 0 crashed of 1 experiments" in output
    assert "INTERNALERROR" not in output
    assert run(toys[0], *AT_ONCE, "--iterations=1").returncode == 0
    for toy in toys:
        is_whole(toy, ["keep", "keep"])


@pytest.mark.skipif(sys.platform != "linux", reason="looks in /proc for signals that wait")
def test_a_second_interrupt_does_not_wait(make_problem: MakeProblem, meeting: Path) -> None:
    toys = [make_problem(name, [stays(meeting, name, 8)]) for name in "ab"]
    process = in_the_middle(meeting, *toys)
    suspended = workers(process)
    for worker in suspended:
        worker.suspend()
    wait_for(lambda: all(worker.status() == psutil.STATUS_STOPPED for worker in suspended), "the workers to stop")
    process.send_signal(signal.SIGINT)
    wait_for(lambda: all(is_told_to_end(worker.pid) for worker in suspended), "the first interrupt to be answered")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    wait_for(lambda: not still_running(meeting), "the supervisors to end what was left")
    assert run(toys[0], *AT_ONCE, "--iterations=1").returncode == 0
    for toy in toys:
        is_whole(toy, ["keep"])


@pytest.mark.parametrize("whole_group", [True, False])
def test_kill_9_of_the_run_loses_and_doubles_nothing(
    make_problem: MakeProblem, meeting: Path, whole_group: bool
) -> None:
    toys = [make_problem(name, [stays(meeting, name, 8), *scores(9)]) for name in "ab"]
    process = in_the_middle(meeting, *toys)
    ours = workers(process)
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    kill(process)
    wait_for(lambda: not any(alive(worker.pid) for worker in ours), "the workers to end")
    wait_for(lambda: not still_running(meeting), "the supervisors to end what was left")
    done = run(toys[0], *AT_ONCE, "--iterations=2")
    assert done.returncode == 0, done.stdout
    for toy in toys:
        is_whole(toy, ["keep", "discard"])


def test_a_killed_worker_is_reported_and_another_one_goes_on(make_problem: MakeProblem, meeting: Path) -> None:
    toys = [make_problem(name, [*scores(9), stays(meeting, name, 8), *scores(7)]) for name in "ab"]
    (meeting / "b.first").mkdir()
    process = start(toys[0], "--iterations=3")
    wait_for((meeting / "a.first").exists, "the runner")
    pid = int((meeting / "a.pids").read_text().split()[1])
    own = {worker.pid for worker in workers(process)} & {parent.pid for parent in psutil.Process(pid).parents()}
    os.kill(own.pop(), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "crashed while running 'problems/a/problem.yaml::iteration[2]'" in output
    assert not still_running(meeting)
    for toy in toys:
        is_whole(toy, ["keep", "keep", "keep"])
        assert f"session {toy.prefix}/run1: 3 kept, 0 discarded, 0 crashed of 3 experiments" in output
        assert "\n    1 KEPT                 9  score 9\n" in output
        assert values(cases(toy)[toy.prefix]["iteration[2]"])["status"] == "keep"


def test_a_worker_that_is_killed_in_its_second_problem_leaves_that_one_to_another(
    make_problem: MakeProblem, meeting: Path
) -> None:
    first = make_problem("a", scores(9))
    second = make_problem("b", [stays(meeting, "b", 8)])
    process = start(first, "--iterations=1", "--maxprocesses=1")
    wait_for((meeting / "b.first").exists, "the runner")
    workers(process)[0].kill()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert not still_running(meeting)
    is_whole(first, ["keep"])
    is_whole(second, ["keep"])
