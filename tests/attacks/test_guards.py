"""No guard is idle: without it, an attack of the corpus gets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import Mutant, occurrences, read_mutants, run_without
from tests.test_sandbox import needs_bwrap

GUARDS = read_mutants(Path(__file__).with_name("guards.yaml"))


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard["name"])
def test_a_guard_that_can_be_switched_off_is_there_once(guard: Mutant) -> None:
    assert occurrences(guard) == 1


@needs_bwrap
@pytest.mark.attacks
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard["name"])
def test_without_a_guard_an_attack_gets_through(guard: Mutant, tmp_path: Path) -> None:
    attacked = {**guard, "tests": f"-m attacks tests/attacks/test_attacks.py {guard['tests']}"}
    done = run_without(attacked, tmp_path / "copy")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "AssertionError: the attack was idle" not in done.stdout
