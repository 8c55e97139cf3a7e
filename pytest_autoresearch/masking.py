"""Keeping keys out of what is written, shown and sent: by their values, and by the forms that keys have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_autoresearch.environment import key_like
from pytest_autoresearch.output import HIDDEN

_SHORTEST = 8
_SHORTEST_NAMED = 4
_PLAIN = re.compile(r"[-+.\d]*|true|false|none|null|enabled|disabled", re.IGNORECASE)
_FORMS = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}"
    r"|\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{30,}|\bhf_[A-Za-z0-9]{30,}|\bxox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|(?<=Bearer )[A-Za-z0-9._~+/=-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# Each form has one of these in it, and most texts have none: looking for them takes a tenth of the time.
_SIGNS = (
    *("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "ASIA", "AIza", "hf_", "xox"),
    *("Bearer ", "-----BEGIN "),
)


class Mask:
    """Hides the values of the variables of `environment` that look like keys or are among `names`.

    A value of fewer than eight characters, or one that is a number or a switch, is no key: `MAX_TOKENS=4096` is not
    hidden wherever 4096 stands. What is among the `names` is a key from four characters on, as litellm's `sk-1234` is.
    """

    def __init__(self, environment: Mapping[str, str], names: Iterable[str] = ()) -> None:
        named = frozenset(names)
        found = {
            value.strip()
            for name, value in environment.items()
            if (name in named and len(value.strip()) >= _SHORTEST_NAMED) or (key_like(name) and _is_secret(value))
        }
        self.values = tuple(sorted(found, key=lambda value: (-len(value), value)))

    def known(self, text: str) -> str:
        """`text` with each such value hidden, and nothing else touched: it may be code."""
        for value in self.values:
            text = text.replace(value, HIDDEN)
        return text

    def text(self, text: str) -> str:
        """`text` with each such value, and whatever has the form of a well-known kind of key, hidden."""
        known = self.known(text)
        return _FORMS.sub(HIDDEN, known) if any(sign in known for sign in _SIGNS) else known

    def concerns(self, written: str) -> bool:
        """Whether there may be something to hide in JSON that was `written`."""
        return any(json.dumps(value, ensure_ascii=False)[1:-1] in written for value in self.values) or any(
            sign in written for sign in _SIGNS
        )

    def data(self, data: Any) -> Any:
        """The same for every text in plain JSON values."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, dict):
            return {self.text(str(key)): self.data(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.data(value) for value in data]
        return data


def _is_secret(value: str) -> bool:
    return len(value) >= _SHORTEST and not _PLAIN.fullmatch(value)
