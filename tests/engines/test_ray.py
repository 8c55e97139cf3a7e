"""Runs on a real Ray cluster of this machine, whose nodes have GPUs that are only said to be there."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from pytest_autoresearch.sandbox import why_none
from pytest_autoresearch.sections import SandboxSection
from tests.chaos import check
from tests.conftest import MakeToy
from tests.engines.test_round import labels, meeting, running
from tests.support import COMMAND, Toy, clean_environment, git, kill, scores, wait_for
from tests.test_docs import ROOT, blocks

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'pytest-autoresearch[ray]'"),
]


class Machines:
    """A cluster of two nodes with one GPU each, and what the environment of everything in it is."""

    def __init__(self, place: Path, **settings: str) -> None:
        from ray.cluster_utils import Cluster

        self.store = place / f"autoresearch-ray-{os.getuid()}"
        self.environment = {"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(place), "TMPDIR": str(place), **settings}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            self.cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
            self.nodes = {self._raylet(node): node for node in (self.add(), self.add())}

    @property
    def reached(self) -> dict[str, str]:
        """The environment of a run that finds the cluster without being told where it is."""
        return {**self.environment, "RAY_ADDRESS": self.cluster.address}

    def add(self, **more: Any) -> Any:
        return self.cluster.add_node(num_cpus=2, num_gpus=1, **more)

    def remove(self, raylet: int) -> None:
        self.cluster.remove_node(self.nodes.pop(raylet), allow_graceful=False)

    def end_head(self) -> None:
        """Kill all that is on the first node: what knows of the others goes with it."""
        for processes in list(self.cluster.head_node.all_processes.values()):
            for process in processes:
                process.process.kill()

    def engine(self, **more: Any) -> dict[str, Any]:
        return {"kind": "ray", "address": self.cluster.address, "resources": {"num_gpus": 1, "num_cpus": 1}, **more}

    def rooms(self) -> list[Path]:
        """The directories of runs that are there."""
        return [path for path in (self.store / "runs").iterdir() if path.is_dir()]

    @staticmethod
    def _raylet(node: Any) -> int:
        (process,) = node.all_processes["raylet"]
        return int(process.process.pid)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """Two nodes that outlive a test."""
    with in_short_place() as made:
        yield made


@pytest.fixture
def own_machines() -> Iterator[Machines]:
    """Two nodes of a test's own."""
    with in_short_place() as made:
        yield made


@contextmanager
def in_short_place(**settings: str) -> Iterator[Machines]:
    """Where Ray's sockets can be: their paths have 107 bytes at most."""
    with TemporaryDirectory(prefix="ar-", ignore_cleanup_errors=True) as place:
        made = Machines(Path(place), **settings)
        try:
            yield made
        finally:
            made.cluster.shutdown()


def waiting(place: Path, score: float) -> dict[str, str]:
    """An idea whose run says which it is and on which node, and waits for a sign; a second process is out of reach."""
    script = (
        f"echo $$ $RAY_RAYLET_PID >> {place}/there; setsid sleep 1000 & until [ -e {place}/go ]; do sleep 0.05; done"
    )
    return {"hypothesis": f"score {score}", "content": f"{script}; echo score: {score}\n"}


def there(place: Path) -> list[tuple[int, int]]:
    """The process and the node of each run that has begun."""
    file = place / "there"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def logs(toy: Toy) -> list[str]:
    """The logs of the session's runs."""
    return [log.read_text() for log in sorted((toy.checkout / ".autoresearch" / "logs").glob("run-*.log"))]


def nothing_runs(toy: Toy) -> None:
    wait_for(lambda: list(running(toy)) == [], "the end of everything that ran", 20)


