"""A model behind a scripted server, without a session."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from pytest_autoresearch.llm.dialect import Sampling, Shape
from pytest_autoresearch.llm.endpoint import Endpoint, make_endpoint
from pytest_autoresearch.llm.model import LanguageModel
from pytest_autoresearch.masking import Mask
from tests.llm.desk import OpenDesk
from tests.llm.server import MODEL

SHAPE = Shape("answer", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]})
MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "how much?"}]


def ollama(url: str, model: str = MODEL) -> Endpoint:
    return make_endpoint("ollama", model, url, None)


@dataclass
class Line:
    """A model that is asked at `endpoint`; what it would have waited is in `pauses`."""

    endpoint: Endpoint
    timeout_s: float = 10.0
    thinking: bool = True
    desk: OpenDesk = field(default_factory=OpenDesk)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        sampling = Sampling(temperature=0.5, max_tokens=77, thinking=self.thinking)
        self.model = LanguageModel(
            self.endpoint, sampling, self.timeout_s, self.desk, Mask(os.environ), pause=self.pauses.append
        )

    def ask(self) -> str:
        """What the model says."""
        return self.model.ask("critic", MESSAGES, SHAPE).content
