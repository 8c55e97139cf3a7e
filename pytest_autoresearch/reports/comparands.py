"""The sessions that somebody names to compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.reports.contender import Named
from pytest_autoresearch.reports.story import Story, find_session
from pytest_autoresearch.text import one_line

_NAME = 60


def find_sessions(arguments: Sequence[str], default: Callable[[], Path]) -> list[Named]:
    """The session of each `TAG`, `PATH`, `PATH@TAG` or, with a label for all of them, `LABEL=ONE,OTHER`.

    A path is that of a `problem.yaml` or of its directory; tags are those of the problem file that `default` gives.
    UserError if there is no such session, or one is named twice.
    """
    found = [named for argument in arguments for named in _labelled(argument, default)]
    seen: dict[Path, str] = {}
    for one in found:
        records = one.story.place.records
        if records in seen:
            raise UserError(f"{one.name} is the session that {seen[records]} is: name each of them once")
        seen[records] = one.name
    return found


def _labelled(argument: str, default: Callable[[], Path]) -> Iterator[Named]:
    label, equals, names = argument.partition("=")
    if not equals or Path(argument).exists():
        yield _session(argument, "", default)
        return
    if not label or not all(names.split(",")):
        raise UserError(f"{argument}: expected LABEL=TAG,TAG, such as llm=run1,run2")
    for name in names.split(","):
        yield _session(name, one_line(label, _NAME), default)


def _session(name: str, label: str, default: Callable[[], Path]) -> Named:
    file, tag = _file_and_tag(name)
    return Named(one_line(name, _NAME), Story(*find_session((file or default()).resolve(), tag)), label)


def _file_and_tag(name: str) -> tuple[Path | None, str | None]:
    if (file := _problem_file(name)) is not None:
        return file, None
    path, at, tag = name.rpartition("@")
    if at and (file := _problem_file(path)) is not None:
        return file, tag
    if at or "/" in name:
        raise UserError(f"{path or name}: there is no problem here; expected a problem.yaml or the directory of one")
    return None, name


def _problem_file(name: str) -> Path | None:
    path = Path(name)
    file = path / "problem.yaml" if path.is_dir() else path
    return file if file.is_file() else None
