"""`problem.yaml`: what is to be improved, how it is measured, and what may change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, model_validator

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import (
    Below,
    Column,
    Existing,
    Inside,
    Mutable,
    Regex,
    Seconds,
    Section,
    Text,
    in_words,
    listed,
)
from pytest_autoresearch.llm.endpoint import PROVIDERS
from pytest_autoresearch.mistakes import cross_checks, explained
from pytest_autoresearch.sections import (
    CoderSection,
    CriticSection,
    EngineSection,
    NoiseSection,
    PriceSection,
    SandboxSection,
    StateSection,
    StopSection,
    TrackerSection,
)
from pytest_autoresearch.yaml_source import Mistake, read_yaml


class Problem(Section):
    """One `problem.yaml`, checked. Times are in seconds, paths relative to the file's directory."""

    objective: Text = Field(description="One sentence: what to improve.")
    metric_name: Column = Field(description="The metric's name.")
    metric_regex: Regex = Field(
        description="A regular expression; group 1 of its **last** match in the output is the metric, a finite "
        "decimal number."
    )
    lower_is_better: bool = Field(default=True, description="Whether a smaller value is the better one.")
    time_budget_s: Seconds = Field(
        default=300,
        description="What a run is meant to take: for the progress bar, and for whoever writes the runner.",
    )
    hard_timeout_s: Seconds = Field(
        default=600, description="Where each process is ended, with everything that it started."
    )
    mutable_file: Mutable = Field(description="The only file that changes, and the only one that is committed.")
    readonly_files: list[Existing] = Field(
        default_factory=list,
        description="Files and directories that a run must leave as they are; a change is put back and the experiment "
        "is a crash.",
    )
    runner: Text = Field(
        description="Run by `bash -c` in the problem's directory of the session's checkout; the directory of pytest's "
        "interpreter comes first on `PATH`."
    )
    branch_prefix: Text = Field(
        default="autoresearch",
        description="The session's branch is `<branch_prefix>/<tag>`; give each problem of a repository its own.",
    )
    results_tsv_columns: list[Column] = Field(
        default_factory=list,
        description="Five names for the columns of `results.tsv`, in this order.",
        json_schema_extra=in_words("`commit`, the metric's name, `resource`, `status`, `description`"),
    )
    resource_metric_regex: Regex | None = Field(
        default=None, description="A second number to record, which decides nothing."
    )
    resource_metric_transform: Literal["identity", "divide_by_1024", "divide_by_1000"] = Field(
        default="identity",
        description="What is done to the second number: `identity`, `divide_by_1024` or `divide_by_1000`.",
    )
    also: dict[Column, Regex] = Field(
        default_factory=dict,
        description="Further numbers to record, `{NAME: REGEX}`: the raw metrics that a score is made of, for "
        "[compare](compare.md#several-metrics).",
    )
    critic: CriticSection = Field(
        default_factory=CriticSection,
        validation_alias=AliasChoices("critic", "gemma_critic"),
        description="[Who proposes](#the-critic).",
        json_schema_extra=in_words("an Ollama on this machine"),
    )
    coder: CoderSection = Field(
        default_factory=CoderSection,
        description="[Who makes the change](#the-coder), where the idea does not carry it.",
        json_schema_extra=in_words("you, by hand"),
    )
    state: StateSection = Field(
        default_factory=StateSection,
        description="[How often](#what-is-refreshed-and-how-often) the views for people are refreshed.",
        json_schema_extra=in_words("each fifth experiment, or after five minutes"),
    )
    evaluator: Text | None = Field(
        default=None,
        description="Run by `bash -c`, when the runner and all that it started are dead, in a directory that holds "
        "the read-only files as they were when the session began, the linked paths and the artifacts, with few "
        "environment variables and those of `env`; `hard_timeout_s` bounds it too.",
    )
    artifacts: Annotated[list[Below], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="What the runner writes for the evaluator: deleted before each run; regular files only.",
    )
    holdout: Text | None = Field(
        default=None,
        description="The command of a [second evaluator](trust.md#a-second-opinion), whose number nobody sees who "
        "could be led by it.",
    )
    fingerprint: Annotated[list[Inside], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Patterns of data files that the numbers rest on; if they change, the incumbent is measured "
        "again.",
    )
    link: Annotated[list[Below], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Paths that git does not hold and the runner needs (data, a `.venv`): linked from your checkout "
        "into the session's.",
    )
    noise: NoiseSection | None = Field(
        default=None,
        description="[How a better number is told from luck](#when-the-metric-is-noisy), where it varies from run to "
        "run.",
        json_schema_extra=in_words("a strict comparison"),
    )
    stop: StopSection = Field(
        default_factory=StopSection,
        description="[When a session has done enough](#when-it-stops).",
        json_schema_extra=in_words("never"),
    )
    sandbox: SandboxSection = Field(
        default_factory=lambda: SandboxSection(kind="none"),
        description="[What the runner finds of the machine](#whom-to-trust); a name alone is its `kind`.",
        json_schema_extra=in_words("everything"),
    )
    tracker: TrackerSection = Field(
        default_factory=lambda: TrackerSection(kind="none"),
        description="[Where else the experiments are shown](#where-else-the-experiments-are-shown); a name alone is "
        "its `kind`.",
        json_schema_extra=in_words("nowhere"),
    )
    engine: EngineSection = Field(
        default_factory=EngineSection,
        description="[How many candidates](#several-candidates-at-once) an iteration makes, and where they are "
        "measured; a name alone is its `kind`.",
        json_schema_extra=in_words("one, on this machine"),
    )
    env: Annotated[list[str], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Names of environment variables to pass on although they look like keys.",
    )
    prices: dict[str, PriceSection] = Field(
        default_factory=dict,
        description="[What a model costs](#when-it-stops): `{MODEL: {input: 0.25, output: 2.0}}`.",
    )

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
        mistakes += explained(error, source, Problem)
    mistakes += cross_checks(source)
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
