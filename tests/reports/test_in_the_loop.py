"""What a run keeps up to date while it goes on, and says at its end."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.conftest import MakeToy
from tests.support import kill, scores, wait_for

EAGER = {"state": {"throttle_seconds": 0, "rebuild_every_n_iter": 1}}


def test_a_loop_without_end_leaves_its_xml_when_it_is_killed(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8), {"hypothesis": "slow", "content": "touch started; sleep 100\n"}, problem=EAGER)
    process = toy.start("--junitxml=out.xml", env={"CI": ""})
    wait_for((toy.checkout / "started").exists, "the third experiment")
    kill(process)
    cases = {case.get("name") for case in ElementTree.parse(toy.project / "out.xml").iter("testcase")}
    assert {"precondition[repo_git]", "iteration[1]"} <= cases


def test_the_page_loads_itself_anew_while_the_session_runs_and_not_at_its_end(make_toy: MakeToy) -> None:
    slow = {"hypothesis": "slow", "content": "touch started; sleep 2; echo score: 8\n"}
    toy = make_toy(*scores(9), slow, problem=EAGER)
    process = toy.start("--iterations=2")
    wait_for((toy.checkout / "started").exists, "the second experiment")
    shown = (toy.checkout / "report.html").read_text()
    process.communicate()
    assert 'http-equiv="refresh"' in shown
    ended = (toy.checkout / "report.html").read_text()
    assert 'http-equiv="refresh"' not in ended
    assert "score 9" in shown
    assert "slow" in ended


def test_the_page_goes_where_it_is_to_go(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9))
    done = toy.run("--iterations=1", "--autoresearch-report=out/night.html")
    page = toy.project / "out" / "night.html"
    assert "score 9" in page.read_text()
    assert not (toy.checkout / "report.html").exists()
    assert f"read on: {page}" in done.stdout


def test_the_end_of_a_run_shows_its_course_and_its_largest_keeps(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 11, 5))
    done = toy.run("--iterations=3")
    lines = done.stdout.splitlines()
    assert "best so far: " in done.stdout
    first = lines.index("largest improvements:") + 1
    assert [line.split()[:2] for line in lines[first : first + 2]] == [["3", "-4"], ["1", "-1"]]
