"""The sections of a `problem.yaml`: each key with its type and its default."""

from __future__ import annotations

import math
from itertools import count
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pytest_autoresearch.fields import (
    Address,
    AgentName,
    CommandLine,
    EngineName,
    Gain,
    Inside,
    NoiseTest,
    Provider,
    ProviderName,
    Resource,
    Sampler,
    Seconds,
    Text,
    Variable,
    listed,
)

MOST_PAIRS = 20
TRIES = 4


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


class EngineSection(Section):
    """`engine:` — where the candidates of an iteration are measured, and how many there are."""

    kind: EngineName = "local"
    candidates: int = Field(default=1, ge=1)
    workers: int | None = Field(default=None, ge=1)
    resources: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    address: Text | None = None
    exclusive: Annotated[list[Resource], BeforeValidator(listed)] = Field(default_factory=list)
    concurrent_baseline: bool = False

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, data: object) -> object:
        return {"kind": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _fits(self) -> EngineSection:
        unknown = self.resources.keys() - {"num_gpus"} if self.kind == "local" else set()
        if unknown:
            raise ValueError(f"resources: {', '.join(sorted(unknown))} is for `kind: ray`; here there is num_gpus")
        if self.kind == "local" and not self.resources.get("num_gpus", 0.0).is_integer():
            raise ValueError("resources.num_gpus should be a whole number, as a process gets whole GPUs")
        if self.kind == "local" and self.address is not None:
            raise ValueError("address is for `kind: ray`")
        return self

    @property
    def at_once(self) -> int:
        """How many runs of an iteration could go on at a time."""
        return self.candidates + self.concurrent_baseline

    @property
    def turns(self) -> int:
        """How many runs may come one after the other: none has a worker at once, and a cluster may lose some."""
        return self.at_once * (TRIES if self.kind == "ray" else 1)

    @property
    def gpus(self) -> int:
        """How many GPUs each of them gets on this machine."""
        return int(self.resources.get("num_gpus", 0)) if self.kind == "local" else 0


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
    """`noise:` — how a candidate that looks better is confirmed.

    `confirm` is the number of pairs of measurements, the least that can reach `alpha` where it is not given.
    """

    repeats: int = Field(default=3, ge=1)
    confirm: int | None = Field(default=None, ge=1, le=MOST_PAIRS)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    min_improvement: Gain = 0.0
    test: NoiseTest = "pooled"
    correction: Literal["off", "bonferroni", "spending"] = "off"
    candidates: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> NoiseSection:
        if (self.correction == "bonferroni") != (self.candidates is not None):
            raise ValueError(
                "expected `candidates`, how many are corrected for, with `correction: bonferroni` and only there"
            )
        alpha = self.alpha_of(0)
        if (needed := self._fewest(alpha)) > MOST_PAIRS:
            raise ValueError(f"expected a larger alpha: {MOST_PAIRS} pairs cannot come down to {alpha:.3g}")
        if self.confirm is not None and self.confirm < needed:
            raise ValueError(
                f"expected confirm: {needed} at least: {self.confirm} pairs come down to "
                f"p = {1 / ways(self.test, self.confirm):.3g} at best, and alpha is {alpha:.3g}"
            )
        return self

    def least_gain(self, metric: float) -> float:
        """What a candidate has to be better by than one with this metric, to be looked at again."""
        if isinstance(self.min_improvement, str):
            return float(self.min_improvement.rstrip("% ")) / 100 * abs(metric)
        return self.min_improvement

    def alpha_of(self, earlier: int) -> float:
        """The level of a confirmation that comes after `earlier` others in the session.

        All levels of a session add up to `alpha` at most with a correction: shared out evenly, or so that there is
        always something left (1/2, 1/6, 1/12, ... of it).
        """
        if self.correction == "bonferroni":
            return self.alpha / (self.candidates or 1)
        return self.alpha / ((earlier + 1) * (earlier + 2)) if self.correction == "spending" else self.alpha

    def pairs_for(self, alpha: float) -> int:
        """How many pairs are measured to come down to `alpha`."""
        return max(self.confirm or 0, min(self._fewest(alpha), MOST_PAIRS))

    @property
    def most_runs(self) -> int:
        """How many runs one result may take."""
        pairs = MOST_PAIRS if self.correction == "spending" else self.pairs_for(self.alpha_of(0))
        return max(self.repeats, 1 + 2 * pairs)

    def _fewest(self, alpha: float) -> int:
        return next(pairs for pairs in count(1) if ways(self.test, pairs) * alpha >= 1)


def ways(test: NoiseTest, pairs: int) -> int:
    """In how many ways the values of `pairs` pairs can be dealt out to two that are the same."""
    return math.comb(2 * pairs, pairs) if test == "pooled" else 1 << pairs


class SandboxSection(Section):
    """`sandbox:` — what a runner finds of the machine. A name alone is its `kind`."""

    kind: Literal["none", "bwrap"] = "bwrap"
    network: bool = False
    memory_gb: float | None = Field(default=None, gt=0)
    hide: Annotated[list[Text], BeforeValidator(listed)] = Field(default_factory=list)
    show: Annotated[list[Text], BeforeValidator(listed)] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        return {"kind": data} if isinstance(data, str) else data


class TrackerSection(Section):
    """`tracker:` — where else the experiments are shown. A name alone is its `kind`.

    Without a `uri` it is what MLFLOW_TRACKING_URI says, else a store beside the session's ledger.
    """

    kind: Literal["none", "mlflow"] = "mlflow"
    uri: Text | None = None
    experiment: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        return {"kind": data} if isinstance(data, str) else data


class StopSection(Section):
    """`stop:` — when a session has done enough."""

    target: float | None = None
    patience: int | None = Field(default=None, ge=1)
    hours: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    usd: float | None = Field(default=None, gt=0)
