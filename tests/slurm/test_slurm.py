"""The recipe for Slurm on a real Slurm, of one node: `pytest -m slurm`.

The runner is the page's, with the toy's program. The node is this machine, so the steps shed the marker by which what
is left on this machine is found: on another node it could not be found either.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_autoresearch.processtree import descendants, send, table
from tests.conftest import MakeToy
from tests.slurm.cluster import Cluster
from tests.support import Toy, commands, kill, scores, wait_for
from tests.test_docs import ROOT, blocks

pytestmark = pytest.mark.slurm
PAGE = ROOT / "docs" / "slurm.md"


def on_the_page() -> str:
    """The runner that the page gives for Slurm."""
    (found,) = [yaml.safe_load(block) for block in blocks(PAGE, "yaml") if "srun" in block]
    assert "python train.py" in found["runner"]
    return str(found["runner"])


def runner() -> str:
    return on_the_page().replace("python train.py", "env -u AUTORESEARCH_MARKER bash solution.sh")


def stubborn(end: Path) -> dict[str, Any]:
    """An experiment that does not end, whatever the signal; once there is a file `end`, one of score 9."""
    lines = [
        f"if [ -e {end} ]; then echo score: 9; exit; fi",
        "trap '' TERM INT HUP",
        "setsid bash -c 'while true; do sleep 1; done' &",
        "echo begun",
        "sleep 600",
    ]
    return {"hypothesis": "for ever", "content": "".join(f"{line}\n" for line in lines)}


@pytest.fixture
def in_mid_run(make_toy: MakeToy, cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Toy, subprocess.Popen[str]]]:
    """A session whose first experiment is under way, and does not end."""
    toy = make_toy(stubborn(tmp_path / "end"), problem={"runner": runner(), "hard_timeout_s": 300})
    process = toy.start("--iterations=1", env=cluster.environment)
    wait_for(lambda: "begun" in log_of(toy), "the experiment")
    assert cluster.jobs() == ["RUNNING"]
    assert len(cluster.tasks()) >= 3
    yield toy, process
    kill(process)


def log_of(toy: Toy) -> str:
    log = toy.checkout / "run.log"
    return log.read_text() if log.exists() else ""


def test_an_experiment_runs_as_a_job_and_sees_its_gpu(make_toy: MakeToy, cluster: Cluster) -> None:
    idea = {
        "hypothesis": "on a GPU",
        "content": 'echo "gpu <$CUDA_VISIBLE_DEVICES> job $SLURM_JOB_ID"\necho score: 9\n',
    }
    toy = make_toy(idea, problem={"runner": runner()})
    done = toy.run("--iterations=1", env=cluster.environment)
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    assert "gpu <0> job " in log_of(toy)
    assert cluster.is_empty()


def test_the_bare_command_is_enough_for_that(make_toy: MakeToy, cluster: Cluster) -> None:
    toy = make_toy(*scores(9), problem={"runner": "srun --gres=gpu:1 bash solution.sh"})
    assert toy.run("--iterations=1", env=cluster.environment).returncode == 0
    assert toy.statuses() == [("keep", 10), ("keep", 9)]


def test_at_the_hard_timeout_the_job_ends_with_all_that_it_started(
    make_toy: MakeToy, cluster: Cluster, tmp_path: Path
) -> None:
    toy = make_toy(stubborn(tmp_path / "end"), *scores(9), problem={"runner": runner(), "hard_timeout_s": 5})
    done = toy.run("--iterations=2", env=cluster.environment)
    assert toy.statuses() == [("keep", 10), ("crash", None), ("keep", 9)], done.stdout
    assert "timeout" in toy.ledger("result")[1]["reason"]
    wait_for(cluster.is_empty, "the job to be gone")


def test_the_hard_timeout_counts_the_queue_and_leaves_no_job_in_it(make_toy: MakeToy, cluster: Cluster) -> None:
    toy = make_toy(*scores(9, 8), problem={"runner": runner(), "hard_timeout_s": 6})
    assert toy.run("--iterations=1", env=cluster.environment).returncode == 0
    holder = subprocess.Popen(["srun", "--gres=gpu:2", "sleep", "600"], env=cluster.environment)
    wait_for(lambda: cluster.jobs() == ["RUNNING"], "the other job")
    done = toy.run("--iterations=1", env=cluster.environment)
    assert toy.statuses()[2:] == [("crash", None)], done.stdout
    assert cluster.jobs() == ["RUNNING"]
    cluster.cancel()
    holder.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_job(
    in_mid_run: tuple[Toy, subprocess.Popen[str]], cluster: Cluster, tmp_path: Path, number: signal.Signals
) -> None:
    toy, process = in_mid_run
    process.send_signal(number)
    assert process.wait(60) == 2
    wait_for(cluster.is_empty, "the job to be gone")
    (tmp_path / "end").touch()
    assert toy.run("--iterations=1", env=cluster.environment).returncode == 0
    assert toy.statuses() == [("keep", 10), ("keep", 9)]


def test_kill_9_of_pytest_ends_the_job(in_mid_run: tuple[Toy, subprocess.Popen[str]], cluster: Cluster) -> None:
    _, process = in_mid_run
    kill(process)
    wait_for(cluster.is_empty, "the job to be gone")


def test_a_job_whose_srun_is_gone_is_ended_by_the_next_run(
    in_mid_run: tuple[Toy, subprocess.Popen[str]], cluster: Cluster, tmp_path: Path
) -> None:
    """The machine with the session dies: nobody is left to tell Slurm. This is what the page's `scancel` is for."""
    toy, process = in_mid_run
    process.send_signal(signal.SIGSTOP)  # who dies first has nobody to tell
    send(signal.SIGKILL, descendants(table(), [process.pid]))
    process.kill()
    process.wait()
    orphans = set(cluster.tasks())
    assert cluster.jobs() == ["RUNNING"]
    (tmp_path / "end").touch()
    assert toy.run("--iterations=1", env=cluster.environment).returncode == 0
    assert toy.statuses() == [("keep", 10), ("keep", 9)]
    assert orphans
    wait_for(cluster.is_empty, "the job to be gone")


