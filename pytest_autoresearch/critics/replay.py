"""A critic that proposes recorded ideas, in order: for demonstrations, tests and exact reproduction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pytest_autoresearch.critics.base import Brief, Exhausted
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import listed
from pytest_autoresearch.records import Edit, Idea
from pytest_autoresearch.yaml_source import Source, read_yaml


class _RecordedEdit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    search: str = Field(min_length=1)
    replace: str


class _RecordedIdea(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    hypothesis: str = Field(min_length=1)
    thought_process: str = ""
    alternatives_considered: Annotated[list[str], BeforeValidator(listed)] = Field(default_factory=list)
    expected_delta: float | None = None
    justification: str = ""
    code_pseudocode: str = ""
    risk_level: Literal["low", "med", "high"] = "low"
    edits: list[_RecordedEdit] = Field(default_factory=list)
    content: str | None = None

    @model_validator(mode="after")
    def _changes(self) -> _RecordedIdea:
        if bool(self.edits) == (self.content is not None):
            raise ValueError("expected either `edits` or `content`")
        return self

    def idea(self) -> Idea:
        values = self.model_dump(exclude={"edits", "alternatives_considered"})
        edits = tuple(Edit(edit.search, edit.replace) for edit in self.edits)
        alternatives = tuple(self.alternatives_considered)
        return Idea(**values, edits=edits, alternatives_considered=alternatives, critic=Replay.name)


class Replay:
    """Proposes the ideas of a YAML or JSON file, each once in a session."""

    name = "replay"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ideas = load_ideas(path)

    def propose(self, brief: Brief) -> Idea:
        """The next idea of the file that this session has not had."""
        had = brief.ideas.get(self.name, 0)
        if had >= len(self.ideas):
            raise Exhausted(f"all {len(self.ideas)} ideas of {self.path.name} have been tried")
        return self.ideas[had]


def load_ideas(path: Path) -> list[Idea]:
    """The ideas in `path`: a list, or a mapping with the list under `ideas`; UserError names every mistake."""
    try:
        source = read_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    nested = isinstance(source.data, dict) and "ideas" in source.data
    if source.mistakes:
        raise UserError("\n".join(f"{path.name}:{mistake.line}: {mistake.message}" for mistake in source.mistakes))
    try:
        recorded = TypeAdapter(list[_RecordedIdea]).validate_python(source.data["ideas"] if nested else source.data)
    except ValidationError as error:
        raise UserError(_explain(path, source, error, nested)) from None
    return [entry.idea() for entry in recorded]


def _explain(path: Path, source: Source, error: ValidationError, nested: bool) -> str:
    lines = []
    for found in error.errors():
        location = (*(("ideas",) if nested else ()), *found["loc"])
        name = ".".join(map(str, location)) or "ideas"
        lines.append(f"{path.name}:{source.line(location)}: {name}: {found['msg']}")
    return "\n".join(lines)
