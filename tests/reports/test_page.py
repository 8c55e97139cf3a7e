"""The page of a session, without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_autoresearch.git import Git
from pytest_autoresearch.reports import digest
from pytest_autoresearch.reports.charts import Chart, charts, frame, thinned
from pytest_autoresearch.reports.diffs import diffs
from pytest_autoresearch.reports.digest import Digest
from pytest_autoresearch.reports.overview import duration
from pytest_autoresearch.reports.tally import Tally
from tests.conftest import MakeToy
from tests.reports.synthetic import SCRIPT, lengthen, page_of, story_of
from tests.support import Toy, scores

_LOADING = {"src", "srcset", "data", "poster", "background", "action", "ping"}


class Page(HTMLParser):
    """What a browser would find in a page: tags with their attributes, the text, and the scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found


@pytest.fixture
def toy(make_toy: MakeToy) -> Toy:
    """A session of three experiments: kept, discarded, crashed."""
    reasoned = {
        **scores(8)[0],
        "hypothesis": f"eight is less {SCRIPT}",
        "expected_delta": -1.5,
        "thought_process": "I thought & thought.",
        "alternatives_considered": ["seven"],
        "justification": "It is known.",
        "code_pseudocode": "print 8",
        "risk_level": "high",
    }
    toy = make_toy(reasoned, *scores(9), {"hypothesis": "fail", "content": f"echo '{SCRIPT}'; exit 3\n"})
    toy.run("--iterations=3")
    return toy


def test_the_head_answers_the_four_questions(toy: Toy) -> None:
    text = " ".join(Page(page_of(toy)).text.split())
    assert "make the score small" in text
    assert "10 → 8 -20.00%" in text
    assert "3 experiments: 1 kept, 1 discarded, 1 crashed" in text
    assert "keep rate 33.3%; 2 since the last keep" in text
    assert "no model was asked: 0 tokens, USD 0" in text
    assert "self-reported: the candidate prints its own metric" in text
    assert "noise unknown: nothing was measured twice" in text
    assert "one contract throughout" in text


def test_an_entry_has_reasoning_diff_and_log(toy: Toy) -> None:
    text = Page(page_of(toy)).text
    for said in ("I thought & thought.", "seven", "It is known.", "print 8", "risk high", "-1.5; actual -2"):
        assert said in text
    assert "-echo score: 10" in text
    assert "+echo score: 8" in text
    assert text.count(f"echo '{SCRIPT}'") == 1
    assert "End of the log" in text


def test_what_candidates_say_is_text(toy: Toy) -> None:
    path = page_of(toy)
    page = Page(path)
    assert [one.get("type") for one in page.all("script")] == ["application/json", None, None]
    assert not any("hacked" in script for script in page.scripts[1:])
    assert f"eight is less {SCRIPT}" in page.text
    assert SCRIPT not in path.read_text()


def test_only_its_own_scripts_run_and_nothing_is_loaded(toy: Toy) -> None:
    page = Page(page_of(toy))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    hashes = {base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in page.scripts[1:]}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert policy.startswith("default-src 'none'; ")
    assert not [tag for tag, attributes in page.tags if _LOADING & attributes.keys()]
    links = [one["href"] or "" for tag, one in page.tags if "href" in one]
    assert [link for link in links if not link.startswith(("#", "data:,"))] == []


def test_a_live_page_loads_itself_anew_and_a_finished_one_does_not(toy: Toy) -> None:
    def refreshes(*, live: bool) -> list[str | None]:
        metas = Page(page_of(toy, live=live)).all("meta")
        return [meta["content"] for meta in metas if meta.get("http-equiv") == "refresh"]

    assert (refreshes(live=True), refreshes(live=False)) == (["30"], [])


