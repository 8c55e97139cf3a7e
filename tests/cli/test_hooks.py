"""Steps are pytest runs: hooks, ini keys and plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import (
    MakeHome,
    Said,
    apart,
    python_path,
    tracked,
    write,
)

CONFTEST = """
from pathlib import Path
from pytest_autoresearch.records import Idea, Measurement, Verdict

def note(line):
    print(f"hook: {line}")

def pytest_autoresearch_propose(brief):
    note(f"propose {brief.number}")
    return Idea(hypothesis="from the conftest", critic="mine")

def pytest_autoresearch_apply(idea, source):
    note(f"apply {idea.hypothesis}")
    return source.replace(b"10", b"8")

def pytest_autoresearch_measure(candidate):
    note(f"measure {candidate.number} {candidate.content!r}")
    if candidate.content.startswith(b"echo"):
        return Measurement(float(candidate.content.split()[-1]) / 2)

def pytest_autoresearch_judge(measurement, incumbent):
    note(f"judge {measurement.metric} {incumbent.metric}")
    return Verdict("discard", "on principle")

def pytest_autoresearch_experiment_recorded(experiment):
    note(f"recorded {experiment.number} {experiment.status}")
    raise OSError("nobody listens")
"""


def test_the_hooks_of_a_conftest_take_part_in_every_step(make_home: MakeHome) -> None:
    home = make_home(files={"conftest.py": CONFTEST}, critic={"enabled": False})
    said = [apart(home.directory, step) for step in ("propose", "apply", "run")]
    assert [one.code for one in said] == [0, 0, 0]
    hooks = [line.removeprefix("hook: ") for one in said for line in one.out.splitlines() if line.startswith("hook")]
    assert hooks[0] == "measure 0 b'echo score: 10\\n'"
    assert hooks[1].startswith("measure 0 b'\\x00 This file is broken")
    assert hooks[2:] == [
        "propose 1",
        "apply from the conftest",
        "measure 1 b'echo score: 8\\n'",
        "judge 4.0 5.0",
        "recorded 1 discard",
    ]
    assert "experiment 1: DISCARDED 4: on principle" in said[-1].out.splitlines()
    assert said[-1].err == (
        "pytest-autoresearch: note: experiment 1 is on record, but a hook failed: OSError('nobody listens')\n"
    )


def test_a_hook_that_fails_is_shown_and_nothing_is_lost(make_home: MakeHome) -> None:
    conftest = "def pytest_autoresearch_judge(measurement):\n    return measurement.matric\n"
    home = make_home(files={"conftest.py": conftest})
    home.edit(8)
    said = apart(home.directory, "run")
    assert said.code == 1
    assert said.err.startswith("pytest-autoresearch: the step failed, by a hook of a conftest.py or a bug:\n")
    assert "conftest.py:2: in pytest_autoresearch_judge" in said.err
    assert "AttributeError: 'Measurement' object has no attribute 'matric'" in said.err
    assert home.solution.read_text() == "echo score: 8\n"
    (home.directory / "conftest.py").write_text("")
    assert home("run").out == "experiment 1: KEPT 8: 10 → 8 (-2)\n"


INIS = {
    "options": "addopts = -n2 --strict-config -q --junitxml=report.xml --no-such-option",
    "strict": "strict_config = true\ncache_dir = .c\njunit_logging = all\nfilterwarnings = error",
    "logging": "log_cli = true\nlog_cli_level = DEBUG\nfaulthandler_timeout = 1",
}


@pytest.mark.parametrize("name", INIS)
def test_settings_for_runs_of_tests_do_not_disturb_a_step(make_home: MakeHome, name: str, tmp_path: Path) -> None:
    """Nor does what other plugins of the environment want; and nothing is left of them."""
    home = make_home(files={"pytest.ini": f"[pytest]\n{INIS[name]}\n"})
    home.edit(8)
    info = tmp_path / "site" / "other-1.0.dist-info"
    write(
        info,
        {
            "METADATA": "Name: other\nVersion: 1.0\n",
            "entry_points.txt": "[pytest11]\nother = json\n",
            "RECORD": "pytest_autoresearch/__init__.py,,\n",
        },
    )
    environment = {"PYTEST_ADDOPTS": "-n2 --nonsense -p no:autoresearch", "PYTHONPATH": python_path(tmp_path / "site")}
    said = apart(home.directory, "run", env=environment)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[1:] == ["experiment 1: KEPT 8: 10 → 8 (-2)"]
    left = {path.name for path in home.directory.iterdir()} - tracked(home.directory)
    expected = {".git", ".autoresearch", "STATE.md", "results.tsv", "run.log", "next_idea.json", "program.md"}
    assert left == expected


def test_a_step_works_where_plugins_are_not_loaded_by_themselves(make_home: MakeHome) -> None:
    home = make_home()
    said = apart(home.directory, "run", env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert (said.code, said.err) == (0, "")


def test_a_reporter_in_the_place_of_pytests_own_is_taken_away_too(make_home: MakeHome) -> None:
    """As pytest-sugar does it on a terminal."""
    plugin = """
import pytest

class Reporter:
    def __init__(self, config):
        self.config = config
    def pytest_sessionstart(self):
        print("ready to shine")

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    found = config.pluginmanager.get_plugin("terminalreporter")
    config.pluginmanager.unregister(found)
    config.pluginmanager.register(Reporter(found.config), "terminalreporter")
"""
    home = make_home(files={"sugar.py": plugin})
    home.did("run")
    said = apart(home.directory, "reset", env={"PYTEST_PLUGINS": "sugar", "PYTHONPATH": python_path(home.directory)})
    assert said == Said(0, "there is nothing to take back\n", "")


@pytest.mark.parametrize("step", ["run", "reset"])
def test_a_broken_conftest_is_complained_of(make_home: MakeHome, step: str) -> None:
    home = make_home(files={"conftest.py": "import no_such_module\n"})
    said = apart(home.directory, step)
    assert (said.code, said.out) == (4, "")
    assert f"ImportError while loading conftest '{home.directory / 'conftest.py'}'" in said.err
    assert "No module named 'no_such_module'" in said.err


SELECTING = "def pytest_collection_modifyitems(items):\n    items[:] = []\n"
HIDING = "def pytest_collection():\n    return True\n"


@pytest.mark.parametrize(
    ("conftest", "code", "told"),
    [(SELECTING, 0, ""), (HIDING, 1, "pytest finds no problem; does a conftest.py keep it from being collected?")],
)
def test_what_a_conftest_selects_is_not_asked_for(make_home: MakeHome, conftest: str, code: int, told: str) -> None:
    home = make_home(files={"conftest.py": conftest})
    said = apart(home.directory, "run")
    assert said.code == code
    assert said.err == (f"pytest-autoresearch: {told}\n" if told else "")
