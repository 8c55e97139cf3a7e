"""The entry point: options, and one plugin object for the runs that are ours.

Imports nothing but pytest and the standard library: every pytest run of the environment pays for this module.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_autoresearch import settings

if TYPE_CHECKING:
    from pytest_autoresearch.items import ProblemFile
    from pytest_autoresearch.loop import Loop

PROBLEM = "problem.yaml"
CHECKOUTS = ".autoresearch"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the options."""
    settings.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser) -> None:
    """Define `--iterations` late, and only where it is meant for us: pytest-run-parallel has one too."""
    if early_config.known_args_namespace.autoresearch:
        settings.add_short_iterations(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make the five hooks known."""
    from pytest_autoresearch import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register markers, and refuse what would run experiments twice, scattered or out of order."""
    config.addinivalue_line("markers", "precondition: one of the nine checks of a problem.yaml")
    config.addinivalue_line("markers", "iteration: one experiment of a problem.yaml")
    if config.getoption("autoresearch"):
        if not hasattr(config, "workerinput"):
            _refuse_what_cannot_be(config)
        if (problem := settings.default_problem()) and config.args_source is not config.ArgsSource.ARGS:
            config.args = [problem]
        _loop(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist how items are distributed, which it is not told otherwise."""
    node.workerinput[settings.DISTRIBUTION] = node.config.getoption("dist")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Stay out of the checkouts of sessions, and under `--autoresearch` out of everything but problems."""
    if collection_path.name == CHECKOUTS and collection_path.is_dir():
        return True
    if (
        config.getoption("autoresearch")
        and collection_path.is_file()
        and collection_path.suffix not in (".yaml", ".yml")
    ):
        return True
    return None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ProblemFile | None:
    """Collect a problem that was named, and under `--autoresearch` each one that is found."""
    named = parent.session.isinitpath(file_path)
    loop = parent.config.getoption("autoresearch")
    if (named and loop) or (file_path.name == PROBLEM and (named or loop)):
        return _loop(parent.config).collect(file_path, parent)
    return None


def _loop(config: pytest.Config) -> Loop:
    """The plugin object of a run that is ours, made when it is first needed."""
    from pytest_autoresearch import builtin
    from pytest_autoresearch.loop import Loop

    loop = config.pluginmanager.get_plugin("autoresearch-loop")
    if loop is None:
        loop = Loop(config, settings.read_settings(config))
        config.pluginmanager.register(loop, "autoresearch-loop")
        config.pluginmanager.register(builtin, "autoresearch-builtin")
    assert isinstance(loop, Loop)
    return loop


def _refuse_what_cannot_be(config: pytest.Config) -> None:
    def chosen(option: str) -> object:
        return config.getoption(option, None)

    refused: dict[str, object] = {
        "-n, --dist and --tx, unless each problem has one worker, which keeps its experiments in order; this works: "
        f"{_line_that_works(config)}": chosen("tx")
        and not (chosen("numprocesses") and chosen("dist") == settings.BY_PROBLEM),
        f"-n and --iterations=forever; this works: {_line_that_works(config)}": (
            chosen("tx") and settings.read_settings(config).iterations is None and not chosen("collectonly")
        ),
        "--reruns: an experiment that is run again is paid for again": chosen("reruns")
        or chosen("force_reruns")
        or _ini(config, "reruns"),
        "--forked: a session lives in one process": chosen("forked"),
        "--setup-only, --setup-plan, --setup-show: setting an experiment up asks the critic for an idea": (
            chosen("setuponly") or chosen("setupplan") or chosen("setupshow")
        ),
        "--iterations=forever where CI is set: say how many with --iterations=N": (
            os.environ.get("CI") and settings.read_settings(config).iterations is None and not chosen("collectonly")
        ),
    }
    for reason, applies in refused.items():
        if applies:
            raise pytest.UsageError(f"--autoresearch does not go with {reason}")


def _line_that_works(config: pytest.Config) -> str:
    """The command that distributes this run by its problems."""
    named = config.args if config.args_source is config.ArgsSource.ARGS else []
    options = (
        f"--iterations={settings.read_settings(config).iterations or 'N'}",
        f"-n {config.getoption('numprocesses', None) or 2}",
        f"--dist {settings.BY_PROBLEM}",
    )
    return " ".join(("pytest --autoresearch", *options, shlex.join(named))).rstrip()


def _ini(config: pytest.Config, name: str) -> object:
    """The value of another plugin's ini key; None if there is no such key."""
    try:
        return config.getini(name)
    except ValueError:
        return None
