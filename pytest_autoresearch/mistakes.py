"""What is wrong with a `problem.yaml`, in words: what was expected, and how to mend it."""

from __future__ import annotations

import difflib
import os.path
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from pytest_autoresearch.fields import Section, listed, names_of, section_of
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.yaml_source import Location, Mistake, Source

_ALIASES: tuple[Location, ...] = (("gemma_critic",), ("critic", "ollama_url"))
_EXPECTED = {
    "objective": "one sentence that says what to improve",
    "metric_name": "the name of the metric, such as `rmse`",
    "metric_regex": "a regular expression with one group, such as '^rmse: (\\S+)'",
    "mutable_file": "the one file that may be changed, such as `solution.py`",
    "runner": "the command that runs one experiment, such as `python solution.py`",
}
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


def explained(error: ValidationError, source: Source, model: type[Section]) -> Iterator[Mistake]:
    """What pydantic has found, with its lines and in our words; `model` is that of the whole file."""
    messages_at: dict[Location, list[str]] = {}
    for found in error.errors():
        if found["type"] == "invalid_key":
            continue
        location = _as_written(found["type"], found["loc"], source)
        if found["type"] == "extra_forbidden" and location in _ALIASES:
            continue  # an alias beside what it means: `cross_checks` says so
        messages_at.setdefault(location, []).append(_explain(found, location, model))
    for location, messages in messages_at.items():
        yield Mistake(source.line(location), f"{_dotted(location)}: {', or '.join(messages)}")


def _as_written(kind: str, location: Location, source: Source) -> Location:
    """Without pydantic's names of union members, which stand in no file."""
    while kind not in ("missing", "extra_forbidden") and location and location not in source.lines:
        location = location[:-1]
    return location


def _dotted(location: Location) -> str:
    return ".".join(str(step) for step in location) or "problem"


def _explain(found: Mapping[str, Any], location: Location, model: type[Section]) -> str:
    if found["type"] == "extra_forbidden":
        return f"unknown key{_nearest(str(location[-1]), _known_keys(location[:-1], model))}"
    if found["type"] == "missing":
        return "missing; expected " + _EXPECTED.get(str(location[-1]), "a value")
    if found["type"] == "value_error" and location[-1:] == ("api_key_env",):
        return str(found["ctx"]["error"])  # what was given may well be the key
    if found["type"] == "value_error":
        return f"{found['ctx']['error']} (got {_shown(found['input'])})"
    message = found["msg"][0].lower() + found["msg"][1:]
    return f"{message.replace('input should', 'should')} (got {_shown(found['input'])})"


def _shown(value: object) -> str:
    text = Mask({}).text(_SHORT.repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; expected one of {', '.join(known)}"


def _known_keys(location: Location, model: type[Section]) -> list[str]:
    """The keys of the section at `location`, each under all its names."""
    fields = model.model_fields
    around = (section_of(field) for key, field in fields.items() if location and location[0] in names_of(key, field))
    section = next(filter(None, around), model)
    return [name for key, field in section.model_fields.items() for name in names_of(key, field)]


def cross_checks(source: Source) -> Iterator[Mistake]:
    """What concerns two keys; checked on the raw data, so that it is said together with everything else."""
    data = source.data
    for old, new in ((("gemma_critic",), ("critic",)), (("critic", "ollama_url"), ("critic", "base_url"))):
        if old in source.lines and new in source.lines:
            yield Mistake(source.line(old), f"{_dotted(old)}: means `{_dotted(new)}`, which is given too; keep one")
    columns = data.get("results_tsv_columns")
    if isinstance(columns, list) and columns and (len(columns) != 5 or _repeats(columns)):
        yield Mistake(
            source.line(("results_tsv_columns",)),
            "results_tsv_columns: expected five different names, in the order commit, metric, resource, status, "
            f"description (got {_shown(columns)})",
        )
    if data.get("evaluator") and not data.get("artifacts"):
        yield Mistake(source.line(("evaluator",)), "evaluator: needs `artifacts:`, what the runner writes for it")
    if data.get("holdout") and not data.get("evaluator"):
        yield Mistake(
            source.line(("holdout",)), "holdout: a second `evaluator`; it needs a first one, and `artifacts`"
        )
    if data.get("artifacts") and not data.get("evaluator"):
        yield Mistake(source.line(("artifacts",)), "artifacts: nothing reads them without `evaluator:`, a command")
    yield from _roles(data, source)


def _repeats(names: list[Any]) -> bool:
    texts = [name for name in names if isinstance(name, str)]
    return len(set(texts)) != len(texts)


def _roles(data: Mapping[str, Any], source: Source) -> Iterator[Mistake]:
    """A file is mutable, read-only or an artifact, and no two of these."""
    mutable = data.get("mutable_file")
    roles = {os.path.normpath(mutable): "the mutable file"} if isinstance(mutable, str) else {}
    for key, role in (("readonly_files", "a read-only file"), ("artifacts", "an artifact")):
        names = listed(data.get(key))
        for index, name in enumerate(names if isinstance(names, list) else []):
            if not isinstance(name, str):
                continue
            path = os.path.normpath(name)
            if path in roles:
                yield Mistake(source.line((key, index)), f"{key}.{index}: {name} is {roles[path]} already")
            roles[path] = role
