"""Which GPUs each worker of this machine gets: `engine.resources: {num_gpus: N}`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache

from pytest_autoresearch.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_NO_DEVICE = ("", "-1")

Shares = list[dict[str, str]]


def shares(most: int, each: int, workers: int | None = None, environment: Mapping[str, str] = os.environ) -> Shares:
    """The variables that give each of at most `most` workers `each` GPUs of its own, as far as there are GPUs.

    UserError if there are not enough for as many `workers` as were asked for, or for one.
    """
    if not each:
        return [{} for _ in range(workers or most)]
    found = _devices(environment)
    count = workers or max(1, min(most, len(found) // each))
    if len(found) < count * each:
        raise UserError(
            f"engine: {count} worker(s) with {each} GPU(s) each need {count * each}, and {len(found)} are here; "
            "set engine.workers, or engine.resources.num_gpus"
        )
    return [{VISIBLE: ",".join(found[first : first + each])} for first in range(0, count * each, each)]


def _devices(environment: Mapping[str, str]) -> list[str]:
    """The ids of the GPUs that this process may use: what the variable says, else what the driver has."""
    named = environment.get(VISIBLE)
    if named is not None:
        return [one.strip() for one in named.split(",") if one.strip() not in _NO_DEVICE]
    return [str(number) for number in range(_count())]


@cache
def _count() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    done = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, check=False, timeout=60)
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines()) if done.returncode == 0 else 0