def test_from_inside_the_sandbox_no_job_is_to_be_had(make_toy: MakeToy, cluster: Cluster) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap")
    toy = make_toy(*scores(9), problem={"runner": runner(), "sandbox": {"kind": "bwrap", "network": True}})
    done = toy.run("--iterations=1", env=cluster.environment)
    assert done.returncode == 1
    assert "baseline_smoke" in done.stdout
    assert toy.statuses() == []
    assert cluster.is_empty()


# --- pytest itself as a batch job


def script() -> str:
    """The batch script of the page."""
    (found,) = [block for block in blocks(PAGE, "bash") if "#SBATCH" in block]
    return found


@dataclass
class Batch:
    """The page's batch script in the toy's repository."""

    toy: Toy
    cluster: Cluster
    path: str

    def submit(self) -> str:
        """Hand it over; the number of the job."""
        self.toy.write("night.sbatch", script())
        environment = {**self.cluster.environment, "PATH": self.path}
        command = ["sbatch", "--parsable", "night.sbatch"]
        done = subprocess.run(
            command, cwd=self.toy.project, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def output(self, job: str) -> str:
        return (self.toy.project / f"slurm-{job}.out").read_text()


@pytest.fixture
def batch(make_toy: MakeToy, cluster: Cluster, tmp_path: Path) -> Batch:
    toy = make_toy(*scores(9, 8), stubborn(tmp_path / "end"), problem={"hard_timeout_s": 300})
    return Batch(toy, cluster, commands(tmp_path / "bin"))


def test_of_two_batch_jobs_one_waits_for_the_other(batch: Batch, cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "end").touch()
    first, second = batch.submit(), batch.submit()
    wait_for(lambda: not cluster.jobs(), "both jobs")
    assert batch.toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8), ("discard", 9)]
    assert "session toy/run1" in batch.output(first), batch.output(first)
    assert "session toy/run1" in batch.output(second), batch.output(second)
    assert cluster.is_empty()


def test_before_its_time_is_over_a_batch_job_puts_everything_back(
    batch: Batch, cluster: Cluster, tmp_path: Path
) -> None:
    job = batch.submit()
    wait_for(lambda: "begun" in log_of(batch.toy), "the third experiment")
    cluster.say("scancel", "--signal=TERM", "--batch", job)  # what Slurm does for `--signal=B:TERM@300`
    wait_for(cluster.is_empty, "the job to be gone")
    assert "interrupted" in batch.output(job)
    (tmp_path / "end").touch()
    batch.submit()
    wait_for(cluster.is_empty, "the next job")
    assert batch.toy.statuses() == [("keep", 10), ("keep", 9), ("keep", 8), ("discard", 9)]
