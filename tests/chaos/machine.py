"""A machine that refuses: small disks, other users, limits; and how a run has to say so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.scene import PLAIN, ROOT
from tests.support import PYTEST, Toy, clean_environment

# What `cleanup_check` wants to be free, and room for a small repository.
_DISK = "300m"
SOMEBODY = 54321
# Somebody else, who may read everything, as the interpreter may lie in a home that is closed to others.
_BECOME = (
    "setpriv",
    *(f"--{kind}id={SOMEBODY}" for kind in ("reu", "reg")),
    "--clear-groups",
    *(f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")),
)
LOOP = (*PYTEST, "--autoresearch", "--autoresearch-confirm", *PLAIN)
_BUG = re.compile(r"Traceback|INTERNALERROR|^E  |^\S+\.py:\d+: ", re.MULTILINE)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, and may become somebody else")


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of its own at `directory`, gone afterwards whatever still uses it."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "none", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def frozen(directory: Path) -> Iterator[None]:
    """`directory` cannot be written to, not by root either."""
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def home_of_somebody() -> Iterator[Path]:
    """A directory that belongs to a user without rights; skips where that user cannot run this interpreter."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-")).resolve()
    try:
        os.chown(directory, SOMEBODY, SOMEBODY)
        if shutil.which("setpriv") is None or as_somebody([*PYTEST, "--version"], directory).returncode:
            pytest.skip("there is no setpriv, or it cannot let somebody else run this interpreter")
        yield directory
    finally:
        shutil.rmtree(directory)


def give_to_somebody(directory: Path) -> None:
    """Let everything in `directory` belong to that user."""
    subprocess.run(["chown", "-R", f"{SOMEBODY}:{SOMEBODY}", str(directory)], check=True)


def as_somebody(
    command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as that user."""
    return subprocess.run(
        [*_BECOME, *command],
        cwd=directory,
        env=clean_environment({"HOME": str(directory), **(env or {})}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def limited(limit: str, command: Sequence[str]) -> list[str]:
    """`command` under `ulimit <limit>`."""
    return ["bash", "-c", f'ulimit {limit}; exec "$@"', "bash", *command]


def run_limited(toy: Toy, limit: str, iterations: int) -> subprocess.CompletedProcess[str]:
    """Run the loop under `ulimit <limit>`."""
    return subprocess.run(
        limited(limit, [*LOOP, f"--iterations={iterations}"]),
        cwd=toy.project,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def unclear(done: subprocess.CompletedProcess[str], *wanted: str) -> list[str]:
    """What is wrong with how a run says that the machine refused: it has to say one of `wanted`, and where."""
    said = done.stdout + done.stderr
    if done.returncode not in (1, 2):
        return [f"it ended with exit status {done.returncode}: {said}"]
    if _BUG.search(said):
        return [f"it says so as a bug does: {said}"]
    lines = ["", *said.splitlines()]
    told = [before + line for before, line in pairwise(lines) if re.search("|".join(wanted), line)]
    if not any(re.search(r"/|git|process|clock", one) for one in told):
        return [f"it does not say what is wrong, and where: {said}"]
    return []


def in_a_namespace(file: str, marks: str) -> None:
    """Run the tests of `file` once more, as the root of a namespace of its own; skips where there can be none."""
    become = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*become, *PYTEST, "--version"], check=False).returncode:
        pytest.skip("a small disk takes root, or a namespace in which this interpreter can be run")
    command = [*become, *PYTEST, file, "-m", marks, *PLAIN]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, done.stdout
