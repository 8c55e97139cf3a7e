"""Leaves a FIFO where the evaluator's log is going to be, on which whoever opens it waits.

needs: project
"""

import json
import os
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

log = Path("run.log").readlink()
os.mkfifo(log.with_suffix(".evaluator.log"))
WITNESS.write_text("made a FIFO of the evaluator's log")