def script(toy: Toy, machines: Machines, code: str) -> subprocess.CompletedProcess[str]:
    """Run a script with `research`, the problem as a person's program would have it."""
    begin = (
        "from pathlib import Path\n"
        "from pytest_autoresearch.engines.ray import RayEngine\n"
        "from pytest_autoresearch.research import Options, Research\n"
        f"research = Research(Path({str(toy.project / 'problem.yaml')!r}), Options(), lambda *a: None, print)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", begin + code],
        env=clean_environment(machines.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_two_run_at_once_each_on_its_node_with_its_gpu(make_toy: MakeToy, machines: Machines, tmp_path: Path) -> None:
    ideas = [
        {**idea, "content": f"echo gpu $CUDA_VISIBLE_DEVICES of $RAY_RAYLET_PID in $PWD; {idea['content']}"}
        for idea in meeting(tmp_path / "meeting", 8, 6)
    ]
    toy = make_toy(*ideas, problem={"engine": machines.engine(candidates=2)})
    done = toy.run("--iterations=1", "-v", env=machines.environment)
    assert done.returncode == 0, done.stdout
    assert f"engine ray: the cluster at {machines.cluster.address}; 1 CPU, 1 GPU a run" in done.stdout
    assert "RAY_AUTH_MODE is not set (Ray's default), RAY_USAGE_STATS_ENABLED = 0" in done.stdout
    assert labels(toy) == [("0", "keep", 10), ("1.1", "discard", 8), ("1.2", "keep", 6)]
    seen = [log.split() for log in logs(toy) if log.startswith("gpu")]
    assert {line[1] for line in seen} == {"0"}
    assert {int(line[3]) for line in seen} == machines.nodes.keys()
    assert len({line[5] for line in seen}) == 2
    assert machines.rooms() == []
    assert git(toy.directory, "worktree", "list").count("\n") == 1


def test_a_run_finds_the_checkout_and_the_next_one_finds_it_again(make_toy: MakeToy, machines: Machines) -> None:
    look = (
        "cat data.txt lib/more.txt; test -x tool.sh && readlink link; ls; "
        "test -e left && exit 9; touch left; echo x > data.txt"
    )
    ideas = [{"hypothesis": str(value), "content": f"{look}; echo score: {value}\n"} for value in (9, 8, 7)]
    toy = make_toy(
        *ideas, problem={"engine": machines.engine()}, files={"data.txt": "the data\n", "lib/more.txt": "x\n"}
    )
    (toy.project / "link").symlink_to("lib")
    toy.write("tool.sh", "true\n")
    (toy.project / "tool.sh").chmod(0o755)
    toy.commit("more")
    toy.run("--iterations=3", env=machines.environment)
    assert toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8), ("keep", 7)]
    there = ["data.txt", "ideas.yaml", "lib", "link", "problem.yaml", "solution.sh", "tool.sh"]
    assert [log.splitlines()[:-1] for log in logs(toy)].count(["the data", "x", "lib", *there]) == 3
    assert (toy.checkout / "data.txt").read_text() == "the data\n"


def test_the_log_can_be_followed_and_comes_back_whole(make_toy: MakeToy, machines: Machines, tmp_path: Path) -> None:
    long = "head -c 3000000 /dev/zero | tr '\\0' x; echo"
    idea = waiting(tmp_path, 9)
    idea["content"] = f"echo first; {idea['content'].rstrip()}; {long}; echo last\n"
    toy = make_toy(idea, problem={"engine": machines.engine(), "hard_timeout_s": 100})
    started = toy.start("--iterations=1", env=machines.environment)
    wait_for(lambda: there(tmp_path), "the run")
    wait_for(lambda: "first\n" in (toy.checkout / "run.log").read_text(), "the line in run.log")
    (tmp_path / "go").touch()
    output, _ = started.communicate(timeout=100)
    assert started.returncode == 0, output
    log = (toy.checkout / "run.log").read_text()
    assert log.startswith("first\n")
    assert log.endswith("last\n")
    assert "bytes left out" in log
    assert len(log) < 2_200_000
    nothing_runs(toy)


def test_an_answer_that_comes_late_is_taken_the_next_time(make_toy: MakeToy, machines: Machines) -> None:
    toy = make_toy(problem={"engine": machines.engine(), "hard_timeout_s": 60})
    toy.write("solution.sh", "echo seen; sleep 4; echo score: 10\n")
    toy.commit("a baseline that says something")
    code = (
        "import pytest_autoresearch.engines.ray as module\n"
        "module._POLL_S = 1e-4\n"
        "engine = RayEngine(research.place, research.opened, research.engine_section,\n"
        "                   lambda stage, elapsed: print(stage.what), print)\n"
        "print(engine.measure(research.session.standing(0)).metric)\n"
    )
    done = script(toy, machines, code)
    assert done.stdout.endswith("10.0\n"), done.stderr
    assert "): seen\n" in done.stdout


