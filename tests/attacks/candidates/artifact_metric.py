"""Writes the metric itself into the artifact.

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

Path("tour.json").write_text("tour_length: 1.000000\n")
WITNESS.write_text("wrote a metric as the artifact")
