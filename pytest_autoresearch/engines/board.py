"""Where runs on a cluster say how they stand: an actor that every one of them and the session can reach."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

_KEPT = 64


@dataclass(frozen=True, slots=True)
class News:
    """What a run says: which attempt it is, on which node, and a piece of its log with the place where that begins."""

    attempt: str
    node: str
    offset: int = 0
    piece: bytes = field(default=b"", repr=False)


class Board:
    """The news of each run, until somebody takes them; of what nobody takes the last are kept."""

    def __init__(self) -> None:
        self._news: dict[str, deque[News]] = defaultdict(lambda: deque(maxlen=_KEPT))

    def tell(self, run: str, news: News) -> None:
        """Put up what a run says."""
        self._news[run].append(news)

    def take(self, run: str) -> list[News]:
        """Take down what it said since."""
        return list(self._news.pop(run, ()))
