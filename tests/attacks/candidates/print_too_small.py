"""Prints metrics that are less than any number a machine can hold.

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

print("tour_length: 1e-999\ntour_length: 0.0000000000000000000000000000000000001")
WITNESS.write_text("printed 1e-999")
