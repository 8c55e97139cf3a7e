"""What the tests of real servers share: a model that is asked without a session, and what a session must leave."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_autoresearch.critics.form import IdeaForm
from pytest_autoresearch.llm.conversation import Conversation
from pytest_autoresearch.llm.dialect import Sampling
from pytest_autoresearch.llm.endpoint import Endpoint
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.model import LanguageModel
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.records import Idea
from tests.llm.desk import OpenDesk
from tests.llm.server import idea
from tests.support import Toy, properties

# A file whose score falls by one each time that the edit below is made, as often as one likes.
COUNTDOWN = "echo score: $((10))\n"
EDIT = {"search": "((", "replace": "((-1+"}
SENTENCE = json.dumps(
    idea(
        "count down",
        thought_process="Less.",
        alternatives_considered=[],
        justification="It is less.",
        code_pseudocode="-1",
        edits=[EDIT],
    ),
    separators=(",", ":"),
)


@dataclass
class Asker:
    """The model at `endpoint`, asked as a critic asks; what it would have waited is in `pauses`."""

    endpoint: Endpoint
    max_tokens: int = 2048
    thinking: bool = True
    desk: OpenDesk = field(default_factory=OpenDesk)
    pauses: list[float] = field(default_factory=list)

    def idea(self, question: str = "What next?", *, with_edits: bool = True) -> Idea:
        """The model's idea; Fault if it has none."""
        sampling = Sampling(temperature=0.7, max_tokens=self.max_tokens, thinking=self.thinking)
        mask = Mask(os.environ)
        model = LanguageModel(self.endpoint, sampling, 60.0, self.desk, mask, pause=self.pauses.append)
        try:
            return Conversation(model, "You have ideas.", question).ask("critic", IdeaForm(with_edits))
        finally:
            model.close()

    def fault(self, question: str = "What next?") -> Fault:
        """What keeps the idea away."""
        try:
            found = self.idea(question)
        except Fault as fault:
            return fault
        raise AssertionError(f"an idea: {found}")

    @property
    def formats(self) -> list[str]:
        """How each request asked for an answer of a certain form."""
        asked = [call.arguments.get("response_format", {}) for call in self.desk.calls]
        return [str(form.get("type", "prompt")) for form in asked]

    @property
    def learned(self) -> Mapping[str, Any]:
        """What the server is known to understand."""
        return self.desk.dialects[self.endpoint.model].to_json()


def check_ledger(toy: Toy, experiments: int) -> None:
    """The session's ledger tells of so many experiments, of what came of each idea, and of each call."""
    results = toy.ledger("result")
    assert [record["number"] for record in results] == list(range(experiments + 1))
    assert toy.branch() == [record["commit"] for record in results if record["status"] == "keep"]
    assert [row[3] for row in toy.rows()[1:]] == [record["status"] for record in results]
    told = [record["kind"] for record in toy.ledger() if record["kind"] in ("idea", "noop", "result")]
    assert told[0] == "result"
    assert set(told[1::2]) == {"idea"}
    assert set(told[2::2]) <= {"noop", "result"}
    assert len(told) % 2 == 1
    for call in toy.ledger("call"):
        assert call["fault"] or (call["prompt"] > 0 and call["completion"] > 0), call
        assert 1 <= call["number"] <= experiments + told.count("noop")


def preconditions(toy: Toy, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """What each precondition says in a plain run."""
    report = toy.directory.parent / "report.xml"
    toy.pytest("problem.yaml", f"--junitxml={report}", *arguments, env=env)
    return {
        name.split("[")[1].rstrip("]"): found["detail"]
        for name, found in properties(report).items()
        if "detail" in found
    }
