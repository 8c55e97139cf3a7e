"""`docs/reliability.md` promises what is tested, and no more."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.chaos.scene import ROOT

PAGE = ROOT / "docs" / "reliability.md"
ABOUT_THE_SUITE = {"test_page.py", "test_mutants.py"}


def rows() -> list[list[str]]:
    """The cells of each row: disturbance, what you see, what is kept, what you do, and the tests."""
    lines = [line.strip("| ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\) \| ", line) for line in lines]
    return [row for row in cells if not row[0].startswith("--") and row[0] != "disturbance"]


@cache
def known_tests() -> dict[str, str]:
    """Each test of the project with the source of its module."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        source = path.read_text()
        names = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        found.update({name: source for name in names if name.startswith("test_")})
    return found


def named(row: list[str]) -> list[str]:
    return re.findall(r"`(test_\w+)`", row[4])


def test_the_page_has_five_cells_a_row() -> None:
    assert rows()
    assert [row for row in rows() if len(row) != 5] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_each_promise_has_tests_and_each_message_stands_in_them(row: list[str]) -> None:
    assert named(row)
    assert [name for name in named(row) if name not in known_tests()] == []
    asserted = "".join(re.sub(r'"\s*f?"', "", known_tests()[name]) for name in named(row))
    said = re.findall(r"`([^`]+)`", row[1])
    assert [text for text in said if not all(part.strip() in asserted for part in text.split("…"))] == []


def test_each_test_of_the_suite_stands_for_a_promise() -> None:
    promised = {name for row in rows() for name in named(row)}
    here = [path for path in Path(__file__).parent.glob("test_*.py") if path.name not in ABOUT_THE_SUITE]
    missing = {
        node.name
        for path in here
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    } - promised
    assert missing == set()
