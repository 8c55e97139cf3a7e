"""The pytest surface: what pytest and its other plugins do to our items, and what ours may not do to others' runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeToy
from tests.support import Toy, clean_environment, git, scores

NINE = (
    "repo_git",
    "tools_present",
    "problem_yaml",
    "critic_endpoint",
    "vram_budget",
    "baseline_smoke",
    "critic_dry_run",
    "cleanup_check",
    "confirm_loop",
)
IN_ORDER = [*(f"precondition[{name}]" for name in NINE), "iteration[1]", "iteration[2]", "iteration[3]"]


def run_order(output: str) -> list[str]:
    """The names of our items in the order in which `-v` showed them."""
    lines = [line.split("::")[1].split()[0] for line in output.splitlines() if line.startswith("problem.yaml::")]
    return list(dict.fromkeys(lines))


def everything(toy: Toy) -> list[tuple[str, bytes]]:
    """Every file of the repository, with git's own."""
    return [(str(path), path.read_bytes()) for path in sorted(toy.directory.rglob("*")) if path.is_file()]


# --- other people's runs


def test_the_entry_point_imports_pytest_and_the_standard_library_only() -> None:
    script = (
        "import sys, pytest, _pytest.pytester; before = set(sys.modules)\n"
        "import pytest_autoresearch.plugin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=clean_environment()
    )
    assert done.stdout == "['pytest_autoresearch']\n"


def test_a_run_that_is_not_ours_loads_nothing_more_and_says_nothing(make_toy: MakeToy) -> None:
    look = "import sys\ndef test_it():\n    print([n for n in sys.modules if n.startswith('pytest_autoresearch')])\n"
    toy = make_toy(files={"test_ordinary.py": look})
    done = toy.pytest("-s")
    assert done.returncode == 0
    assert "1 passed" in done.stdout
    for module in ("loop", "items", "problem", "session"):
        assert f"pytest_autoresearch.{module}" not in done.stdout
    assert "minimise" not in done.stdout


@pytest.mark.parametrize("arguments", [(), (".",), ("test_ordinary.py",)])
def test_a_problem_that_was_not_named_is_not_collected(make_toy: MakeToy, arguments: tuple[str, ...]) -> None:
    toy = make_toy(files={"test_ordinary.py": "def test_it(): pass\n"})
    done = toy.pytest("-v", *arguments)
    assert "problem.yaml" not in done.stdout
    assert "1 passed" in done.stdout


def test_a_checkout_of_a_session_is_not_collected_by_an_ordinary_run(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8), files={"test_ordinary.py": "def test_it(): pass\n"})
    toy.run("--iterations=1")
    done = toy.pytest("-o", "norecursedirs=nothing")
    assert "1 passed" in done.stdout


def test_the_short_option_exists_only_together_with_autoresearch(make_toy: MakeToy) -> None:
    toy = make_toy()
    assert toy.pytest("--iterations=2").returncode == 4
    assert "--iterations" not in toy.pytest("--help").stdout
    assert "--iterations=N" in toy.pytest("--autoresearch", "--help").stdout


def test_the_short_option_of_another_plugin_is_left_alone(make_toy: MakeToy) -> None:
    other = "def pytest_addoption(parser):\n    parser.addoption('--iterations', type=int, dest='theirs')\n"
    toy = make_toy(
        files={
            "other.py": other,
            "test_ordinary.py": "def test_it(pytestconfig):\n    assert pytestconfig.option.theirs == 3\n",
        }
    )
    done = toy.pytest("-p", "other", "--iterations=3", env={"PYTHONPATH": str(toy.project)})
    assert done.returncode == 0, done.stdout + done.stderr


# --- selection and order


def test_under_autoresearch_only_problems_are_collected(make_toy: MakeToy) -> None:
    toy = make_toy(files={"test_ordinary.py": "raise SystemExit\n", "conftest.py": ""})
    done = toy.pytest("--autoresearch", "--iterations=3", "--co", "-q")
    assert [line.split("::")[1] for line in done.stdout.splitlines() if "::" in line] == IN_ORDER


