"""Whether the suite would notice: each step that orders, locks, restores or recovers is taken out once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import Mutant, occurrences, read_mutants, run_without

MUTANTS = read_mutants(Path(__file__).with_name("mutants.yaml"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_a_step_that_can_be_taken_out_is_there_once(mutant: Mutant) -> None:
    assert occurrences(mutant) == 1


@pytest.mark.soak
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_a_step_that_is_taken_out_is_missed(mutant: Mutant, tmp_path: Path) -> None:
    done = run_without(mutant, tmp_path / "copy")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
