"""The sections of a `problem.yaml`: each key with its type and its default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from pytest_autoresearch.fields import (
    Address,
    AgentName,
    CommandLine,
    Inside,
    Provider,
    ProviderName,
    Sampler,
    Seconds,
    Text,
    Variable,
    listed,
)


class Section(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CriticSection(Section):
    """`critic:` — who proposes. The key `gemma_critic` of v1.1 means the same."""

    enabled: bool = True
    provider: Provider = "ollama"
    llm: ProviderName = "ollama"
    model: Text = "gemma4:e2b"
    base_url: Address | None = Field(default=None, validation_alias=AliasChoices("base_url", "ollama_url"))
    api_key_env: Variable | None = None
    when: Literal["always", "downtime"] = "always"
    thinking: bool = True
    max_vram_gb: float = Field(default=8, ge=0)
    context_last_n: int = Field(default=10, ge=0)
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=2048, gt=0)
    timeout_s: Seconds = 120
    on_failure: Literal["tuner", "wait", "stop"] | None = None
    leave_after: int = Field(default=5, ge=1)
    llm_share: float = Field(default=0.3, ge=0, le=1)
    sampler: Sampler | None = None
    ideas: Inside = "ideas.yaml"


class CoderSection(Section):
    """`coder:` — who applies an idea that carries no edits."""

    enabled: bool = False
    agent: AgentName = "claude"
    permission: Literal["acceptEdits", "bypass"] = "acceptEdits"
    timeout_s: Seconds = 600
    wait_s: Seconds | None = None
    command: CommandLine | None = None
    prompt_template: Text | None = None
    model: Text | None = None
    env: Annotated[list[Variable], BeforeValidator(listed)] = Field(default_factory=list)


class PriceSection(Section):
    """`prices:` — what a model costs, in US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class StateSection(Section):
    """`state:` — how often the views for people are refreshed."""

    enabled: bool = True
    throttle_seconds: float = Field(default=300, ge=0)
    rebuild_every_n_iter: int = Field(default=5, ge=1)


class NoiseSection(Section):
    """`noise:` — how a candidate that looks better is confirmed."""

    repeats: int = Field(default=1, ge=1)
    confirm: int = Field(default=0, ge=0)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    min_improvement: float | str = 0


class StopSection(Section):
    """`stop:` — when a session has done enough."""

    target: float | None = None
    patience: int | None = Field(default=None, ge=1)
    hours: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    usd: float | None = Field(default=None, gt=0)
