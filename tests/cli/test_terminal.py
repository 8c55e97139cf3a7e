"""What the command line prints, and the options that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from pytest_autoresearch.cli import CRITICS
from pytest_autoresearch.fields import Provider
from tests.cli.support import (
    STEPS,
    MakeHome,
    apart,
    by_hand,
    start,
    tree,
)


def test_a_terminal_without_arrows_and_a_pipe_that_was_closed_end_nothing(make_home: MakeHome) -> None:
    home = make_home()
    home.edit(8)
    said = apart(home.directory, "run", env={"PYTHONIOENCODING": "ascii"})
    assert said.out.splitlines()[1] == "experiment 1: KEPT 8: 10 \\u2192 8 (-2)"
    home.edit(7)
    process = start(home.directory, "run")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    process.wait(timeout=60)
    assert home.statuses() == [("keep", 10), ("keep", 8), ("keep", 7)]


def test_escapes_in_a_log_do_not_reach_the_terminal(make_home: MakeHome) -> None:
    home = make_home()
    home.solution.write_text("printf '\\033]0;title\\007\\033[2Jred\\n'; exit 1\n")
    assert home.did("run").splitlines()[-1] == "red"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("walk",), "invalid choice: 'walk'"),
        (("run", "--fast"), "unrecognized arguments: --fast"),
        (("run", "--critic", "me"), "argument --critic: invalid choice: 'me'"),
        (("run", "--coder", "me"), "argument --coder: invalid choice: 'me'"),
        (("propose", "--sampler", "dice"), "argument --sampler: invalid choice: 'dice'"),
        (("reset", "--critic", "replay"), "unrecognized arguments: --critic replay"),
        (("init", "--target", "x"), "one of the arguments --problem --example is required"),
        (("init", "--example", "template"), "the following arguments are required: --target"),
        (("init", "--example", "none", "--target", "x"), "argument --example: there is no example 'none'; "),
        (("init", "--example", "template", "--problem", "x", "--target", "y"), "not allowed with argument"),
    ],
)
def test_options_that_cannot_be_end_with_4_and_the_usage(
    tmp_path: Path, arguments: tuple[str, ...], what: str
) -> None:
    said = by_hand(tmp_path, *arguments)
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith("usage: pytest-autoresearch ")
    assert what in said.err
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("command", ["", "init", "status", *STEPS])
def test_the_help_of_each_command_fits_into_80_columns(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = by_hand(Path(), *filter(None, (command, "--help")))
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    assert f"usage: {' '.join(filter(None, ('pytest-autoresearch', command)))} [-h]" in said.out


def test_every_critic_can_be_asked_for() -> None:
    assert sorted(get_args(Provider)) == sorted(CRITICS)