def test_collecting_writes_nothing(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    before = everything(toy)
    toy.pytest("-p", "no:cacheprovider", "--autoresearch", "--iterations=3", "--co")
    assert everything(toy) == before


@pytest.mark.parametrize("options", [("-p", "randomly"), ("--ff",), ("--nf",), ("--ff", "-p", "randomly")])
def test_the_order_is_kept_whatever_other_plugins_make_of_it(make_toy: MakeToy, options: tuple[str, ...]) -> None:
    toy = make_toy(*scores(8, 7, 6, 5))
    toy.run("--iterations=1")
    done = toy.run("--iterations=3", "-v", *options)
    assert run_order(done.stdout) == IN_ORDER


def test_ordinary_tests_keep_their_places_beside_named_problems(make_toy: MakeToy) -> None:
    toy = make_toy(files={"test_a.py": "def test_a(): pass\n", "test_b.py": "def test_b(): pass\n"})
    done = toy.pytest("-v", "test_a.py", "problem.yaml", "test_b.py")
    places = [line.split("::")[1].split()[0] for line in done.stdout.splitlines() if "::" in line]
    assert list(dict.fromkeys(places)) == ["test_a", *IN_ORDER[:9], "test_b"]


@pytest.mark.parametrize(
    "selection",
    [
        ("-k", "iteration"),
        ("problem.yaml::iteration[2]",),
        ("-m", "iteration"),
        ("--deselect=problem.yaml::precondition[baseline_smoke]",),
    ],
)
def test_an_iteration_looks_at_preconditions_that_were_not_selected(
    make_toy: MakeToy, selection: tuple[str, ...]
) -> None:
    toy = make_toy(*scores(8, 7))
    done = toy.run("--iterations=2", *selection)
    assert done.returncode == 0, done.stdout
    assert toy.statuses()[:2] == [("keep", 10), ("keep", 8)]


def test_an_iteration_refuses_to_run_unless_all_nine_hold(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    done = toy.pytest("--autoresearch", "--iterations=1", "-k", "iteration", "-rs")
    assert done.returncode == 1
    assert "blocked by precondition[confirm_loop]" in done.stdout
    assert not toy.records.exists()


@pytest.mark.parametrize("option", ["--lf", "--sw"])
def test_the_failed_iteration_is_found_again_by_its_id(make_toy: MakeToy, option: str) -> None:
    conftest = """
from pathlib import Path

def pytest_autoresearch_measure(candidate):
    if candidate.number == 2 and not Path("ok").exists():
        raise OSError("no")
"""
    toy = make_toy(*scores(8, 7, 6), files={"conftest.py": conftest})
    assert toy.run("--iterations=3", "-x", *(["--sw"] if option == "--sw" else [])).returncode != 0
    toy.write("ok", "")
    done = toy.run("--iterations=3", "-v", option)
    assert run_order(done.stdout)[0] == "iteration[2]"
    assert done.returncode == 0, done.stdout
    assert toy.statuses()[:3] == [("keep", 10), ("keep", 8), ("keep", 7)]


def test_a_problem_that_is_named_twice_runs_once(make_toy: MakeToy) -> None:
    done = make_toy().pytest("-v", "problem.yaml", "problem.yaml")
    assert run_order(done.stdout) == IN_ORDER[:9]
    assert done.stdout.count("precondition[repo_git]") == 1


def test_the_session_can_be_continued_from_inside_its_checkout(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7))
    toy.run("--iterations=1")
    done = toy.pytest("--autoresearch", "--iterations=1", cwd=toy.checkout)
    assert done.returncode == 0, done.stdout
    assert toy.statuses()[2] == ("keep", 7)
    assert git(toy.checkout, "status", "--porcelain") == ""


def test_several_problems_run_one_after_the_other(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "repository", scores(8), inside="one")
    other = toy.directory / "two"
    other.mkdir()
    for name in ("solution.sh", "ideas.yaml"):
        (other / name).write_text((toy.project / name).read_text())
    (other / "problem.yaml").write_text((toy.project / "problem.yaml").read_text().replace('"toy"', '"other"'))
    toy.commit("another")
    done = toy.pytest("--autoresearch", "--autoresearch-confirm", "--iterations=1", cwd=toy.directory)
    assert done.returncode == 0, done.stdout
    assert git(toy.directory, "branch", "--list", "*/run1", "--format=%(refname:short)").split() == [
        "other/run1",
        "toy/run1",
    ]
    forever = toy.pytest("--autoresearch", cwd=toy.directory)
    assert forever.returncode == 4
    assert "--iterations=forever goes with one problem" in forever.stdout + forever.stderr


def test_two_problems_with_one_prefix_are_told_apart(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "repository", scores(8), inside="one")
    (toy.directory / "two").mkdir()
    for name in ("solution.sh", "ideas.yaml", "problem.yaml"):
        (toy.directory / "two" / name).write_text((toy.project / name).read_text())
    toy.commit("another")
    toy.run("--iterations=1")
    done = toy.pytest("--autoresearch", "--iterations=1", cwd=toy.directory / "two")
    assert done.returncode == 1
    assert "session toy/run1 belongs to one/problem.yaml, not to two/problem.yaml" in done.stdout


@pytest.mark.parametrize("name", ["AUTORESEARCH_PROBLEM", "AUTORESEARCH_PROJECT"])
def test_the_environment_names_the_default_problem(make_toy: MakeToy, tmp_path: Path, name: str) -> None:
    toy = make_toy(*scores(8))
    value = toy.project / "problem.yaml" if name == "AUTORESEARCH_PROBLEM" else toy.project
    done = toy.pytest(
        "--autoresearch", "--autoresearch-confirm", "--iterations=1", cwd=tmp_path, env={name: str(value)}
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- refusals


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-n2", "--iterations=1"), "-n 2 --dist loadfile"),
        (("-n2", "--dist=loadfile"), "-n and --iterations=forever"),
        (("--reruns=2",), "--reruns"),
        (("-o", "reruns=2"), "--reruns"),
        (("--setup-only",), "--setup-only"),
        (("--setup-plan",), "--setup-plan"),
        (("--setup-show",), "--setup-show"),
        (("--iterations=0",), "a whole number of at least 1"),
        (("--iterations=many",), "a whole number of at least 1"),
        (("-o", "autoresearch_iterations=many"), "a whole number of at least 1"),
        (("--autoresearch-sampler=tea",), "expected tpe, cmaes or random"),
    ],
)
def test_what_cannot_be_is_refused_as_a_usage_error(make_toy: MakeToy, options: tuple[str, ...], said: str) -> None:
    toy = make_toy(*scores(8))
    done = toy.pytest("--autoresearch", *options)
    assert done.returncode == 4, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not toy.records.exists()


