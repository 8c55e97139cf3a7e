"""The form in which a model proposes an idea: the schema, and how its answer is read, checked and bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pytest_autoresearch.edits import EditError, check_source
from pytest_autoresearch.fields import listed
from pytest_autoresearch.llm.conversation import Invalid, find_object
from pytest_autoresearch.llm.dialect import Shape
from pytest_autoresearch.records import Edit, Idea, Risk
from pytest_autoresearch.text import head, one_line, plain

_HYPOTHESIS = 500
_TEXT = 20_000
_ALTERNATIVES = 10
_SAID = 8

_Model = TypeVar("_Model", bound=BaseModel)

TEXT = {"type": "string"}
EDITS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"search": TEXT, "replace": TEXT},
        "required": ["search", "replace"],
        "additionalProperties": False,
    },
}
_FIELDS: dict[str, Any] = {
    "thought_process": TEXT,
    "alternatives_considered": {"type": "array", "items": TEXT},
    "hypothesis": TEXT,
    "expected_delta": {"type": "number"},
    "justification": TEXT,
    "code_pseudocode": TEXT,
    "risk_level": {"type": "string", "enum": ["low", "med", "high"]},
}
_RISKS = {"medium": "med", "moderate": "med", "mid": "med"}


def strict_object(properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with exactly these keys, in the subset that strict servers take."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _risk(value: object) -> object:
    text = value.strip().lower() if isinstance(value, str) else value
    return _RISKS.get(text, text) if isinstance(text, str) else text


class EditModel(BaseModel):
    """One search/replace pair of an answer."""

    search: Annotated[str, Field(min_length=1)]
    replace: str


class IdeaModel(BaseModel):
    """The answer of a critic; keys that it does not know are passed over."""

    model_config = ConfigDict(allow_inf_nan=False, extra="ignore")

    thought_process: str
    alternatives_considered: Annotated[list[str], BeforeValidator(listed)]
    hypothesis: Annotated[str, Field(min_length=1)]
    expected_delta: float | None
    justification: str
    code_pseudocode: str
    risk_level: Annotated[Risk, BeforeValidator(_risk)]
    edits: list[EditModel] = Field(default_factory=list)

    def idea(self) -> Idea:
        """The idea, with each text bounded and without control characters."""
        return Idea(
            hypothesis=one_line(plain(self.hypothesis), _HYPOTHESIS),
            thought_process=_bounded(self.thought_process),
            alternatives_considered=tuple(map(_bounded, self.alternatives_considered[:_ALTERNATIVES])),
            expected_delta=self.expected_delta,
            justification=_bounded(self.justification),
            code_pseudocode=_bounded(self.code_pseudocode),
            risk_level=self.risk_level,
            edits=tuple(Edit(edit.search, edit.replace) for edit in self.edits),
        )


@dataclass(frozen=True, slots=True)
class IdeaForm:
    """An idea; with `check`, one whose edits fit the file. `with_edits` asks for edits at all."""

    with_edits: bool = False
    check: Callable[[Idea], None] | None = None

    @property
    def shape(self) -> Shape:
        """The schema of autoresearch v1.1, and the edits."""
        return Shape("next_idea", strict_object({**_FIELDS, **({"edits": EDITS} if self.with_edits else {})}))

    def read(self, text: str) -> Idea:
        """The idea in a model's answer; Invalid if there is none."""
        idea = validated(IdeaModel, find_object(text)).idea()
        if not idea.hypothesis:
            raise Invalid("hypothesis: it is empty")
        if self.check is not None and idea.edits:
            self.check(idea)
        return idea


def edits_fit(source: str, filename: str, *, must_change: bool = True) -> Callable[[Idea], None]:
    """A check that an idea's edits can be made in `source`, change it, and leave Python that compiles."""
    before = source.encode(errors="surrogateescape")

    def check(idea: Idea) -> None:
        try:
            after = check_source(idea, before, filename)
        except EditError as error:
            raise Invalid(str(error)) from None
        if after == before and must_change:
            raise Invalid("the edits change nothing")

    return check


def validated(model: type[_Model], data: dict[str, Any]) -> _Model:
    """The answer as `model`; Invalid names what is missing or of a wrong type."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()[:_SAID]]
        raise Invalid("; ".join(problems)) from None


def _bounded(text: str) -> str:
    return head(plain(text).strip(), _TEXT)
