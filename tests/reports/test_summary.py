"""The summary in Markdown."""

from __future__ import annotations

from pytest_autoresearch.reports.summary import summary_markdown
from tests.conftest import MakeToy
from tests.reports.synthetic import story_of
from tests.support import scores


def rows(markdown: str) -> dict[str, str]:
    """The first table, by its first column."""
    table = markdown.split("|---|---|\n")[1].split("\n\n", maxsplit=1)[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return {name: value for name, value in cells if name}


def test_it_says_what_was_tried_and_what_it_gave(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 9.5, "none", 8))
    toy.run("--iterations=4")
    markdown = summary_markdown(story_of(toy))
    told = rows(markdown)
    assert told["experiments"] == "4: 2 kept, 1 discarded, 1 crashed"
    assert told["score"] == "10 → **8** (-20.00%), lower is better"
    assert told["best"] == f"experiment 4, commit `{toy.ledger('result')[4]['commit'][:12]}`"
    assert told["trust"].startswith("self-reported: ")
    assert "| 1 | 9 | -1 | `score 9` |\n| 4 | 8 | -1 | `score 8` |\n" in markdown


def test_it_says_so_where_nothing_was_kept(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(11))
    toy.run("--iterations=1")
    assert summary_markdown(story_of(toy)).endswith("\n\nNothing was kept.\n")


def test_a_keep_that_was_measured_again_has_an_interval(make_toy: MakeToy) -> None:
    noisy = {"hypothesis": "noisy", "content": "echo score: 5.$((RANDOM % 10))\n"}
    toy = make_toy(noisy, files={"solution.sh": "echo score: 10.$((RANDOM % 10))\n"}, problem={"noise": {}})
    toy.run("--iterations=1")
    assert " at 95%) | `noisy` |" in summary_markdown(story_of(toy))


def test_nothing_that_a_model_says_is_markdown(make_toy: MakeToy) -> None:
    hostile = "`| <img src=x> @everyone [click](http://evil) \n| # big **bold** \x1b[31m"
    toy = make_toy(
        {"hypothesis": hostile, "content": "echo score: 9\n"}, problem={"objective": "make <b>it</b> | small"}
    )
    toy.run("--iterations=1")
    markdown = summary_markdown(story_of(toy))
    assert r"| `'\| <img src=x> @everyone [click](http://evil)  \| # big **bold**` |" in markdown
    assert r"make \<b\>it\</b\> \| small" in markdown
