"""Keep and discard in turn, by an Optuna study that runs the objective as a process: `optuna_loop.py ITERATIONS`.

Prints what `bare_loop.sh` prints. The study samples at random and is held in memory: what sampling and storage cost is
not what is compared. It moves nothing in git, and after a kill it has nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import optuna


def main(iterations: int) -> None:
    """Ask, write the file, run it, read the score, tell."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    solution, score = Path("solution.sh"), 10
    for number in range(1, iterations + 1):
        begun = time.perf_counter()
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        solution.write_text(f"echo score: {score + (-1 if number % 2 else 1)}\n# experiment {number}\n")
        started = time.perf_counter()
        done = subprocess.run(["bash", "-c", "bash solution.sh"], capture_output=True, text=True, check=True)
        ended = time.perf_counter()
        found = int(re.findall(r"^score: (\S+)", done.stdout, re.MULTILINE)[-1])
        study.tell(trial, found)
        status, score = ("keep", found) if found < score else ("discard", score)
        finished = time.perf_counter()
        print(status, round((finished - begun) * 1e6), round((ended - started) * 1e6))


if __name__ == "__main__":
    main(int(sys.argv[1]))
