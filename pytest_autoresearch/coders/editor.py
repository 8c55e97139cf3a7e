"""The built-in coder: a model turns the idea into edits of the file."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pytest_autoresearch.coders.base import CoderFailed
from pytest_autoresearch.critics.fallback import Patience, Watch, patience_s, policy_for
from pytest_autoresearch.critics.form import EDITS, EditModel, edits_fit, strict_object, validated
from pytest_autoresearch.edits import EditError, apply_idea, check_source
from pytest_autoresearch.errors import UserError
from pytest_autoresearch.llm.conversation import Conversation, Invalid, fenced, find_object
from pytest_autoresearch.llm.dialect import Shape
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.model import LanguageModel
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import Edit, Idea
from pytest_autoresearch.templating import render
from pytest_autoresearch.text import plain

_LONGEST = 200_000


class _EditsModel(BaseModel):
    model_config = ConfigDict(extra="ignore")

    edits: list[EditModel] = Field(default_factory=list)
    content: str | None = None


@dataclass(frozen=True, slots=True)
class EditsForm:
    """Edits that fit a file, or the whole of it, as an idea that carries them."""

    source: str
    filename: str
    must_change: bool = True

    @property
    def shape(self) -> Shape:
        """Search/replace pairs, or the file."""
        return Shape("edits", strict_object({"edits": EDITS, "content": {"type": ["string", "null"]}}))

    def read(self, text: str) -> Idea:
        """The edits in a model's answer; Invalid if there are none, or if they do not fit.

        One fenced block without any JSON is the whole file: small models answer so, whatever they are told.
        """
        try:
            idea = _carrying(validated(_EditsModel, find_object(text)))
        except Invalid:
            blocks = fenced(text)
            if len(blocks) != 1 or blocks[0].lstrip().startswith("{"):
                raise
            idea = Idea(hypothesis="", content=_ended(blocks[0]))
        edits_fit(self.source, self.filename, must_change=self.must_change)(idea)
        return idea


class Editor:
    """Asks a model for the edits, with one round of repair; where it cannot be asked, `critic.on_failure` decides.

    Without a `watch` nobody waits for it.
    """

    name = "editor"

    def __init__(self, problem: Problem, model: LanguageModel, mask: Mask, watch: Watch | None = None) -> None:
        self._problem = problem
        self._model = model
        self._mask = mask
        self._watch = watch

    def plan(self, idea: Idea) -> str:
        """Which model is asked, and where."""
        endpoint = self._model.endpoint
        return f"ask {endpoint.model} for the edits: POST {endpoint.address}/chat/completions"

    def apply(self, idea: Idea, source: bytes) -> bytes:
        """The file with the edits of the idea if they fit, else with those that the model makes of it.

        CoderFailed or UserError if the model cannot be asked, EditError if it gives no edits that fit.
        """
        misfit = ""
        if idea.edits or idea.content is not None:
            try:
                return check_source(idea, source, self._problem.mutable_file)
            except EditError as error:
                misfit = str(error)
        patience: Patience | None = None
        while True:
            try:
                return apply_idea(self._made(idea, source, misfit), source)
            except Fault as fault:
                if self._gives_up(fault, source) or self._watch is None:
                    raise CoderFailed(f"the editor cannot ask its model: {fault.text}") from None
                patience = patience or Patience(self._watch, patience_s())
                patience.wait(fault)

    def _gives_up(self, fault: Fault, source: bytes) -> bool:
        """Whether the idea is put off instead of waiting for the model; UserError if the session is to end."""
        policy = policy_for(self._problem.critic.on_failure, source.decode(errors="surrogateescape"))
        if policy == "stop":
            raise UserError(f"the editor cannot ask its model: {fault.text} (critic.on_failure: stop)")
        return policy == "tuner" or fault.kind == "refusal"

    def _made(self, idea: Idea, source: bytes, misfit: str) -> Idea:
        text = source.decode(errors="surrogateescape")
        if len(text) > _LONGEST:
            raise EditError(f"{self._problem.mutable_file} is too long for a model: {len(text)} characters")
        values: dict[str, Any] = {"fence": secrets.token_hex(6), "mutable_file": self._problem.mutable_file}
        details = {
            "hypothesis": plain(idea.hypothesis),
            "justification": plain(idea.justification),
            "code_pseudocode": plain(idea.code_pseudocode),
            "misfit": misfit,
            "source": text,
        }
        system = render("coders", "editor_system.md.j2", **values)
        user = render("coders", "editor.md.j2", **values, **details)
        conversation = Conversation(self._model, self._mask.text(system), self._mask.text(user))
        try:
            form = EditsForm(text, self._problem.mutable_file)
            return conversation.ask("editor", form, replace(form, must_change=False))
        except Fault as fault:
            if fault.kind == "invalid answer":
                raise EditError(f"the editor's model gave no edits that fit: {fault.text}") from None
            raise


def _carrying(answer: _EditsModel) -> Idea:
    """The answer as an idea; Invalid if it is empty."""
    if answer.edits:
        return Idea(hypothesis="", edits=tuple(Edit(edit.search, edit.replace) for edit in answer.edits))
    if answer.content:
        blocks = fenced(answer.content) if answer.content.lstrip().startswith("```") else []
        return Idea(hypothesis="", content=_ended(blocks[0] if blocks else answer.content))
    raise Invalid("there are neither edits nor content in it")


def _ended(content: str) -> str:
    return content if content.endswith("\n") else f"{content}\n"
