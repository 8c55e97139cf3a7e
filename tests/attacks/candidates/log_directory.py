"""Leaves a directory where the evaluator's log is going to be.

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
log.with_suffix(".evaluator.log").mkdir()
WITNESS.write_text("made a directory of the evaluator's log")