def test_a_timeout_ends_what_left_the_group(make_toy: MakeToy, machines: Machines, tmp_path: Path) -> None:
    toy = make_toy(
        waiting(tmp_path, 9), *scores(8), problem={"engine": machines.engine(candidates=2), "hard_timeout_s": 3}
    )
    toy.run("--iterations=1", env=machines.environment)
    assert labels(toy)[1:] == [("1.1", "crash", None), ("1.2", "keep", 8)]
    assert toy.ledger("result")[1]["reason"].startswith("timeout: the runner was ended after 3 s")
    assert list(running(toy)) == []
    assert machines.rooms() == []


def test_a_run_that_breaks_the_contract_is_a_crash(make_toy: MakeToy, machines: Machines) -> None:
    bad = {"hypothesis": "cheats", "content": "echo cheated > frozen.txt; echo score: 1\n"}
    toy = make_toy(
        bad,
        *scores(8),
        problem={"engine": machines.engine(), "readonly_files": ["frozen.txt"]},
        files={"frozen.txt": "frozen\n"},
    )
    toy.run("--iterations=2", env=machines.environment)
    assert toy.statuses() == [("keep", 10), ("crash", None), ("keep", 8)]
    crash = toy.ledger("result")[1]
    assert crash["reason"].startswith("contract: the run changed frozen.txt, which was put back")
    assert "+cheated" in crash["log_tail"]


def test_the_evaluator_judges_the_artifacts_on_the_node_and_so_does_the_holdout(
    make_toy: MakeToy, machines: Machines
) -> None:
    ideas = [{"hypothesis": str(value), "content": f"echo {value} > out/value; echo score: 1\n"} for value in (9, 8)]
    toy = make_toy(
        *ideas,
        problem={
            "engine": machines.engine(candidates=2),
            "runner": "mkdir -p out; bash solution.sh",
            "evaluator": "ls; bash judge.sh",
            "holdout": "echo score: 1$(cat out/value)",
            "artifacts": ["out/value"],
            "readonly_files": ["judge.sh"],
        },
        files={"judge.sh": "echo score: $(cat out/value)\n", "solution.sh": "echo 10 > out/value\n"},
    )
    toy.run("--iterations=1", env=machines.environment)
    assert labels(toy) == [("0", "keep", 10), ("1.1", "discard", 9), ("1.2", "keep", 8)]
    evaluated = [log.read_text() for log in (toy.checkout / ".autoresearch" / "logs").glob("run-*.evaluator.log")]
    assert evaluated.count("judge.sh\nout\nproblem.yaml\nscore: 8\n") == 1
    held = [json.loads(line)["metric"] for line in (toy.records / "holdout.jsonl").read_text().splitlines()]
    assert sorted(held) == [18, 19, 110]
    assert "score: 1" in (toy.records / "holdout.log").read_text()


def test_a_node_that_dies_costs_a_second_measurement_and_no_verdict(
    make_toy: MakeToy, own_machines: Machines, tmp_path: Path
) -> None:
    toy = make_toy(waiting(tmp_path, 9), problem={"engine": own_machines.engine(), "hard_timeout_s": 200})
    started = toy.start("--iterations=1", env=own_machines.environment)
    wait_for(lambda: there(tmp_path), "the run")
    ((process, node),) = there(tmp_path)
    own_machines.remove(node)
    wait_for(lambda: len(there(tmp_path)) == 2, "the second run", 120)
    wait_for(lambda: not psutil.pid_exists(process), "the end of the first")
    assert there(tmp_path)[1][1] != node
    (tmp_path / "go").touch()
    output, _ = started.communicate(timeout=100)
    assert started.returncode == 0, output
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    assert "or the worker on it is gone; it is measured again" in output
    nothing_runs(toy)


def test_where_no_node_is_left_the_user_is_told(make_toy: MakeToy, own_machines: Machines, tmp_path: Path) -> None:
    toy = make_toy(problem={"engine": own_machines.engine(), "hard_timeout_s": 200})
    toy.write("solution.sh", str(waiting(tmp_path, 10)["content"]))
    toy.commit("a baseline that waits")
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(
            script,
            toy,
            own_machines,
            "engine = RayEngine(research.place, research.opened, research.engine_section, lambda *a: None, print,\n"
            "                   patience_s=4)\n"
            "engine.measure(research.session.standing(0))\n",
        )
        wait_for(lambda: there(tmp_path), "the run")
        for raylet in list(own_machines.nodes):
            own_machines.remove(raylet)
        ended = done.result()
    assert "or the worker on it is gone; it is measured again" in ended.stdout
    assert "engine: no node can take a run, which asks for 1 CPU, 1 GPU; the cluster has" in ended.stderr
    nothing_runs(toy)


