"""Make one view of a session and say what that took: `python -m benchmarks.viewed VIEW PROBLEM TAG`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.machine import peak_mib
from pytest_autoresearch.masking import Mask
from pytest_autoresearch.reports.audit import write_audit
from pytest_autoresearch.reports.story import Story, find_session


def _audit(story: Story, directory: Path) -> None:
    write_audit(story, directory, Mask(os.environ))


VIEWS: Mapping[str, Callable[[Story, Path], None]] = {"audit": _audit}


def main(view: str, problem_file: Path, tag: str) -> None:
    """Print seconds, peak memory and the size of what was made as JSON."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        VIEWS[view](Story(*find_session(problem_file, tag)), Path(directory))
        seconds = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(directory).iterdir()) / 2**20
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib(os.getpid()), "size_mib": size}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
