"""What the experiments of a session add up to: in all, and critic by critic."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_autoresearch.records import BY_HAND
from pytest_autoresearch.reports.story import Entry


@dataclass(slots=True)
class Score:
    """How one critic did: its experiments, its keeps, and by how much they improved the metric in all (positive)."""

    critic: str
    tried: int = 0
    kept: int = 0
    crashed: int = 0
    gain: float = 0.0
    tokens: int = 0
    usd: float = 0.0

    def take(self, entry: Entry, *, lower_is_better: bool) -> None:
        """Count in one of its experiments."""
        done = entry.experiment
        self.tried += 1
        self.kept += done.status == "keep"
        self.crashed += done.status == "crash"
        self.tokens += done.tokens
        self.usd += done.usd
        if done.status == "keep" and entry.delta is not None:
            self.gain += -entry.delta if lower_is_better else entry.delta


@dataclass(slots=True)
class Tally:
    """What the entries of a session add up to beyond its `Progress`.

    `seconds` is the time of all runs, `elapsed` that in which there was one: less, where several ran at once.
    `contracts` has, for each change of the contract, the number of the first experiment under the new one, and
    `changes` what people call it.
    """

    lower_is_better: bool
    seconds: float = 0.0
    elapsed: float = 0.0
    iterations: int = 0
    began: float = 0.0
    ended: float = 0.0
    scores: dict[str, Score] = field(default_factory=dict)
    contracts: list[int] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    duplicates: int = 0
    machine: int = 0
    breaches: int = 0
    leaving: int = 0
    besides: int = 0
    _contract: str = ""
    _iteration: int = 0

    def take(self, entry: Entry) -> None:
        """Count in one experiment."""
        done = entry.experiment
        self.began = self.began or done.at
        self.ended = done.at
        self.seconds += done.seconds
        self.elapsed += entry.elapsed
        self.iterations += done.made_in != self._iteration
        self._iteration = done.made_in
        self.duplicates += done.duplicate_of is not None
        self.machine += done.machine
        self.breaches += entry.breaks_contract
        self.leaving += bool(entry.left)
        self.besides += bool(entry.besides)
        if done.contract != self._contract:
            self._contract = done.contract
            self.contracts.append(done.number)
            self.changes.append(done.label)
        if done.number:
            name = entry.critic or BY_HAND
            score = self.scores.setdefault(name, Score(name))
            score.take(entry, lower_is_better=self.lower_is_better)
