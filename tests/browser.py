"""What the tests in a real browser share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def started_chromium() -> Iterator[Any]:
    """A browser; a test that needs it is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    pytest.importorskip("plotly", reason="pip install 'pytest-autoresearch[report]'")
    found = os.environ.get("AUTORESEARCH_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in AUTORESEARCH_CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def drawn(page: Any, name: str = "convergence") -> Any:
    """A chart, once it is drawn."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name} .scatterlayer .trace", state="attached")
    return page.locator(f"#{name}")
