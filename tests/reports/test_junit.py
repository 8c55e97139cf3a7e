"""The JUnit XML, made anew from the ledger."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_autoresearch.reports.junit import JunitView, write_junit
from tests.conftest import MakeToy
from tests.reports.synthetic import story_of
from tests.support import Toy, git, kill, properties, scores, wait_for

SAME = {"hypothesis": "the same in other words", "content": "echo 'score: 10'\n"}
NOTHING = {"hypothesis": "as it is", "content": "echo score: 8\n"}
STRANGE = """
from pytest_autoresearch.records import Idea

def pytest_autoresearch_propose(brief):
    if brief.number == 4:
        return Idea(hypothesis=HOSTILE, content="echo score: 9.5\\n", risk_level="high", critic="strange")

HOSTILE = """
HOSTILE = '\x1b[31m</property><script>"&\x00\x07\x85\ud800\ufffe\U0001f600\nsecond line'


def rebuilt(toy: Toy, **named: str) -> Path:
    path = toy.directory / "rebuilt.xml"
    write_junit(story_of(toy), path, **named)
    return path


def cases(xml: Path) -> list[tuple[str | None, str | None, dict[str, str], list[tuple[str, str | None]]]]:
    """Of each test case its names, its properties, and what it says besides with which message."""
    found = []
    for case in ElementTree.parse(xml).iter("testcase"):
        held = {str(one.get("name")): str(one.get("value")) for one in case.iter("property")}
        said = [(child.tag, child.get("message")) for child in case if child.tag != "properties"]
        found.append((case.get("classname"), case.get("name"), held, said))
    return found


def test_it_says_what_the_xml_of_the_run_says(make_toy: MakeToy) -> None:
    toy = make_toy(
        *scores(8, 9, "none"),
        NOTHING,
        inside="a b/c.d",
        problem={"resource_metric_regex": r"score: (\S+)"},
        files={"conftest.py": f"{STRANGE}{HOSTILE!a}"},
    )
    done = toy.pytest(
        "--autoresearch",
        "--autoresearch-confirm",
        "--iterations=5",
        "--junitxml=run.xml",
        "a b/c.d/problem.yaml",
        cwd=toy.directory,
    )
    assert done.returncode == 0, done.stdout
    told = cases(rebuilt(toy))
    assert told == cases(toy.directory / "run.xml")
    assert [name for _, name, _, _ in told][9:] == [f"iteration[{number}]" for number in range(1, 6)]
    assert [held["status"] for _, _, held, _ in told[9:]] == ["keep", "discard", "crash", "discard", "noop"]
    assert "#x1B[31m</property>" in told[12][2]["hypothesis"]


def test_so_it_does_of_what_never_ran_and_of_what_ran_under_another_contract(make_toy: MakeToy) -> None:
    misfit = {"hypothesis": "misfit", "edits": [{"search": "nowhere", "replace": "there"}]}
    toy = make_toy(*scores(9, 9.5), misfit, *scores(8), files={"data": "1"}, problem={"fingerprint": ["data"]})
    toy.run("--iterations=1")
    (toy.checkout / "data").write_text("2")
    toy.run("--iterations=3", "--junitxml=run.xml")
    told = cases(rebuilt(toy, run_id=toy.ledger("run")[1]["run_id"]))
    assert told == cases(toy.project / "run.xml")
    assert [held["delta"] for _, _, held, _ in told[9:]] == ["0.5", "", "-1.0"]
    assert [bool(held["commit"]) for _, _, held, _ in told[9:]] == [True, False, True]


def test_so_it_does_where_a_candidate_is_measured_again(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 11), problem={"noise": {}})
    toy.run("--iterations=2", "--junitxml=run.xml")
    assert cases(rebuilt(toy)) == cases(toy.project / "run.xml")


def test_so_it_does_where_an_iteration_makes_several(make_toy: MakeToy) -> None:
    """With a crash among them, one of ideas that do not fit, one of ideas that come to nothing, and a short one."""
    misfits = [
        {"hypothesis": f"misfit {number}", "edits": [{"search": "nowhere", "replace": "there"}]} for number in range(3)
    ]
    toy = make_toy(
        *scores(9, "none", 8),
        *misfits,
        *3 * [NOTHING],
        *scores(8.5),
        problem={"engine": {"candidates": 3}},
    )
    toy.run("--iterations=5", "--junitxml=run.xml")
    told, live = cases(rebuilt(toy)), cases(toy.project / "run.xml")
    assert live.pop()[3][0][0] == "skipped"
    assert told == live
    made = [held for _, _, held, _ in told[9:]]
    assert [held["status"] for held in made] == ["keep", "crash", "noop", "discard"]
    assert [held.get("experiment") for held in made] == ["1.3", "2.1", None, "3.1"]
    assert [made[0][f"1.{seat}.status"] for seat in (1, 2, 3)] == ["discard", "crash", "keep"]
    assert made[1]["2.3.reason"].startswith("edit: ")
    assert "3.1.status" not in made[3]
    assert list(made[0])[-10::5] == ["1.2.status", "1.3.status"]


def test_what_a_kill_left_of_an_iteration_is_a_case_of_the_run_that_ended_it(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8, 7), problem={"engine": {"candidates": 3}})
    toy.run("--iterations=1")
    ledger = toy.records / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    first = next(at for at, line in enumerate(lines) if '"kind":"result"' in line and '"seat":1' in line)
    ledger.write_text("".join(lines[: first + 1]))
    git(toy.directory, "update-ref", "refs/heads/toy/run1", toy.ledger("begin")[0]["commit"])
    toy.run("--iterations=1", "--junitxml=run.xml")
    before, after = (run["run_id"] for run in toy.ledger("run"))
    assert cases(rebuilt(toy, run_id=after)) == cases(toy.project / "run.xml")
    (part,) = cases(rebuilt(toy, run_id=before))
    assert (part[2]["experiment"], part[2]["status"]) == ("1.1", "discard")


def test_both_are_the_same_to_junitparser(make_toy: MakeToy) -> None:
    junitparser = pytest.importorskip("junitparser", reason="needs junitparser: pip install junitparser")
    toy = make_toy(*scores(8, 9, "none"), SAME)
    toy.run("--iterations=4", "--junitxml=run.xml")

    def held(case: Any) -> Any:
        return case.child(junitparser.Properties) or ()

    def parsed(xml: Path) -> list[Any]:
        (suite,) = junitparser.JUnitXml.fromfile(str(xml))
        counts = (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped, suite.hostname)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d", suite.timestamp)
        listed = [
            (
                case.classname,
                case.name,
                case.is_passed,
                [(p.name, p.value) for p in case.child(junitparser.Properties) or ()],
            )
            for case in suite
        ]
        return [counts, *listed]

    assert parsed(rebuilt(toy)) == parsed(toy.project / "run.xml")


def test_a_precondition_that_failed_is_a_failure_and_what_it_blocks_is_skipped(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.run("--iterations=1")
    git(toy.directory, "rm", "--quiet", "ideas.yaml")
    done = toy.pytest("problem.yaml", "--junitxml=run.xml")
    assert done.returncode == 1
    made, written = cases(rebuilt(toy))[1:], cases(toy.project / "run.xml")
    assert made == written
    assert {tag for *_, said in made for tag, _ in said} == {"failure", "skipped"}


def test_each_run_is_a_suite_and_the_last_one_has_the_preconditions(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 9, 7))
    toy.run("--iterations=2")
    toy.run("--iterations=1", "--junitxml=run.xml")
    first, second = ElementTree.parse(rebuilt(toy)).iter("testsuite")
    assert [case.get("name") for case in first] == ["iteration[1]", "iteration[2]"]
    assert (first.get("tests"), second.get("tests"), second.get("skipped")) == ("2", "10", "1")
    last = toy.ledger("run")[1]["run_id"]
    assert cases(rebuilt(toy, run_id=last)) == cases(toy.project / "run.xml")


def test_what_was_measured_before_a_kill_is_there(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), {"hypothesis": "stay", "content": "sleep 60\n"})
    process = toy.start("--iterations=2", "--junitxml=run.xml")
    wait_for(
        lambda: (toy.records / "ledger.jsonl").exists() and len(toy.ledger("applied")) == 2, "the second candidate"
    )
    kill(process)
    assert not (toy.project / "run.xml").exists()
    found = properties(rebuilt(toy))
    assert found["iteration[1]"]["metric_value"] == "8.0"
    assert "iteration[2]" not in found
    assert "precondition[repo_git]" in found


def test_a_view_is_written_when_it_is_time_to(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    story, path = story_of(toy), toy.directory / "live.xml"
    run_id = toy.ledger("run")[0]["run_id"]
    named: dict[str, Any] = {"run_id": run_id, "module": "sub/problem.yaml"}
    always = JunitView(story.place, story.problem, path, throttle_s=0, **named)
    seldom = JunitView(story.place, story.problem, path, throttle_s=3600, **named)
    assert always.refresh()
    assert cases(path)[-1][:2] == ("sub.problem.yaml", "iteration[1]")
    path.unlink()
    assert seldom.refresh()
    assert not seldom.refresh()
    assert path.exists()


def test_a_view_that_cannot_be_written_costs_nothing(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    toy.run("--iterations=1")
    story = story_of(toy)
    (toy.directory / "file").write_text("")
    hindered = toy.directory / "file" / "live.xml"
    view = JunitView(story.place, story.problem, hindered, throttle_s=0, run_id="", module="")
    assert not view.refresh()
