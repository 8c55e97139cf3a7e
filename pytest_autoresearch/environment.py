"""What a process of a session sees of the environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_autoresearch.git import repository_variables

_KEY_LIKE = re.compile(
    r"(^|_)(API_?KEYS?|ACCESS_?KEYS?|(ACCESS_|AUTH_|API_)?TOKENS?|SECRETS?|PASSWORDS?|PASSWD|CREDENTIALS?|PRIVATE_?KEYS?)"
    r"(_|$)|_KEYS?$|PASSWORD$",
    re.IGNORECASE,
)
_OURS = re.compile(r"(PYTEST|COV_CORE|AUTORESEARCH)_")
_EVALUATOR_SEES = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV|CONDA_.*|LD_LIBRARY_PATH|"
    r"DYLD_.*|CUDA_.*|NVIDIA_.*|ROCR_.*|HIP_.*|OMP_.*|MKL_.*|OPENBLAS_.*|XDG_.*|SLURM_.*|SSL_CERT_.*)"
)


def runner_environment(environment: Mapping[str, str], given_back: Iterable[str]) -> dict[str, str]:
    """`environment` without what looks like a key, without pytest's and git's own, and with our interpreter first.

    The names in `given_back` (`env:` of the problem) are passed on whatever they look like.
    """
    passed = {name: value for name, value in environment.items() if not _withheld(name)}
    return _with_interpreter(passed | _named(environment, given_back))


def evaluator_environment(environment: Mapping[str, str], given_back: Iterable[str]) -> dict[str, str]:
    """The few variables that an evaluator gets; it writes no bytecode, so that its directory stays as it is."""
    passed = {name: value for name, value in environment.items() if _EVALUATOR_SEES.fullmatch(name)}
    return _with_interpreter(passed | {"PYTHONDONTWRITEBYTECODE": "1"} | _named(environment, given_back))


def _withheld(name: str) -> bool:
    return bool(_KEY_LIKE.search(name) or _OURS.match(name)) or name in repository_variables()


def _named(environment: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: environment[name] for name in names if name in environment}


def _with_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    directory = str(Path(sys.executable).parent)
    return {**environment, "PATH": os.pathsep.join(filter(None, (directory, environment.get("PATH"))))}
