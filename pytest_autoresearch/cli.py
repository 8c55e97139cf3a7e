"""The command `pytest-autoresearch`: each step of the loop by itself, and what surrounds it."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from pytest_autoresearch import __version__
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.settings import CODERS, SAMPLERS, default_problem

_FAILED, _USAGE = 1, 4


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code: 0 if it did what it is for, 1 if it could not, 4 for options that cannot be."""
    parsed = parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except UserError as error:
        print(f"pytest-autoresearch: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("pytest-autoresearch: interrupted; what was under way is on record", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = _Parser(
        prog="pytest-autoresearch",
        description="Drive an autoresearch session by hand, one step at a time. The loop: pytest --autoresearch.",
    )
    top.add_argument("--version", action="version", version=f"pytest-autoresearch {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_init(commands.add_parser("init", help="make a repository for a problem, whose checkout is the session's"))
    status = commands.add_parser("status", help="say where a session stands")
    _add_session(status)
    status.set_defaults(command=_status)
    propose = commands.add_parser("propose", help="ask the critic for the next idea")
    propose.add_argument("--dry-run", action="store_true", help="show the idea and put nothing on record")
    apply = commands.add_parser("apply", help="have the coder make the edit of the idea")
    apply.add_argument("--dry-run", action="store_true", help="print the exact command and run nothing")
    run = commands.add_parser("run", help="measure the edit that is there, judge it and put it on record")
    run.add_argument("--message", "-m", metavar="TEXT", help="what was tried, in a line")
    reset = commands.add_parser("reset", help="put the best experiment's file back and drop what is under way")
    for step in (propose, apply, run, reset):
        _add_session(step)
        _add_parts(step)
        step.set_defaults(command=partial(_step, step.prog.split()[-1]))
    return top


def _add_init(command: argparse.ArgumentParser) -> None:
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--problem", type=Path, metavar="FILE", help="the problem.yaml to begin with")
    source.add_argument("--example", metavar="NAME", help="a shipped example, or `template` for a commented start")
    command.add_argument("--target", type=Path, required=True, metavar="DIR", help="where; must not be there yet")
    command.add_argument("--tag", default="run1", metavar="NAME", help="name of the session (default: run1)")
    command.set_defaults(command=_init)


def _add_session(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--problem", type=Path, metavar="PATH", help="problem.yaml or its directory (default: the one that is here)"
    )
    command.add_argument(
        "--tag", metavar="NAME", help="name of the session (default: the one whose checkout this is, else run1)"
    )


def _add_parts(command: argparse.ArgumentParser) -> None:
    for name, metavar, choices in (
        ("critic", "NAME", None),
        ("model", "NAME", None),
        ("coder", "NAME", CODERS),
        ("ideas", "FILE", None),
        ("sampler", "NAME", SAMPLERS),
    ):
        text = f"as --autoresearch-{name} of the loop"
        command.add_argument(f"--{name}", metavar=metavar, choices=choices, help=text)


def _init(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.scaffold import examples, scaffold

    if parsed.example is not None and parsed.example not in examples():
        raise UserError(f"there is no example {parsed.example!r}; there are {', '.join(examples())}")
    problem = parsed.problem or examples()[parsed.example] / "problem.yaml"
    place = scaffold(_problem_file(problem), parsed.target, parsed.tag)
    print(f"session {place.branch} in {place.project}: nothing is measured yet")
    print(f"by hand, or by an agent that reads program.md: cd {parsed.target} && pytest-autoresearch run")
    print(f"the loop: pytest --autoresearch --autoresearch-confirm --iterations=10 {parsed.target}")
    return 0


def _status(parsed: argparse.Namespace) -> int:
    from pytest_autoresearch.place import find_place
    from pytest_autoresearch.problem import load_problem
    from pytest_autoresearch.status import status_lines

    file = _problem_file(parsed.problem)
    problem = load_problem(file, look=False)
    for line in status_lines(find_place(file, problem.branch_prefix, parsed.tag), problem):
        print(line)
    return 0


def _step(name: str, parsed: argparse.Namespace) -> int:
    from pytest_autoresearch import steps
    from pytest_autoresearch.driver import drive

    file = _problem_file(parsed.problem)
    named = {option: getattr(parsed, option) for option in ("tag", "critic", "model", "coder", "ideas", "sampler")}
    options = [f"--autoresearch-{option}={value}" for option, value in named.items() if value is not None]
    taken: dict[str, steps.Step] = {
        "propose": partial(steps.propose, dry_run=getattr(parsed, "dry_run", False)),
        "apply": partial(steps.apply, dry_run=getattr(parsed, "dry_run", False)),
        "run": partial(steps.run, message=getattr(parsed, "message", None)),
        "reset": steps.reset,
    }
    return drive(file, options, taken[name])


def _problem_file(named: Path | None) -> Path:
    """The problem that is meant: the one that is named, that the environment names, or the one that is here."""
    path = named or Path(default_problem() or ".")
    file = path / "problem.yaml" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; name the problem with --problem")
    return file.resolve()


class _Parser(argparse.ArgumentParser):
    """Ends with pytest's exit code for usage errors."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(_USAGE, f"{self.prog}: {message}\n")
