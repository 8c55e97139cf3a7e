"""Prints a metric that is less than every number.

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

print("tour_length: -inf\ntour_length: -Infinity\ntour_length: -1e999")
WITNESS.write_text("printed -inf")
