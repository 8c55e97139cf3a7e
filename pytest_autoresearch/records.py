"""What one experiment is made of: idea, candidate, measurement, verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["keep", "discard", "crash"]
Role = Literal["candidate", "incumbent"]
Risk = Literal["low", "med", "high"]
ParameterValue = int | float | bool | str
BY_HAND = "hand"
BASELINE = "0"
"""What people call experiment 0."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the one place where `search` stands in the mutable file with `replace`."""

    search: str
    replace: str


@dataclass(frozen=True, slots=True)
class Idea:
    """What a critic proposes; the first seven fields are the schema of autoresearch v1.1.

    `expected_delta` is the signed change of the metric that the critic expects, None if it does not say.
    An idea that carries `edits` or the whole new `content` of the mutable file needs no coder.
    `parameters` are the literals that a sampler set, and `space` identifies the search space they belong to. `log`
    names the critic log that says how the idea came about.
    """

    hypothesis: str
    thought_process: str = ""
    alternatives_considered: tuple[str, ...] = ()
    expected_delta: float | None = None
    justification: str = ""
    code_pseudocode: str = ""
    risk_level: Risk = "low"
    edits: tuple[Edit, ...] = ()
    content: str | None = None
    critic: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    space: str = ""
    tokens: int = 0
    seconds: float = 0.0
    log: str = ""

    def to_json(self) -> dict[str, Any]:
        """The idea as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Idea:
        """The idea that `to_json` wrote."""
        values = dict(data)
        values["alternatives_considered"] = tuple(values.get("alternatives_considered", ()))
        values["edits"] = tuple(Edit(**edit) for edit in values.get("edits", ()))
        return cls(**values)


def by_hand(hypothesis: str) -> Idea:
    """The idea of somebody who edits the file and says no more than this."""
    return Idea(hypothesis=hypothesis, critic=BY_HAND)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The commit that holds an applied idea; its parent is the session's tip.

    `seat` is its place among the candidates of an iteration that makes several, from 1 on; 0 where it is the only one.
    """

    number: int
    commit: str
    parent: str
    blob: str
    content: bytes = field(repr=False)
    seat: int = 0


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of one of several candidates that an iteration makes; `seat` counts from 1."""

    number: int
    iteration: int
    seat: int


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What measuring a candidate and its incumbent again, in turn, gave.

    Of `pairs` those were measured that it took to know. `p` is the p-value; where it was broken off, because it could
    not come down to `alpha` any more, it is the least that it could have come to. `failed` is who gave no metric, if
    one of them did not.
    """

    candidate: tuple[float, ...]
    incumbent: tuple[float, ...]
    pairs: int
    p: float
    alpha: float
    failed: Role | None = None

    @property
    def holds(self) -> bool:
        """Whether the candidate is better, as far as the test can tell."""
        return self.failed is None and self.p <= self.alpha

    @property
    def in_words(self) -> str:
        """The p-value, and how many pairs gave it."""
        measured = len(self.candidate)
        if measured == self.pairs:
            return f"p = {self.p:.3g}, {self.pairs} pairs"
        return f"p ≥ {self.p:.3g}, {measured} of {self.pairs} pairs"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Confirmation:
        """The confirmation that `asdict` made plain values of."""
        values = dict(data)
        values["candidate"], values["incumbent"] = tuple(data["candidate"]), tuple(data["incumbent"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What running a candidate gave.

    `metric` is None exactly if `failure` says why there is none. `seconds` is the wall time of all processes.
    `machine` marks a failure that is the machine's and not the candidate's: it says nothing about the idea. Under
    `noise:` the metric is a mean: of `values` for a baseline, of the candidate's in `confirmation` for a candidate.
    `also` are the further numbers that the problem names, which decide nothing. `duplicate_of` is the number of the
    experiment that measured the same file, and `twin` what people call that one.
    """

    metric: float | None
    resource: float | None = None
    exit: int | None = None
    seconds: float = 0.0
    failure: str = ""
    machine: bool = False
    log_tail: str = ""
    duplicate_of: int | None = None
    values: tuple[float, ...] = ()
    confirmation: Confirmation | None = None
    also: Mapping[str, float] = field(default_factory=dict)
    twin: str = ""

    @property
    def original(self) -> str:
        """What to call the experiment that measured the same file; '' for none."""
        return self.twin or ("" if self.duplicate_of is None else str(self.duplicate_of))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Keep, discard or crash, and why in one line."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Experiment:
    """One finished experiment: one ledger record, one row of `results.tsv`, one test item.

    Experiment 0 is the baseline. `contract` is the fingerprint of everything that the measurement rests on:
    two metrics can be compared only if it is the same. `tokens` and `usd` are what all calls for it took and cost.
    `iteration` is the one that made it, 0 where that has the same number; `seat` is its place among the candidates of
    an iteration that made several, and `beaten` the incumbent's metric that all of them were judged against.
    """

    number: int
    status: Status
    reason: str
    metric: float | None
    resource: float | None
    seconds: float
    commit: str
    parent: str
    blob: str
    contract: str
    description: str
    exit: int | None = None
    machine: bool = False
    duplicate_of: int | None = None
    log_tail: str = ""
    tokens: int = 0
    usd: float = 0.0
    at: float = 0.0
    values: tuple[float, ...] = ()
    confirmation: Confirmation | None = None
    also: Mapping[str, float] = field(default_factory=dict)
    iteration: int = 0
    seat: int = 0
    beaten: float | None = None
    idea: Idea | None = None

    @property
    def made_in(self) -> int:
        """The iteration that made it."""
        return self.iteration or self.number

    @property
    def label(self) -> str:
        """What people call it: its iteration, and its seat where that made several."""
        return label(self.made_in, self.seat)


def label(iteration: int, seat: int) -> str:
    """What people call an experiment: `12`, or `12.3` for the third candidate of an iteration that makes several."""
    return f"{iteration}.{seat}" if seat else str(iteration)
