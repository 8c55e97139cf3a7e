"""Prints a metric over another line by carriage returns, which a reader of lines may take for line ends.

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

print("tour_length: 99.000000\rtour_length: 1.000000\r\ntour_length: 1.000000\r", end="")
WITNESS.write_text("printed a metric with carriage returns")
