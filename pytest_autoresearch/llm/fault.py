"""What goes wrong when a model is asked, in one line for people and in a form that a policy can act on."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "unreachable",
    "unauthorized",
    "no model",
    "rate limited",
    "server error",
    "refused request",
    "timeout",
    "cut off",
    "no answer",
    "refusal",
    "invalid answer",
]


class Fault(Exception):
    """A question that got no usable answer.

    `text` is one line without a key in it. `passing` says that asking again may help, `wait_s` how many seconds the
    server asks to be left alone. `said` is what the server said, in its own words.
    """

    def __init__(
        self, kind: Kind, text: str, *, passing: bool = False, wait_s: float | None = None, said: str = ""
    ) -> None:
        super().__init__(text)
        self.kind: Kind = kind
        self.text = text
        self.passing = passing
        self.wait_s = wait_s
        self.said = said
