"""What a page of the documentation says, for tests that do it: its problems and its command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.test_docs import ROOT, blocks

_OURS = re.compile(r"(?:^|[\s;&|({\"'])(pytest(?:-autoresearch)?(?: [^`\"'|>&#()]+)?)")


def page(name: str) -> Path:
    """The page `docs/NAME.md`."""
    return ROOT / "docs" / f"{name}.md"


def problems(name: str) -> list[dict[str, Any]]:
    """Each YAML block of a page, in order."""
    return [yaml.safe_load(block) for block in blocks(page(name), "yaml")]


def section(name: str, heading: str) -> str:
    """The text under a heading, up to the next one of its level."""
    _, _, rest = page(name).read_text().partition(f"\n## {heading}\n")
    assert rest, f"{name}: no heading {heading}"
    return rest.split("\n## ")[0]


def fenced(text: str, language: str) -> list[str]:
    """The fenced blocks of a text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def command_lines(name: str) -> Iterator[list[str]]:
    """The words of each command of ours on a page: in blocks of commands, and between backquotes in its prose."""
    text = page(name).read_text()
    shown = [line for kind in ("sh", "bash", "console") for block in fenced(text, kind) for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for line in (*shown, *(span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose))):
        if not line.startswith("#"):
            for command in _OURS.findall(line):
                yield shlex.split(re.sub(r"-k ?$", "-k x", command.strip()))
