"""Doing several things at the same time, so that an interrupt ends all of them and leaves none behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")

_TICK_S = 1.0


def together(
    jobs: Mapping[Key, Callable[[], Result]], *, tick: Callable[[float], None], stop: Callable[[], None]
) -> Iterator[tuple[Key, Result]]:
    """The result of each job as soon as it is there; `tick` is called about once a second with the seconds so far.

    What goes wrong in a job, or here, has `stop` end the others, and is raised when all of them have ended.
    """
    with ThreadPoolExecutor(max(1, len(jobs)), thread_name_prefix="autoresearch") as pool:
        waiting = {pool.submit(job): key for key, job in jobs.items()}
        try:
            yield from _as_they_end(waiting, tick)
        except BaseException:
            stop()
            raise


def _as_they_end(waiting: dict[Future[Result], Key], tick: Callable[[float], None]) -> Iterator[tuple[Key, Result]]:
    begun = time.monotonic()
    due = _TICK_S
    while waiting:
        elapsed = time.monotonic() - begun
        done, _ = wait(waiting, timeout=max(0.0, due - elapsed), return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()
        if (elapsed := time.monotonic() - begun) >= due:
            tick(elapsed)
            due = elapsed + _TICK_S
