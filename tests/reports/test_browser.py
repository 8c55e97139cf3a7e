"""The page in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import drawn, started_chromium
from tests.conftest import MakeToy
from tests.reports.synthetic import SCRIPT, lengthen, page_of
from tests.support import Toy, scores

pytestmark = pytest.mark.browser

_EXPERIMENTS = 60
_PATIENCE_MS = 20_000
Opened = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser that runs as long as the tests of this module."""
    with started_chromium() as browser:
        yield browser


@pytest.fixture
def toy(make_toy: MakeToy) -> Toy:
    """A session of which the first experiments really ran."""
    toy = make_toy(*scores(9.5), {"hypothesis": f"fail {SCRIPT}", "content": "exit 3\n"})
    toy.run("--iterations=2")
    lengthen(toy, _EXPERIMENTS)
    return toy


@pytest.fixture
def opened(chromium: Any, toy: Toy) -> Iterator[Opened]:
    """Opens the page of the session; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: Path | None = None, *, width: int = 1200, scheme: str = "light", **options: Any) -> Any:
        size = {"width": width, "height": 900}
        contexts.append(chromium.new_context(viewport=size, color_scheme=scheme, offline=True, **options))
        contexts[-1].set_default_timeout(_PATIENCE_MS)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: complaints.append(asked.url) if not _is_local(asked.url) else None)
        page.goto((path or page_of(toy)).as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _is_local(url: str) -> bool:
    return url.startswith(("file:", "data:"))


def numbers(page: Any) -> list[int]:
    """The experiments in the table that can be seen, from the top."""
    return [int(text) for text in page.locator("#rows tr:visible td.n").all_inner_texts()]


def test_each_experiment_is_a_point(opened: Opened) -> None:
    page = opened()
    chart = drawn(page)
    assert chart.locator(".scatterlayer .point").count() == _EXPERIMENTS + 1
    assert chart.locator(".scatterlayer .js-line").count() >= 1
    for name in ("resource", "calibration", "effort"):
        assert drawn(page, name).locator(".main-svg").count() >= 1


def test_the_table_sorts_by_each_column(opened: Opened) -> None:
    page = opened()
    assert numbers(page) == list(range(_EXPERIMENTS, -1, -1))
    page.get_by_role("button", name="#").click()
    assert numbers(page) == list(range(_EXPERIMENTS + 1))
    page.get_by_role("button", name="metric").click()
    shown = [text for text in page.locator("#rows tr td:nth-child(3)").all_inner_texts() if text != "-"]
    assert [float(text) for text in shown] == sorted(float(text) for text in shown)
    assert page.locator("#rows tr").last.locator("td:nth-child(3)").inner_text() == "-"
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("metric")


def test_several_of_an_iteration_have_their_labels_and_are_sorted_as_they_were_made(
    opened: Opened, make_toy: MakeToy
) -> None:
    toy = make_toy(
        *scores(*range(20, 32)), problem={"engine": {"candidates": 11}, "branch_prefix": "many"}, prefix="many"
    )
    toy.run("--iterations=1")
    page = opened(page_of(toy))
    labels = ["0", *(f"1.{seat}" for seat in range(1, 12))]
    assert page.locator("#rows tr:visible td.n").all_inner_texts() == labels[::-1]
    page.get_by_role("button", name="#").click()
    assert page.locator("#rows tr:visible td.n").all_inner_texts() == labels
    drawn(page)
    texts = (
        "document.getElementById('convergence').data.flatMap((one) => (one.customdata ?? []).map(([, name]) => name))"
    )
    assert sorted(page.evaluate(texts)) == sorted(labels)
    page.evaluate("Plotly.Fx.hover('convergence', [{ curveNumber: 1, pointNumber: 2 }])")
    assert page.locator("#convergence .hoverlayer").text_content().startswith("1.3 discarded: 22")


def test_it_sorts_with_the_keyboard_alone(opened: Opened) -> None:
    page = opened()
    page.get_by_role("button", name="#").focus()
    page.keyboard.press("Enter")
    assert numbers(page)[0] == 0
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_the_first_tab_skips_to_the_results(opened: Opened) -> None:
    page = opened()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_table_is_filtered(opened: Opened) -> None:
    page = opened()
    page.locator("#filters [name=status]").select_option("crash")
    crashed = page.locator("#rows tr:visible")
    assert crashed.count() > 1
    assert set(crashed.locator("td:nth-child(2)").all_inner_texts()) == {"✕ crashed"}
    page.locator("#filters [name=text]").fill("FAIL <script>")
    assert numbers(page) == [2]
    assert page.locator("#count").inner_text() == f"1 of {_EXPERIMENTS + 1} match, 1 shown"
    page.locator("#filters [name=critic]").select_option("tuner")
    assert numbers(page) == []


def test_a_long_table_shows_its_head_until_it_is_asked_for_all(opened: Opened, toy: Toy) -> None:
    lengthen(toy, 400)
    page = opened()
    assert numbers(page) == list(range(400, 150, -1))
    page.get_by_role("button", name="Show all that match").click()
    assert numbers(page) == list(range(400, -1, -1))
    assert page.get_by_role("button", name="Show all that match").is_hidden()


def test_the_pointer_on_a_point_shows_its_hypothesis_and_a_click_goes_to_its_entry(opened: Opened) -> None:
    page = opened()
    chart = drawn(page)
    chart.scroll_into_view_if_needed()
    box = page.evaluate(
        "() => { const plot = document.getElementById('convergence'), trace = plot.data.find(t => t.name == 'kept');"
        "const area = plot.querySelector('.nsewdrag').getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;"
        "return [area.x + xaxis.d2p(trace.x[1]), area.y + yaxis.d2p(trace.y[1])]; }"
    )
    page.mouse.move(*box)
    page.wait_for_selector("#convergence .hovertext")
    assert "score 9.5" in (page.locator("#convergence .hovertext").text_content() or "")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile("#e1$"))
    assert page.locator("#e1").get_attribute("open") is not None
    assert page.get_by_text("+echo score: 9.5").is_visible()


def test_a_script_in_a_hypothesis_is_text(opened: Opened) -> None:
    page = opened()
    drawn(page)
    assert page.locator("#r2 td.h").inner_text() == f"fail {SCRIPT}"
    assert page.evaluate("window.hacked") is None


def test_a_script_that_got_into_the_page_would_not_run(chromium: Any, toy: Toy, tmp_path: Path) -> None:
    attacked = tmp_path / "attacked.html"
    attacked.write_text(page_of(toy).read_text().replace("<main", f"{SCRIPT}<main"))
    page = chromium.new_page()
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text))
    page.goto(attacked.as_uri())
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in said for said in refused)
    page.close()


@pytest.mark.parametrize("width", [380, 800])
def test_nothing_sticks_out_of_a_phone(opened: Opened, width: int) -> None:
    page = opened(width=width)
    for name in ("convergence", "effort"):
        drawn(page, name)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_dark_page_is_dark_and_so_is_the_light_one_light(opened: Opened) -> None:
    def shades(scheme: str) -> tuple[int, int]:
        page = opened(scheme=scheme)
        tick = drawn(page).locator(".xtick text").first
        colours = (
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            tick.evaluate("one => getComputedStyle(one).fill"),
        )
        ground, text = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
        return ground, text

    ground, text = shades("dark")
    assert (ground < 150, text > 500) == (True, True)
    ground, text = shades("light")
    assert (ground > 600, text < 250) == (True, True)


def test_the_keeps_are_open_in_print(opened: Opened) -> None:
    page = opened()
    drawn(page)
    page.pdf()
    assert page.locator("details.keep:not([open])").count() == 0
    assert page.locator("details.discard[open]").count() == 0
    assert page.locator(".plot:not([data-drawn])").count() == 0


def test_it_goes_on_where_the_reader_was_when_it_loads_anew(opened: Opened) -> None:
    page = opened()
    page.locator("#filters [name=status]").select_option("keep")
    page.locator("#e2 summary").click()
    before = page.evaluate("scrollY")
    page.reload()
    assert page.locator("#e2").get_attribute("open") is not None
    assert page.locator("#filters [name=status]").input_value() == "keep"
    assert abs(page.evaluate("scrollY") - before) < 50
