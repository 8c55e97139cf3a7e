"""Prints a metric with separators that some readers drop and others stop at.

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

print("tour_length: 1,000.000000\ntour_length: 1_0.0\ntour_length: 1'000.0")
WITNESS.write_text("printed separators")
