"""The page on the JUnit XML names what is written, no more and no less."""

from __future__ import annotations

import re

from tests.conftest import MakeToy
from tests.support import properties, scores
from tests.test_docs import ROOT

PAGE = (ROOT / "docs" / "junit.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> dict[str, list[str]]:
    """The rows of the first table of a section, by the name in the first column."""
    found = re.findall(r"^\| `(\w+)` \| (.*) \|$", section(title), re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in found}


def test_the_page_has_each_property_that_is_written_in_its_order(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, "none"), {"hypothesis": "as it is", "content": "echo score: 8\n"})
    toy.run("--iterations=3", "--junitxml=report.xml")
    cases = properties(toy.project / "report.xml")
    assert list(rows("Properties of an iteration")) == list(cases["iteration[1]"]) == list(cases["iteration[2]"])
    assert list(rows("Properties of a precondition")) == list(cases["precondition[repo_git]"])
    assert list(cases["iteration[3]"]) == ["status", "reason"]
    assert "has only two: `status`, which\nis `noop`, and `reason`" in section("Properties of an iteration")


def test_the_page_has_what_is_written_of_each_of_several_candidates(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, "none"), problem={"engine": {"candidates": 2}})
    toy.run("--iterations=1", "--junitxml=report.xml")
    found = list(properties(toy.project / "report.xml")["iteration[1]"])
    named = re.findall(r"^\| `LABEL(\.\w+)` \|", section("Properties of an iteration"), re.MULTILINE)
    assert found == [*rows("Properties of an iteration"), *(f"1.{seat}{name}" for seat in (1, 2) for name in named)]


def test_what_is_never_empty_is_not_empty(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, "none"))
    toy.run("--iterations=2", "--junitxml=report.xml")
    cases = properties(toy.project / "report.xml")
    described = rows("Properties of an iteration")
    never = {name for name, (_, _, empty) in described.items() if empty.startswith("never")}
    for number in (1, 2):
        found = cases[f"iteration[{number}]"]
        assert {name for name in never if found[name] == ""} == set()
    crash = {name for name, (_, _, empty) in described.items() if "crash" in empty}
    assert {name for name in crash if cases["iteration[2]"][name] != ""} == set()


def test_numbers_are_numbers(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.run("--iterations=1", "--junitxml=report.xml")
    found = properties(toy.project / "report.xml")["iteration[1]"]
    for name, (kind, *_) in rows("Properties of an iteration").items():
        if kind == "whole number":
            assert found[name] == str(int(found[name]))
        elif kind == "number" and found[name]:
            assert found[name] == repr(float(found[name]))
        elif kind.startswith("`"):
            assert f"`{found[name]}`" in kind
