"""What tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import Toy

MakeToy = Callable[..., Toy]


@pytest.fixture
def make_toy(tmp_path: Path) -> MakeToy:
    """Makes a `Toy` in a directory of its own."""

    def make(*ideas: Any, **options: Any) -> Toy:
        return Toy(tmp_path / "repository", ideas, **options)

    return make
