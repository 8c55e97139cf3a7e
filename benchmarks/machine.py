"""The machine that the figures come from, and how much memory a process has taken."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.figures import Series

_SYNCS = 50
_RECORD = b"x" * 400


def describe(directory: Path) -> Iterator[str]:
    """What the figures depend on, line by line; `directory` is where the benchmarks work."""
    git = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.strip()
    yield f"machine: {usable_cores()} cores ({_processor()}), {platform.system()} {platform.release()}"
    yield f"python {platform.python_version()}, {git}, pytest {pytest.__version__}"
    yield f"fsync of a {len(_RECORD)} byte append on {_filesystem(directory)}: {fsync_ms(directory).text(2)} ms"
    yield load()


def load() -> str:
    """How busy the machine is, which the figures of a shared machine are to be read with."""
    return f"load average: {', '.join(f'{value:.1f}' for value in os.getloadavg())} on {usable_cores()} cores"


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def fsync_ms(directory: Path) -> Series:
    """How long it takes to append a record to a file and to see it on disk."""
    file, took = directory / "fsync", []
    with file.open("ab", buffering=0) as stream:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            stream.write(_RECORD)
            os.fsync(stream.fileno())
            took.append((time.perf_counter() - began) * 1000)
    file.unlink()
    return Series(took)


def rss_mib(pid: int) -> float:
    """The memory that a process holds now."""
    return psutil.Process(pid).memory_info().rss / 2**20


def peak_mib(pid: int) -> float:
    """The most memory that a process has held since its program began.

    `ru_maxrss` would do for the calling process alone, and on Linux starts with what its parent held.
    """
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 if pid == os.getpid() else rss_mib(pid)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _filesystem(directory: Path) -> str:
    mounts = [disk for disk in psutil.disk_partitions(all=True) if directory.is_relative_to(disk.mountpoint)]
    return max(mounts, key=lambda disk: len(disk.mountpoint)).fstype if mounts else "an unknown file system"
