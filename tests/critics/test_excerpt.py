"""The parts of a file that matter."""

from __future__ import annotations

import random

import pytest

from pytest_autoresearch.critics.excerpt import excerpt

PYTHON = "\n".join(
    [
        '"""A module."""',
        "import math",
        "RATE = 0.1",
        "",
        *[
            line
            for name in ("first", "second", "third")
            for line in (f"def {name}(x):", *[f"    x = {name}_{number}" for number in range(40)], "    return x", "")
        ],
        "if __name__ == '__main__':",
        "    print(first(RATE))",
        "",
    ]
)


def test_a_file_that_fits_is_shown_as_it_is() -> None:
    assert excerpt(PYTHON, len(PYTHON)) == PYTHON


def test_of_python_the_top_level_and_what_is_spoken_of_is_shown() -> None:
    shown = excerpt(PYTHON, 1400, ["second"])
    for line in ("RATE = 0.1", "def first(x):", "def second(x):", "    x = second_20", "def third(x):", "print(first"):
        assert line in shown
    assert "first_20" not in shown
    assert "[... 41 lines left out ...]" in shown
    assert len(shown) < 1600


def test_what_comes_last_is_shown_rather_than_what_comes_first() -> None:
    shown = excerpt(PYTHON, 1400)
    assert "third_20" in shown
    assert "first_20" not in shown


@pytest.mark.parametrize("broken", ["def f(:\n" + "x\n" * 2000, "words and words\n" * 2000])
def test_of_anything_else_the_beginning_and_the_end_are_shown(broken: str) -> None:
    shown = excerpt("START\n" + broken + "END\n", 400)
    assert shown.startswith("START\n")
    assert "END" in shown
    assert "lines left out" in shown


def test_what_is_shown_never_is_much_longer_than_it_may_be_and_stands_in_the_file() -> None:
    chance = random.Random(5)
    for _ in range(200):
        lines = chance.choices(["def f():", "    pass", "class A:", "x = 1", "@d", "", "    '''", "é" * 30], k=60)
        source = "\n".join(lines)
        shown = excerpt(source, 300, ["f"])
        kept = [line for line in shown.split("\n") if "left out" not in line]
        assert sum(len(line) + 1 for line in kept) <= 302 or shown == source
        assert set(kept) <= {*lines, ""}
