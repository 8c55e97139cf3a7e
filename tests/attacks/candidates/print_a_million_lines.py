"""Prints a metric in each of a million lines, so that one of them is the last whatever else is printed.

needs: project
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])

tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

for _ in range(100):
    sys.stdout.write("tour_length: 1.000000\n" * 10_000)
WITNESS.write_text("printed a million metrics")
