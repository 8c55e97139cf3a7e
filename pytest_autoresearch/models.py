"""The language models of one run: the critic's and the editor's, each made when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pytest_autoresearch.errors import UserError
from pytest_autoresearch.fields import ProviderName
from pytest_autoresearch.llm.dialect import Sampling
from pytest_autoresearch.llm.endpoint import PROVIDERS, Endpoint, make_endpoint
from pytest_autoresearch.llm.fault import Fault
from pytest_autoresearch.llm.model import Desk, LanguageModel
from pytest_autoresearch.llm.spending import Price, Prices, Usage, estimated_tokens
from pytest_autoresearch.llm.wire import Wire, is_listening
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.problem import Problem
from pytest_autoresearch.sections import CriticSection
from pytest_autoresearch.text import one_line

_PROBE_S = 5.0
_LISTED = 400
_PROMPT_TOKENS = 900
_TOKENS_AN_EXPERIMENT = 60


class Models:
    """The models that the problem names; `asked` is the critic's model if the user asked for another one."""

    def __init__(self, problem: Problem, provider: str, asked: str | None, desk: Desk, mask: Mask) -> None:
        self._problem = problem
        self._provider_name = provider
        self._provider: ProviderName = _server(provider, problem.critic)
        self._asked = asked
        self._desk = desk
        self._mask = mask

    @property
    def server(self) -> ProviderName:
        """The kind of server that is asked."""
        return self._provider

    @property
    def endpoint(self) -> Endpoint:
        """Where the critic's model is."""
        section = self._problem.critic
        return make_endpoint(self._provider, self._asked or section.model, section.base_url, section.api_key_env)

    @cached_property
    def critic(self) -> LanguageModel:
        """The critic's model."""
        return self._model(self.endpoint)

    @cached_property
    def editor(self) -> LanguageModel:
        """The model that makes the edits: the critic's, unless the coder has one of its own."""
        name, section = self._problem.coder.model, self._problem.critic
        if name is None or name == self.critic.endpoint.model:
            return self.critic
        return self._model(make_endpoint(self._provider, name, section.base_url, section.api_key_env))

    @property
    def key_names(self) -> tuple[str, ...]:
        """The variables that hold a key of the critic's."""
        name = self.endpoint.key_env
        return (name,) if name else ()

    def has_local_model(self) -> bool:
        """Whether an Ollama answers and has the model; nothing is loaded to find out that none is there."""
        endpoint = self.endpoint
        if not is_listening(endpoint):
            return False
        wire = Wire(endpoint, endpoint.key(), _PROBE_S)
        try:
            return has_model(endpoint.model, wire.models())
        except Fault:
            return False
        finally:
            wire.close()

    def check(self, *, with_editor: bool = False) -> str:
        """What the server says of itself; UserError if the critic, or the built-in editor, cannot work with it."""
        used = [self.critic, *([self.editor] if with_editor and self.editor is not self.critic else [])]
        try:
            listed = self.critic.models()
        except Fault as fault:
            raise UserError(fault.text) from None
        for model in used:
            self._check_listed(model.endpoint, listed)
            self._check_price(model.endpoint)
        return f"{self.endpoint.place}, {', '.join(model.endpoint.model for model in used)}"

    def _check_listed(self, endpoint: Endpoint, listed: list[str]) -> None:
        """An Ollama has what it lists and nothing else."""
        if endpoint.provider == "ollama" and not has_model(endpoint.model, listed):
            option = "--autoresearch-model" if endpoint == self.endpoint else "coder.model"
            have = self._mask.text(one_line(", ".join(sorted(listed)[:10]), _LISTED)) or "none"
            raise UserError(
                f"{endpoint.place} has no model {endpoint.model!r}; get it: ollama pull {endpoint.model}; "
                f"or choose one that it has with {option}: {have}"
            )

    def estimate(self, source: str, iterations: int | None) -> str:
        """What the iterations take at most, in words, if each asks once and the answer is as long as it may be."""
        section, count = self._problem.critic, iterations or 1
        prompt = _PROMPT_TOKENS + estimated_tokens(source) + section.context_last_n * _TOKENS_AN_EXPERIMENT
        share = section.llm_share if self._provider_name == "hybrid" else 1.0
        usage = Usage(round(prompt * count * share), round(section.max_tokens * count * share))
        usd = self.prices.cost(self.endpoint.model, usage)
        money = f", USD {usd:.2g}" if usd else ""
        what = f"{count} experiments" if iterations else "each experiment"
        return f"about {usage.tokens:,} tokens for {what}, if each asks {self.endpoint.model} once{money}"

    def release(self, *, left_behind: bool = False) -> None:
        """Have the models taken out of memory, where the problem says so."""
        if self._problem.critic.when == "downtime":
            for model in self._used():
                model.release(left_behind=left_behind)

    def close(self) -> None:
        """Let go of the connections."""
        for model in self._used():
            model.close()

    @property
    def prices(self) -> Prices:
        """What the models cost."""
        return prices_of(self._problem)

    def _used(self) -> Iterator[LanguageModel]:
        """Each model that was made."""
        made = {id(model): model for name in ("critic", "editor") if (model := self.__dict__.get(name))}
        yield from made.values()

    def _check_price(self, endpoint: Endpoint) -> None:
        """Money can only be counted where there is a price: OpenRouter names it, a server of one's own has none."""
        if self._problem.stop.usd is None or endpoint.provider != "openai" or self.prices.knows(endpoint.model):
            return
        raise UserError(
            f"stop.usd: nobody knows what {endpoint.model} costs; name it, in US dollars for a million tokens: "
            f"prices: {{{endpoint.model}: {{input: ..., output: ...}}}}"
        )

    def _model(self, endpoint: Endpoint) -> LanguageModel:
        section = self._problem.critic
        sampling = Sampling(section.temperature, section.max_tokens, section.thinking)
        return LanguageModel(endpoint, sampling, section.timeout_s, self._desk, self._mask)


def prices_of(problem: Problem) -> Prices:
    """The prices in the problem."""
    return Prices({name: Price(entry.input, entry.output) for name, entry in problem.prices.items()})


def has_model(name: str, listed: list[str]) -> bool:
    """Whether a server lists the model; Ollama's `latest` goes without saying."""
    return name in listed or f"{name}:latest" in listed


def _server(provider: str, section: CriticSection) -> ProviderName:
    """Which kind of server a provider means; one that is none leaves it to `critic.llm`."""
    named: dict[str, ProviderName] = {name: name for name in PROVIDERS}
    return named.get(provider, "ollama" if provider == "auto" else section.llm)