def test_forked_is_refused(make_toy: MakeToy) -> None:
    other = "def pytest_addoption(parser):\n    parser.addoption('--forked', action='store_true')\n"
    toy = make_toy(files={"other.py": other})
    done = toy.pytest("-p", "other", "--autoresearch", "--forked", env={"PYTHONPATH": str(toy.project)})
    assert done.returncode == 4
    assert "--forked" in done.stderr


def test_forever_is_refused_where_ci_is_set(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8))
    assert toy.pytest("--autoresearch", env={"CI": "true"}).returncode == 4
    assert toy.run("--iterations=1", env={"CI": "true"}).returncode == 0


def test_xdist_without_workers_is_fine(make_toy: MakeToy) -> None:
    assert make_toy(*scores(8)).run("--iterations=1", "-n0", "--dist=loadfile").returncode == 0


def test_preconditions_are_not_scattered_over_workers(make_toy: MakeToy) -> None:
    done = make_toy().pytest("-n2", "problem.yaml")
    assert done.returncode != 0
    assert "add --dist loadfile, or run without -n" in done.stdout


# --- options from elsewhere


def test_options_come_from_the_environment_and_the_ini_file_too(make_toy: MakeToy) -> None:
    toy = make_toy(
        *scores(8, 7, 6), files={"pytest.ini": "[pytest]\nautoresearch_iterations = 2\nautoresearch_tag = night\n"}
    )
    toy.run()
    assert git(toy.directory, "rev-list", "--count", "main..toy/night") == "2"
    toy.run(env={"PYTEST_ADDOPTS": "--iterations=1"})
    assert git(toy.directory, "rev-list", "--count", "main..toy/night") == "3"


