"""`problem.yaml`: what is to be improved, how it is measured, and what may change."""

from __future__ import annotations

import difflib
import os.path
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import Below, Column, Existing, Inside, Mutable, Regex, Seconds, Text, listed
from pytest_autoresearch.llm.endpoint import PROVIDERS
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.sections import (
    CoderSection,
    CriticSection,
    EngineSection,
    NoiseSection,
    PriceSection,
    SandboxSection,
    Section,
    StateSection,
    StopSection,
    TrackerSection,
)
from pytest_autoresearch.yaml_source import Location, Mistake, Source, read_yaml


class Problem(Section):
    """One `problem.yaml`, checked. Times are in seconds, paths relative to the file's directory."""

    objective: Text
    metric_name: Column
    metric_regex: Regex
    lower_is_better: bool = True
    time_budget_s: Seconds = 300
    hard_timeout_s: Seconds = 600
    mutable_file: Mutable
    readonly_files: list[Existing] = Field(default_factory=list)
    runner: Text
    branch_prefix: Text = "autoresearch"
    results_tsv_columns: list[Column] = Field(default_factory=list)
    resource_metric_regex: Regex | None = None
    resource_metric_transform: Literal["identity", "divide_by_1024", "divide_by_1000"] = "identity"
    also: dict[Column, Regex] = Field(default_factory=dict)
    critic: CriticSection = Field(
        default_factory=CriticSection, validation_alias=AliasChoices("critic", "gemma_critic")
    )
    coder: CoderSection = Field(default_factory=CoderSection)
    state: StateSection = Field(default_factory=StateSection)
    evaluator: Text | None = None
    artifacts: Annotated[list[Below], BeforeValidator(listed)] = Field(default_factory=list)
    holdout: Text | None = None
    fingerprint: Annotated[list[Inside], BeforeValidator(listed)] = Field(default_factory=list)
    link: Annotated[list[Below], BeforeValidator(listed)] = Field(default_factory=list)
    noise: NoiseSection | None = None
    stop: StopSection = Field(default_factory=StopSection)
    sandbox: SandboxSection = Field(default_factory=lambda: SandboxSection(kind="none"))
    tracker: TrackerSection = Field(default_factory=lambda: TrackerSection(kind="none"))
    engine: EngineSection = Field(default_factory=EngineSection)
    env: Annotated[list[str], BeforeValidator(listed)] = Field(default_factory=list)
    prices: dict[str, PriceSection] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _absent_is_default(cls, data: Any) -> Any:
        """A key without a value and an empty resource regex mean what v1.1 took them for: not given."""
        if not isinstance(data, Mapping):
            return data
        absent = {key for key, value in data.items() if value is None}
        absent |= {key for key in ("resource_metric_regex",) if data.get(key) == ""}
        return {key: value for key, value in data.items() if key not in absent}

    @property
    def columns(self) -> tuple[str, ...]:
        """The header of `results.tsv`: commit, metric, resource, status, description, under the problem's names."""
        return tuple(self.results_tsv_columns or ("commit", self.metric_name, "resource", "status", "description"))

    @property
    def trust(self) -> Literal["evaluated", "self-reported"]:
        """Where the metric comes from: a process of its own, or the candidate itself."""
        return "evaluated" if self.evaluator else "self-reported"

    @property
    def patterns(self) -> dict[str, str]:
        """What is looked for in the output: `metric`, `resource` if there is one, each of `also` as `also.NAME`."""
        named = {"metric": self.metric_regex, "resource": self.resource_metric_regex or ""}
        named |= {f"also.{name}": regex for name, regex in self.also.items()}
        return {name: regex for name, regex in named.items() if regex}

    @property
    def resource_divisor(self) -> float:
        """What the resource that the regex finds is divided by."""
        return {"identity": 1.0, "divide_by_1024": 1024.0, "divide_by_1000": 1000.0}[self.resource_metric_transform]