def test_every_link_leads_somewhere_and_every_name_is_there_once(toy: Toy) -> None:
    lengthen(toy, 400)
    page = Page(page_of(toy))
    names = [one["id"] for _, one in page.tags if "id" in one]
    assert len(names) == len(set(names))
    assert {(one["href"] or "")[1:] for one in page.all("a")} <= set(names)


def test_without_plotly_the_page_is_whole_but_for_the_charts(toy: Toy, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['plotly'] = None\n"
        "from pathlib import Path\n"
        "from pytest_autoresearch.place import find_place\n"
        "from pytest_autoresearch.problem import load_problem\n"
        "from pytest_autoresearch.reports.page import write_page\n"
        "from pytest_autoresearch.reports.story import Story\n"
        "file = Path(sys.argv[1])\n"
        "write_page(Story(find_place(file, 'toy', None), load_problem(file)), Path(sys.argv[2]), live=False)\n"
    )
    path = tmp_path / "bare.html"
    subprocess.run([sys.executable, "-c", code, str(toy.project / "problem.yaml"), str(path)], check=True)
    page = Page(path)
    assert "pip install 'pytest-autoresearch[report]'" in page.text
    assert [one for one in page.all("div") if one.get("class") == "plot"] == []
    assert len(page.all("details")) == 4
    assert path.stat().st_size < 100_000


def test_a_long_session_is_bounded(toy: Toy) -> None:
    lengthen(toy, 2_000)
    page = Page(page_of(toy))
    rows = [one["id"] for one in page.all("tr") if "id" in one]
    assert rows == [f"r{number}" for number in range(2_000, -1, -1)]
    assert len(page.all("details")) <= digest.KEEPS + digest.LATEST + digest.CRASHES
    numbers = [
        number
        for trace in page.data["figures"]["convergence"]["data"]
        for number in trace.get("customdata", ())
        if trace["name"] != "kept"
    ]
    assert len(numbers) <= 1_001
    assert "one in 2 is drawn; the table has all" in page.text


def test_the_charts_are_what_plotly_takes(toy: Toy) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="pip install 'pytest-autoresearch[report]'")
    lengthen(toy, 60)
    for name, figure in Page(page_of(toy)).data["figures"].items():
        assert graph_objects.Figure(figure).data, name


def test_a_change_of_the_contract_breaks_the_line(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9, 8), files={"data": "1"}, problem={"fingerprint": ["data"]})
    toy.run("--iterations=1")
    (toy.checkout / "data").write_text("2")
    toy.run("--iterations=1")
    page = Page(page_of(toy))
    lines = {trace["name"]: trace for trace in page.data["figures"]["convergence"]["data"]}
    assert lines["best so far"]["x"] == [0, 1, 2, 2, 2, 2]
    assert lines["best so far"]["y"] == [10, 9, 9, None, 8, 8]
    assert "numbers left and right of it cannot be compared" in page.text
    assert "The contract changed since the baseline" in page.text


def told(toy: Toy) -> tuple[Digest, list[Chart]]:
    """What is gathered of a toy's session, and its charts."""
    story = story_of(toy)
    found = Digest(Tally(lower_is_better=True))
    found.take_all(story.entries())
    return found, list(charts(found.rows, found.steps, "score", story.progress.spread.deviation))


def test_the_noise_is_a_band_and_an_effect_has_an_interval(toy: Toy) -> None:
    assert "noise, ±1 standard deviation" not in {trace["name"] for trace in (told(toy)[1][0].figure or {})["data"]}
    lengthen(toy, 60)
    figure = told(toy)[1][0].figure
    assert figure is not None
    assert figure["data"][0]["name"] == "noise, ±1 standard deviation"
    assert re.search(
        r"Effect\s*-0\.\d+ \(-?[\d.]+ to [+-][\d.e-]+ at 95%\), p = 0\.04, 3 pairs", Page(page_of(toy)).text
    )


