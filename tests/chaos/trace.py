"""What the processes of a run did to the disk, in order, as `strace` saw it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = "openat,write,fsync,sync_file_range,rename,renameat,renameat2,link,linkat,mkdir,execve"
_LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<rest>.*)")
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"^\d+<([^>]*)>")


@dataclass(frozen=True)
class Event:
    """One system call; `ended` is the line of the trace on which it had returned, `began` the one where it began.

    `path` is what it changes, `source` where a link or a renamed file comes from, `text` what is written.
    """

    began: int
    ended: int
    call: str
    path: str
    source: str = ""
    text: str = ""


def why_no_strace(directory: Path) -> str:
    """Why runs cannot be traced here; '' if they can."""
    if not shutil.which("strace"):
        return "no strace: install it with the system's package manager (CONTRIBUTING.md)"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(directory / "probe"), "true"], capture_output=True, text=True, check=False
    )
    return f"strace may not trace here: {done.stderr.strip()}" if done.returncode else ""


def traced(command: Sequence[str], trace: Path) -> list[str]:
    """The command that does the same and writes what it does to `trace`."""
    options = ("-f", "-qq", "-y", "-s", "120", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace))
    return ["strace", *options, *command]


def read_trace(trace: Path) -> list[Event]:
    """The calls that changed something and did not fail, in the order in which they began."""
    return sorted(_events(trace.read_text(errors="replace").splitlines()), key=lambda event: event.began)


def _events(lines: Sequence[str]) -> Iterator[Event]:
    open_calls: dict[tuple[str, str], tuple[int, str]] = {}
    for number, line in enumerate(lines):
        if resumed := _RESUMED.match(line):
            began, start = open_calls.pop((resumed["pid"], resumed["call"]), (number, ""))
            yield from _event(began, number, resumed["call"], start + resumed["rest"])
        elif begun := _LINE.match(line):
            if begun["rest"].endswith("<unfinished ...>"):
                start = begun["rest"].removesuffix("<unfinished ...>")
                open_calls[begun["pid"], begun["call"]] = (number, start)
            else:
                yield from _event(number, number, begun["call"], begun["rest"])


def _event(began: int, ended: int, call: str, rest: str) -> Iterator[Event]:
    arguments, _, result = rest.rpartition(" = ")
    if result.startswith("-1") or (call == "openat" and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", arguments)):
        return
    texts = _TEXT.findall(arguments)
    if call in ("write", "fsync", "sync_file_range"):
        if found := _DESCRIPTOR.match(arguments):
            yield Event(began, ended, call, found[1], text=texts[0] if texts else "")
    elif call == "openat":
        opened = re.search(r"<([^>]*)>$", result)
        yield Event(began, ended, "open", opened[1] if opened else texts[0])
    elif call.startswith(("rename", "link")):
        yield Event(began, ended, call[:4], texts[-1], source=texts[0])
    else:
        yield Event(began, ended, call, texts[0])
