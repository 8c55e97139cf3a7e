"""Writes a list of numbers to answer.json. This is the file that changes."""

from __future__ import annotations

import json
from pathlib import Path

FIRST = 3.0  # search: -5.0..5.0
SECOND = -2.0  # search: -5.0..5.0

if __name__ == "__main__":
    Path("answer.json").write_text(json.dumps([FIRST, SECOND]))
