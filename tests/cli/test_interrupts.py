"""Kills, interrupts, and somebody else who has the session."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.cli.support import (
    STEPS,
    WAITING,
    MakeHome,
    by_hand,
    living,
    start,
    tree,
    wait_until_measured,
)
from tests.conftest import MakeToy
from tests.support import scores


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_the_edit_to_be_measured_again(
    make_home: MakeHome, waiting: Path, number: signal.Signals
) -> None:
    home = make_home()
    home.did("run")
    home.solution.write_text(WAITING.format(place=waiting))
    process = start(home.directory, "run", "-m", "five")
    wait_until_measured(waiting)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == (
        "pytest-autoresearch: interrupted; what was under way is on record, and the next step goes on with it\n"
    )
    assert living(waiting) == []
    assert home.solution.read_text() == WAITING.format(place=waiting)
    assert "under way: experiment 1, applied: five\n" in home.did("status")
    Path(f"{waiting}.go").touch()
    assert home.did("run") == "experiment 1: KEPT 5: 10 → 5 (-5)\n"
    assert home.rows()[2][4] == "five"


def test_an_interrupted_baseline_leaves_the_edit_in_its_place(make_home: MakeHome, waiting: Path) -> None:
    home = make_home(files={"solution.sh": WAITING.format(place=waiting)})
    home.edit(4)
    process = start(home.directory, "run")
    wait_until_measured(waiting)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert home.solution.read_text() == "echo score: 4\n"
    Path(f"{waiting}.go").touch()
    assert home.did("run").endswith("\nexperiment 1: KEPT 4: 5 → 4 (-1)\n")


def test_kill_9_while_the_baseline_is_measured_loses_no_edit(make_home: MakeHome, waiting: Path) -> None:
    home = make_home(files={"solution.sh": WAITING.format(place=waiting)})
    home.edit(4)
    with start(home.directory, "run", "-m", "four") as process:
        wait_until_measured(waiting)
        process.kill()
    assert home.solution.read_text() == WAITING.format(place=waiting)
    Path(f"{waiting}.go").touch()
    assert home.did("run").endswith("\nexperiment 1: KEPT 4: 5 → 4 (-1)\n")
    assert home.solution.read_text() == "echo score: 4\n"
    assert living(waiting) == []


def test_a_newer_edit_than_the_one_a_kill_put_off_is_the_one_that_counts(make_home: MakeHome, waiting: Path) -> None:
    home = make_home(files={"solution.sh": WAITING.format(place=waiting)})
    home.edit(4)
    with start(home.directory, "run") as process:
        wait_until_measured(waiting)
        process.kill()
    home.edit(3)
    Path(f"{waiting}.go").touch()
    assert home.did("run").endswith("\nexperiment 1: KEPT 3: 5 → 3 (-2)\n")
    assert "nothing to measure" in home.refused("run")


def test_a_reset_after_an_interrupt_keeps_the_edit_aside(make_home: MakeHome, waiting: Path) -> None:
    home = make_home()
    home.solution.write_text(WAITING.format(place=waiting))
    process = start(home.directory, "run", "-m", "five")
    wait_until_measured(waiting)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    first, *rest = home.did("reset").splitlines()
    assert Path(first.removeprefix("the edit is kept as ")).read_text() == WAITING.format(place=waiting)
    assert rest == ["dropped: five", "the best experiment's file is in place"]
    assert home.solution.read_text() == "echo score: 10\n"


def test_kill_9_in_the_middle_of_a_run_loses_and_doubles_nothing(make_home: MakeHome, waiting: Path) -> None:
    home = make_home()
    home.did("run")
    home.solution.write_text(WAITING.format(place=waiting))
    with start(home.directory, "run", "-m", "five") as process:
        wait_until_measured(waiting)
        process.kill()
    Path(f"{waiting}.go").touch()
    assert "under way: experiment 1, applied: five\n" in home.did("status")
    said = home("run")
    assert (said.code, said.out) == (0, "experiment 1: KEPT 5: 10 → 5 (-5)\n")
    assert living(waiting) == []
    assert home.statuses() == [("keep", 10), ("keep", 5)]
    assert len(home.ledger("idea")) == 1


def test_while_somebody_has_the_session_a_step_is_refused_and_status_only_looks(
    make_toy: MakeToy, waiting: Path
) -> None:
    toy = make_toy({"hypothesis": "wait", "content": WAITING.format(place=waiting)}, *scores(4))
    process = toy.start("--iterations=2")
    wait_until_measured(waiting)
    before = tree(toy.records)
    for step in STEPS:
        said = by_hand(toy.project, step)
        assert (said.code, said.out) == (1, "")
        assert re.fullmatch(
            rf"pytest-autoresearch: (baseline_smoke: )?session toy/run1 is running already \(process {process.pid}, "
            r"since [-\d]+ [:\d]+; wait for it, or start another with --tag\)\n",
            said.err,
        )
    told = by_hand(toy.project, "status").out.splitlines()
    assert re.fullmatch(rf"session toy/run1: running, process {process.pid}, since [-\d]+ [:\d]+", told[0])
    assert told[-3:-1] == ["under way: experiment 1, applied: wait", "    0 keep               10  baseline"]
    assert tree(toy.records) == before
    Path(f"{waiting}.go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert toy.statuses() == [("keep", 10), ("keep", 5), ("keep", 4)]
    assert by_hand(toy.project, "status").out.startswith("session toy/run1: not running\n")
