"""examples/*/sample_run: real sessions, told alike by each of their files and by the READMEs."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.picture import EXAMPLES, PICTURE, ROOT, Audit, draw, sample, sample_audit
from benchmarks.samples import SAMPLES
from pytest_autoresearch.problem import load_problem
from pytest_autoresearch.text import number
from tests.browser import drawn, started_chromium

SCHEMA = json.loads((ROOT / "docs" / "audit-schema.json").read_text())
ELSEWHERE = re.compile(r"(?<![\w.])/(tmp|root|work|Users)\b")


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def audit(example: str) -> Audit:
    return sample_audit(example)


def rows(example: str) -> list[dict[str, str]]:
    with (sample(example) / "results.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def text(example: str, name: str) -> str:
    return (sample(example) / name).read_text()


def readme_row(page: Path, start: str) -> str:
    """The one row of a page's tables that starts so."""
    (found,) = (line for line in page.read_text().splitlines() if line.startswith(f"| {start}"))
    return found


def test_the_audit_has_the_form_of_today(audit: Audit) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
    jsonschema.validate(audit, SCHEMA)


def test_the_audit_and_the_results_tell_the_same(example: str, audit: Audit) -> None:
    problem, found = load_problem(ROOT / "examples" / example / "problem.yaml"), rows(example)
    assert tuple(found[0]) == problem.columns
    assert [row["status"] for row in found] == [one["status"] for one in audit["experiments"]]
    assert [row["commit"] for row in found] == [one["commit"][:7] for one in audit["experiments"]]
    for column, field in ((problem.metric_name, "metric"), (problem.columns[2], "resource")):
        assert [float(row[column]) for row in found] == [one[field] for one in audit["experiments"]]


def test_the_summary_adds_up(example: str, audit: Audit) -> None:
    summary, found = audit["summary"], rows(example)
    metrics = [float(row[audit["session"]["metric"]]) for row in found]
    statuses = [row["status"] for row in found[1:]]
    assert summary["experiments"] == len(statuses) == (20 if example == "tsp_heuristic" else 30)
    counted = [statuses.count(status) for status in ("keep", "discard", "crash")]
    assert [summary["kept"], summary["discarded"], summary["crashed"]] == counted
    assert (summary["baseline"], summary["best"]) == (metrics[0], min(metrics))
    assert metrics[summary["best_experiment"]] == summary["best"]


def test_every_file_names_the_same_best(example: str, audit: Audit) -> None:
    summary = audit["summary"]
    baseline, best, which = number(summary["baseline"]), number(summary["best"]), summary["best_experiment"]
    assert f"| best | {best} (experiment {which}) |" in text(example, "AUDIT_LOG.md")
    assert f"{baseline} → {best}, evaluated\n- experiment {which}, " in text(example, "STATE.md")
    assert f"{baseline} → {best} in {summary['experiments']} experiments" in text(example, "README.md")
    page = text(example, "report.html")
    assert f"{baseline} → <strong>{best}</strong>" in page
    assert f'best: <a href="#r{which}">experiment {which}</a>' in page


def test_the_xml_has_a_case_for_each_experiment(example: str, audit: Audit) -> None:
    cases = [case.get("name", "") for case in ElementTree.parse(sample(example) / "junit.xml").iter("testcase")]
    assert sum(name.startswith("iteration[") for name in cases) == audit["summary"]["experiments"]


def test_it_says_who_made_it_and_how(example: str, audit: Audit) -> None:
    said = text(example, "README.md")
    (made,) = (one for one in SAMPLES if one.example == example)
    assert "```console\n" + "\n".join(made.commands) + "\n```" in said
    assert "no LLM was used" in said
    assert {one["critic"] for one in audit["critics"]} <= {"replay", "tuner"}
    for one in audit["critics"]:
        assert f"{one['critic']} ({one['tried']} experiments, {one['kept']} kept)" in said
    assert audit["session"]["began"][:10] in said
    assert not (sample(example) / "critic_logs").exists()
    assert "There is no `critic_logs/`" in said
    named = {name for row in re.findall(r"^\| (`.*?) \|", said, re.MULTILINE) for name in re.findall("`(.*?)`", row)}
    assert named | {"README.md"} == {path.name for path in sample(example).iterdir()}


def test_it_names_nothing_of_the_machine_that_made_it(example: str) -> None:
    for path in sample(example).iterdir():
        read = path.read_text()
        if path.suffix == ".html":
            read = re.sub(r"<script>.*?</script>", "", read, flags=re.DOTALL)
        assert not ELSEWHERE.search(read), path


def test_the_example_says_where_it_is_and_what_came_of_it(example: str, audit: Audit) -> None:
    said = (ROOT / "examples" / example / "README.md").read_text()
    assert "[sample_run/](sample_run/)" in said
    assert f"{audit['summary']['best']:.6f}" in said


def test_the_tables_of_the_readmes_are_of_this_run() -> None:
    tsp, xgboost = (ROOT / "examples" / name / "README.md" for name in EXAMPLES[:2])
    for one in sample_audit("tsp_heuristic")["experiments"][:5]:
        assert readme_row(tsp, f"{one['number']} |").endswith(f"| {one['metric']:.6f} | {one['status']} |")
    best = sample_audit("xgboost_tuning")["summary"]["best"]
    assert f"| {best:.6f} | 30 iterations, tag `run1` |" in readme_row(xgboost, "888 |")
    for name in EXAMPLES[:2]:
        summary = sample_audit(name)["summary"]
        assert f"{summary['baseline']:.5f} → {summary['best']:.5f}" in readme_row(ROOT / "README.md", f"[{name}]")


def test_the_picture_is_drawn_from_them(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'pytest-autoresearch[report]'")
    shown = PICTURE.read_text()
    made_by = re.search(r"Matplotlib v([\d.]+)", shown)
    assert made_by
    assert len(shown) < 100_000
    draw(tmp_path / "examples.svg", {name: sample_audit(name) for name in EXAMPLES})
    again = (tmp_path / "examples.svg").read_text()
    if made_by[1] != version("matplotlib"):
        pytest.skip(f"the picture is by matplotlib {made_by[1]}, another one draws it a little different")
    assert again == shown
    assert f"]({PICTURE.relative_to(ROOT)})" in (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with started_chromium() as browser:
        yield browser


@pytest.mark.browser
def test_the_report_opens_with_its_chart_drawn(example: str, audit: Audit, chromium: Any) -> None:
    complaints: list[str] = []
    page = chromium.new_page(offline=True)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.goto((sample(example) / "report.html").as_uri())
    assert drawn(page).locator(".scatterlayer .point").count() == audit["summary"]["experiments"] + 1
    assert drawn(page).locator(".scatterlayer .js-line").count() >= 1
    assert page.locator("#rows tr:visible").count() == audit["summary"]["experiments"] + 1
    page.close()
    assert complaints == []
