"""Keys of a `problem.yaml` that have no effect beside the others, and why."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_autoresearch.fields import ProviderName
from pytest_autoresearch.problem import Problem


def idle_keys(problem: Problem, server: ProviderName | None, *, uses_editor: bool) -> Iterator[str]:
    """A sentence for each key that a run makes no use of, where it asks `server` (None: no model)."""
    critic = problem.critic
    if "llm" in critic.model_fields_set and critic.llm != server:
        yield f"critic.llm has no effect: {server or 'no model'} is asked"
    if critic.when == "downtime" and server not in (None, "ollama"):
        yield f"critic.when has no effect: {server} is asked, and only Ollama takes its model out of memory"
    if problem.coder.model is not None and not uses_editor:
        yield "coder.model has no effect: it is the editor's; an agent's model is named in coder.command"
