"""Whether the suite would notice: each step that orders, locks, restores or recovers is taken out once.

A copy of the project without the step has to fail the tests that `mutants.yaml` names with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chaos.scene import ROOT
from tests.support import clean_environment

Mutant = dict[str, str]
MUTANTS: list[Mutant] = yaml.safe_load(Path(__file__).with_name("mutants.yaml").read_text())


def source_of(mutant: Mutant, root: Path = ROOT) -> Path:
    return root / "pytest_autoresearch" / mutant["module"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_a_step_that_can_be_taken_out_is_there_once(mutant: Mutant) -> None:
    assert source_of(mutant).read_text().count(mutant["old"]) == 1


@pytest.mark.soak
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_a_step_that_is_taken_out_is_missed(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "*.egg-info"))
    module = source_of(mutant, copy)
    module.write_text(module.read_text().replace(mutant["old"], mutant["new"]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *shlex.split(mutant["tests"])],
        cwd=copy,
        env=clean_environment({"PYTHONPATH": os.fspath(copy)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
