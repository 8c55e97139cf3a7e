"""The loop and the hand, on one session."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.support import (
    Home,
    MakeHome,
    Said,
    by_hand,
)
from tests.conftest import MakeToy
from tests.support import PYTEST, clean_environment, git, scores


def test_the_loop_goes_on_where_the_hand_stopped_and_the_other_way_round(make_home: MakeHome) -> None:
    home = make_home(*scores(8, 7, 6))
    home.edit(9)
    home.did("run", "-m", "nine")
    home.did("propose")
    home.did("apply")
    loop = [*PYTEST, "--autoresearch", "--autoresearch-confirm", "--iterations=2"]
    done = subprocess.run(
        loop, cwd=home.directory, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"checkout: {home.directory}\n" in done.stdout
    assert home.statuses() == [("keep", 10), ("keep", 9), ("keep", 8), ("keep", 7)]
    assert home.solution.read_text() == "echo score: 7\n"
    home.edit(5)
    assert home.did("run", "-m", "by hand again") == "experiment 4: KEPT 5: 7 → 5 (-2)\n"
    assert git(home.directory, "log", "--format=%s").split("\n") == [
        "by hand again", "score 7", "score 8", "nine", "the problem"
    ]  # fmt: skip
    assert git(home.directory, "worktree", "list").count("\n") == 0
    assert home.status() == ""


def test_a_session_of_the_loop_is_driven_from_inside_its_checkout(make_toy: MakeToy) -> None:
    toy = make_toy(*scores(8, 7), inside="deep/toy")
    toy.run("--iterations=1", "--autoresearch-tag=night")
    checkout = toy.directory / ".autoresearch" / "toy-night" / "deep" / "toy"
    (checkout / "solution.sh").write_text("echo score: 6\n")
    assert by_hand(checkout, "run", "-m", "from inside").out == "experiment 2: KEPT 6: 8 → 6 (-2)\n"
    told = by_hand(toy.project, "status", "--tag", "night").out.splitlines()
    assert told[:2] == ["session toy/night: not running", f"checkout: {checkout}"]
    assert told[-2].endswith("  from inside")
    assert by_hand(checkout, "status").out.splitlines() == told
    outside = by_hand(toy.directory, "run", "--problem", "deep/toy", "--tag", "night")
    assert f"{checkout / 'solution.sh'} is as the best experiment so far left it" in outside.err
    assert "there is no session toy/run1 yet" in by_hand(toy.project, "status").err
    assert toy.user_status() == ""


def test_a_problem_that_the_environment_names_is_meant_where_none_is_named(
    make_home: MakeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home()
    assert by_hand(tmp_path, "status") == Said(
        1, "", f"pytest-autoresearch: {tmp_path / 'problem.yaml'}: there is no such file; name the problem with "
        "--problem\n"
    )  # fmt: skip
    monkeypatch.setenv("AUTORESEARCH_PROJECT", str(home.directory))
    assert by_hand(tmp_path, "status").out.startswith("session toy/run1: not running\n")


def test_a_repository_that_was_moved_or_copied_goes_on_by_itself(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home(*scores(4))
    home.edit(8)
    home.did("run")
    home.edit(7)
    subprocess.run(["cp", "-a", home.directory, tmp_path / "a copy"], check=True)
    moved, copy = Home(home.directory.rename(tmp_path / "moved")), Home(tmp_path / "a copy")
    assert moved.did("run") == "experiment 2: KEPT 7: 8 → 7 (-1)\n"
    copy.edit(9)
    assert copy.did("run") == "experiment 2: DISCARDED 9: worse: 8 → 9 (+1)\n"
    assert copy.solution.read_text() == "echo score: 8\n"
    assert (moved.did("propose"), copy.did("propose")) == (
        f"score 4 (risk low)\nwritten to {moved.directory / 'next_idea.json'}\n",
        f"score 4 (risk low)\nwritten to {copy.directory / 'next_idea.json'}\n",
    )
    for one in (moved, copy):
        assert f"checkout: {one.directory}\n" in one.did("status")
        assert one.status() == ""
    assert not home.directory.exists()


def test_a_directory_may_have_any_name(make_home: MakeHome, tmp_path: Path) -> None:
    home = make_home(*scores(9, 8, 7, 6, 5))
    for number, name in enumerate(("exp[1] a", "a::b", "@x", "-y", "ü z"), start=1):
        home = Home(home.directory.rename(tmp_path / name))
        home.did("propose", "--ideas", "ideas.yaml")
        home.did("apply")
        assert home.did("run") == f"experiment {number}: KEPT {10 - number}: {11 - number} → {10 - number} (-1)\n"


def test_status_finds_the_checkout_of_a_repository_that_was_moved_or_copied(make_toy: MakeToy, tmp_path: Path) -> None:
    toy = make_toy(*scores(8))
    toy.run("--iterations=1")
    subprocess.run(["cp", "-a", toy.directory, tmp_path / "copy"], check=True)
    toy.directory.rename(tmp_path / "moved")
    for place in (tmp_path / "copy", tmp_path / "moved"):
        assert f"checkout: {place / '.autoresearch' / 'toy-run1'}\n" in by_hand(place, "status").out