# --- clocks


@pytest.mark.parametrize(
    "options", [("--timeout=0.05",), ("--timeout=0.05", "--timeout-method=thread"), ("-p", "no:timeout")]
)
def test_somebody_elses_clock_does_not_end_an_experiment(make_toy: MakeToy, options: tuple[str, ...]) -> None:
    toy = make_toy({"hypothesis": "slow", "content": "sleep 1; echo score: 8\n"})
    done = toy.run("--iterations=1", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert toy.statuses()[1] == ("keep", 8)


def test_the_outer_clock_ends_what_the_item_runs_and_the_session_goes_on(make_toy: MakeToy) -> None:
    conftest = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if item.name.startswith("iteration"):
            item.add_marker(pytest.mark.timeout(1, func_only=True), append=False)
"""
    toy = make_toy(
        {"hypothesis": "slow", "content": "trap '' TERM; sleep 1000\n"}, *scores(8), files={"conftest.py": conftest}
    )
    done = toy.run("--iterations=2", "-v")
    assert done.returncode == 0, done.stdout
    assert toy.ledger("result")[1]["reason"].startswith("timeout")
    assert toy.statuses()[2] == ("keep", 8)


def test_strictness_and_warnings_as_errors_are_fine(make_toy: MakeToy) -> None:
    done = make_toy(*scores(8)).run("--iterations=1", "-W", "error", "--strict-markers", "--strict-config")
    assert done.returncode == 0, done.stdout


def test_plugins_that_expect_fixtures_of_every_item_find_none(make_toy: MakeToy) -> None:
    conftest = "def pytest_runtest_setup(item):\n    assert item.funcargs == {}\n"
    assert make_toy(*scores(8), files={"conftest.py": conftest}).run("--iterations=1").returncode == 0


# --- exit codes


def test_every_experiment_crashed_is_1(make_toy: MakeToy) -> None:
    assert make_toy(*scores("x", "y")).run("--iterations=2").returncode == 1


def test_one_good_experiment_among_crashes_is_0(make_toy: MakeToy) -> None:
    assert make_toy(*scores("x", 12)).run("--iterations=2").returncode == 0


def test_no_experiment_is_5(make_toy: MakeToy) -> None:
    assert make_toy().run("--iterations=2").returncode == 5


def test_only_ideas_that_change_nothing_is_5(make_toy: MakeToy) -> None:
    assert make_toy(*scores(10)).run("--iterations=1").returncode == 5


def test_a_bug_shows_its_traceback_without_pytests_own(make_toy: MakeToy) -> None:
    conftest = "def pytest_autoresearch_propose(brief):\n    return 1 / (brief.number - 1)\n"
    done = make_toy(files={"conftest.py": conftest}).run("--iterations=1")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert "_pytest/runner.py" not in done.stdout


def test_one_iteration_that_was_picked_is_one_iteration(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7, 6, 5))
    done = toy.run("problem.yaml::iteration[1]")
    assert done.returncode == 0, done.stdout
    assert toy.statuses() == [("keep", 10), ("keep", 8)]


def test_what_only_the_user_can_mend_ends_the_run_at_once(make_toy: MakeToy) -> None:
    conftest = """
import subprocess

def pytest_autoresearch_experiment_recorded(research, experiment):
    place = research.place
    subprocess.run(["git", "update-ref", f"refs/heads/{place.branch}", "main"], cwd=place.home, check=True)
"""
    toy = make_toy(*scores(8, 7, 6, 5), files={"conftest.py": conftest})
    done = toy.run("--iterations=4", "-v")
    assert done.returncode == 1
    assert "iteration[2] FAILED" in done.stdout
    assert "iteration[3] SKIPPED" in done.stdout
    assert "branch toy/run1 was moved" in done.stdout
    assert "Traceback" not in done.stdout
