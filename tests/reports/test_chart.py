"""The convergence chart, as a file and as what is drawn in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.reports.chart import window_of, write_chart
from pytest_autoresearch.reports.course import course_of
from pytest_autoresearch.reports.story import Story
from tests.conftest import MakeToy
from tests.reports.sessions import Trial, descent, session
from tests.reports.synthetic import story_of
from tests.support import clean_environment, scores

pytest.importorskip("matplotlib", reason="needs matplotlib, of the extra report")


def drawn(story: Story, path: Path) -> str:
    """What stands in the chart of a session, as matplotlib says in the comments beside its glyphs."""
    write_chart(story, path)
    ElementTree.parse(path)
    lines = (line.strip() for line in path.read_text().splitlines())
    return "\n".join(line[5:-4] for line in lines if line.startswith("<!-- ") and line.endswith(" -->"))


def test_the_chart_of_a_real_session_says_what_is_in_it(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*scores(9, 9.5, "none", 8))
    toy.run("--iterations=4")
    said = drawn(story_of(toy), tmp_path / "convergence.svg")
    for text in (
        "make the score small",
        "score (lower is better)",
        "experiment",
        "best so far",
        "kept (3, with the baseline)",
        "discarded (1)",
        "crashed (1)",
    ):
        assert text in said.splitlines()
    assert "outside" not in said
    assert "deviation" not in said
    write_chart(story_of(toy), tmp_path / "convergence.png")
    assert (tmp_path / "convergence.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_session_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    story = session(tmp_path, descent([10, 9, 11, None, 8]))
    paths = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
    for path in paths:
        write_chart(story, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_line_is_broken_where_the_contract_changes(tmp_path: Path) -> None:
    trials = [*descent([10, 9]), *descent([30, 29], contract="c2")]
    story = session(tmp_path, trials)
    assert [list(stretch) for stretch in course_of(story.entries()).stretches] == [[0, 1], [2, 3]]
    assert "contract changed" in drawn(story, tmp_path / "a.svg").splitlines()


def test_the_noise_is_drawn_where_it_is_known(tmp_path: Path) -> None:
    story = session(tmp_path, [Trial(10, kept=True, more={"values": [9, 10, 11]}), Trial(10.5)])
    assert "± 1 standard deviation of a measurement" in drawn(story, tmp_path / "a.svg").splitlines()


def test_a_value_a_thousand_times_worse_is_marked_at_the_edge_and_flattens_nothing(tmp_path: Path) -> None:
    story = session(tmp_path, descent([10, 9, 9.5, 11, 9000, 8, 8.4, 8.2]))
    window = window_of(course_of(story.entries()))
    assert (window.low, window.high) == (8, 11)
    assert "outside (1, to 9000)" in drawn(story, tmp_path / "a.svg").splitlines()


def test_many_small_steps_are_shown_from_the_first_to_the_last(tmp_path: Path) -> None:
    story = session(tmp_path, descent(10 - number / 1_000 for number in range(500)))
    window = window_of(course_of(story.entries()))
    assert (window.low, window.high) == (10 - 0.499, 10)


def test_a_bad_baseline_is_named_at_the_edge(tmp_path: Path) -> None:
    story = session(tmp_path, descent([2500, 6, 5.9, 5.8, 6.1, 5.7]))
    assert {"2500", "outside (1, to 2500)"} <= set(drawn(story, tmp_path / "a.svg").splitlines())


def test_higher_is_better_the_other_way_round(tmp_path: Path) -> None:
    story = session(tmp_path, descent([1, 2, 1.5], lower_is_better=False), lower_is_better=False)
    assert "score (higher is better)" in drawn(story, tmp_path / "a.svg").splitlines()


@pytest.mark.parametrize("values", [[], [None, None], [10], [10, None], [0, 0, 0], [10, 10]])
def test_there_is_a_chart_of_the_shortest_session(tmp_path: Path, values: list[float | None]) -> None:
    said = drawn(session(tmp_path, descent(values)), tmp_path / "a.svg")
    assert ("no experiment gave a value" in said) == (not any(value is not None for value in values))


def test_an_objective_is_text_and_bounded(tmp_path: Path) -> None:
    objective = "make $x^{2$ & <b>small</b> \x1b[31m 漢字 " + "very " * 100
    said = drawn(session(tmp_path, descent([1]), objective=objective), tmp_path / "a.svg")
    assert "make $x^{2$ &amp; &lt;b&gt;small&lt;/b&gt;" in said or "make $x^{2$ & <b>small</b>" in said
    assert said.count("very") < 30


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.pdf: a chart is a \.png or an \.svg"):
        write_chart(session(tmp_path, descent([1])), tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


def test_without_matplotlib_one_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from pathlib import Path\n"
        "from pytest_autoresearch.errors import UserError\n"
        "from pytest_autoresearch.reports.canvas import canvas\n"
        "try:\n"
        f"    with canvas(Path({str(tmp_path / 'a.svg')!r})): pass\n"
        "except UserError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("pip install 'pytest-autoresearch[report]'\n")


def test_nothing_of_the_callers_matplotlib_is_changed(tmp_path: Path) -> None:
    script = (
        "import sys; import matplotlib as mpl\n"
        "from pathlib import Path\n"
        "from pytest_autoresearch.reports.chart import write_chart\n"
        "from tests.reports.sessions import descent, session\n"
        "mpl.rcParams['font.size'] = 3\n"
        "before = mpl.rcParams.copy()\n"
        f"write_chart(session(Path({str(tmp_path / 'own')!r}), descent([2, 1])), Path({str(tmp_path / 'a.svg')!r}))\n"
        "print(mpl.rcParams.copy() == before, 'matplotlib.pyplot' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
