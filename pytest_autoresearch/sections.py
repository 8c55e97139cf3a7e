"""The sections of a `problem.yaml`: each key with its type and its default."""

from __future__ import annotations

import math
from itertools import count
from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

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
    Section,
    Text,
    Variable,
    in_words,
    listed,
)

MOST_PAIRS = 20
TRIES = 4


class CriticSection(Section):
    """`critic:` — who proposes. The key `gemma_critic` of v1.1 means the same."""

    enabled: bool = Field(
        default=True, description="Without a critic the ideas are those of whoever edits: an agent, or you."
    )
    provider: Provider = Field(
        default="ollama", description="`ollama`, `openrouter`, `openai`, `hybrid`, `tuner`, `replay` or `auto`."
    )
    llm: ProviderName = Field(
        default="ollama",
        description="The server that `hybrid` asks, and the editor beside a critic that asks none: `ollama`, "
        "`openrouter` or `openai`.",
    )
    model: Text = Field(default="gemma4:e2b", description="The model, under the name that the server has for it.")
    base_url: Address | None = Field(
        default=None,
        validation_alias=AliasChoices("base_url", "ollama_url"),
        description="Where the server is; of Ollama the address without `/v1` will do.",
        json_schema_extra=in_words("the provider's"),
    )
    api_key_env: Variable | None = Field(
        default=None,
        description="The name of the variable that holds the key.",
        json_schema_extra=in_words("the provider's"),
    )
    when: Literal["always", "downtime"] = Field(
        default="always",
        description="With `downtime` Ollama takes the model out of memory before each run; no other server does.",
    )
    thinking: bool = Field(default=True, description="Whether the model is to think before it answers.")
    max_vram_gb: float = Field(
        default=8, ge=0, description="GPU memory that the model may take, if it runs on this machine."
    )
    context_last_n: int = Field(default=10, ge=0, description="How many of the last experiments the model is shown.")
    temperature: float = Field(default=0.7, ge=0, description="How far its answers stray from the likeliest one.")
    max_tokens: int = Field(default=2048, gt=0, description="The longest answer; thoughts count.")
    timeout_s: Seconds = Field(default=120, description="What one answer may take.")
    on_failure: Literal["tuner", "wait", "stop"] | None = Field(
        default=None,
        description="What is done when the model cannot be asked: `tuner`, `wait` or `stop`.",
        json_schema_extra=in_words("see [critics.md](critics.md#when-the-server-does-not-answer)"),
    )
    leave_after: int = Field(
        default=5, ge=1, description="Experiments without a keep after which it is told to try something else."
    )
    llm_share: float = Field(
        default=0.3, ge=0, le=1, description="The share of the experiments that `hybrid` leaves to the model."
    )
    sampler: Sampler | None = Field(
        default=None,
        description="How the tuner samples: `tpe`, `cmaes` or `random`.",
        json_schema_extra=in_words("`tpe`; `cmaes` for `hybrid`"),
    )
    ideas: Inside = Field(
        default="ideas.yaml",
        description="The file of the critics `replay` and `auto`, looked for beside your `problem.yaml`.",
    )