def test_a_worker_that_is_killed_costs_a_second_measurement_too(
    make_toy: MakeToy, machines: Machines, tmp_path: Path
) -> None:
    toy = make_toy(waiting(tmp_path, 9), problem={"engine": machines.engine(), "hard_timeout_s": 200})
    started = toy.start("--iterations=1", env=machines.environment)
    wait_for(lambda: there(tmp_path), "the run")
    ((process, _),) = there(tmp_path)
    (worker,) = [one for one in psutil.Process(process).parents() if one.name().startswith("ray::")]
    worker.kill()
    wait_for(lambda: len(there(tmp_path)) == 2, "the second run")
    wait_for(lambda: not psutil.pid_exists(process), "the end of the first")
    (tmp_path / "go").touch()
    output, _ = started.communicate(timeout=100)
    assert started.returncode == 0, output
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    nothing_runs(toy)


def test_a_run_that_is_lost_again_and_again_is_no_verdict_on_the_idea(make_toy: MakeToy, machines: Machines) -> None:
    kill_worker = (
        "p=$$; until grep -q ^ray:: /proc/$p/comm; do p=$(ps -o ppid= -p $p | tr -d ' '); done; kill -9 $p; sleep 9"
    )
    toy = make_toy({"hypothesis": "x", "content": f"{kill_worker}\n"}, problem={"engine": machines.engine()})
    toy.run("--iterations=1", env=machines.environment)
    assert toy.statuses() == [("keep", 10), ("crash", None)]
    result = toy.ledger("result")[1]
    assert result["machine"]
    assert result["reason"].startswith("the cluster lost the run 4 times")
    nothing_runs(toy)


def test_a_session_that_is_killed_leaves_nothing_and_goes_on(
    make_toy: MakeToy, machines: Machines, tmp_path: Path
) -> None:
    ideas = [waiting(tmp_path, 9), waiting(tmp_path, 8)]
    toy = make_toy(*ideas, problem={"engine": machines.engine(candidates=2), "hard_timeout_s": 200})
    started = toy.start("--iterations=1", env=machines.environment)
    wait_for(lambda: len(there(tmp_path)) == 2, "both runs")
    kill(started)
    nothing_runs(toy)
    (tmp_path / "go").touch()
    done = toy.run("--iterations=1", env=machines.environment)
    assert done.returncode == 0, done.stdout
    assert labels(toy) == [("0", "keep", 10), ("1.1", "discard", 9), ("1.2", "keep", 8)]
    assert [len(toy.ledger(kind)) for kind in ("idea", "applied", "result")] == [2, 2, 3]
    nothing_runs(toy)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("count", [1, 3])
def test_an_interrupt_ends_what_runs_and_what_waits(
    make_toy: MakeToy, machines: Machines, tmp_path: Path, number: signal.Signals, count: int
) -> None:
    ideas = [waiting(tmp_path, value) for value in (9, 8, 7)]
    toy = make_toy(*ideas, problem={"engine": machines.engine(candidates=count), "hard_timeout_s": 200})
    started = toy.start("--iterations=1", env=machines.environment)
    wait_for(lambda: len(there(tmp_path)) == min(count, 2), "the runs")
    started.send_signal(number)
    output, _ = started.communicate(timeout=60)
    assert started.returncode == 2, output
    assert len(there(tmp_path)) == min(count, 2)
    assert toy.statuses() == [("keep", 10)]
    nothing_runs(toy)
    assert machines.rooms() == []


