"""What follows a session for a tracker: `python -m pytest_autoresearch.trackers PROBLEM_FILE TAG`.

Whatever comes on stdin has it copy what is new on record; the end of stdin is its own. What hinders it is a line on
stdout.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pytest_autoresearch.masking import Mask
from pytest_autoresearch.problem import key_names
from pytest_autoresearch.reports.story import Story, find_session
from pytest_autoresearch.text import one_line
from pytest_autoresearch.trackers.mlflow import MlflowTracker, without_login

_MUCH = 1 << 16
_REST = 10
_MOST_REST_S = 60.0
_MESSAGE = 300


def main(problem_file: Path, tag: str) -> None:
    """Follow the session until stdin ends."""
    complain = _voice()
    tracker: MlflowTracker | None = None
    ended = not os.read(0, _MUCH)
    while True:
        began = time.monotonic()
        try:
            tracker = tracker or _tracker(problem_file, tag)
            tracker.copy(ended=ended)
        except ImportError as error:
            complain(f"{error}; pip install 'pytest-autoresearch[mlflow]'")
        except Exception as error:  # whatever the library, the server or the disk has against it
            complain(f"{type(error).__name__}: {error}")
        if ended:
            return
        ended = _ends(min(_REST * (time.monotonic() - began), _MOST_REST_S))


def _tracker(problem_file: Path, tag: str) -> MlflowTracker:
    story = Story(*find_session(problem_file, tag))
    return MlflowTracker(story, Mask(os.environ, key_names(story.problem)))


def _voice() -> Callable[[str], None]:
    """What says a line to who started this; whatever else the libraries print is not for them."""
    stdout = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def complain(text: str) -> None:
        said = one_line(Mask(os.environ).text(without_login(text)), _MESSAGE)
        try:
            os.write(stdout, f"{said}\n".encode())
        except OSError:  # nobody listens any more, or has listened for long
            return

    return complain


def _ends(rest_s: float) -> bool:
    """Rest, as the machine is shared with what is measured, then wait for a notice; whether stdin ends instead."""
    deadline, noticed = time.monotonic() + rest_s, False
    while (left := deadline - time.monotonic()) > 0:
        if select.select([0], [], [], left)[0]:
            noticed = True
            if not os.read(0, _MUCH):
                return True
    return not noticed and not os.read(0, _MUCH)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
