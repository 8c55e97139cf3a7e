"""A Slurm of one node with two pretend GPUs, in a directory of its own, on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import clean_environment, wait_for

_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_DEVICES = ("/dev/null", "/dev/zero")  # slurmd wants character devices; nothing is done with them
_CONFIG = """\
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={place}/munge.socket
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """A Slurm that takes jobs; `environment` is what its commands have to see."""

    place: Path

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment({"SLURM_CONF": str(self.place / "slurm.conf")})

    def say(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    def takes_jobs(self) -> bool:
        """Whether the controller answers and its node is there."""
        try:
            return "idle" in self.say("sinfo", "--noheader", "--format=%t")
        except subprocess.CalledProcessError:
            return False

    def jobs(self) -> list[str]:
        """The state of each job that is not over."""
        return self.say("squeue", "--noheader", "--format=%T").split()

    def tasks(self) -> list[int]:
        """The processes of jobs, whatever they did to get away."""
        wanted = os.fsencode(f"SLURM_CONF={self.place / 'slurm.conf'}")
        return [int(entry.parent.name) for entry in Path("/proc").glob("[0-9]*/environ") if _is_task(entry, wanted)]

    def is_empty(self) -> bool:
        """Whether no job is left, and no process of one."""
        return not self.jobs() and not self.tasks()

    def cancel(self) -> None:
        """End every job."""
        self.say("scancel", "--user=root")
        wait_for(self.is_empty, "the jobs to end")


@contextmanager
def running(place: Path) -> Iterator[Cluster]:
    """A Slurm in `place`, from when it takes jobs; ended with all that it runs. Skips the test where it cannot be."""
    munged, slurmctld, slurmd = (_program(name) for name in ("munged", "slurmctld", "slurmd"))
    if os.geteuid():
        pytest.skip("slurmd starts as root only")
    _configure(place)
    cluster = Cluster(place)
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(_munge(place, munged), cluster))
        wait_for((place / "munge.socket").exists, "munged")
        started.append(_start([slurmctld, "-D", "-i"], cluster))
        started.append(_start([slurmd, "-D"], cluster))
        wait_for(cluster.takes_jobs, "a node that takes jobs")
        yield cluster
    finally:
        with suppress(subprocess.SubprocessError):
            cluster.cancel()
        for process in reversed(started):
            _end(process)


def _is_task(environ: Path, wanted: bytes) -> bool:
    try:
        variables = environ.read_bytes().split(b"\0")
    except OSError:
        return False
    return wanted in variables and any(one.startswith(b"SLURM_PROCID=") for one in variables)


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *_SBIN]))
    return found or pytest.skip(f"no {name}: apt-get install slurm-wlm munge")


def _configure(place: Path) -> None:
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (place / name).mkdir(parents=True)
    (place / "munge.key").write_bytes(secrets.token_bytes(128))
    (place / "munge.key").chmod(0o600)
    controller, node = _free_ports()
    text = _CONFIG.format(host=host, place=place, controller=controller, node=node, cores=os.cpu_count())
    (place / "slurm.conf").write_text(text)
    devices = [f"NodeName={host} Name=gpu File={device}\n" for device in _DEVICES]
    (place / "gres.conf").write_text("".join(devices))


def _munge(place: Path, munged: str) -> list[str]:
    names = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munge.seed"}
    return [munged, "--foreground", "--force", *(f"--{option}={place / name}" for option, name in names.items())]


def _start(command: list[str], cluster: Cluster) -> subprocess.Popen[bytes]:
    with (cluster.place / f"{Path(command[0]).name}.out").open("wb") as output:
        return subprocess.Popen(
            command, env=cluster.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
