"""What tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import Toy

MakeToy = Callable[..., Toy]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell ignores SIGINT for what it starts in the background, and what we start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def make_toy(tmp_path: Path) -> MakeToy:
    """Makes a `Toy` in a directory of its own."""

    def make(*ideas: Any, **options: Any) -> Toy:
        return Toy(tmp_path / "repository", ideas, **options)

    return make
