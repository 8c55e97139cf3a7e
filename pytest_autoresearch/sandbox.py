"""Where a runner runs with `sandbox:`: bubblewrap's view of the machine, in which it finds little and changes less.

https://github.com/containers/bubblewrap, bwrap(1): mounts are made in the order of the options, a later one over an
earlier one.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.sections import SandboxSection

_PROGRAM = "bwrap"
# Private and empty: what others left there, and the sockets by which services of the machine are told what to do.
_EMPTY = ("/tmp", "/var/tmp", "/run", "/mnt", "/media")
_RESOLVER = ("/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf")
_DEVICES = ("nvidia*", "dri", "kfd", "accel", "dxg")
_KIB_PER_GB = 1_000_000_000 // 1024

Mounts = Iterator[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sandbox is laid around: the session's `checkout` and the problem's directory `project` in it.

    `kept` are files of the project that it may read and not change, `linked` what links in the project lead to.
    `home` is the user's own checkout, `common` the directory of its git, with the session's records.
    """

    checkout: Path
    project: Path
    home: Path
    common: Path
    kept: tuple[Path, ...]
    linked: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox of a session; none, if the problem asks for none."""

    section: SandboxSection
    around: Surroundings

    def command(self, argv: tuple[str, ...], directory: Path) -> tuple[str, ...]:
        """The command that runs `argv` in `directory`, inside."""
        if self.section.kind == "none":
            return argv
        options = [word for mount in self._mounts() for word in mount]
        return (_PROGRAM, *_isolation(self.section), *options, "--chdir", str(directory), "--", *self._limited(argv))

    def _limited(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The same with the limit on memory, which each of its processes inherits."""
        if self.section.memory_gb is None:
            return argv
        kib = int(self.section.memory_gb * _KIB_PER_GB)
        return ("bash", "-c", f'ulimit -d {kib} && exec "$@"', "bash", *argv)

    def _mounts(self) -> Mounts:
        around = self.around
        yield from _system(network=self.section.network)
        for path in _outermost([Path.home(), around.home]):
            yield "--tmpfs", str(path)
        for path in [*_interpreter(), *around.linked, *map(_absolute, self.section.show)]:
            yield "--ro-bind-try", str(path), str(path)
        yield "--bind", str(around.checkout), str(around.checkout)
        for path in [around.checkout / ".git", *around.kept]:
            if not path.is_dir():
                yield "--ro-bind-try", str(path), str(path)
        yield from _hidden([around.common, around.project / ".autoresearch", *self._to_hide()])

    def _to_hide(self) -> list[Path]:
        """The paths that `hide` names; those of the project in both checkouts."""
        named = [Path(name).expanduser() for name in self.section.hide]
        tops = (self.around.project, self.around.checkout)
        return [path if path.is_absolute() else top / path for path in named for top in tops]


def why_none(section: SandboxSection) -> str:
    """Why the sandbox that is asked for is not to be had here; '' if it is, or if none is asked for."""
    if section.kind == "none":
        return ""
    if shutil.which(_PROGRAM) is None:
        return f"{_PROGRAM} is not on PATH; install bubblewrap"
    command = [_PROGRAM, *_isolation(section), *(word for mount in _system(network=True) for word in mount), "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return f"{_PROGRAM} cannot work here: {done.stderr.strip()}" if done.returncode else ""


def in_words(section: SandboxSection) -> str:
    """What is enforced here, and what is not; UserError if the sandbox cannot be had."""
    if section.kind == "none":
        return "no sandbox: a candidate has your rights"
    if why := why_none(section):
        raise UserError(f"sandbox: {why}; or take `sandbox` out, and a candidate has your rights")
    memory = "memory is not limited"
    if section.memory_gb is not None:
        memory = f"{section.memory_gb:g} GB of memory for each process"
    return (
        f"sandbox {_PROGRAM}: the system read-only, home and repository hidden, "
        f"{'the network open' if section.network else 'no network'}, nothing outlives it; {memory}, "
        "the number of processes and the disk are not limited"
    )


def _isolation(section: SandboxSection) -> tuple[str, ...]:
    apart = ("--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    network = () if section.network else ("--unshare-net",)
    return (*apart, *network, "--die-with-parent", "--new-session", "--cap-drop", "ALL")


def _system(*, network: bool) -> Mounts:
    """The machine, read-only and without what others left on it."""
    yield "--ro-bind", "/", "/"
    yield "--dev", "/dev"
    yield "--proc", "/proc"
    for pattern in _DEVICES:
        for device in sorted(Path("/dev").glob(pattern)):
            yield "--dev-bind-try", str(device), str(device)
    for directory in _EMPTY:
        if Path(directory).is_dir() and not Path(directory).is_symlink():
            yield "--tmpfs", directory
    for directory in _RESOLVER if network else ():
        yield "--ro-bind-try", directory, directory


def _interpreter() -> list[Path]:
    """Where our own interpreter and what it imports lie, which may be in a home that is hidden."""
    packages = [Path(site.getusersitepackages())] if site.ENABLE_USER_SITE else []
    return [*dict.fromkeys((Path(sys.prefix), Path(sys.base_prefix))), *packages]


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """The paths without those that lie in another one of them, and without the root."""
    real = sorted({path.resolve() for path in paths} - {Path("/")})
    return [path for path in real if not any(other in path.parents for other in real)]


def _hidden(paths: Iterable[Path]) -> Mounts:
    """An empty directory or an empty file in the place of each path that is there."""
    for path in dict.fromkeys(paths):
        if path.is_dir():
            yield "--tmpfs", str(path)
        elif os.path.lexists(path):
            yield "--ro-bind", os.devnull, str(path)


def _absolute(name: str) -> Path:
    return Path(name).expanduser().resolve()
