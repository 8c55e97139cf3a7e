"""A session's side of every call to a model: its budget, its books and its log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_autoresearch.critic_log import CriticLog
from pytest_autoresearch.critics.base import Exhausted
from pytest_autoresearch.llm.dialect import Dialect
from pytest_autoresearch.llm.endpoint import Endpoint
from pytest_autoresearch.llm.model import Call
from pytest_autoresearch.llm.spending import Prices
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.session import Session


class SessionDesk:
    """The desk of the session that `opened` gives; it is opened only when a model is really asked."""

    def __init__(self, opened: Callable[[], Session], prices: Prices, mask: Mask, say: Callable[[str], None]) -> None:
        self._opened = opened
        self._prices = prices
        self._mask = mask
        self._log: CriticLog | None = None
        self.say = say

    def allow(self) -> None:
        """Raises Exhausted if the tokens or the money of the session are spent."""
        if reason := self._opened().spending_reason():
            raise Exhausted(reason)

    def enough(self) -> str | None:
        """The stop rule that holds now, if one does."""
        return self._opened().stop_reason()

    def book(self, call: Call) -> None:
        """Put a call into the ledger and the critic log."""
        session = self._opened()
        usd = self._prices.cost(call.endpoint.model, call.usage)
        self.log.add(call, usd)
        session.write(
            "call",
            number=session.number,
            role=call.role,
            provider=call.endpoint.provider,
            model=call.endpoint.model,
            prompt=call.usage.prompt,
            completion=call.usage.completion,
            usd=round(usd, 6),
            seconds=call.seconds,
            fault=call.fault.kind if call.fault else "",
            log=self.log.name,
        )

    def note(self, what: str, value: Any) -> str:
        """Write into the critic log what came of the calls; the log's name."""
        self.log.add_result(what, value)
        return self.log.name

    def dialect(self, endpoint: Endpoint) -> Dialect | None:
        """What the server understood before in this session."""
        known = self._opened().progress.dialects.get(endpoint.address, {}).get(endpoint.model)
        return Dialect(**known) if known else None

    def learned(self, endpoint: Endpoint, dialect: Dialect) -> None:
        """Put on record what the server understands."""
        values: dict[str, Any] = dialect.to_json()
        self._opened().write("dialect", base_url=endpoint.address, model=endpoint.model, dialect=values)

    @property
    def log(self) -> CriticLog:
        """The log of the calls for the experiment that is under way."""
        session = self._opened()
        number = session.number
        if self._log is None or self._log.number != number:
            directory = session.workspace.own_directory() / "critic_logs"
            self._log = CriticLog(directory, number, session.workspace.tip, self._mask)
        return self._log
