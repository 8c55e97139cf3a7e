"""Servers that nobody here wrote: where they are found, how they are started, and how they are ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.support import clean_environment

_PATIENCE_S = 90.0


@dataclass(frozen=True)
class Server:
    """A server that answers; what it prints goes to `log`."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def program(variable: str, name: str, how: str) -> str:
    """The program that an environment variable names, or that is on PATH; skips the test where there is none."""
    if named := os.environ.get(variable):
        found = shutil.which(named)
        assert found, f"{variable}: there is no program {named}"
        return found
    if found := shutil.which(name):
        return found
    pytest.skip(f"no {name}: {how}, then name it in {variable} or put it on PATH")


@contextmanager
def running(
    command: Sequence[str], directory: Path, port: int, ready: str, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The server that `command` starts in `directory`, from when its path `ready` answers; killed in the end."""
    log = directory / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{ready}", log)
        yield Server(port, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while fetch(url)[0] != 200:
        gone = process.poll() is not None
        if gone or time.monotonic() > deadline:
            why = "it ended" if gone else "it does not answer"
            pytest.fail(f"{process.args!r}: {why}\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def fetch(url: str, body: bytes | None = None, key: str = "none") -> tuple[int, str]:
    """The status and the body of a server's answer; 0 where there is none."""
    request = Request(url, body, {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=30) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