def test_what_cannot_be_drawn_is_said(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9))
    toy.run("--iterations=1")
    silent = {chart.name: chart.caption for chart in told(toy)[1] if chart.figure is None}
    assert silent.keys() == {"resource", "calibration"}
    assert all(caption in Page(page_of(toy)).text for caption in silent.values())


def test_the_resource_has_the_name_that_the_problem_gives_it(make_toy: MakeToy) -> None:
    toy = make_toy(
        {"hypothesis": "ten", "content": "echo size: 10; echo score: 9\n"},
        problem={
            "resource_metric_regex": r"^size: (\d+)$",
            "resource_metric_transform": "identity",
            "results_tsv_columns": ["commit", "score", "size", "status", "what"],
        },
    )
    toy.run("--iterations=1")
    text = Page(page_of(toy)).text
    assert "score against size" in text
    assert "size is the resource that resource_metric_regex finds." in text


def test_the_table_has_the_columns_that_there_is_something_for(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(9))
    toy.run("--iterations=1")
    _, table = page_of(toy).read_text().split('<table class="experiments">')
    table = table.split("</table>")[0]
    heads = re.findall(r"<button[^>]*>(.*?)</button>", table)
    assert heads == ["#", "status", "metric", "Δ", "seconds", "critic", "hypothesis"]
    assert [row.count("<td") for row in re.findall(r"<tr.*?</tr>", table)] == [len(heads)] * 2
    lengthen(toy, 20)
    full = page_of(toy).read_text()
    assert all(f">{name}</button>" in full for name in ("expected Δ", "resource", "tokens"))


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.5, "0.5 s"), (99, "99 s"), (600, "10 min"), (26_700, "7.42 h"), (864_000, "10 days")]
)
def test_a_time_span_has_the_unit_that_suits_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_what_happened_to_the_checkout_is_said(make_toy: MakeToy) -> None:
    toy = make_toy({"hypothesis": "leave a file", "content": "echo > 'a <b> model'; echo score: 7\n"})
    toy.run("--iterations=1")
    text = Page(page_of(toy)).text
    assert "1 left files behind, which were put aside" in text
    assert "a <b> model" in text


def test_what_is_far_out_is_beyond_the_frame() -> None:
    low, high = frame([5, 5.1, 5.2, 5.3, 5.4, 1e9], [5, 5.5])
    assert (4 < low < 5, 5.5 < high < 6) == (True, True)
    assert frame([1], [1]) == pytest.approx((0.95, 1.05))


def test_a_frame_has_a_width_whatever_there_is() -> None:
    for values in ([], [0], [2, 2, 2, 2, 2]):
        low, high = frame(values, values[:1])
        assert low < high


def test_all_keeps_are_drawn_however_many_there_are(toy: Toy) -> None:
    lengthen(toy, 2_000)
    rows = told(toy)[0].rows
    drawn, _ = thinned(rows)
    assert [row for row in drawn if row.status == "keep"] == [row for row in rows if row.status == "keep"]


def test_diffs_of_many_commits_come_in_order_from_one_process(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "repository")
    start = Git(toy.directory).text("rev-parse", "HEAD")
    commits = []
    for content in ("one\n" * 9, "one\n" * 9 + "x" * 500 + "\n" + "a" * 40 + "\n"):
        toy.write("solution.sh", content)
        commits.append(toy.commit("next"))
    first, second = commits
    pairs = [(first, start), ("0" * 40, start), (second, first), (first, first)]
    found = list(diffs(Git(toy.directory), pairs, lines=8, length=100))
    assert [diff.commit for diff in found] == [first, second, first]
    assert [len(diff.lines) for diff in found] == [8, 8, 0]
    assert (found[0].lines[0], found[0].left_out) == ("diff --git a/solution.sh b/solution.sh", 7)
    long = next(iter(diffs(Git(toy.directory), [(second, first)], lines=20, length=100)))
    assert long.lines[-2:] == [f"+{'x' * 99}…", f"+{'a' * 40}"]
    assert asdict(long)["left_out"] == 0
