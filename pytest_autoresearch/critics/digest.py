"""What a language model is shown of a session's history, read once and then only on from where it stopped."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_autoresearch.critics.base import History
from pytest_autoresearch.records import Experiment, Idea, Status

_BEST = 3
_NEAREST = 3
_WORDS = re.compile(r"[\w.+-]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """One experiment as a model is shown it; `delta` is the change of the metric to what it had to beat."""

    label: str
    status: Status
    hypothesis: str
    critic: str
    expected: float | None
    metric: float | None
    delta: float | None
    reason: str
    log_tail: str


class Digest:
    """The last `last_n` experiments, the best kept ones, and the discarded ones that came nearest.

    Best and nearest are of the contract of the last experiment: others cannot be compared with it.
    """

    def __init__(self, last_n: int, lower_is_better: bool) -> None:
        self.recent: deque[Entry] = deque(maxlen=last_n)
        self.best: deque[Entry] = deque(maxlen=_BEST)
        self._sign = 1.0 if lower_is_better else -1.0
        self._misses: list[Entry] = []
        self._ideas: dict[bytes, str] = {}
        self._last = -1
        self._contract = ""
        self._incumbent: float | None = None

    def read(self, history: History) -> None:
        """Add the experiments that were finished since."""
        for experiment in history.experiments(self._last):
            self._last = experiment.number
            self._add(experiment)

    @property
    def nearest_misses(self) -> list[Entry]:
        """The discarded experiments that came nearest, the nearest first."""
        return self._misses[:_NEAREST]

    def seen(self, idea: Idea) -> str | None:
        """The label of an experiment that had the same idea in the same words, None if there is none."""
        return next((self._ideas[key] for key in _keys(idea) if key in self._ideas), None)

    def entry(self, label: str) -> Entry | None:
        """An experiment that is shown anyway, by its label."""
        return next((entry for entry in (*self.recent, *self.best, *self._misses) if entry.label == label), None)

    def _add(self, experiment: Experiment) -> None:
        if experiment.contract != self._contract:
            self._contract, self._incumbent = experiment.contract, None
            self.best.clear()
            self._misses.clear()
        entry = _entry(experiment, self._incumbent if experiment.beaten is None else experiment.beaten)
        self.recent.append(entry)
        if experiment.status == "keep":
            self._incumbent = experiment.metric
            self.best.append(entry)
        elif experiment.status == "discard" and experiment.metric is not None and experiment.duplicate_of is None:
            self._misses = sorted([*self._misses, entry], key=self._cost)[:_NEAREST]
        if experiment.idea is not None and not experiment.machine:
            for key in _keys(experiment.idea):
                self._ideas.setdefault(key, experiment.label)

    def _cost(self, entry: Entry) -> float:
        assert entry.metric is not None
        return self._sign * entry.metric


def _entry(experiment: Experiment, beaten: float | None) -> Entry:
    idea, metric = experiment.idea, experiment.metric
    return Entry(
        experiment.label,
        experiment.status,
        idea.hypothesis if idea else experiment.description,
        idea.critic if idea else "",
        idea.expected_delta if idea else None,
        metric,
        None if metric is None or beaten is None else metric - beaten,
        experiment.reason,
        experiment.log_tail,
    )


def _keys(idea: Idea) -> Iterator[bytes]:
    """The idea as short keys that are the same whatever its case, punctuation and spacing."""
    for kind, text in (("hypothesis", idea.hypothesis), ("pseudocode", idea.code_pseudocode)):
        words = " ".join(word.strip(".") for word in _WORDS.findall(text.casefold()))
        if words:
            yield hashlib.blake2b(f"{kind} {words}".encode(errors="replace"), digest_size=8).digest()
