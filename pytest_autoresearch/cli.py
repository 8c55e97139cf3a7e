"""The command `pytest-autoresearch`: each step of the loop by itself, and what surrounds it."""

from __future__ import annotations

import argparse
import io
import shlex
import sys
from functools import partial
from pathlib import Path

from pytest_autoresearch import __version__
from pytest_autoresearch.cli_session import add_session, complain, problem_file
from pytest_autoresearch.cli_transfer import add_transfer
from pytest_autoresearch.cli_views import add_views
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.machine import refusals
from pytest_autoresearch.settings import CODERS, SAMPLERS

CRITICS = ("ollama", "openrouter", "openai", "hybrid", "tuner", "replay", "auto")
_FAILED, _INTERRUPTED, _USAGE = 1, 2, 4
_EXIT_CODES = (
    "Exit codes: 0 if the command did what it is for, 1 if it could not and said why, 2 if it was interrupted, 4 for "
    "options that cannot be. Results are on stdout, everything else is on stderr."
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code: 0 if it did what it is for, 1 if it could not, 4 for options that cannot be."""
    parsed = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without → gets to see everything else
    try:
        with refusals():
            return int(parsed.command(parsed))
    except UserError as error:
        complain(str(error))
        return _FAILED
    except KeyboardInterrupt:
        complain("interrupted")
        return _INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = _Parser(
        prog="pytest-autoresearch",
        description=(
            "Drive an autoresearch session by hand, one step at a time. The loop that takes these steps by itself is "
            "pytest --autoresearch; both go on with the same session."
        ),
        epilog=_EXIT_CODES,
    )
    top.add_argument("--version", action="version", version=f"pytest-autoresearch {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
        description = f"{text[0].upper()}{text[1:]}.{more and ' '}{more}"
        return commands.add_parser(name, help=text, description=description)

    _add_init(
        command(
            "init",
            "make a repository for a problem, whose checkout is the session's",
            "It holds a copy of problem.yaml and of what lies beside it. Nothing is overwritten.",
        )
    )
    add_views(command)
    propose = command("propose", "ask the critic for the next idea", "It is written to next_idea.json.")
    propose.add_argument("--dry-run", action="store_true", help="show an idea without making it the next one")
    apply = command("apply", "have the coder make the edit of the idea", "It stays in the file for run to measure.")
    apply.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be done, of an agent the exact command, and do nothing",
    )
    run = command(
        "run",
        "measure the edit that is there, judge it and put it on record",
        "The first time the baseline is measured too.",
    )
    run.add_argument(
        "-m", "--message", metavar="TEXT", help="what was tried, in a line; an edit of a proposed idea needs none"
    )
    reset = command(
        "reset", "put the best experiment's file back and drop what is under way", "An edit is kept aside."
    )
    for step in (propose, apply, run, reset):
        add_session(step)
        step.set_defaults(command=partial(_step, step.prog.split()[-1]))
    for step in (propose, apply, run):
        _add_parts(step)
    add_transfer(command)
    return top


def _add_init(command: argparse.ArgumentParser) -> None:
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--problem", type=Path, metavar="PATH", help="the problem.yaml to begin with, or its directory"
    )
    source.add_argument(
        "--example", metavar="NAME", help="a shipped example, or template for a start with everything explained"
    )
    command.add_argument(
        "--target",
        type=Path,
        required=True,
        metavar="DIR",
        help="the directory to make; one that is there has to be empty",
    )
    command.add_argument("--tag", default="run1", metavar="NAME", help="name of the session (default: run1)")
    command.set_defaults(command=partial(_init, command))


def _add_parts(command: argparse.ArgumentParser) -> None:
    parts = command.add_argument_group("in the place of what problem.yaml says")
    parts.add_argument("--critic", metavar="NAME", choices=CRITICS, help=f"who proposes: {_listed(CRITICS)}")
    parts.add_argument("--model", metavar="NAME", help="the model that the critic asks")
    parts.add_argument(
        "--coder", metavar="NAME", choices=CODERS, help=f"who applies an idea without edits: {_listed(CODERS)}"
    )
    parts.add_argument("--ideas", metavar="FILE", help="the ideas that the critic replay proposes")
    parts.add_argument(
        "--sampler", metavar="NAME", choices=SAMPLERS, help=f"how the critic tuner samples: {_listed(SAMPLERS)}"
    )


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _init(command: argparse.ArgumentParser, parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.scaffold import examples, scaffold

    if parsed.example is not None and parsed.example not in examples():
        command.error(f"argument --example: there is no example {parsed.example!r}; {_listed(tuple(examples()))}")
    file = problem_file(parsed.problem or examples()[parsed.example])
    made = scaffold(file, parsed.target, parsed.tag)
    here, name = shlex.quote(str(parsed.target)), shlex.quote(file.name)
    usual = file.name == "problem.yaml"
    print(f"session {made.place.branch} in {made.place.project}; nothing is measured yet")
    print(f"by hand: cd {here} && pytest-autoresearch run{'' if usual else f' --problem {name}'}")
    print(f"by an agent: have it read {made.program}")
    print(
        f"the loop: pytest --autoresearch --autoresearch-confirm --iterations=10 {here}{'' if usual else f'/{name}'}"
    )
    return 0


def _step(name: str, parsed: argparse.Namespace) -> int:
    from pytest_autoresearch import steps
    from pytest_autoresearch.driver import drive

    file = problem_file(parsed.problem)
    named = {
        option: getattr(parsed, option, None) for option in ("tag", "critic", "model", "coder", "ideas", "sampler")
    }
    if named["ideas"] is not None:
        named["ideas"] = str(Path(named["ideas"]).absolute())
    options = [f"--autoresearch-{option}={value}" for option, value in named.items() if value is not None]
    taken: dict[str, steps.Step] = {
        "propose": partial(steps.propose, dry_run=getattr(parsed, "dry_run", False)),
        "apply": partial(steps.apply, dry_run=getattr(parsed, "dry_run", False)),
        "run": partial(steps.run, message=getattr(parsed, "message", None)),
        "reset": steps.reset,
    }
    return drive(file, options, taken[name])


class _Parser(argparse.ArgumentParser):
    """Ends with pytest's exit code for usage errors."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(_USAGE, f"{self.prog}: {message}\n")
