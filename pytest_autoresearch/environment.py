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
# An agent that finds one of these takes itself for a part of the agent that started us.
_NESTING = frozenset({"CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CODEX_SANDBOX", "OPENCODE"})
_OURS = re.compile(r"(PYTEST|COV_CORE|AUTORESEARCH)_")
_EVALUATOR_SEES = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV|CONDA_.*|LD_LIBRARY_PATH|"
    r"DYLD_.*|CUDA_.*|NVIDIA_.*|ROCR_.*|HIP_.*|OMP_.*|MKL_.*|OPENBLAS_.*|XDG_.*|SLURM_.*|SSL_CERT_.*)"
)


def runner_environment(
    environment: Mapping[str, str], given_back: Iterable[str], critics: Iterable[str] = ()
) -> dict[str, str]:
    """`environment` without what looks like a key, without pytest's and git's own, and with our interpreter first.

    `critics` are withheld as well, the variables with the critic's key, whatever they are called. The names in
    `given_back` (`env:` of the problem) are passed on whatever they look like.
    """
    withheld = set(critics)
    passed = {name: value for name, value in environment.items() if name not in withheld and not _withheld(name)}
    return _with_interpreter(passed | _named(environment, given_back))


def evaluator_environment(environment: Mapping[str, str], given_back: Iterable[str]) -> dict[str, str]:
    """The few variables that an evaluator gets; it writes no bytecode, so that its directory stays as it is."""
    passed = {name: value for name, value in environment.items() if _EVALUATOR_SEES.fullmatch(name)}
    return _with_interpreter(passed | {"PYTHONDONTWRITEBYTECODE": "1"} | _named(environment, given_back))


def coder_environment(
    environment: Mapping[str, str], own: Iterable[str], critics: Iterable[str], given_back: Iterable[str]
) -> dict[str, str]:
    """What a coding agent gets: as a runner does, and its `own` keys; not the critic's, unless `given_back`."""
    withheld = set(critics)
    passed = {name: value for name, value in environment.items() if not _withheld(name)} | _named(environment, own)
    kept = {name: value for name, value in passed.items() if name not in withheld and name not in _NESTING}
    return _with_interpreter(kept | _named(environment, given_back))


def key_like(name: str) -> bool:
    """Whether a variable of that name is taken to hold a key."""
    return bool(_KEY_LIKE.search(name))


def _withheld(name: str) -> bool:
    return key_like(name) or bool(_OURS.match(name)) or name in repository_variables()


def _named(environment: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: environment[name] for name in names if name in environment}


def _with_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    directory = str(Path(sys.executable).parent)
    return {**environment, "PATH": os.pathsep.join(filter(None, (directory, environment.get("PATH"))))}