class ProblemError(UserError):
    """Everything that is wrong with one `problem.yaml`, a line each."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line))
        super().__init__("\n".join(f"{path.name}:{mistake.line}: {mistake.message}" for mistake in self.mistakes))


def load_problem(path: Path, *, look: bool = True) -> Problem:
    """The problem that `path` describes; ProblemError names all its mistakes at once."""
    return parse_problem(path, _text(path), look=look)


def parse_problem(path: Path, text: str, *, look: bool = True) -> Problem:
    """The problem in `text`; files that it names are looked for beside `path`."""
    source = read_yaml(text)
    mistakes = list(source.mistakes)
    problem = None
    if not isinstance(source.data, Mapping):
        if not mistakes:
            mistakes.append(Mistake(1, "expected keys and values, such as `metric_name: rmse`"))
        raise ProblemError(path, mistakes)
    try:
        problem = Problem.model_validate(
            dict(source.data), context={"directory": path.parent if look else None, "name": path.name}
        )
    except ValidationError as error:
        mistakes += _mistakes(error, source)
    mistakes += _cross_checks(source)
    if mistakes or problem is None:
        raise ProblemError(path, mistakes)
    return problem


def key_names(problem: Problem) -> tuple[str, ...]:
    """The variables that hold keys because the problem, or the server that it names, says so."""
    servers = (provider.key_env for provider in PROVIDERS.values())
    return tuple(filter(None, (problem.critic.api_key_env, *servers, *problem.coder.env)))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ProblemError(path, [Mistake(line, "not UTF-8: save the file in that encoding")]) from None


def _mistakes(error: ValidationError, source: Source) -> Iterator[Mistake]:
    explained: dict[Location, list[str]] = {}
    for found in error.errors():
        if found["type"] == "invalid_key":
            continue
        location = _as_written(found["type"], found["loc"], source)
        if found["type"] == "extra_forbidden" and location in _ALIASES:
            continue  # an alias beside what it means: `_cross_checks` says so
        explained.setdefault(location, []).append(_explain(found, location))
    for location, messages in explained.items():
        yield Mistake(source.line(location), f"{_dotted(location)}: {', or '.join(messages)}")


def _as_written(kind: str, location: Location, source: Source) -> Location:
    """Without pydantic's names of union members, which stand in no file."""
    while kind not in ("missing", "extra_forbidden") and location and location not in source.lines:
        location = location[:-1]
    return location


def _dotted(location: Location) -> str:
    return ".".join(str(step) for step in location) or "problem"


def _explain(found: Mapping[str, Any], location: Location) -> str:
    if found["type"] == "extra_forbidden":
        return f"unknown key{_nearest(str(location[-1]), _known_keys(location[:-1]))}"
    if found["type"] == "missing":
        return "missing; expected " + _EXPECTED.get(str(location[-1]), "a value")
    if found["type"] == "value_error" and location[-1:] == ("api_key_env",):
        return str(found["ctx"]["error"])  # what was given may well be the key
    if found["type"] == "value_error":
        return f"{found['ctx']['error']} (got {_shown(found['input'])})"
    message = found["msg"][0].lower() + found["msg"][1:]
    return f"{message.replace('input should', 'should')} (got {_shown(found['input'])})"


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


def _shown(value: object) -> str:
    text = Mask({}).text(_SHORT.repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; expected one of {', '.join(known)}"


def _known_keys(location: Location) -> list[str]:
    model: type[BaseModel] = Problem
    if location:
        name = {"gemma_critic": "critic"}.get(str(location[0]), str(location[0]))
        sections: dict[str, type[BaseModel]] = {
            "critic": CriticSection,
            "coder": CoderSection,
            "prices": PriceSection,
            "state": StateSection,
            "noise": NoiseSection,
            "sandbox": SandboxSection,
            "stop": StopSection,
            "tracker": TrackerSection,
        }
        model = sections.get(name, Problem)
    aliases = {"critic": ["gemma_critic"], "base_url": ["ollama_url"]}
    return [name for field in model.model_fields for name in (field, *aliases.get(field, []))]


def _cross_checks(source: Source) -> Iterator[Mistake]:
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