class EngineSection(Section):
    """`engine:` — where the candidates of an iteration are measured, and how many there are."""

    kind: EngineName = Field(default="local", description="`local`, or `ray` for a cluster.")
    candidates: int = Field(default=1, ge=1, description="How many candidates an iteration makes.")
    workers: int | None = Field(
        default=None,
        ge=1,
        description="How many of them are measured at once.",
        json_schema_extra=in_words("all, or as many as there are GPUs for"),
    )
    resources: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="What each run gets for itself: `{num_gpus: 1}`; of `ray` also `num_cpus`, `memory` in bytes, and "
        "whatever else your nodes have.",
    )
    address: Text | None = Field(
        default=None,
        description="Of `ray`: the running cluster, `auto`, `HOST:PORT` or `ray://HOST:PORT`, as `ray.init` takes it.",
        json_schema_extra=in_words("`RAY_ADDRESS`, else one of this machine, which is started if need be"),
    )
    exclusive: Annotated[list[Resource], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Names of what only one session of this machine may use at a time, such as `gpu0`: while one "
        "measures, the others wait.",
    )
    concurrent_baseline: bool = Field(
        default=False,
        description="Whether the incumbent is measured beside the candidates, and they are judged against that: what "
        "runs together may be slower.",
    )

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
    def waves(self) -> int:
        """How many runs may come one after the other, at the latest: a cluster may have no room, and may lose some."""
        if self.kind == "ray":
            return self.at_once * TRIES
        workers = self.workers or (1 if self.resources else self.at_once)
        return -(-self.at_once // workers)

    @property
    def gpus(self) -> int:
        """How many GPUs each of them gets on this machine."""
        return int(self.resources.get("num_gpus", 0)) if self.kind == "local" else 0


class CoderSection(Section):
    """`coder:` — who applies an idea that carries no edits."""

    enabled: bool = Field(default=False, description="Without a coder, such ideas wait for an edit by hand.")
    agent: AgentName = Field(
        default="claude", description="`claude`, `codex`, `opencode`, or `editor`, which is built in."
    )
    permission: Literal["acceptEdits", "bypass"] = Field(
        default="acceptEdits",
        description="What the agent may do unasked: `acceptEdits` or `bypass` ([the commands](coders.md#agents)).",
    )
    timeout_s: Seconds = Field(default=600, description="Where the agent is ended.")
    wait_s: Seconds | None = Field(
        default=None,
        description="How long an edit by hand is waited for, with a coder after one that made none.",
        json_schema_extra=in_words("see [coders.md](coders.md#by-hand)"),
    )
    command: CommandLine | None = Field(
        default=None,
        description="Another command, with `{prompt}` where the prompt goes.",
        json_schema_extra=in_words("the agent's"),
    )
    prompt_template: Text | None = Field(
        default=None, description="Another prompt for an agent.", json_schema_extra=in_words("built in")
    )
    model: Text | None = Field(
        default=None,
        description="The model of the editor; an agent has its own settings for it.",
        json_schema_extra=in_words("the critic's"),
    )
    env: Annotated[list[Variable], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Names of variables that the agent may see although they look like keys.",
    )


class PriceSection(Section):
    """`prices:` — what a model costs, in US dollars for a million tokens."""

    input: float = Field(ge=0, description="US dollars for a million tokens of prompt.")
    output: float = Field(ge=0, description="US dollars for a million tokens of answer.")


class StateSection(Section):
    """`state:` — how often the views for people are refreshed."""

    enabled: bool = Field(default=True, description="Whether `STATE.md` is written.")
    throttle_seconds: float = Field(
        default=300, ge=0, description="After so many seconds the next experiment has the views written again."
    )
    rebuild_every_n_iter: int = Field(default=5, ge=1, description="So does each so many-th iteration.")


class NoiseSection(Section):
    """`noise:` — how a candidate that looks better is confirmed.

    `confirm` is the number of pairs of measurements, the least that can reach `alpha` where it is not given.
    """

    repeats: int = Field(default=3, ge=1, description="How often the baseline is measured; its metric is the mean.")
    confirm: int | None = Field(
        default=None,
        ge=1,
        le=MOST_PAIRS,
        description="How many pairs of measurements a confirmation takes, 20 at most; more find smaller improvements.",
        json_schema_extra=in_words("the fewest that can reach `alpha`: 3 pairs for 0.05"),
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="The level of the test.")
    min_improvement: Gain = Field(
        default=0.0,
        description="What a candidate has to be better by, in units of the metric or in percent of the incumbent's.",
    )
    test: NoiseTest = Field(
        default="pooled",
        description="`pooled`, or `paired`, which compares within pairs: for a machine whose speed drifts; it takes 5 "
        "pairs for 0.05.",
    )
    correction: Literal["off", "bonferroni", "spending"] = Field(
        default="off", description="For the number of candidates: `spending` or `bonferroni`."
    )
    candidates: int | None = Field(
        default=None,
        ge=1,
        description="How many candidates `alpha` is shared out among.",
        json_schema_extra=in_words("required with `bonferroni`"),
    )

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

    kind: Literal["none", "bwrap"] = Field(default="bwrap", description="`bwrap` or `none`.")
    network: bool = Field(default=False, description="Whether there is any.")
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="Private memory of each process (`RLIMIT_DATA`), in units of 10⁹ bytes.",
        json_schema_extra=in_words("no limit"),
    )
    hide: Annotated[list[Text], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Paths that are not to be read: of the problem, absolute, or below `~`.",
    )
    show: Annotated[list[Text], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Paths that are to be read although home or repository hide them.",
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        return {"kind": data} if isinstance(data, str) else data


class TrackerSection(Section):
    """`tracker:` — where else the experiments are shown. A name alone is its `kind`.

    Without a `uri` it is what MLFLOW_TRACKING_URI says, else a store beside the session's ledger.
    """

    kind: Literal["none", "mlflow"] = Field(default="mlflow", description="`mlflow` or `none`.")
    uri: Text | None = Field(
        default=None,
        description="A server, or a store such as `sqlite:////data/mlflow.db`.",
        json_schema_extra=in_words("the variable `MLFLOW_TRACKING_URI`, else a SQLite store of the session's own"),
    )
    experiment: Text | None = Field(
        default=None,
        description="The experiment of MLflow's that the runs are in.",
        json_schema_extra=in_words("the variable `MLFLOW_EXPERIMENT_NAME`, else `branch_prefix`"),
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: object) -> object:
        return {"kind": data} if isinstance(data, str) else data


class StopSection(Section):
    """`stop:` — when a session has done enough."""

    target: float | None = Field(default=None, description="The incumbent is at least this good.")
    patience: int | None = Field(default=None, ge=1, description="So many experiments since the last keep.")
    hours: float | None = Field(
        default=None,
        gt=0,
        description="How long this run may go on; looked at between experiments, and while something is waited for.",
    )
    tokens: int | None = Field(
        default=None, gt=0, description="What the models of the session may take; looked at before each call."
    )
    usd: float | None = Field(
        default=None, gt=0, description="What they may cost in US dollars; looked at before each call."
    )