@pytest.mark.parametrize("then", ["another cluster", "local"])
def test_a_head_that_dies_ends_the_run_and_the_same_command_goes_on(
    make_toy: MakeToy, tmp_path: Path, then: str
) -> None:
    """Ray waits for a head that might come back, for a minute if nothing is said, and ends who uses it then."""
    ideas = [waiting(tmp_path, 9), waiting(tmp_path, 8)]
    engine = {"kind": "ray", "candidates": 2, "resources": {"num_cpus": 1}}
    toy = make_toy(*ideas, problem={"engine": engine, "hard_timeout_s": 250})
    with in_short_place(RAY_gcs_rpc_server_reconnect_timeout_s="5") as first:
        started = toy.start("--iterations=1", env=first.reached)
        wait_for(lambda: len(there(tmp_path)) == 2, "both runs")
        first.end_head()
        output, _ = started.communicate(timeout=100)
        assert started.returncode == 1, output
        nothing_runs(toy)
        done = toy.run("--iterations=1", env=first.reached)
        assert f"engine: no Ray cluster at {first.cluster.address}" in done.stdout
    (tmp_path / "go").touch()
    if then == "local":
        done = toy.run("--iterations=1", "--autoresearch-engine=local")
    else:
        with in_short_place() as second:
            done = toy.run("--iterations=1", env=second.reached)
    assert done.returncode == 0, done.stdout
    assert labels(toy) == [("0", "keep", 10), ("1.1", "discard", 9), ("1.2", "keep", 8)]
    assert [len(toy.ledger(kind)) for kind in ("idea", "applied", "result")] == [2, 2, 3]
    assert check.violations(toy.directory) == []
    nothing_runs(toy)


def test_what_no_node_has_is_said_and_not_waited_for_without_end(make_toy: MakeToy, machines: Machines) -> None:
    toy = make_toy(problem={"engine": {**machines.engine(), "resources": {"num_gpus": 4, "tape": 1}}})
    done = script(
        toy,
        machines,
        "engine = RayEngine(research.place, research.opened, research.engine_section, lambda *a: print(a[0].what),\n"
        "                   print, patience_s=2)\n"
        "engine.measure(research.session.standing(0))\n",
    )
    asked = "1 CPU, 4 GPU, 1 tape; the cluster has "
    assert f"waiting for {asked}" in done.stdout
    assert f"engine: no node can take a run, which asks for {asked}" in done.stderr
    assert "2 CPU, 1 GPU, 0 tape" in done.stderr


def test_what_ray_does_not_take_for_an_amount_is_one_sentence(make_toy: MakeToy, machines: Machines) -> None:
    toy = make_toy(problem={"engine": {**machines.engine(), "resources": {"num_gpus": 1.5}}})
    done = toy.run("--iterations=1", env=machines.environment)
    assert done.returncode == 1
    assert "engine.resources: " in done.stdout
    assert "Traceback" not in done.stdout


def test_what_a_link_leads_to_has_to_be_on_the_node_as_it_is_here(
    make_toy: MakeToy, machines: Machines, tmp_path: Path
) -> None:
    toy = make_toy(
        problem={
            "engine": machines.engine(),
            "link": ["data"],
            "fingerprint": ["data"],
            "runner": "cat data/* solution.sh | bash",
        },
        files={".gitignore": "data\n"},
    )
    (toy.project / "data").mkdir()
    (toy.project / "data" / "one").write_text("true\n")
    done = script(
        toy,
        machines,
        "import shutil\n"
        "from pytest_autoresearch.errors import UserError\n"
        "measure = lambda: research.measure(research.session.standing(0))\n"
        "data = research.place.project / 'data'\n"
        "print(measure().metric)\n"
        "for change in (lambda: (data / 'one').write_text('false'), lambda: shutil.rmtree(data)):\n"
        "    change()\n"
        "    try:\n"
        "        measure()\n"
        "    except UserError as error:\n"
        "        print(error)\n",
    )
    first, changed, gone = done.stdout.splitlines()
    assert first == "10.0", done.stderr
    assert "data/one: not the same here as in the session's checkout" in changed
    assert gone.startswith("engine: node ")
    assert f"link: data: there is no {toy.project}/data on this node" in gone


def test_a_node_with_another_version_says_so(make_toy: MakeToy, own_machines: Machines, tmp_path: Path) -> None:
    other = tmp_path / "other" / "pytest_autoresearch"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n')
    own_machines.add(env_vars={"PYTHONPATH": str(other.parent)}, resources={"old": 1})
    engine = {**own_machines.engine(), "resources": {"old": 1}}
    toy = make_toy(problem={"engine": engine})
    done = toy.run("--iterations=1", env=own_machines.environment)
    assert done.returncode == 1
    assert "engine: node " in done.stdout
    assert "pip install 'pytest-autoresearch[ray]==" in done.stdout


