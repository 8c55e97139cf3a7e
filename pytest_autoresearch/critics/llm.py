"""The critic that asks a language model."""

from __future__ import annotations

from dataclasses import replace

from pytest_autoresearch.critics.base import Brief
from pytest_autoresearch.critics.digest import Digest
from pytest_autoresearch.critics.form import IdeaForm, edits_fit
from pytest_autoresearch.critics.prompt import idea_prompt, number, repeated
from pytest_autoresearch.edits import EditError, apply_idea, check_source
from pytest_autoresearch.llm.conversation import Conversation
from pytest_autoresearch.llm.model import LanguageModel
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.records import Idea


class LlmCritic:
    """Proposes what a model answers, in the schema of autoresearch v1.1.

    With `with_edits` the model is asked for the exact edits too; where they do not fit even after a repair, the idea
    comes without them, for a coder to make them.
    """

    def __init__(self, problem: Problem, model: LanguageModel, mask: Mask, *, with_edits: bool) -> None:
        self.name = model.endpoint.provider
        self._problem = problem
        self._model = model
        self._mask = mask
        self._with_edits = with_edits
        self._digest = Digest(problem.critic.context_last_n, problem.lower_is_better)

    def propose(self, brief: Brief) -> Idea:
        """The model's idea; Fault if it gives none, Exhausted if nothing more may be spent.

        An idea that repeats a measured one is sent back once, with the result that it had.
        """
        self._digest.read(brief.history)
        prompt = idea_prompt(self._problem, brief, self._digest, self._mask, with_edits=self._with_edits)
        conversation = Conversation(self._model, prompt.system, prompt.user)
        idea = self._asked(conversation, brief)
        if said := self._repeats(idea, brief):
            conversation.say(self._mask.text(said))
            idea = self._asked(conversation, brief)
        return recorded(replace(idea, critic=self.name), self._model)

    def _asked(self, conversation: Conversation, brief: Brief) -> Idea:
        loose = IdeaForm(self._with_edits)
        strict = replace(loose, check=edits_fit(brief.source, self._problem.mutable_file))
        idea = conversation.ask("critic", strict, loose)
        try:
            check_source(idea, brief.source.encode(errors="surrogateescape"), self._problem.mutable_file)
        except EditError:
            return replace(idea, edits=())
        return idea

    def _repeats(self, idea: Idea, brief: Brief) -> str:
        """What to say to an idea that was measured before; '' if it was not."""
        if idea.edits:
            measured = brief.known(apply_idea(idea, brief.source.encode(errors="surrogateescape")))
            if measured is not None and measured.duplicate_of is not None:
                return repeated(measured.original, measured.failure or number(measured.metric))
            return ""  # it gives a file that is new, in whatever words
        again = self._digest.seen(idea)
        if again is None:
            return ""
        entry = self._digest.entry(again)
        return repeated(again, f"{entry.status}, {entry.reason}" if entry else "")


def recorded(idea: Idea, model: LanguageModel) -> Idea:
    """The idea with the name of the log that says how it came about, in which it is written down as well."""
    return replace(idea, log=model.note("parsed_idea", idea.to_json()))
