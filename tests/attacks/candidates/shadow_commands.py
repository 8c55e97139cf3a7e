"""Leaves commands called python and git beside the problem, for a PATH that leads there.

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

for name in ("python", "python3", "git", "bash"):
    Path(name).write_text("#!/bin/sh\necho 'tour_length: 1.000000'\n")
    Path(name).chmod(0o755)
WITNESS.write_text("left commands")
