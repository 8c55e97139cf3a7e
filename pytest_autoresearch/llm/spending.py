"""What calls cost: tokens as the server counts them, money by the prices of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MILLION = 1_000_000
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, of the prompt (`input`) and of the answer (`output`)."""

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call; `usd` is what the server says it costs, None if it does not say."""

    prompt: int = 0
    completion: int = 0
    usd: float | None = None

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.prompt + self.completion


class Prices:
    """The prices by model; what runs on this machine costs nothing unless it has a price."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = prices

    def knows(self, model: str) -> bool:
        """Whether the model has a price."""
        return model in self._prices

    def cost(self, model: str, usage: Usage) -> float:
        """What a call cost in US dollars: as the server says, else by the price, else nothing."""
        if usage.usd is not None:
            return usage.usd
        price = self._prices.get(model, Price(0, 0))
        return (usage.prompt * price.input + usage.completion * price.output) / MILLION


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, where nobody has counted them."""
    return -(-len(text) // CHARACTERS_A_TOKEN)
