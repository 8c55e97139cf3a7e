"""The options `--autoresearch-*` and the ini keys `autoresearch_*`; the command line wins over the ini file.

Imports nothing but pytest and the standard library: every pytest run of the environment pays for this module.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

FOREVER = "forever"
BY_PROBLEM = "loadfile"
DISTRIBUTION = "autoresearch_distribution"
SAMPLERS = ("tpe", "cmaes", "random")
ENGINES = ("local", "ray")
CODERS = ("claude", "codex", "opencode", "editor", "external")
LONGEST_S = 10_000_000
_SHARED = {
    "tag": (
        "NAME",
        "name of the session; its branch is <branch_prefix>/NAME (default: that of the checkout, else run1)",
    ),
    "critic": (
        "NAME",
        "who proposes: ollama, openrouter, openai, hybrid, tuner, replay or auto (default: what problem.yaml says)",
    ),
    "model": ("NAME", "the model that the critic asks (default: what problem.yaml says)"),
    "coder": (
        "NAME",
        "who applies an idea without edits: claude, codex, opencode, editor, or external for edits by hand "
        "(default: what problem.yaml says)",
    ),
    "edit-timeout": (
        "SECONDS",
        "how long an edit by hand is waited for (default: coder.wait_s; else without end, 60 s where CI is set)",
    ),
    "candidates": (
        "K",
        "how many candidates an iteration makes, measured at once (default: what problem.yaml says)",
    ),
    "engine": ("NAME", "where they are measured: local or ray (default: what problem.yaml says)"),
    "ideas": ("FILE", "the ideas that the critic replay proposes (default: ideas.yaml beside problem.yaml)"),
    "report": ("FILE", "another place for report.html (default: beside problem.yaml in the session's checkout)"),
    "sampler": ("NAME", "how the critic tuner samples: tpe, cmaes or random (default: what problem.yaml says)"),
}
_ITERATIONS = "how many more experiments to run, or forever (default: forever)"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line and the ini file say; None where they say nothing. No `iterations` means forever."""

    loop: bool
    iterations: int | None
    confirm: bool
    tag: str | None
    critic: str | None
    ideas: Path | None
    sampler: str | None
    model: str | None
    coder: str | None
    edit_timeout: float | None
    report: Path | None
    candidates: int | None
    engine: str | None


def add_options(parser: pytest.Parser) -> None:
    """Define what is always defined."""
    group = parser.getgroup("autoresearch", "autonomous research")
    group.addoption(
        "--autoresearch",
        action="store_true",
        dest="autoresearch",
        help="run the experiments of each problem.yaml, and no ordinary tests",
    )
    group.addoption(
        "--autoresearch-iterations", dest="autoresearch_iterations", metavar="N", type=_iterations, help=_ITERATIONS
    )
    group.addoption(
        "--autoresearch-confirm",
        action="store_true",
        dest="autoresearch_confirm",
        help="confirm, once per session, that the loop may run by itself",
    )
    parser.addini("autoresearch_iterations", _ITERATIONS)
    for name, (metavar, text) in _SHARED.items():
        dest = f"autoresearch_{name.replace('-', '_')}"
        group.addoption(f"--autoresearch-{name}", dest=dest, metavar=metavar, help=text)
        parser.addini(dest, text)


def add_short_iterations(parser: pytest.Parser) -> None:
    """Define `--iterations`, which other plugins define too, for a run that said `--autoresearch`."""
    group = parser.getgroup("autoresearch", "autonomous research")
    group.addoption(
        "--iterations", dest="autoresearch_iterations", metavar="N", type=_iterations, help=f"the same: {_ITERATIONS}"
    )


def read_settings(config: pytest.Config) -> Settings:
    """The settings of this run; UsageError for a value that is none."""
    iterations = config.getoption("autoresearch_iterations") or _ini_iterations(config)
    ideas, report = _shared(config, "ideas"), _shared(config, "report")
    return Settings(
        loop=bool(config.getoption("autoresearch")),
        iterations=None if iterations in (None, FOREVER) else int(iterations),
        confirm=bool(config.getoption("autoresearch_confirm")),
        tag=_shared(config, "tag"),
        critic=_shared(config, "critic"),
        ideas=Path(config.invocation_params.dir, ideas).resolve() if ideas else None,
        sampler=_one_of(SAMPLERS, "sampler", _shared(config, "sampler")),
        model=_shared(config, "model"),
        coder=_one_of(CODERS, "coder", _shared(config, "coder")),
        report=Path(config.invocation_params.dir, report).resolve() if report else None,
        edit_timeout=_seconds("edit-timeout", _shared(config, "edit_timeout")),
        candidates=_count("candidates", _shared(config, "candidates")),
        engine=_one_of(ENGINES, "engine", _shared(config, "engine")),
    )


def default_problem() -> str | None:
    """The problem that the environment names, as in autoresearch v1.1."""
    if problem := os.environ.get("AUTORESEARCH_PROBLEM"):
        return problem
    if project := os.environ.get("AUTORESEARCH_PROJECT"):
        return str(Path(project, "problem.yaml"))
    return None


def _shared(config: pytest.Config, name: str) -> str | None:
    return config.getoption(f"autoresearch_{name}") or config.getini(f"autoresearch_{name}") or None


def _ini_iterations(config: pytest.Config) -> str | int | None:
    text = config.getini("autoresearch_iterations")
    try:
        return _iterations(text) if text else None
    except argparse.ArgumentTypeError as error:
        raise pytest.UsageError(f"autoresearch_iterations: {error}") from None


def _one_of(names: tuple[str, ...], option: str, name: str | None) -> str | None:
    if name is not None and name not in names:
        expected = f"{', '.join(names[:-1])} or {names[-1]}"
        raise pytest.UsageError(f"--autoresearch-{option}={name}: expected {expected}")
    return name


def _seconds(option: str, text: str | None) -> float | None:
    try:
        seconds = None if text is None else float(text)
    except ValueError:
        seconds = -1.0
    if seconds is not None and not 0 < seconds <= LONGEST_S:
        raise pytest.UsageError(f"--autoresearch-{option}={text}: expected a number of seconds above 0, such as 600")
    return seconds


def _count(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise pytest.UsageError(f"--autoresearch-{option}={text}: expected a whole number of at least 1")
    return int(text)


def _iterations(text: str) -> str | int:
    if text == FOREVER:
        return text
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, or {FOREVER}, got {text!r}")
