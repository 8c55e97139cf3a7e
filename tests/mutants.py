"""Steps that are taken out of a copy of the package, to see that the tests miss them.

A list of them is a YAML file: `name`, the `module` in which `old`, which is there once, becomes `new`, and the `tests`
that have to fail then.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support import clean_environment

ROOT = Path(__file__).parents[1]
Mutant = dict[str, str]
_ANY_BUT = "not soak and not ray"


def read_mutants(file: Path) -> list[Mutant]:
    """The mutants of a list."""
    mutants: list[Mutant] = yaml.safe_load(file.read_text())
    return mutants


def occurrences(mutant: Mutant) -> int:
    """How often what is to be taken out is there."""
    return _source(mutant, ROOT).read_text().count(mutant["old"])


def run_without(mutant: Mutant, copy: Path) -> subprocess.CompletedProcess[str]:
    """Run the mutant's tests in a copy of the project without the step."""
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "*.egg-info"))
    module = _source(mutant, copy)
    module.write_text(module.read_text().replace(mutant["old"], mutant["new"]))
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            _ANY_BUT,
            *shlex.split(mutant["tests"]),
        ],
        cwd=copy,
        env=clean_environment({"PYTHONPATH": os.fspath(copy)}),
        capture_output=True,
        text=True,
        check=False,
    )


def _source(mutant: Mutant, root: Path) -> Path:
    return root / "pytest_autoresearch" / mutant["module"]