def test_without_an_address_a_cluster_is_started_and_ended(make_toy: MakeToy, tmp_path: Path) -> None:
    environment = {"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path), "RAY_ADDRESS": "local"}
    toy = make_toy(*scores(9, 8), problem={"engine": {"kind": "ray", "candidates": 2}})
    done = toy.run("--iterations=1", env=environment)
    assert labels(toy)[1:] == [("1.1", "discard", 9), ("1.2", "keep", 8)], done.stdout

    def still_there() -> list[psutil.Process]:
        return [one for one in psutil.process_iter() if one.name() == "raylet" and _home(one) == str(tmp_path)]

    wait_for(lambda: not still_there(), "the end of the cluster")


def _home(process: psutil.Process) -> str:
    try:
        return process.environ().get("HOME", "")
    except psutil.Error:
        return ""


def test_the_commands_of_the_page_are_rays_and_ours(make_toy: MakeToy, machines: Machines, tmp_path: Path) -> None:
    toy = make_toy(*scores(9, 8))
    install, head, node, ours = " ".join(blocks(ROOT / "docs" / "engines.md", "sh")).strip().splitlines()
    assert install == "pip install 'pytest-autoresearch[ray]'"
    options = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for command in (head, node):
        program, start, *rest = shlex.split(command)
        assert (program, start) == ("ray", "start")
        assert all(f"{option.split('=')[0]} " in options for option in rest)
    words = shlex.split(ours)
    assert words[:2] == ["pytest", "--autoresearch"]
    done = toy.run(*words[2:], env=machines.reached)
    assert labels(toy)[1:] == [("1.1", "discard", 9), ("1.2", "keep", 8)], done.stdout


def test_a_session_that_is_killed_takes_the_cluster_that_it_started_along(make_toy: MakeToy, tmp_path: Path) -> None:
    environment = {"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path), "RAY_ADDRESS": "local"}
    toy = make_toy(
        waiting(tmp_path, 9), waiting(tmp_path, 8), problem={"engine": {"kind": "ray"}, "hard_timeout_s": 200}
    )
    started = toy.start("--iterations=1", "--autoresearch-candidates=2", env=environment)
    wait_for(lambda: len(there(tmp_path)) == 2, "both runs")
    kill(started)
    nothing_runs(toy)
    (tmp_path / "go").touch()
    toy.run("--iterations=1", "--autoresearch-candidates=2", env=environment)
    assert labels(toy) == [("0", "keep", 10), ("1.1", "discard", 9), ("1.2", "keep", 8)]
    assert len(toy.ledger("idea")) == 2


@pytest.mark.skipif(bool(why_none(SandboxSection())), reason=f"no sandbox here: {why_none(SandboxSection())}")
def test_the_sandbox_is_laid_around_the_run_on_its_node(make_toy: MakeToy, machines: Machines, tmp_path: Path) -> None:
    secret = tmp_path / "repository" / "secret"
    look = f"cat data.txt {secret} {machines.store}/archives/*; touch {tmp_path}/out; echo y > here; cat here"
    toy = make_toy(
        {"hypothesis": "looks", "content": f"{look}; echo score: 9\n"},
        problem={"engine": machines.engine(), "sandbox": "bwrap"},
        files={"data.txt": "the data\n"},
    )
    secret.write_text("secret\n")
    toy.run("--iterations=1", env=machines.environment)
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    lines = (toy.checkout / "run.log").read_text().splitlines()
    assert lines[0] == "the data"
    assert lines[-2:] == ["y", "score: 9"]
    assert "secret" not in lines
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_is_not_there_is_one_sentence(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*scores(9), problem={"engine": {"kind": "ray", "address": "127.0.0.1:1"}})
    done = toy.run("--iterations=1", env={"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path)})
    assert done.returncode == 1
    assert "engine: no Ray cluster at 127.0.0.1:1" in done.stdout


def test_a_result_is_measured_on_the_cluster_before_it_is_offered(
    make_toy: MakeToy, machines: Machines, tmp_path: Path
) -> None:
    idea = {"hypothesis": "8", "content": f"echo $RAY_RAYLET_PID >> {tmp_path}/nodes; echo score: 8\n"}
    toy = make_toy(idea, problem={"engine": machines.engine()})
    toy.run("--iterations=1", env=machines.environment)
    done = subprocess.run(
        [*COMMAND, "finalize", "--problem", str(toy.project / "problem.yaml")],
        env=clean_environment(machines.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"engine ray: the cluster at {machines.cluster.address}" in done.stderr
    assert "the result: 8 (" in done.stderr
    nodes = [int(line) for line in (tmp_path / "nodes").read_text().split()]
    assert len(nodes) == 2
    assert set(nodes) <= set(machines.nodes)
    nothing_runs(toy)
